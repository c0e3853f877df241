"""Packaged weights of other formats become safetensors, every tensor in its place."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from sensorium.encoders.pretrained import convert
from sensorium.encoders.pretrained.convert import safetensors_files
from sensorium.encoders.pretrained.ctranslate2 import read_variables, read_whisper
from sensorium.errors import WeightsError
from sensorium.weights import Checkpoint, find
from sensorium.weights.find import package_folder
from sensorium.weights.packages import PACKAGED, WHISPER_TINY_EN_CONFIG

transformers = pytest.importorskip("transformers")
LITE0, WHISPER, SMOLLM2 = (
    "efficientnet-lite0",
    "openai/whisper-tiny.en",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
)


def packaged(name: str) -> Checkpoint:
    if package_folder(PACKAGED[name]) is None:
        pytest.skip(f"{PACKAGED[name].package} is not installed")
    return find(name, Path())


def filled(architecture: str, checkpoint: Checkpoint) -> Any:
    """A whole model of transformers with the converted weights."""
    config = transformers.AutoConfig.for_model(**checkpoint.config)
    model = getattr(transformers, architecture)(config)
    (path,) = safetensors_files(checkpoint)
    left = model.load_state_dict(load_file(path), strict=False)
    assert left.unexpected_keys == []
    assert len(left.missing_keys) == 1  # what is tied to the embedding
    model.tie_weights()
    return model.eval()


def test_a_pickle_keeps_its_names_and_numbers() -> None:
    checkpoint = packaged(LITE0)
    (path,) = safetensors_files(checkpoint)
    tensors, pickled = load_file(path), torch.load(checkpoint.files[0], weights_only=True)
    assert tensors.keys() == pickled.keys()
    assert all(torch.equal(tensors[name], pickled[name]) for name in pickled)
    counted = [one for name, one in tensors.items() if "running" not in name and "tracked" not in name]
    assert sum(one.numel() for one in counted) == PACKAGED[LITE0].parameters
    changed = path.stat().st_mtime_ns
    assert safetensors_files(checkpoint)[0].stat().st_mtime_ns == changed  # it is not converted again


@pytest.mark.slow
def test_whisper_hears_a_note_and_holds_as_many_numbers_as_are_announced() -> None:
    """Its encoder's states of a sung note differ from those of silence, and none is infinite.

    Of real speech (English telephone prompts of 3 to 30 seconds) it writes the words; none is at hand here.
    """
    checkpoint = packaged(WHISPER)
    model = filled("WhisperForConditionalGeneration", checkpoint)
    assert sum(one.numel() for one in model.parameters()) == PACKAGED[WHISPER].parameters
    seconds = np.arange(48000) / 16000
    note = sum(np.sin(2 * np.pi * 150 * k * seconds) / k for k in range(1, 20)).astype(np.float32) / 4
    hearing = transformers.WhisperFeatureExtractor(feature_size=80)
    heard = hearing([note, 0 * note], sampling_rate=16000, return_tensors="pt").input_features
    with torch.no_grad():
        states = model.model.encoder(heard).last_hidden_state
    assert torch.isfinite(states).all()
    assert 0.5 < states.std() < 3
    near = torch.nn.functional.cosine_similarity(states[0, :150].mean(0), states[1, :150].mean(0), dim=0)
    assert near < 0.95


@pytest.mark.slow
def test_smollm2_goes_on_with_a_sentence() -> None:
    checkpoint = packaged(SMOLLM2)
    model = filled("LlamaForCausalLM", checkpoint)
    assert sum(one.numel() for one in model.parameters()) == PACKAGED[SMOLLM2].parameters
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer)
    assert tokenizer.encode("<|im_start|>12 birds").tokens == ["<|im_start|>", "1", "2", "Ġbirds"]
    assert tokenizer.decode(tokenizer.encode("a bird, 日本 and é").ids) == "a bird, 日本 and é"
    for sentence, word in {"The capital of France is": " Paris", "The opposite of hot is": " cold"}.items():
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokenizer.encode(sentence).ids])).logits[0, -1]
        assert tokenizer.decode([int(logits.argmax())]) == word


def text(words: str) -> bytes:
    return struct.pack("<H", len(words) + 1) + words.encode() + b"\0"


def variable(name: str, values: np.ndarray, dtype: int) -> bytes:
    shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
    return text(name) + shape + struct.pack("<BI", dtype, values.nbytes) + values.tobytes()


HEAD = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<I", 3)
BIAS = variable("encoder/conv1/bias", np.array([1, 2], np.float16), 4)
ALIAS = struct.pack("<I", 1) + text("another") + text("encoder/conv1/bias")


def test_a_ctranslate2_file_is_read_field_by_field(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    number = variable("encoder/num_heads", np.array(6, np.int16), 2)
    path.write_bytes(HEAD + struct.pack("<I", 2) + BIAS + number + ALIAS)
    read = read_variables(path)
    assert read["encoder/conv1/bias"].tolist() == [1, 2]
    assert read["encoder/num_heads"] == 6


@pytest.mark.parametrize(
    "content",
    [HEAD + struct.pack("<I", 1) + BIAS[:-1], HEAD + struct.pack("<I", 1) + BIAS + ALIAS + b"x", b"PK\3\4"],
    ids=["cut short", "too long", "another kind"],
)
def test_a_spoilt_ctranslate2_file_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(WeightsError, match="is no CTranslate2 file of version 6"):
        read_variables(tmp_path / "model.bin")


def test_a_tensor_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(HEAD + struct.pack("<I", 1) + BIAS + struct.pack("<I", 0))
    with pytest.raises(WeightsError, match=r"model\.decoder\.embed_positions\.weight is missing in the file"):
        read_whisper(path, WHISPER_TINY_EN_CONFIG)


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x02cos\nsystem\nq\x00."])
def test_a_spoilt_pickle_runs_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.pth cannot be read as weights"):
        convert.read_pickled(path, {})


def test_a_conversion_that_is_cut_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORIUM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.ones(3)}, path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(WeightsError, match=r"cannot be kept .* free space there"):
            safetensors_files(Checkpoint("x", {}, files=(path,)))
    assert list((tmp_path / "cache" / "weights").glob("*.*")) == []
    assert list((tmp_path / "cache" / "weights").glob(".*")) == []
    (kept,) = safetensors_files(Checkpoint("x", {}, files=(path,)))
    kept.write_bytes(kept.read_bytes()[:-2])  # damaged on the disk: it is made again
    (again,) = safetensors_files(Checkpoint("x", {}, files=(path,)))
    assert load_file(again)["a"].tolist() == [1, 1, 1]
