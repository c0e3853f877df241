"""A table of every type with broken and missing cells: every row keeps its own answer, and nothing else's."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from sensorium.cli import main
from sensorium.data.table import read_table
from sensorium.errors import SensoriumError
from sensorium.evaluation import evaluate_run
from sensorium.fitting import train_recipe
from sensorium.predict import Predictor, load
from sensorium.recipe import parse_recipe
from sensorium.training.progress import Silent
from tests import made

ROWS = 60
BROKEN = 3  # cells of each column: 5 %
MISSING = 12  # cells of each column: 20 %
INPUTS: dict[str, dict[str, Any]] = {
    "type": {"type": "text", "tokenizer": "word", "min_count": 1, "encoder": {"kind": "mean"}},
    "items": {"type": "image", "size": 16, "encoder": {"kind": "cnn", "channels": [4, 8], "norm": "batch"}},
    "a.b": {"type": "audio", "seconds": 0.25, "rate": 8000, "encoder": {"kind": "cnn"}},
    "视频": {
        "type": "video",
        "frames": 2,
        "size": 16,
        "encoder": {"kind": "frames", "image": {"kind": "cnn", "channels": [4, 8]}, "hidden": 8},
    },
    "number": {"type": "number"},
    "when": {"type": "number", "date": True},
    "category": {"type": "category"},
    "tags": {"type": "categories"},
}
RECIPE: dict[str, Any] = {
    "name": "broken",
    "data": {"path": "data.parquet", "key": ["train"], "split": {"validation": 0.2, "test": 0.2}},
    "inputs": INPUTS,
    "fusion": {"kind": "attention", "width": 16},
    "outputs": {"中文": "category", "forward": {"type": "number", "column": "amount"}},
    "training": {"epochs": 2, "batch_size": 8, "input_dropout": 0.2, "precision": "fp32"},
}


def columns(folder: Path) -> dict[str, list[Any]]:
    """Whole cells: half of the media as files in the folder, half as bytes."""

    def media(name: str, ending: str, make: Callable[[int], bytes]) -> list[dict[str, Any]]:
        cells = []
        for row in range(ROWS):
            path = f"{name}/{row}.{ending}"
            (folder / name).mkdir(exist_ok=True)
            (folder / path).write_bytes(make(row))
            as_file = {"bytes": None, "path": path}
            cells.append(as_file if row % 2 else {"bytes": make(row), "path": None})
        return cells

    return {
        "train": [f"键{row}" for row in range(ROWS)],
        "type": [made.text(row) for row in range(ROWS)],
        "items": media("pictures", "png", made.picture),
        "a.b": media("sounds", "wav", made.sound),
        "视频": media("videos", "mp4", made.video),
        "number": [str(row / 7) for row in range(ROWS)],
        "when": [f"2024-01-{1 + row % 28:02}" for row in range(ROWS)],
        "category": [["north", "south"][row % 2] for row in range(ROWS)],
        "tags": [["a"] if row % 2 else ["b", "c"] for row in range(ROWS)],
        "中文": [made.label(row) for row in range(ROWS)],
        "amount": [str(5.0 + row % 2) for row in range(ROWS)],
    }


def broken_media(folder: Path) -> list[dict[str, Any]]:
    """A truncated file, a file that is not there, and a path that leaves the root."""
    (folder / "torn.png").write_bytes(made.picture(0)[:60])
    return [
        {"bytes": None, "path": "torn.png"},
        {"bytes": None, "path": "not/there"},
        {"bytes": None, "path": "../secret"},
    ]


def spoil(cells: dict[str, list[Any]], folder: Path) -> dict[str, list[int]]:
    """Breaks and empties cells of every input, in place; returns the broken rows of each column."""
    broken: dict[str, list[int]] = {}
    replacements: dict[str, list[Any]] = {
        "items": broken_media(folder),
        "a.b": [{"bytes": b"RIFF\x00\x00", "path": None}, *broken_media(folder)[1:]],
        "视频": [{"bytes": made.video(1)[:200], "path": None}, *broken_media(folder)[1:]],
        "number": ["many", "1,2,3", "--"],
        "when": ["yesterday", "2024-13-45", "soon"],
        "amount": ["a lot", "?", "n/a?"],
    }
    for place, name in enumerate([*INPUTS, "amount"]):
        rows = random.Random(place).sample(range(1, ROWS), BROKEN + MISSING)
        for row in rows[BROKEN:]:
            cells[name][row] = None
        for row, cell in zip(rows[:BROKEN], replacements.get(name, []), strict=False):
            cells[name][row] = cell
            broken.setdefault(name, []).append(row)
    cells["中文"][5] = None
    return broken


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the spoiled table, `broken.json`, and a trained run in runs/broken."""
    folder = tmp_path_factory.mktemp("broken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENSORIUM_CACHE", str(folder / "cache"))
        cells = columns(folder)
        broken = spoil(cells, folder)
        pq.write_table(pa.table(cells), folder / "data.parquet")
        (folder / "broken.json").write_text(json.dumps(broken))
        train_recipe(parse_recipe(RECIPE, folder=folder), folder / "runs", Silent())
        yield folder


