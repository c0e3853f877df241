"""Bad inputs, each with the line that its user must read; what is whole is answered as if it stood alone."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sensorium.cli import main
from sensorium.fitting import train_recipe
from sensorium.index import build_index, open_index
from sensorium.predict import Predictor, load
from sensorium.recipe import parse_recipe, read_recipe
from sensorium.training.progress import Silent
from tests import made
from tests.bad_inputs import cells
from tests.bad_inputs.case import ROWS, Case, make_folder, matches, nothing
from tests.bad_inputs.cells import BAD, ODD, Cell
from tests.bad_inputs.classes import CLASSES
from tests.bad_inputs.indexes import INDEXES
from tests.bad_inputs.recipes import RECIPES
from tests.bad_inputs.runs import RUNS
from tests.bad_inputs.tables import ODD as ODD_TABLES
from tests.bad_inputs.tables import TABLES
from tests.bad_inputs.weights import WEIGHTS

BEFORE, AFTER = cells.row(0), cells.row(3)


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of all cells, and a model of every type of column, trained on whole rows."""
    folder = tmp_path_factory.mktemp("cells")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENSORIUM_CACHE", str(folder / "cache"))
        cells.whole_files(folder)
        for cell in (*BAD, *ODD):
            cells.make_file(folder, cell)
        write_rows(folder / "table.jsonl", [cells.row(number) for number in range(24)])
        train_recipe(parse_recipe(cells.RECIPE, folder=folder), folder / "runs", Silent())
    return folder


@pytest.fixture(scope="module")
def predictor(shop: Path) -> Predictor:
    return load(shop / "runs" / "cells")


def answered(predictor: Predictor, shop: Path, *rows: dict[str, Any]) -> pa.Table:
    return predictor.tabulate(predictor.open(write_rows(shop / "new.jsonl", rows)))


def probabilities(predictions: pa.Table, *rows: int) -> Any:
    names = [name for name in predictions.column_names if "_probability_" in name]
    return np.stack([predictions[name].to_numpy()[list(rows)] for name in names], axis=1)


def title(case: Cell | Case) -> str:
    return case.title


@pytest.mark.parametrize("cell", BAD, ids=title)
def test_a_bad_cell_is_named_and_changes_no_other_row(predictor: Predictor, shop: Path, cell: Cell) -> None:
    whole = cells.row(1)
    predictions = answered(predictor, shop, BEFORE, {**whole, cell.column: cell.cell}, AFTER)
    file = f", file {made_visible(cell)}" if names_a_file(cell) else ""
    assert [bad.line() for bad in predictor.unreadable] == [
        f"row 1 (id=row-001), column {cell.column}{file}: {cell.says}"
    ]
    assert predictions["id"].to_pylist() == ["row-000", "row-001", "row-003"]
    assert predictions["unreadable"].to_pylist() == [[], [cell.column], []]
    without = answered(predictor, shop, BEFORE, {**whole, cell.column: None}, AFTER)
    np.testing.assert_array_equal(probabilities(predictions, 0, 1, 2), probabilities(without, 0, 1, 2))
    clean = answered(predictor, shop, BEFORE, whole, AFTER)
    np.testing.assert_allclose(probabilities(predictions, 0, 2), probabilities(clean, 0, 2), atol=1e-6)


def names_a_file(cell: Cell) -> bool:
    return cell.column in ("photo", "voice", "film") and not cell.cell.startswith("data:") and cell.cell != ""


def made_visible(cell: Cell) -> str:
    return cell.cell[:200].replace("\0", "\\x00")


@pytest.mark.parametrize("cell", ODD, ids=title)
def test_an_odd_cell_is_read(predictor: Predictor, shop: Path, cell: Cell) -> None:
    predictions = answered(predictor, shop, BEFORE, {**cells.row(1), cell.column: cell.cell}, AFTER)
    assert predictor.unreadable == []
    assert predictions["missing"].to_pylist() == [[], [], []]


