"""Scores by hand, on a tiny model whose answers are set."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.column import Cells
from sensorium.data.loader import fit_columns
from sensorium.data.table import read_table
from sensorium.errors import SensoriumError, TableError
from sensorium.evaluation import evaluate, evaluate_run, inputs, noise
from sensorium.evaluation.baseline import BASELINES, verdict
from sensorium.evaluation.evaluate import MOST_LINES
from sensorium.evaluation.metrics import Interval, confusion
from sensorium.heads.categories import CategoriesHead
from sensorium.heads.number import NumberHead
from sensorium.inference import collect, sample, subsets
from sensorium.model import Model, save_model
from sensorium.predict import Predictor
from sensorium.prepare import bind_columns
from sensorium.recipe import parse_recipe

RECIPE = {
    "name": "fruit",
    "data": {"cache": False},
    "inputs": {"size": {"type": "number"}, "colour": {"type": "category"}},
    "outputs": {"kind": "category", "price": "number"},
}
ROWS = {
    "size": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    "colour": ["red", "green", "red", "green", "red", None],
    "kind": ["apple", "apple", "apple", "pear", "pear", "plum"],
    "price": [1.0, 2.0, 3.0, 4.0, 5.0, 9.0],
}


@pytest.fixture(autouse=True)
def _fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "FEWEST_RESAMPLES", 20)
    monkeypatch.setattr(inputs, "WORK", 0)
    monkeypatch.setattr(noise, "RESAMPLES", 20)


def make(recipe: dict = RECIPE, rows: dict = ROWS) -> Predictor:
    """A model with random encoders, its columns fitted on `rows`."""
    torch.manual_seed(0)
    checked = parse_recipe(recipe)
    bound_inputs, bound_targets = bind_columns(checked)
    table = read_table(rows)
    fit_columns(table, np.arange(len(table)), [*bound_inputs.values(), *bound_targets.values()])
    columns = {name: bound.column for name, bound in bound_inputs.items()}
    targets = {name: bound.column for name, bound in bound_targets.items()}
    model = Model(checked, columns, targets).eval()
    return Predictor(Path(), checked, columns, targets, model, {"table": table.digest()})


def answer_always(predictor: Predictor, output: str, logits: list[float]) -> None:
    """Makes a head give the same for every row."""
    last = predictor.model.head(output).layers[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor(logits))


def test_scores_and_baselines_by_hand():
    predictor = make()
    answer_always(predictor, "kind", [0.0, 2.0, 0.0])  # always pear
    answer_always(predictor, "price", [0.0])  # always the mean, 4
    found = evaluate(predictor, read_table(ROWS))
    kind, price = found.outputs["kind"], found.outputs["price"]
    assert kind.main.value == pytest.approx(2 / 6)
    assert kind.main.low <= 2 / 6 <= kind.main.high
    assert kind.baseline is not None
    assert "“apple”" in kind.baseline.answer
    assert kind.baseline.metrics["accuracy"] == pytest.approx(3 / 6)
    assert kind.baseline.metrics["auc"] == pytest.approx(0.5)
    assert price.main.value == pytest.approx((3 + 2 + 1 + 0 + 1 + 5) / 6)
    assert price.baseline is not None
    assert price.baseline.metrics["mae"] == pytest.approx(2.0)
    assert price.baseline.metrics["rmse"] == pytest.approx(
        np.sqrt((6.25 + 2.25 + 0.25 + 0.25 + 2.25 + 30.25) / 6)
    )
    assert "3.5, the median of the training rows" in price.baseline.answer
    assert found.rows == 6
    assert found.inputs == {"size": 6, "colour": 5}
    assert found.training_table


def test_confusion_and_points_by_hand():
    predictor = make()
    answer_always(predictor, "kind", [0.0, 2.0, 0.0])
    answer_always(predictor, "price", [0.0])
    found = evaluate(predictor, read_table(ROWS))
    counted, points = found.outputs["kind"].confusion, found.outputs["price"].points
    assert counted is not None
    assert counted.labels == ["apple", "pear", "plum"]
    assert counted.counts.tolist() == [[0, 3, 0], [0, 2, 0], [0, 1, 0]]
    assert points is not None
    assert points.true == pytest.approx(ROWS["price"])
    assert points.predicted == pytest.approx([4.0] * 6)
    assert points.total == 6


def test_rows_that_do_not_count_are_told():
    predictor = make()
    answer_always(predictor, "kind", [2.0, 0.0, 0.0])
    table = read_table({**ROWS, "kind": ["apple", None, "kiwi", "pear", "kiwi", "kiwi"]})
    kind = evaluate(predictor, table).outputs["kind"]
    assert (kind.scored, kind.without_target, kind.not_learned) == (2, 1, 3)
    assert kind.main.value == pytest.approx(1 / 2)
    assert kind.main.rows == 2
    assert kind.confusion is not None
    assert kind.confusion.counts.sum() == 2


def test_only_the_rows_asked_for_count():
    predictor = make()
    answer_always(predictor, "kind", [2.0, 0.0, 0.0])
    found = evaluate(predictor, read_table(ROWS), rows=np.array([0, 3]), part="test")
    assert found.rows == 2
    assert found.part == "test"
    assert found.outputs["kind"].main.value == pytest.approx(0.5)


def test_an_output_without_its_column_is_not_measured():
    predictor = make()
    without = {name: cells for name, cells in ROWS.items() if name != "price"}
    found = evaluate(predictor, read_table(without))
    assert list(found.outputs) == ["kind"]
    assert found.not_measured == ["price"]
    assert not found.training_table


def test_nothing_to_compare_with_is_an_error():
    predictor = make()
    with pytest.raises(TableError, match="none of the target columns"):
        evaluate(predictor, read_table({"size": [1.0], "colour": ["red"]}))
    with pytest.raises(TableError, match="no row"):
        evaluate(predictor, read_table(ROWS), rows=np.array([], dtype=np.int64))


def test_targets_that_are_all_missing_leave_metrics_undefined():
    predictor = make()
    found = evaluate(predictor, read_table({**ROWS, "kind": [None] * 6}))
    kind = found.outputs["kind"]
    assert kind.scored == 0
    assert np.isnan(kind.main.value)
    assert found.as_dict()["outputs"]["kind"]["metrics"]["accuracy"]["value"] is None
    assert "No row has a known kind" in str(found)


def test_unreadable_cells_are_counted_and_capped():
    predictor = make()
    many = 2 * MOST_LINES
    rows = {"size": ["no number"] * many, "kind": ["apple"] * many}
    unreadable = evaluate(predictor, read_table(rows)).unreadable
    assert unreadable.total == many
    assert len(unreadable.lines) == MOST_LINES
    assert unreadable.lines[0].startswith("row 0, column size: not a number")


def test_every_subset_scores_as_collecting_with_inputs_hidden():
    predictor, table = make(), read_table(ROWS)
    found = evaluate(predictor, table)
    assert [subset.present for subset in found.subsets] == [["size", "colour"], ["size"], ["colour"], []]
    for subset in found.subsets:
        hidden = {"size", "colour"} - set(subset.present)
        collected = collect(predictor.model, predictor.loader(table), np.arange(6), hidden=hidden)
        for name in ("kind", "price"):
            head = predictor.model.head(name)
            expected = head.metrics(collected.predicted[name], collected.targets[name])[head.metric]
            assert subset.scores[name].value == pytest.approx(expected, abs=1e-6)
            assert subset.scores[name].rows == 6
    assert found.subsets[0].scores["kind"] == found.outputs["kind"].main
    assert [subset.scores["price"].resamples for subset in found.subsets] == [1000, 20, 20, 20]


def test_an_absent_input_matters():
    predictor = make()
    found = evaluate(predictor, read_table(ROWS))
    errors = [subset.scores["price"].value for subset in found.subsets]
    assert len({round(error, 6) for error in errors}) == 4


def test_many_rows_are_sampled_for_the_subsets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inputs, "MOST_ROWS", 4)
    found = evaluate(make(), read_table(ROWS))
    assert found.subset_rows == 4
    assert {subset.scores["price"].rows for subset in found.subsets} == {4}
    assert found.outputs["price"].main.rows == 6


def test_subsets_by_number_of_inputs():
    assert subsets(["a"]) == [["a"], []]
    assert len(subsets(list("abcde"))) == 32
    six = subsets(list("abcdef"))
    assert [len(subset) for subset in six] == [6] + [5] * 6 + [1] * 6 + [0]
    assert six[0] == list("abcdef")


@given(st.integers(0, 60), st.integers(1, 60))
def test_a_sample_is_fixed_ordered_and_of_the_rows(count: int, most: int):
    rows = np.arange(100, 100 + count)
    chosen = sample(rows, most)
    assert len(chosen) == min(count, most)
    assert set(chosen) <= set(rows)
    assert (np.diff(chosen) > 0).all()
    assert (chosen == sample(rows, most)).all()


@given(st.integers(2, 40), st.integers(1, 40))
def test_joining_classes_keeps_the_counts(size: int, most: int):
    predicted, target = np.random.default_rng(size).integers(1, size + 1, (2, 200))
    labels = [str(one) for one in range(size)]
    joined, full = confusion(predicted, target, labels, most), confusion(predicted, target, labels, size)
    assert joined.counts.sum() == full.counts.sum() == 200
    kept = min(most, size)
    assert (joined.counts[:kept, :kept] == full.counts[:kept, :kept]).all()
    assert len(joined.labels) == len(joined.counts) <= most + 1


def test_joining_classes_by_hand():
    predicted, target = np.array([1, 1, 2, 3, 3, 0]), np.array([1, 2, 1, 2, 3, 1])
    joined = confusion(predicted, target, ["a", "b", "c"], most=1)
    assert joined.labels == ["a", "(other: 2 classes)"]
    assert joined.counts.tolist() == [[1, 1], [1, 2]]


def test_the_baseline_of_several_labels_by_hand():
    config = CategoriesHead.Config()
    column = CategoriesHead.target(config)
    column.fit(["a|b", "a", "a|c", "b"])  # a in 3 of 4 rows, b in 2, c in 1
    truth = np.array([[0, 1, 0, 0], [0, 1, 1, 0]], dtype=np.float32)
    baseline = BASELINES["categories"](column, config, Cells(truth, np.ones((2, 1), dtype=np.bool_)))
    # a (0.75) and b (0.5) are given to both rows: 3 of the 4 labels given are right, 3 of 3 found
    assert baseline.metrics["micro_f1"] == pytest.approx(6 / 7)
    assert baseline.metrics["subset_accuracy"] == pytest.approx(0.5)
    assert baseline.metrics["mean_average_precision"] == pytest.approx((1.0 + 0.5) / 2)


@pytest.mark.parametrize(
    ("scale", "value", "words"),
    [
        ("standard", 3.5, "mean of the training rows, whose median this older model does not know"),
        ("robust", 2.5, "median of the training"),
        ("none", 8.0, "median of these very"),
    ],
)
def test_the_baseline_of_a_number_of_an_older_model(scale: str, value: float, words: str):
    """It kept no median of its training rows."""
    config = NumberHead.Config(scale=scale)
    column = NumberHead.target(config)
    column.fit([1.0, 2.0, 3.0, 8.0])
    column.load_state({key: value for key, value in column.state().items() if key != "median"})
    cells = column.collate([column.decode(6.0), column.decode(10.0)])
    baseline = BASELINES["number"](column, config, cells)
    assert words in baseline.answer
    assert baseline.metrics["mae"] == pytest.approx((abs(6 - value) + abs(10 - value)) / 2, rel=1e-5)


@pytest.mark.parametrize("scale", ["standard", "robust", "none"])
def test_the_baseline_of_a_number_is_the_median_whatever_the_scale(scale: str):
    config = NumberHead.Config(scale=scale)
    column = NumberHead.target(config)
    column.fit([1.0, 2.0, 3.0, 100.0])
    cells = column.collate([column.decode(3.0)])
    again = NumberHead.target(config)
    again.load_state(json.loads(json.dumps(column.state())))
    baseline = BASELINES["number"](again, config, cells)
    assert baseline.answer == "answering 2.5, the median of the training rows,"
    assert baseline.metrics["mae"] == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "baseline", "goal", "expected"),
    [
        (0.6, 0.8, 0.5, "max", "better"),
        (0.6, 0.8, 0.9, "max", "worse"),
        (0.6, 0.8, 0.6, "max", "unclear"),
        (0.6, 0.8, 0.5, "min", "worse"),
        (0.6, 0.8, 0.9, "min", "better"),
        (float("nan"), float("nan"), 0.9, "min", "unknown"),
        (0.6, 0.8, None, "max", "unknown"),
        (0.6, 0.8, float("nan"), "max", "unknown"),
    ],
)
def test_verdict(low: float, high: float, baseline: float | None, goal: str, expected: str):
    assert verdict(Interval(0.7, low, high, 10, 100, "bootstrap"), baseline, goal) == expected


def test_everything_is_json():
    found = replace(
        evaluate(make(), read_table(ROWS)),
        history=[{"epoch": 1, "train_loss": float("nan"), "validation": {}}],
        manifest={"seed": 3},
    )
    content = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert content["rows"] == 6
    assert content["history"][0]["train_loss"] is None
    assert content["manifest"] == {"seed": 3}
    assert content["outputs"]["kind"]["metrics"]["accuracy"]["method"] in {"bootstrap", "wilson"}
    assert content["subsets"][-1]["present"] == []
    assert np.array(content["outputs"]["kind"]["confusion"]["counts"]).shape == (3, 3)


def test_the_predictor_gives_the_same_evaluation():
    predictor, table = make(), read_table(ROWS)
    assert predictor.evaluate(table).as_dict() == evaluate(predictor, table).as_dict()


def test_several_labels_and_one_input():
    rows = {"size": [1.0, 2.0, 3.0, 4.0], "tags": ["a|b", "a", "b", "a"]}
    predictor = make(
        {"name": "tags", "inputs": {"size": "number"}, "outputs": {"tags": {"type": "categories"}}}, rows
    )
    answer_always(predictor, "tags", [5.0, -5.0])  # a alone
    found = evaluate(predictor, read_table({"size": [1.0, 2.0, 3.0, 4.0], "tags": ["a", "a|new", None, "b"]}))
    tags = found.outputs["tags"]
    assert (tags.type, tags.scored, tags.without_target, tags.not_learned) == ("categories", 3, 1, 1)
    assert tags.metrics["subset_accuracy"].value == pytest.approx(2 / 3)
    assert tags.metrics["micro_f1"].value == pytest.approx(2 / 3)
    assert tags.main.value == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert [subset.present for subset in found.subsets] == [["size"], []]
    assert tags.confusion is None
    assert tags.points is None
    assert "1 row had labels that training did not have" in str(found)


# A run folder.


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of a table of which the last two rows are for the test."""
    folder = tmp_path / "runs" / "fruit"
    rows = {**ROWS, "part": ["train"] * 4 + ["test"] * 2}
    table_path = tmp_path / "fruit.csv"
    lines = [
        ",".join(rows),
        *(
            ",".join("" if one is None else str(one) for one in row)
            for row in zip(*rows.values(), strict=True)
        ),
    ]
    table_path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    split = {"column": "part", "validation": 0}
    predictor = make({**RECIPE, "data": {"cache": False, "path": "fruit.csv", "split": split}})
    table = read_table(table_path)
    save_model(
        folder / "model",
        predictor.recipe,
        *columns_of(predictor),
        predictor.model.state_dict(),
        {"table": table.digest()},
    )
    manifest = {"table": {"source": str(table_path), "digest": table.digest()}, "seed": 5}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "history.jsonl").write_text(
        '{"epoch": 1, "train_loss": 2.0, "validation": {}}\n', encoding="utf-8"
    )
    return folder