@pytest.fixture(scope="module")
def predictor(place: Path) -> Predictor:
    return load(place / "runs" / "broken")


@pytest.fixture(scope="module")
def predictions(place: Path, predictor: Predictor) -> pa.Table:
    return predictor.predict_table(place / "data.parquet")


def test_every_row_under_its_own_key_in_order(predictions: pa.Table) -> None:
    assert predictions["train"].to_pylist() == [f"键{row}" for row in range(ROWS)]
    for name in ("中文_prediction", "forward_prediction", "中文_probability_cat"):
        assert predictions[name].null_count == 0


def test_missing_and_unreadable_inputs_are_named(place: Path, predictions: pa.Table) -> None:
    broken = json.loads((place / "broken.json").read_text())
    table = read_table(place / "data.parquet")
    for row, (missing, unreadable) in enumerate(
        zip(predictions["missing"].to_pylist(), predictions["unreadable"].to_pylist(), strict=True)
    ):
        bad = {name for name in INPUTS if row in broken.get(name, [])}
        absent = {name for name in INPUTS if table.cell(name, row) is None}
        assert set(unreadable) == bad
        assert set(missing) == bad | absent


def test_a_bad_cell_changes_nothing_in_other_rows(
    place: Path, predictor: Predictor, predictions: pa.Table
) -> None:
    table = predictor.open(place / "data.parquet")
    together = numbers(predictions)
    for row in (0, *json.loads((place / "broken.json").read_text())["items"], ROWS - 1):
        alone = numbers(predictor.predict_table(table.take([row])))
        np.testing.assert_allclose(alone[0], together[row], atol=1e-4)


def test_a_broken_cell_counts_as_a_missing_one(place: Path, predictor: Predictor) -> None:
    """The answer is that of the row without the cell: no other row's cell stands in for it."""
    data = pq.read_table(place / "data.parquet")
    rows = json.loads((place / "broken.json").read_text())["items"]
    cells = data["items"].to_pylist()
    for row in rows:
        cells[row] = None
    emptied = data.set_column(data.schema.get_field_index("items"), data.schema.field("items"), [cells])
    with pytest.warns(UserWarning, match="no cell of column 'items' can be read"):
        spoiled = numbers(predictor.predict_table(read_table(data, place).take(rows)))
    missing = numbers(predictor.predict_table(read_table(emptied, place).take(rows)))
    np.testing.assert_array_equal(spoiled, missing)


def test_quarantine_names_row_column_file_and_cause(place: Path) -> None:
    run = place / "runs" / "broken"
    cells = [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]
    broken = json.loads((place / "broken.json").read_text())
    found = {(cell["column"], cell["row"]) for cell in cells}
    everything = {(name, row) for name, rows in broken.items() for row in rows}
    assert found <= everything
    seen = {int(row) for part in ("train", "validation") for row in parts_of(place)[part]}
    assert found == {(name, row) for name, row in everything if row in seen}
    for cell in cells:
        assert cell["key"] == f"train=键{cell['row']}"
        assert cell["cause"]
    files = {cell["file"] for cell in cells if cell["column"] in ("items", "a.b", "视频")}
    assert files & {"torn.png", "not/there", "../secret"}


