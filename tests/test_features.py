"""Features of frozen encoders: computed once, read again, and the same answers as from raw cells."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import sensorium
from sensorium import features as module
from sensorium.batch import Raw
from sensorium.encoders.pretrained.frozen import multiplies_bfloat16, with_features
from sensorium.encoders.pretrained.lazy import built
from sensorium.encoders.pretrained.text import PretrainedText
from sensorium.errors import SensoriumError
from sensorium.features import batches_by_length, known_features, use_features
from sensorium.fitting import train_in
from sensorium.folders import default_folder
from sensorium.frozen import count_parameters
from sensorium.inference import collect
from sensorium.predict import load
from sensorium.prepare import Prepared, prepare
from sensorium.recipe import Recipe, parse_recipe
from sensorium.training.progress import Silent
from sensorium.undrawn import Undrawn
from tests import made
from tests.made_checkpoint import WIDTH, text_checkpoint


class Heard(Silent):
    """Keeps the lines that were said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    text_checkpoint(tmp_path / "tiny")
    rows = made.simple_rows(40)
    texts = [made.text(seed) for seed in range(38)] + [None, made.text(0)]
    made.write_csv(tmp_path / "table.csv", {"words": texts, "label": rows["label"]})
    return parse_recipe(content(), folder=tmp_path)


def content(**encoder: Any) -> dict[str, Any]:
    return {
        "name": "features",
        "data": {"path": "table.csv"},
        "inputs": {
            "words": {"type": "text", "encoder": {"kind": "pretrained", "weights": "tiny", **encoder}}
        },
        "outputs": {"label": {"type": "category"}},
        "training": {"epochs": 2, "batch_size": 8, "device": "cpu"},
    }


def served(recipe: Recipe, say: Any = lambda line: None) -> Prepared:
    """The recipe's table, with features of all rows in place of texts."""
    prepared = prepare(recipe)
    use_features(prepared.new_model(), prepared.loader, np.arange(40), say)
    return prepared


def nothing_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: PretrainedText, raw: Raw) -> None:
        raise AssertionError("a text passed the backbone")

    monkeypatch.setattr(PretrainedText, "features", refuse)


@pytest.mark.parametrize("pool", ["mean", "tokens", "first", "last"])
def test_features_are_those_of_the_encoder_whatever_batch_they_are_in(recipe: Recipe, pool: str) -> None:
    recipe = parse_recipe(content(pool=pool), folder=recipe.folder)
    raw = prepare(recipe)
    encoder = raw.new_model().encoder("words")
    found = served(recipe).loader.batch(np.arange(40)).inputs["words"]
    assert found.mask.any(axis=1).tolist() == [True] * 38 + [False, True]
    for row in (0, 7, 39):
        cells = raw.loader.batch(np.array([row])).inputs["words"]
        alone = with_features(encoder, Raw(*map(torch.from_numpy, cells)))
        own = found.values[row][found.mask[row]]
        assert own.shape == alone.values[0].shape
        # Padding and batch size change the last bits of bfloat16, of which a step is 1/128 of a value.
        assert own == pytest.approx(alone.values[0].numpy(), abs=0.03)


def test_texts_of_one_content_pass_once(recipe: Recipe) -> None:
    heard = Heard()
    prepared = served(recipe, heard.say)
    texts = {cell for cell in prepared.table.column("words") if cell is not None}
    assert heard.lines[0].startswith(
        f"features of words: {len(texts)} different cells, {len(texts)} computed and 0 from the cache"
    )
    values = prepared.loader.batch(np.array([0, 39])).inputs["words"].values
    assert values.shape == (2, 1, WIDTH)
    assert (values[0] == values[1]).all()


