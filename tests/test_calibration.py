"""Temperatures and conformal sets of a model: by hand, by property, on disk, in use."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from safetensors.numpy import save_file

import sensorium as sm
from sensorium.calibration import FILE, Calibration, calibrate, load_calibration, quantile, save_calibration
from sensorium.cli import main
from sensorium.inference import collect
from sensorium.prepare import split_table
from tests import made

ROWS = made.simple_rows(240)
ROWS["shop"] = [None if row % 3 == 0 else cell for row, cell in enumerate(ROWS["shop"])]
ROWS["label"] = [made.label(row // 2 if row % 5 == 0 else row) for row in range(240)]  # hard to be sure of


def recipe() -> dict[str, Any]:
    """A label, a number and a number with quantiles."""
    content = made.simple_recipe(epochs=2, input_dropout=0.3)
    del content["data"]["path"]
    content["outputs"] |= {
        "amount": "number",
        "banded": {"type": "number", "column": "amount", "quantiles": [0.2, 0.8]},
    }
    return content


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> sm.Predictor:
    return sm.fit(ROWS, recipe=recipe(), folder=tmp_path_factory.mktemp("fit") / "run", verbose=False)


def calibration_of(predictor: sm.Predictor) -> Calibration:
    assert predictor.calibration is not None
    return predictor.calibration


def test_the_quantile_by_hand():
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert quantile(scores, 0.5) == 0.5  # ceil(10 * 0.5) = the fifth
    assert quantile(scores, 0.51) == 0.6
    assert quantile(scores, 0.9) == 0.9
    assert quantile(scores, 0.91) == math.inf
    assert quantile(scores[:0], 0.01) == math.inf
    ninety_nine = np.arange(1, 100)
    assert [quantile(ninety_nine, share / 100) for share in range(1, 100)] == list(range(1, 100))


@pytest.mark.parametrize("asked", [0.5, 0.8, 0.9])
def test_sets_hold_the_truth_as_often_as_asked(asked: float):
    """Over many draws of exchangeable rows: between the coverage and 1 / (n + 1) above it, but for chance."""
    generator = np.random.default_rng(0)
    draws, rows, fresh = 1_500, 29, 20
    scores = generator.gamma(2.0, size=(draws, rows + fresh))
    thresholds = [quantile(np.sort(own[:rows]), asked) for own in scores]
    covered = np.mean(scores[:, rows:] <= np.array(thresholds)[:, None])
    assert asked - 0.01 < covered < asked + 1 / (rows + 1) + 0.01


def test_every_pattern_has_its_own_threshold_and_others_the_nearest():
    scores = {
        frozenset(): [0.9] * 9,
        frozenset("a"): [0.5] * 9,
        frozenset("b"): [0.7] * 9,
        frozenset("abc"): [0.1] * 9,
        frozenset("ad"): [0.2] * 4,
    }
    own = {pattern: np.array(values, dtype=np.float64) for pattern, values in scores.items()}
    found = Calibration(list("abcd"), {"label": 1.0}, {"label": own})
    cases = {
        "": 0.9,
        "a": 0.5,
        "abc": 0.1,
        "ab": 0.7,  # not calibrated: the larger of its single inputs
        "abcd": 0.1,  # three of its inputs
        "c": 0.9,  # nothing but no input at all
        "ad": math.inf,  # too few
    }
    present = np.array([[name in pattern for name in "abcd"] for pattern in cases])
    assert found.thresholds("label", present, 0.9).tolist() == list(cases.values())
    assert found.thresholds("label", present[:0], 0.9).shape == (0,)
    empty = Calibration(list("abcd"), {"label": 1.0}, {"label": {}})
    assert set(empty.thresholds("label", present, 0.9)) == {math.inf}


def test_scores_are_those_of_rows_that_have_the_inputs_with_the_others_hidden(predictor: sm.Predictor):
    table = predictor.open(ROWS)
    validation = split_table(predictor.recipe, table, predictor.targets)["validation"]
    calibration = calibration_of(predictor)
    assert set(calibration.scores) == {"label", "amount", "banded"}
    assert len(calibration.scores["label"]) == 8
    head = predictor.model.head("label")
    for pattern in (frozenset(), frozenset({"words", "shop"}), frozenset({"words", "size", "shop"})):
        hidden = set(predictor.inputs) - pattern
        collected = collect(predictor.model, predictor.loader(table), validation, hidden=hidden)
        has_all = collected.present.sum(axis=1) == len(pattern)
        assert 0 < has_all.sum() == len(calibration.scores["label"][pattern])
        assert has_all.all() == ("shop" not in pattern)
        expected = head.nonconformity(collected.predicted["label"], collected.targets["label"])[has_all]
        np.testing.assert_allclose(calibration.scores["label"][pattern], np.sort(expected), atol=1e-6)


def test_calibrating_again_gives_the_same_bits(predictor: sm.Predictor, tmp_path: Path):
    """And the temperature that the heads already have changes nothing."""
    table = predictor.open(ROWS)
    validation = split_table(predictor.recipe, table, predictor.targets)["validation"]
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        found = calibrate(predictor.model, predictor.loader(table), validation)
        assert found is not None
        save_calibration(tmp_path / name, found)
    assert (tmp_path / "one" / FILE).read_bytes() == (tmp_path / "other" / FILE).read_bytes()
    assert predictor.model.head("label").temperature == calibration_of(predictor).temperatures["label"] != 1


def test_without_rows_there_is_no_calibration(predictor: sm.Predictor):
    rows = np.zeros(0, dtype=np.int64)
    assert calibrate(predictor.model, predictor.loader(predictor.open(ROWS)), rows) is None


def test_a_set_is_what_the_threshold_lets_in(predictor: sm.Predictor):
    table = predictor.predict_table(ROWS, coverage=0.8)
    plain = predictor.predict_table(ROWS)
    added = [
        "label_set",
        "label_abstain",
        *(f"{n}_{end}" for n in ("amount", "banded") for end in ("low", "high")),
    ]
    assert sorted(set(table.column_names) - set(plain.column_names)) == sorted(added)
    assert table.select(plain.column_names).equals(plain)
    assert table.schema.field("label_set").type == pa.list_(pa.string())
    assert table["label_abstain"].to_pylist() == [len(one) != 1 for one in table["label_set"].to_pylist()]
    probabilities = predictor.predict_proba(ROWS)["label"]
    collected = predictor.collect(predictor.open(ROWS))
    limits = calibration_of(predictor).thresholds("label", collected.present, 0.8)
    for row, labels in enumerate(table["label_set"].to_pylist()):
        inside = [
            label
            for label, one in zip(["cat", "dog"], probabilities[row], strict=True)
            if 1 - one <= limits[row]
        ]
        assert sorted(labels) == inside
    low, high = (table[f"amount_{end}"].to_numpy() for end in ("low", "high"))
    np.testing.assert_allclose((low + high) / 2, plain["amount_prediction"].to_numpy(), rtol=1e-6)
    wide = np.where(np.array([cell is None for cell in ROWS["shop"]]), "without", "with")
    widths = {kind: set(np.round((high - low)[wide == kind], 4)) for kind in ("with", "without")}
    assert all(len(own) == 1 for own in widths.values())  # a threshold for each pattern
    assert widths["with"] != widths["without"]


def test_coverage_on_rows_held_back(predictor: sm.Predictor):
    table = predictor.open(ROWS)
    test = split_table(predictor.recipe, table, predictor.targets)["test"]
    truth = {name: np.array(ROWS[name])[test] for name in ("label", "amount")}
    found = predictor.tabulate(table.take(test), 0.8)
    held = [one in labels for one, labels in zip(truth["label"], found["label_set"].to_pylist(), strict=True)]
    assert 0.6 < np.mean(held) <= 1
    for name in ("amount", "banded"):
        low, high = found[f"{name}_low"].to_numpy(), found[f"{name}_high"].to_numpy()
        assert 0.6 < np.mean((low <= truth["amount"]) & (truth["amount"] <= high)) <= 1


def test_too_few_rows_rule_nothing_out_and_are_told_once(predictor: sm.Predictor):
    said = r"coverage 0.99 needs 99 validation rows .* ruled out: label \(240 rows\), amount \(240 rows\)"
    with pytest.warns(UserWarning, match=said) as caught:
        table = predictor.predict_table(ROWS, coverage=0.99)
    assert [one.filename for one in caught] == [__file__]
    assert {len(labels) for labels in table["label_set"].to_pylist()} == {2}
    assert all(table["label_abstain"].to_pylist())
    assert set(table["amount_low"].to_pylist()) == {-math.inf}
    assert set(table["banded_high"].to_pylist()) == {math.inf}


@pytest.mark.parametrize("coverage", [0, 1, -0.5, 90, math.nan])
def test_a_coverage_that_is_no_share_is_refused(predictor: sm.Predictor, coverage: float):
    with pytest.raises(sm.SensoriumError, match=r"give a share between 0 and 1, such as 0\.9"):
        predictor.predict_table(ROWS, coverage=coverage)


def test_no_rows_have_the_same_columns(predictor: sm.Predictor):
    none = predictor.predict_table({name: cells[:0] for name, cells in ROWS.items()}, coverage=0.8)
    assert none.num_rows == 0
    assert none.schema.field("label_set").type == pa.list_(pa.string())


def test_an_older_model_has_temperature_one_and_no_sets(predictor: sm.Predictor, tmp_path: Path):
    predictor.save(tmp_path / "saved")
    assert (tmp_path / "saved" / FILE).read_bytes() == (predictor.folder / FILE).read_bytes()
    assert sm.load(tmp_path / "saved").predict_table(ROWS, coverage=0.8).num_rows == 240
    (tmp_path / "saved" / FILE).unlink()
    older = sm.load(tmp_path / "saved")
    assert older.calibration is None
    assert older.model.head("label").temperature == 1
    assert older.predict(ROWS)["label"].tolist() == predictor.predict(ROWS)["label"].tolist()
    assert not np.allclose(older.predict_proba(ROWS)["label"], predictor.predict_proba(ROWS)["label"])
    with pytest.raises(sm.SensoriumError, match="trained without validation rows, or by an older version"):
        older.predict_table(ROWS, coverage=0.8)
    predictor.save(tmp_path / "again")
    older.save(tmp_path / "again")  # leaves no calibration of another model behind
    assert not (tmp_path / "again" / FILE).exists()


def test_trained_without_validation_rows():
    content = recipe() | {"outputs": {"label": "category"}}
    content["data"]["split"] = {"validation": 0.0, "test": 0.2}
    model = sm.fit(ROWS, recipe=content, training={"epochs": 1}, verbose=False)
    assert not (model.folder / FILE).exists()
    with pytest.raises(sm.SensoriumError, match=r"data\.split\.validation above 0"):
        model.predict_table(ROWS, coverage=0.9)


def test_labels_in_numbers_and_many_labels():
    data = {**ROWS, "grade": [row % 3 for row in range(240)], "tags": [["a", "b"], ["a"]] * 120}
    model = sm.fit(data, target=["grade", "tags"], training={"epochs": 1}, verbose=False)
    table = model.predict_table(data, coverage=0.8)
    assert table.schema.field("grade_set").type == pa.list_(pa.int64())
    assert "tags_set" not in table.column_names
    assert set(calibration_of(model).temperatures) == {"grade", "tags"}
    tags = sm.fit(data, target="tags", training={"epochs": 1}, verbose=False)
    with pytest.raises(sm.SensoriumError, match="no output of this model gives sets"):
        tags.predict_table(data, coverage=0.8)


def test_validation_rows_without_a_target_rule_nothing_out(predictor: sm.Predictor):
    empty = sm.read_table({**ROWS, "amount": [None] * 240})
    found = calibrate(predictor.model, predictor.loader(empty), np.arange(40))
    assert found is not None
    assert found.scores["amount"] == {}
    assert len(found.scores["label"][frozenset()]) == 40
    calibration_of(predictor).set_temperatures(predictor.model)


DAMAGED: dict[str, Any] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "no JSON": lambda path: save_file({}, path, metadata={"calibration": "{"}),
    "nothing": lambda path: save_file({}, path),
    "a list": lambda path: save_file({}, path, metadata={"calibration": "[]"}),
    "lacks scores": lambda path: save_file({}, path, metadata={"calibration": about(path)}),
    "other model": lambda path: save_file({}, path, metadata={"calibration": json.dumps(STRANGER)}),
    "no temperature": lambda path: save_file(
        {}, path, metadata={"calibration": json.dumps(STRANGER | {"temperatures": {"label": "hot"}})}
    ),
}
STRANGER = {"inputs": ["other"], "temperatures": {"label": 1.0}, "outputs": [], "scores": []}


def about(path: Path) -> str:
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return str(header["__metadata__"]["calibration"])


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_file_is_one_line(predictor: sm.Predictor, tmp_path: Path, how: str):
    predictor.save(tmp_path / "saved")
    DAMAGED[how](tmp_path / "saved" / FILE)
    said = (
        rf"{FILE} (is damaged \(.*\)|does not fit the model beside it); delete it to go without calibration"
    )
    with pytest.raises(sm.SensoriumError, match=said) as caught:
        sm.load(tmp_path / "saved")
    assert "\n" not in str(caught.value)


def test_what_is_written_is_read(predictor: sm.Predictor, tmp_path: Path):
    ours = calibration_of(predictor)
    save_calibration(tmp_path, ours)
    read = load_calibration(tmp_path, predictor.model)
    assert read is not None
    assert (read.inputs, read.temperatures) == (ours.inputs, ours.temperatures)
    for name, patterns in ours.scores.items():
        assert list(read.scores[name]) == list(patterns)
        for pattern, scores in patterns.items():
            np.testing.assert_array_equal(read.scores[name][pattern], scores)
    with pytest.raises(sm.SensoriumError, match="the calibration cannot be written"):
        save_calibration(tmp_path / "nowhere", ours)


@pytest.mark.parametrize("key", ["label_set", "label_abstain", "amount_low", "amount_high"])
def test_a_key_named_like_a_column_of_the_sets_is_refused(predictor: sm.Predictor, key: str):
    content = recipe()
    content["data"]["key"] = key
    with pytest.raises(sm.RecipeError, match=f"predictions have a column '{key}' of their own"):
        sm.fit({**ROWS, key: ROWS["id"]}, recipe=content, verbose=False)


def test_on_the_command_line(predictor: sm.Predictor, here: Path, capsys: pytest.CaptureFixture[str]):
    made.write_csv(here / "new.csv", {name: cells[:20] for name, cells in ROWS.items()})

    def predict(coverage: str) -> tuple[int, list[str]]:
        arguments = ["predict", str(predictor.folder), "new.csv", "-o", "out.csv", "--coverage", coverage]
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        return int(str(caught.value.code)), capsys.readouterr().err.splitlines()

    assert predict("0.8") == (0, [])
    written = pyarrow.csv.read_csv("out.csv")
    sets = [json.loads(cell) for cell in written["label_set"].to_pylist()]
    assert all(set(labels) <= {"cat", "dog"} for labels in sets)
    assert written["label_abstain"].to_pylist() == [len(labels) != 1 for labels in sets]
    assert all(
        low < high
        for low, high in zip(
            written["amount_low"].to_pylist(), written["amount_high"].to_pylist(), strict=True
        )
    )
    code, lines = predict("0.99")
    assert code == 0
    assert len(lines) == 1
    assert "coverage 0.99 needs 99 validation rows" in lines[0]
    code, lines = predict("1.5")
    assert code == 1
    assert lines == ["error: coverage is 1.5: give a share between 0 and 1, such as 0.9"]


def test_the_smallest_coverage_takes_the_smallest_score() -> None:
    assert quantile(np.array([0.1, 0.5, 0.9]), 1e-12) == 0.1