def test_predict_says_what_it_could_not_read(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the command line: the first twenty by line, the others by number, and every row is answered."""
    bad = BAD[:25]
    rows = [{**cells.row(number), cell.column: cell.cell} for number, cell in enumerate(bad)]
    table = write_rows(shop / "bad.jsonl", rows)
    with pytest.raises(SystemExit) as caught:
        main(["predict", str(shop / "runs/cells"), str(table), "-o", str(shop / "out.jsonl")])
    captured = capsys.readouterr()
    assert caught.value.code == 0
    lines = captured.err.splitlines()
    for number, cell in enumerate(bad[:20]):
        assert lines[number].startswith(f"row {number} (id=row-{number:03}), column {cell.column}, file ")
        assert lines[number].endswith(f": {cell.says}")
    assert lines[20:] == ["... and 5 more cells that could not be read"]
    assert f"wrote {len(bad)} rows" in captured.out


def test_training_puts_every_bad_cell_into_quarantine(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row for every bad cell, among whole rows; the run and the check go on."""
    rows = [{**cells.row(number), cell.column: cell.cell} for number, cell in enumerate(BAD)]
    rows += [cells.row(number) for number in range(len(BAD), len(BAD) + 20)]
    write_rows(shop / "spoiled.jsonl", rows)
    data = {**cells.RECIPE["data"], "path": "spoiled.jsonl", "cache": False}
    recipe = made.write_recipe(shop / "spoiled.yaml", {**cells.RECIPE, "data": data})
    with pytest.raises(SystemExit) as caught:
        main(["check", str(recipe), "--rows", "0"])
    said = capsys.readouterr()
    assert caught.value.code == 0
    assert f"warn  cells: {len(BAD)} cannot be read; each counts as missing" in said.out
    folder = train_recipe(parse_recipe({**cells.RECIPE, "data": data}, folder=shop), tmp_path, Silent())
    found = [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]
    assert [(bad["row"], bad["key"], bad["column"], bad["file"]) for bad in found] == [
        (number, f"id=row-{number:03}", cell.column, cell.cell[:200] if names_a_file(cell) else "")
        for number, cell in enumerate(BAD)
    ]
    for bad, cell in zip(found, BAD, strict=True):
        assert f"{bad['cause']}; {bad['advice']}" == cell.says


def test_not_a_number_is_missing(predictor: Predictor) -> None:
    table = predictor.open({"price": [1.0, float("nan"), 2.0]})
    predictions = predictor.tabulate(table)
    assert ["price" in names for names in predictions["missing"].to_pylist()] == [False, True, False]
    assert predictor.unreadable == []


def test_a_file_that_may_not_be_read(predictor: Predictor, shop: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    (shop / "forbidden.png").write_bytes(made.picture(0))
    (shop / "forbidden.png").chmod(0)
    answered(predictor, shop, BEFORE, {**cells.row(1), "photo": "forbidden.png"})
    assert "the file cannot be read: Permission denied" in predictor.unreadable[0].cause


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, its recipe and the finished run of it."""
    folder = tmp_path_factory.mktemp("finished")
    make_folder(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_recipe(read_recipe("recipe.yaml"), Path("runs"), Silent())
    return folder


@pytest.mark.parametrize("case", [*RECIPES, *TABLES, *ODD_TABLES, *WEIGHTS], ids=title)
def test_a_bad_recipe_or_table_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], case: Case
) -> None:
    make_folder(here)
    case.spoil(here)
    expect(case, capsys)
    assert not (here / "hacked").exists()


@pytest.mark.parametrize("case", RUNS, ids=title)
def test_a_bad_run_or_model_is_one_line(
    finished: Path, here: Path, capsys: pytest.CaptureFixture[str], case: Case
) -> None:
    shutil.copytree(finished, here, dirs_exist_ok=True)
    case.spoil(here)
    expect(case, capsys)
    assert not (here / "hacked").exists()


@pytest.fixture(scope="module")
def indexed(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run and an index of its table."""
    folder = tmp_path_factory.mktemp("indexed")
    shutil.copytree(finished, folder, dirs_exist_ok=True)
    build_index(folder / "idx", folder / "runs/simple", folder / "table.csv")
    return folder


@pytest.mark.parametrize("case", INDEXES, ids=title)
def test_a_bad_index_or_query_is_one_line(
    indexed: Path, here: Path, capsys: pytest.CaptureFixture[str], case: Case
) -> None:
    shutil.copytree(indexed, here, dirs_exist_ok=True)
    case.spoil(here)
    expect(case, capsys)
    if (here / "idx/rows.lance").exists() and case.spoil is nothing:
        assert len(open_index("idx")) == ROWS


@pytest.mark.parametrize("case", CLASSES, ids=title)
def test_classes_that_cannot_be_told_are_one_line(
    finished: Path, here: Path, capsys: pytest.CaptureFixture[str], case: Case
) -> None:
    """Nothing is written, and the table stays as it was."""
    shutil.copytree(finished, here, dirs_exist_ok=True)
    before = (here / "table.csv").read_bytes()
    case.spoil(here)
    expect(case, capsys)
    assert (here / "out.csv").exists() == (case.code == 0)
    assert (here / "table.csv").read_bytes() == before


def expect(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs the command of a case; its user must read the line, and where it is refused no other error."""
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(case.command))
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    assert caught.value.code == case.code, captured.err
    lines = captured.err.splitlines()
    if case.code:
        assert len(lines) == 1, captured.err
        assert lines[0].startswith("error: ")
        assert matches(case.says, lines[0].removeprefix("error: ")), lines[0]
    else:
        assert [line for line in captured.out.splitlines() + lines if matches(case.says, line)], captured


def test_ten_thousand_classes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are trained, measured and predicted; the report joins the rare ones."""
    count = 10_200
    labels = [f"class {row % 10_000}" for row in range(count)]
    made.write_csv(here / "table.csv", {"size": list(range(count)), "label": labels})
    data = {"path": "table.csv", "split": {"validation": 0.002, "test": 0.002}}
    training = {"epochs": 1, "batch_size": 1024, "precision": "fp32"}
    parts = {"inputs": {"size": "number"}, "outputs": {"label": "category"}}
    made.write_recipe(here / "recipe.yaml", {"name": "many", "data": data, "training": training, **parts})
    made.write_csv(here / "new.csv", {"size": [1, 2]})
    for command in ("train recipe.yaml", "evaluate runs/many", "predict runs/many new.csv -o out.jsonl"):
        with pytest.raises(SystemExit) as caught:
            main(command.split())
        assert caught.value.code == 0, capsys.readouterr().err
    assert "(other: " in (here / "runs/many/evaluation/report.html").read_text(encoding="utf-8")
    answers = [json.loads(line) for line in (here / "out.jsonl").read_text().splitlines()]
    assert [answer["row"] for answer in answers] == [0, 1]
    assert all(answer["label_prediction"] in set(labels) for answer in answers)


def test_a_file_removed_between_check_and_train(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was wrong when it was checked; in training the cell counts as missing, and is named."""
    cells.whole_files(here)
    (here / "late.png").write_bytes(made.picture(9))
    rows = [cells.row(number) for number in range(24)]
    write_rows(here / "table.jsonl", [*rows, {**cells.row(24), "photo": "late.png"}])
    inputs = {name: cells.RECIPE["inputs"][name] for name in ("photo", "price")}
    data = {**cells.RECIPE["data"], "split": {"validation": 0, "test": 0}, "cache": False}
    made.write_recipe(here / "recipe.yaml", {**cells.RECIPE, "data": data, "inputs": inputs})
    for command, said in (
        ("check recipe.yaml", "ok    files: 25 named, all there"),
        (
            "train recipe.yaml",
            "unreadable: row 24 (id=row-024), column photo, file late.png: the file does not",
        ),
    ):
        with pytest.raises(SystemExit) as caught:
            main(command.split())
        assert caught.value.code == 0
        assert said in capsys.readouterr().out
        (here / "late.png").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["type", "items", "a.b", "价格", "train", "a b", "-", "x" * 300, "\x1b[31m"])
def test_a_column_of_any_name(here: Path, name: str) -> None:
    rows = made.simple_rows(ROWS)
    rows = {name: rows["size"], "shop": rows["shop"], f"{name}!": rows["label"]}
    made.write_csv(here / "table.csv", rows)
    recipe = {**made.simple_recipe(epochs=1), "inputs": {name: "number"}, "outputs": {f"{name}!": "category"}}
    recipe["data"] = {"path": "table.csv", "key": [name]}
    made.write_recipe(here / "recipe.yaml", recipe)
    for command in ("train recipe.yaml", "predict runs/simple table.csv -o out.jsonl"):
        with pytest.raises(SystemExit) as caught:
            main(command.split())
        assert caught.value.code == 0
    answers = [json.loads(line) for line in (here / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [answer[name] for answer in answers] == rows[name]