def columns_of(predictor: Predictor) -> tuple[dict, dict]:
    """The fitted columns of inputs and targets."""
    return (
        {name: bound.column for name, bound in predictor.inputs.items()},
        {name: bound.column for name, bound in predictor.targets.items()},
    )


def test_a_run_is_measured_on_its_test_part(run: Path):
    found = evaluate_run(run)
    assert (found.part, found.rows) == ("test", 2)
    assert found.manifest["seed"] == 5
    assert found.history == [{"epoch": 1, "train_loss": 2.0, "validation": {}}]


def test_a_run_is_measured_on_another_table(run: Path):
    found = evaluate_run(run, ROWS)
    assert (found.part, found.rows, found.training_table) == (None, 6, False)


def test_a_damaged_history_costs_the_learning_curves_alone(run: Path):
    (run / "history.jsonl").write_text('{"epoch": 1, "train_lo', encoding="utf-8")
    found = evaluate_run(run)
    assert found.history == []
    assert "The learning curves are left out, as" in str(found).replace("\n", " ")
    (run / "history.jsonl").write_bytes(b"\xff\xfe")
    assert evaluate_run(run, studies=()).notes[0].endswith("history.jsonl is damaged.")


def test_python_has_what_the_command_line_has(tmp_path: Path):
    skip = ["noise", "contributions", "rows"]
    found = make().evaluate(read_table(ROWS), slices=["size > 2"], coverage=0.8, skip=skip)
    assert not set(skip) & set(found.studies)
    assert [one.name for one in found.studies["slices"]] == ["size > 2"]
    page = found.save(tmp_path / "report")
    assert page == tmp_path / "report" / "report.html"
    assert json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))["rows"] == 6
    with pytest.raises(SensoriumError, match=r"no study 'noize'.*did you mean noise"):
        make().evaluate(ROWS, skip=["noize"])


def test_a_saved_model_needs_a_table(run: Path):
    with pytest.raises(SensoriumError, match="give the table to measure on"):
        evaluate_run(run / "model")
    assert evaluate_run(run / "model", ROWS).rows == 6


def test_a_changed_table_is_refused(run: Path):
    table = run.parent.parent / "fruit.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("9.0", "8.0"), encoding="utf-8")
    with pytest.raises(SensoriumError, match="has changed since the training"):
        evaluate_run(run)


def test_a_lost_table_and_a_damaged_manifest_are_told(run: Path):
    (run.parent.parent / "fruit.csv").unlink()
    with pytest.raises(SensoriumError, match="cannot be read again"):
        evaluate_run(run)
    (run / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(SensoriumError, match="is damaged"):
        evaluate_run(run)


def test_rows_keep_their_identity():
    predictor, table = make(), read_table(ROWS)
    forward = evaluate(predictor, table).outputs["price"].points
    backward = evaluate(predictor, table, rows=np.arange(6)[::-1].copy()).outputs["price"].points
    assert forward is not None
    assert backward is not None
    assert backward.predicted[::-1] == pytest.approx(forward.predicted)