def test_a_resumed_run_remembers_what_could_not_be_read(place: Path, tmp_path: Path) -> None:
    """Cells read before the kill are in the quarantine of the run that goes on after it."""
    few = {name: INPUTS[name] for name in ("number", "when")}
    training = {**RECIPE["training"], "checkpoint_minutes": 0, "bucket": False}
    recipe = parse_recipe({**RECIPE, "inputs": few, "training": training}, folder=place)
    whole = train_recipe(recipe, tmp_path / "whole", Silent())
    with pytest.raises(KeyboardInterrupt):
        train_recipe(recipe, tmp_path / "killed", KilledAt(9))  # of 2 epochs of 5 steps
    killed = train_recipe(recipe, tmp_path / "killed", Silent())
    assert (killed / "quarantine.jsonl").read_text() == (whole / "quarantine.jsonl").read_text()
    assert (killed / "quarantine.jsonl").stat().st_size > 0


class KilledAt(Silent):
    """Ends the run at a step, before that step is saved."""

    def __init__(self, step: int) -> None:
        self.left = step

    def step(self, loss: float, rows: int) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def parts_of(place: Path) -> dict[str, Any]:
    """The split of the run."""
    from sensorium.prepare import prepare

    return prepare(parse_recipe(RECIPE, folder=place)).parts


def test_evaluates(place: Path) -> None:
    evaluation = evaluate_run(place / "runs" / "broken")
    assert evaluation.part == "test"
    assert set(evaluation.outputs) == {"中文", "forward"}
    assert 0 <= evaluation.outputs["中文"].main.value <= 1


def test_on_error_raise_stops_with_one_clear_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {**RECIPE["data"], "path": str(place / "data.parquet"), "on_error": "raise"}
    recipe = made.write_recipe(tmp_path / "recipe.yaml", {**RECIPE, "data": data})
    with pytest.raises(SystemExit) as caught:
        main(["train", str(recipe), "--runs", str(tmp_path / "runs")])
    assert caught.value.code == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert "row " in errors[0]
    assert "column " in errors[0]
    assert "train=键" in errors[0]
    assert "data.on_error" in errors[0]


@pytest.mark.parametrize("name", ["items", "type"])
def test_a_column_that_is_not_there_still_predicts(place: Path, predictor: Predictor, name: str) -> None:
    table = read_table(pq.read_table(place / "data.parquet").drop_columns([name]), place)
    with pytest.warns(UserWarning, match=f"has no column '{name}'"):
        predicted = predictor.predict_table(table)
    assert predicted.num_rows == ROWS
    assert all(name in missing for missing in predicted["missing"].to_pylist())


def test_a_row_with_nothing_at_all_still_predicts(place: Path, predictor: Predictor) -> None:
    data = pq.read_table(place / "data.parquet")
    nothing = pa.table({name: pa.nulls(3, data.schema.field(name).type) for name in INPUTS})
    predicted = predictor.predict(read_table(nothing, place))
    assert len(set(predicted["中文"].tolist())) == 1
    assert np.isfinite(predicted["forward"]).all()


def test_a_table_without_any_input_is_refused(predictor: Predictor) -> None:
    with pytest.raises(SensoriumError, match="has none of the model's input columns"):
        predictor.predict({"else": [1, 2]})


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_predictions_are_written(place: Path, tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"predictions.{ending}"
    with pytest.raises(SystemExit) as caught:
        main(["predict", str(place / "runs/broken"), str(place / "data.parquet"), "-o", str(target)])
    assert caught.value.code == 0
    written = read_table(target)
    assert list(written.column("train")) == [f"键{row}" for row in range(ROWS)]


def numbers(predictions: pa.Table) -> Any:
    """Every answer that is a number, one row of the array for a row of the table."""
    names = [field.name for field in predictions.schema if pa.types.is_floating(field.type)]
    return np.stack([predictions[name].to_numpy() for name in names], axis=1)