def test_a_second_run_reads_the_cache_and_encodes_nothing(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = served(recipe).loader.batch(np.arange(40)).inputs["words"]
    nothing_encoded(monkeypatch)
    heard = Heard()
    second = served(recipe, heard.say).loader.batch(np.arange(40)).inputs["words"]
    assert " 0 computed" in heard.lines[0]
    assert (first.values == second.values).all()
    assert (first.mask == second.mask).all()


def test_other_pooling_and_other_weights_have_features_of_their_own(recipe: Recipe) -> None:
    served(recipe)
    text_checkpoint(recipe.folder / "other", seed=1)
    for encoder in ({"pool": "first"}, {"weights": "other"}):
        heard = Heard()
        served(parse_recipe(content(**encoder), folder=recipe.folder), heard.say)
        assert " 0 from the cache" in heard.lines[0]


def test_what_is_stopped_goes_on_where_it_stopped(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEXTS_AT_ONCE", 8)
    computed, encode = 0, PretrainedText.features

    def stop_later(self: PretrainedText, raw: Raw) -> Any:
        nonlocal computed
        if computed >= 16:
            raise KeyboardInterrupt
        computed += len(raw.mask)
        return encode(self, raw)

    monkeypatch.setattr(PretrainedText, "features", stop_later)
    with pytest.raises(KeyboardInterrupt):
        served(recipe)
    monkeypatch.setattr(PretrainedText, "features", encode)
    heard = Heard()
    served(recipe, heard.say)
    assert computed >= 16
    assert f"and {computed} from the cache" in heard.lines[0]


def test_training_from_the_cache_encodes_nothing_and_predicts_as_from_raw_texts(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train_in(recipe, tmp_path / "first", Silent())
    with monkeypatch.context() as patch:
        nothing_encoded(patch)
        second = train_in(recipe, tmp_path / "second", Silent())
    texts = (tmp_path / "first" / "history.jsonl").read_text(), (second / "history.jsonl").read_text()
    assert _losses(texts[0]) == _losses(texts[1])
    predictor = load(second)
    table = predictor.open(tmp_path / "table.csv")
    raw = predictor.collect(table).predicted["label"]["probabilities"]
    loader = served(recipe).loader
    cached = collect(predictor.model, loader, np.arange(40)).predicted["label"]["probabilities"]
    assert raw == pytest.approx(cached, abs=0.01)
    assert load(first).predict_proba(tmp_path / "table.csv") == pytest.approx(raw, abs=1e-6)


def _losses(history: str) -> list[float]:
    return [json.loads(line)["train_loss"] for line in history.splitlines()]


def test_checkpoints_of_a_run_lack_frozen_weights_and_the_saved_model_has_them(
    recipe: Recipe, tmp_path: Path
) -> None:
    run = train_in(recipe, tmp_path / "run", Silent())
    for path in (run / "checkpoints" / "last.safetensors", run / "model" / "model.safetensors"):
        with safe_open(path, framework="pt") as file:
            assert not any("backbone" in name for name in file.keys())  # noqa: SIM118
    (kept,) = (run / "model" / "weights").rglob("*.safetensors")
    assert kept.read_bytes() == (recipe.folder / "tiny" / "model.safetensors").read_bytes()
    (recipe.folder / "tiny").rename(recipe.folder / "gone")
    predictor = load(run)
    expected = predictor.predict_proba(tmp_path / "table.csv")
    predictor.save(tmp_path / "copy")
    copy = load(tmp_path / "copy")
    (run / "model").rename(run / "gone")
    assert (copy.predict_proba(tmp_path / "table.csv") == expected).all()


def test_a_model_that_holds_frozen_weights_itself_is_loaded(recipe: Recipe, tmp_path: Path) -> None:
    """As they were saved at first."""
    run = train_in(recipe, tmp_path / "run", Silent())
    predictor = load(run)
    expected = predictor.predict_proba(tmp_path / "table.csv")
    backbone = built(predictor.model.encoder("words").backbone, torch.device("cpu"))
    own = {f"encoders.column_words.backbone.{name}": value for name, value in backbone.state_dict().items()}
    weights = run / "model" / "model.safetensors"
    save_file(own | load_file(weights), weights)
    about = json.loads((run / "model" / "model.json").read_text())
    del about["weights_sha256"]  # which they did not say either
    (run / "model" / "model.json").write_text(json.dumps(about))
    shutil.rmtree(run / "model" / "weights")
    assert load(run).predict_proba(tmp_path / "table.csv") == pytest.approx(expected, abs=1e-3)


def test_what_lies_in_the_cache_is_trained_on_without_a_backbone(recipe: Recipe, tmp_path: Path) -> None:
    """It is not even imported what would build one; and the weights are those of a run that computed."""
    first = train_in(recipe, tmp_path / "first", Silent())
    with (recipe.folder / "recipe.yaml").open("w") as file:
        file.write(recipe.as_yaml())
    done = subprocess.run(
        [sys.executable, "-c", CACHED, str(recipe.folder / "recipe.yaml"), str(tmp_path / "second")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert " 0 computed" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
    for name in ("model.safetensors", "columns.json", "calibration.safetensors"):
        second = tmp_path / "second" / "features" / "model" / name
        assert (first / "model" / name).read_bytes() == second.read_bytes()


CACHED = """
import contextlib, sys
from sensorium.cli import main
with contextlib.suppress(SystemExit):
    main(["train", sys.argv[1], "--runs", sys.argv[2]])
needless = {"transformers", "pandas", "matplotlib", "scipy", "sklearn", "torch._dynamo",
            "torch.distributed.tensor", "sensorium.evaluation"}
print(sorted(needless & set(sys.modules)))
"""


hardware_multiplies_bfloat16 = pytest.mark.skipif(
    not multiplies_bfloat16(), reason="this CPU does not multiply bfloat16"
)


@hardware_multiplies_bfloat16
def test_a_saved_model_answers_in_bfloat16_as_in_training(recipe: Recipe, tmp_path: Path) -> None:
    run = train_in(recipe, tmp_path / "run", Silent())
    predictor = load(run)
    raw = predictor.predict_proba(tmp_path / "table.csv")
    assert predictor.model.encoder("words").lowered.kept
    cached = collect(predictor.model, served(recipe).loader, np.arange(40))
    assert raw == pytest.approx(cached.predicted["label"]["probabilities"], abs=0.01)
    assert load(run).predict_proba(tmp_path / "table.csv").tolist() == raw.tolist()


@hardware_multiplies_bfloat16
def test_a_saved_model_chooses_its_precision_as_in_training_whatever_it_predicts(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_in(recipe, tmp_path / "run", Silent())
    found = []
    for cells in (["cat"], ["?"], [made.text(seed) for seed in range(30)]):
        predictor = load(run)
        predictor.predict({"words": cells})
        found.append(predictor.model.encoder("words").lowered.kept)
    assert found[0] == found[1] == found[2]
    monkeypatch.setattr("sensorium.encoders.pretrained.precision.LEAST_COSINE", 1.1)
    (recipe.folder / "other").mkdir()
    text_checkpoint(recipe.folder / "other" / "tiny", seed=1)
    heard = Heard()
    refused = parse_recipe(content(weights="other/tiny"), folder=recipe.folder)
    prepared = prepare(refused)
    model = prepared.new_model()
    use_features(model, prepared.loader, np.arange(40), heard.say)
    assert heard.lines[0].startswith(
        "other/tiny: stays in float32, as bfloat16 answers otherwise (cosine to "
    )
    assert heard.lines[0].endswith("< 1.1)")
    assert not model.encoder("words").lowered.kept


def test_variants_of_a_comparison_read_the_features_of_the_first(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = PretrainedText.features

    def count(self: PretrainedText, raw: Raw) -> Any:
        encoded.append(len(raw.mask))
        return encode(self, raw)

    monkeypatch.setattr(PretrainedText, "features", count)
    found = sensorium.compare(
        recipe, {"fusion.kind": ["concat", "late"]}, seeds=2, folder=tmp_path / "compared", verbose=False
    )
    assert [variant.refused for variant in found.variants] == ["", ""]
    texts = {cell for cell in prepare(recipe).table.column("words") if cell is not None}
    assert sum(encoded) == len(texts)  # of training in the first run, of the rows held back at its scoring


def test_what_is_known_is_read_where_nothing_may_be_added(recipe: Recipe) -> None:
    trained = served(recipe)
    assert trained.loader.cache is not None
    trained.loader.cache.flush()
    known = known_features(recipe)
    assert known is not None
    other = parse_recipe(content() | {"data": {"path": "table.csv", "cache": False}}, recipe.folder)
    assert known_features(other) is None
    prepared = prepare(other)
    with pytest.MonkeyPatch.context() as patch:
        nothing_encoded(patch)
        use_features(prepared.new_model(), prepared.loader, np.arange(40), lambda line: None, known=known)
    found, expected = (one.loader.features["words"].take(np.arange(40)).values for one in (prepared, trained))
    np.testing.assert_array_equal(found, expected)
    new = prepare(other, {"words": ["red green blue"] * 40, "label": ["a", "b"] * 20})
    use_features(new.new_model(), new.loader, np.arange(40), lambda line: None, known=known)
    assert known.added_bytes == 0


def test_cells_that_cannot_be_read_are_quarantined_row_by_row(recipe: Recipe) -> None:
    cells = [b"red", b"\xff", b"blue", b"\xff"] + [b"green"] * 36
    prepared = prepare(recipe, {"words": cells, "label": ["a", "b"] * 20})
    use_features(prepared.new_model(), prepared.loader, np.arange(40), lambda line: None)
    unreadable = [(cell.row, cell.column) for cell in prepared.loader.quarantine.cells()]
    assert unreadable == [(1, "words"), (3, "words")]
    mask = prepared.loader.batch(np.arange(4)).inputs["words"].mask
    assert mask.tolist() == [[True], [False], [True], [False]]
    prepared.loader.on_error = "raise"
    with pytest.raises(SensoriumError, match="row 1, column words"):
        use_features(prepared.new_model(), prepared.loader, np.arange(40), lambda line: None)


def test_a_cache_that_cannot_be_written_is_said_and_not_needed(recipe: Recipe) -> None:
    recipe = parse_recipe(
        content() | {"data": {"path": "table.csv", "cache": "table.csv/cache"}}, recipe.folder
    )
    prepared = served(recipe)
    assert prepared.loader.cache is not None
    assert "another folder" in prepared.loader.cache.notes[0]
    assert prepared.loader.batch(np.arange(40)).inputs["words"].mask.sum() == 39


def test_features_leave_no_file_behind_but_the_cache(recipe: Recipe) -> None:
    served(recipe)
    assert {path.suffix for path in default_folder().iterdir() if path.is_file()} == {".data", ".index"}


def test_batches_hold_arrays_of_similar_length_within_the_budget() -> None:
    lengths = [3, 9, 1, 4, 0, 30, 4]
    decoded = [np.zeros(length) for length in lengths] + [None]
    # Sorted 1 3 4 4 9 30: three of 4 are 12, and 9 more would make 4 · 9; 30 is over the budget by itself.
    found = [sorted(lengths[one] for one in batch) for batch in batches_by_length(decoded, 16)]
    assert found == [[1, 3, 4, 4], [9], [30]]


def test_models_of_one_process_share_frozen_backbones_and_no_others(recipe: Recipe) -> None:
    prepared = prepare(recipe)
    first, second = prepared.new_model(), prepared.new_model()
    cpu = torch.device("cpu")
    backbones = [built(model.encoder("words").backbone, cpu) for model in (first, second)]
    assert backbones[0] is backbones[1]
    whole, trained = count_parameters(first)
    assert whole == count_parameters(backbones[0])[0] + trained
    tuned = prepare(parse_recipe(content(tune="full"), folder=recipe.folder))
    third, fourth = tuned.new_model(), tuned.new_model()
    others = [model.encoder("words").backbone for model in (third, fourth)]
    assert len({id(one) for one in (backbones[0], *others)}) == 3


def test_weights_that_are_loaded_at_once_are_not_drawn() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with Undrawn():
        torch.nn.Conv2d(3, 2, 1)
        torch.nn.Embedding(3, 2)
        torch.nn.init.trunc_normal_(torch.nn.Linear(3, 2).weight)
        torch.nn.init.kaiming_normal_(torch.empty(3, 2))
    assert torch.rand(1) == expected
