"""The same in Python: fit, predict, evaluate, save, load."""

from __future__ import annotations

import copy
import gc
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score

import sensorium as sm
from sensorium.cli import main
from sensorium.evaluation import evaluate_run
from tests import made

FEW = {"epochs": 1, "precision": "fp32"}
ROWS = made.simple_rows(60)


def as_csv(folder: Path) -> str:
    return str(made.write_csv(folder / "table.csv", ROWS))


SOURCES: dict[str, Callable[[Path], Any]] = {
    "pandas": lambda folder: pd.DataFrame(ROWS),
    "polars": lambda folder: pl.DataFrame(ROWS),
    "dict": lambda folder: ROWS,
    "rows": lambda folder: pd.DataFrame(ROWS).to_dict("records"),
    "arrow": lambda folder: pa.table(ROWS),
    "csv": as_csv,
    "path": lambda folder: Path(as_csv(folder)),
}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"training": 5}, "training is a int: give fields with their values, such as {'epochs': 5}"),
        ({"training": "fast"}, "training is a str: give fields with their values, such as {'epochs': 5}"),
        ({"target": 5}, "target is the name of a column: put the values into the table, and name "),
        ({"target": None, "recipe": 5}, "recipe is a int: give its path, or its content as a dict"),
    ],
)
def test_what_cannot_be_trained_is_one_line(given: dict[str, Any], says: str) -> None:
    with pytest.raises(sm.SensoriumError) as caught:
        sm.fit(**{"data": ROWS, "target": "label", **given})
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (["good"], "good does not exist: a list of texts names the files of a table; give values as a dict "),
        ({"words": "good"}, "column 'words' is one value: give a list of values, one a row"),
        ({"words": ["good"], "size": 3}, "column 'size' is one value: give a list of values, one a row"),
        (5, "a int cannot be read as a table: give a path, a dict of lists, "),
    ],
)
def test_what_is_no_table_is_one_line(predictor: sm.Predictor, data: Any, says: str) -> None:
    with pytest.raises(sm.SensoriumError) as caught:
        predictor.predict(data)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("coverage", ["x", [0.9], 2])
def test_a_coverage_that_is_no_share_is_one_line(predictor: sm.Predictor, coverage: Any) -> None:
    with pytest.raises(sm.SensoriumError, match="give a share between 0 and 1, such as"):
        predictor.predict_table(ROWS, coverage=coverage)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> sm.Predictor:
    """Two outputs, a label and a number."""
    recipe = made.simple_recipe(epochs=2)
    del recipe["data"]["path"]
    recipe["outputs"]["amount"] = "number"
    return sm.fit(ROWS, recipe=recipe, folder=tmp_path_factory.mktemp("fit") / "run", verbose=False)


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_table_gives_the_same_model(kind: str, tmp_path: Path) -> None:
    data = SOURCES[kind](tmp_path)
    model = sm.fit(data, target="label", training=FEW, verbose=False)
    expected = sm.fit(ROWS, target="label", training=FEW, verbose=False) if kind == "pandas" else None
    probabilities = model.predict_proba(data)
    assert probabilities.shape == (60, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    answers = model.predict(data)
    assert answers.shape == (60,)
    assert list(answers) == [model.classes_[best] for best in probabilities.argmax(axis=1)]
    if expected is not None:
        np.testing.assert_array_equal(expected.predict_proba(ROWS), probabilities)


def test_classes_are_in_the_order_of_the_probabilities(predictor: sm.Predictor) -> None:
    assert predictor.classes_ == {"label": ["cat", "dog"], "amount": []}
    table = predictor.predict_table(ROWS)
    probabilities = predictor.predict_proba(ROWS)["label"]
    for position, label in enumerate(predictor.classes_["label"]):
        np.testing.assert_array_equal(
            table[f"label_probability_{label}"].to_numpy(), probabilities[:, position]
        )


def test_several_outputs(predictor: sm.Predictor) -> None:
    answers = predictor.predict(ROWS)
    assert set(answers) == {"label", "amount"}
    assert set(answers["label"]) <= {"cat", "dog"}
    assert answers["amount"].dtype == np.float64
    assert 5 < answers["amount"].mean() < 20  # in the table's units
    assert set(predictor.predict_proba(ROWS)) == {"label"}


def test_all_ways_to_predict_agree(predictor: sm.Predictor) -> None:
    table = predictor.predict_table(ROWS)
    answers = predictor.predict(ROWS)
    assert table["id"].to_pylist() == ROWS["id"]
    assert table["label_prediction"].to_pylist() == list(answers["label"])
    np.testing.assert_array_equal(table["amount_prediction"].to_numpy(), answers["amount"])


def test_one_row_and_no_rows(predictor: sm.Predictor) -> None:
    one = {name: cells[:1] for name, cells in ROWS.items()}
    assert predictor.predict(one)["label"].shape == (1,)
    none = predictor.predict_table(pa.table(ROWS).slice(0, 0))
    assert none.num_rows == 0
    assert none.schema.names == predictor.predict_table(one).schema.names
    assert predictor.predict_proba(pa.table(ROWS).slice(0, 0))["label"].shape == (0, 2)


@pytest.mark.parametrize("again", ["save", "run folder"])
def test_a_loaded_model_predicts_the_same_bits(predictor: sm.Predictor, tmp_path: Path, again: str) -> None:
    predictor.save(tmp_path / "saved")
    loaded = sm.load(tmp_path / "saved" if again == "save" else predictor.folder.parent)
    assert loaded.predict_table(ROWS).equals(predictor.predict_table(ROWS))
    assert loaded.recipe.as_dict() == predictor.recipe.as_dict()
    assert loaded.about == predictor.about
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "calibration.safetensors",
        "columns.json",
        "model.json",
        "model.safetensors",
        "recipe.yaml",
    ]


def test_saving_where_it_cannot_be_saved(predictor: sm.Predictor, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(sm.SensoriumError, match="is not empty and holds no model"):
        predictor.save(tmp_path / "full")
    with pytest.raises(sm.SensoriumError, match=r"letter\.txt"):
        predictor.save(tmp_path / "full" / "letter.txt")
    with pytest.raises(sm.SensoriumError, match="the model cannot be written"):
        predictor.save(tmp_path / "full" / "letter.txt" / "deeper")
    predictor.save(tmp_path / "saved")
    predictor.save(tmp_path / "saved")  # over a model


def test_evaluation_agrees_with_the_predictions(predictor: sm.Predictor) -> None:
    evaluation = predictor.evaluate(ROWS)
    answers = predictor.predict(ROWS)
    accuracy = np.mean(answers["label"] == np.array(ROWS["label"]))
    error = np.mean(np.abs(answers["amount"] - np.array(ROWS["amount"])))
    assert evaluation.outputs["label"].main.value == pytest.approx(accuracy)
    assert evaluation.outputs["amount"].main.value == pytest.approx(error, rel=1e-5)


def test_a_number_as_the_target() -> None:
    model = sm.fit(ROWS, target="amount", training=FEW, verbose=False)
    assert model.outputs == ["amount"]
    assert model.classes_ == []
    assert model.predict(ROWS).shape == (60,)
    with pytest.raises(sm.SensoriumError, match="no output with classes"):
        model.predict_proba(ROWS)


def test_labels_of_several_kinds() -> None:
    """Whole numbers, true and false, and lists of labels."""
    data = {**ROWS, "grade": [row % 3 for row in range(60)], "liked": [row % 2 == 0 for row in range(60)]}
    data["tags"] = [["a", "b"] if row % 2 else ["c"] for row in range(60)]
    model = sm.fit(data, target=["grade", "liked", "tags"], training=FEW, verbose=False)
    answers = model.predict(data)
    assert answers["grade"].dtype == np.int64
    assert set(answers["grade"].tolist()) <= {0, 1, 2}
    assert answers["liked"].dtype == np.bool_
    assert model.classes_ == {"grade": [0, 1, 2], "liked": [False, True], "tags": ["a", "b", "c"]}
    assert len(answers["tags"]) == 60
    assert all(isinstance(labels, list) for labels in answers["tags"])
    assert set(model.predict_proba(data)) == {"grade", "liked", "tags"}
    assert len(model.predict({name: cells[:0] for name, cells in data.items()})["tags"]) == 0


def test_labels_keep_the_type_of_the_target(tmp_path: Path) -> None:
    """What compares answers with the table's own labels must not compare text with numbers."""
    frame = pd.DataFrame({**ROWS, "label": [row % 2 for row in range(60)]})
    model = sm.fit(frame, target="label", training=FEW, verbose=False)
    answers = model.predict(frame)
    evaluated = model.evaluate(frame).outputs["label"]
    assert (answers == frame.label).mean() == accuracy_score(frame.label, answers) == evaluated.main.value
    assert evaluated.confusion is not None
    assert set(evaluated.confusion.labels) == {"0", "1"}
    table = model.predict_table(frame)
    assert table["label_prediction"].type == pa.int64()
    assert "label_probability_0" in table.column_names
    none = model.predict_table(sm.read_table(frame).take([]))
    assert none.schema == table.schema
    model.save(tmp_path / "saved")
    assert sm.load(tmp_path / "saved").predict(frame).tolist() == answers.tolist()


def test_a_model_of_before_the_type_was_kept_gives_text(predictor: sm.Predictor, tmp_path: Path) -> None:
    predictor.save(tmp_path / "saved")
    fitted = json.loads((tmp_path / "saved" / "columns.json").read_text())
    assert fitted["outputs"]["label"].pop("kind") == "text"
    fitted["outputs"]["label"]["labels"] = ["1", "0"]
    (tmp_path / "saved" / "columns.json").write_text(json.dumps(fitted))
    assert set(sm.load(tmp_path / "saved").predict(ROWS)["label"]) <= {"0", "1"}


def test_absent_columns_are_told(predictor: sm.Predictor) -> None:
    renamed = {"Sized" if name == "size" else name: cells for name, cells in ROWS.items() if name != "words"}
    said = (
        r"the dataframe has no column 'words', 'size' \(did you mean 'Sized'\?\); "
        "the inputs that read it count as missing in every row"
    )
    for call in (predictor.predict, predictor.predict_proba, predictor.predict_table):
        with pytest.warns(UserWarning, match=said) as caught:
            call(renamed)
        assert [one.filename for one in caught] == [__file__]
    assert predictor.absent_columns(predictor.open(renamed)) == ["words", "size"]
    assert predictor.absent_words(predictor.open(ROWS)) == ""


def test_the_command_line_tells_absent_columns_once(
    predictor: sm.Predictor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.write_csv(tmp_path / "new.csv", {name: cells for name, cells in ROWS.items() if name != "size"})
    arguments = [str(predictor.folder), str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv")]
    with pytest.raises(SystemExit) as caught:
        main(["predict", *arguments])
    assert caught.value.code == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "new.csv has no column 'size'" in line


def test_keys_keep_their_type(predictor: sm.Predictor) -> None:
    kinds = {"int8": pa.int8(), "dictionary": pa.dictionary(pa.int8(), pa.string()), "float": pa.float32()}
    table = pa.table(ROWS).drop_columns(["id"])
    for kind in kinds.values():
        cells = ["a", None, "b"] * 20 if kind == kinds["dictionary"] else [1, None, 2] * 20
        keyed = sm.read_table(table.append_column("id", pa.array(cells, kind)))
        for rows in (keyed, keyed.take(np.arange(60))):
            predicted = predictor.predict_table(rows)
            assert predicted.schema.field("id").type == kind
            assert predicted["id"].to_pylist() == cells


@pytest.mark.parametrize("name", ["label_prediction", "label_probability_cat", "missing", "unreadable"])
def test_a_key_named_like_an_answer_is_refused(predictor: sm.Predictor, name: str) -> None:
    recipe = predictor.recipe
    keyed = copy.copy(predictor)
    keyed.recipe = replace(recipe, data=recipe.data.model_copy(update={"key": [name]}))
    with pytest.raises(sm.SensoriumError, match=f"two columns named '{name}': rename the key column"):
        keyed.predict_table({**ROWS, name: ROWS["id"]})


@pytest.mark.parametrize("cache", [True, "beside", "/absolute"])
def test_predicting_writes_no_media_anywhere(
    cache: bool | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above all not where a model that came from elsewhere says."""
    table = sm.read_table(pd.DataFrame(pictures(tmp_path)), tmp_path / "files")
    model = sm.fit(table, target="label", training=FEW, verbose=False)
    folder = f"{tmp_path}{cache}" if cache == "/absolute" else cache
    data = model.recipe.data.model_copy(update={"cache": folder})
    model.recipe = replace(model.recipe, data=data, folder=tmp_path)
    opened: list[Path] = []
    monkeypatch.setattr("sensorium.prepare.Cache", opened.append)
    assert model.predict(table).shape == (40,)
    assert model.evaluate(table).rows == 40
    assert opened == []


def test_training_replaces_what_the_recipe_says() -> None:
    model = sm.fit(ROWS, target="label", training={"epochs": 1, "optimizer": "sgd"}, verbose=False)
    assert model.recipe.training.epochs == 1
    assert model.recipe.training.optimizer.kind == "sgd"
    assert model.recipe.training.batch_size == 32
    assert model.about["epoch"] == 1
    with pytest.raises(sm.RecipeError, match=r"training\.epoch: unknown field \(did you mean epochs\?\)"):
        sm.fit(ROWS, target="label", training={"epoch": 1}, verbose=False)


def test_the_same_seed_gives_the_same_weights() -> None:
    one, other = (sm.fit(ROWS, target="label", training=FEW, verbose=False) for _ in range(2))
    for name, weights in one.model.state_dict().items():
        np.testing.assert_array_equal(weights.numpy(), other.model.state_dict()[name].numpy())


def test_a_folder_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sm.fit(ROWS, target="label", folder=tmp_path / "mine", training=FEW)
    assert (tmp_path / "mine" / "model" / "model.safetensors").exists()
    assert "epoch   1" in capsys.readouterr().out
    sm.fit(ROWS, target="label", folder=tmp_path / "mine", training=FEW)
    assert "this run is finished" in capsys.readouterr().out


def test_a_recipe_as_a_path_and_as_a_mapping(here: Path) -> None:
    made.write_csv(here / "table.csv", ROWS)
    path = made.write_recipe(here / "recipe.yaml", made.simple_recipe(epochs=1))
    by_path = sm.fit(recipe=path, verbose=False)
    by_mapping = sm.fit(recipe=made.simple_recipe(epochs=1), verbose=False)
    np.testing.assert_array_equal(by_path.predict_proba(ROWS), by_mapping.predict_proba("table.csv"))


def pictures(folder: Path) -> dict[str, list[Any]]:
    """Rows that name pictures in the folder `files`."""
    (folder / "files").mkdir()
    for row in range(40):
        (folder / "files" / f"{row}.png").write_bytes(made.picture(row))
    return {"picture": [f"{row}.png" for row in range(40)], "label": [made.label(row) for row in range(40)]}


def test_a_dataframe_that_names_files(tmp_path: Path) -> None:
    table = sm.read_table(pd.DataFrame(pictures(tmp_path)), tmp_path / "files")
    model = sm.fit(table, target="label", training={"epochs": 3, **FEW}, verbose=False)
    model.predict(table)
    assert model.unreadable == []
    assert model.recipe.inputs["picture"].type == "image"


def test_a_dataframe_whose_files_are_nowhere_says_what_to_do(tmp_path: Path) -> None:
    """Not one picture can be read: training on nothing would help nobody."""
    with pytest.raises(
        sm.SensoriumError, match=r"inputs\.picture: no cell of column picture can be read: row 0.*media root"
    ):
        sm.fit(pd.DataFrame(pictures(tmp_path)), target="label", training=FEW, verbose=False)


def test_a_table_of_another_type_is_told(predictor: sm.Predictor) -> None:
    """Words where numbers were: every cell is named, and every row still has an answer."""
    spoiled = {**ROWS, "size": ["large"] * 60}
    with pytest.warns(UserWarning, match="no cell of column 'size' can be read; the first: row 0"):
        assert predictor.predict_table(spoiled).num_rows == 60
    assert {(cell.column, cell.row) for cell in predictor.unreadable} == {("size", row) for row in range(60)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "name the column to predict"),
        ({"data": ROWS}, "name the column to predict"),
        ({"data": "recipe.yaml"}, "to train a recipe, write fit"),
        ({"target": "label"}, "there is no data"),
        ({"data": ROWS, "target": "lable"}, "did you mean 'label'"),
        ({"data": "nothing.csv", "target": "a"}, "nothing.csv does not exist"),
        ({"data": {"a": [], "b": []}, "target": "a"}, "no rows"),
        ({"data": {"a": [1, 2], "b": [1]}, "target": "a"}, "b"),
        ({"data": 3, "target": "a"}, "int"),
        ({"data": ROWS, "target": "label", "recipe": {}}, "either a target or a recipe"),
        ({"data": ROWS, "recipe": {"inputs": {"words": "text"}}}, "outputs: name at least one"),
        ({"data": {"a": ["x", "y"] * 9, "b": [None] * 18}, "target": "a"}, "no column can be used"),
    ],
)
def test_what_cannot_be_fitted(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(sm.SensoriumError, match=said) as caught:
        sm.fit(**arguments, verbose=False)
    assert "\n" not in str(caught.value)


def test_nothing_is_left_of_a_fit_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run folder goes with the model."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = sm.fit(ROWS, target="label", training=FEW, verbose=False)
    folder = model.folder
    assert folder.is_relative_to(tmp_path)
    assert folder.exists()
    del model
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize("by", ["recipe", "path", "other path", "dataframe"])
def test_the_table_of_a_run_is_found_again_or_asked_for(here: Path, by: str) -> None:
    """`evaluate` without a table measures on what this run held back, and never on another table."""
    made.write_csv(here / "table.csv", ROWS)
    made.write_csv(here / "other.csv", ROWS)
    data = {"recipe": None, "path": "table.csv", "other path": here / "other.csv", "dataframe": ROWS}[by]
    sm.fit(data, recipe=made.simple_recipe(epochs=1), folder=here / "run", verbose=False)
    if by == "dataframe":
        with pytest.raises(sm.SensoriumError, match="give the table to measure on"):
            evaluate_run(here / "run")
        return
    assert evaluate_run(here / "run").part == "test"
    (here / "other.csv" if by == "other path" else here / "table.csv").write_text("words,label\na,b\n")
    with pytest.raises(sm.SensoriumError, match=r"give the table to measure on|has changed"):
        evaluate_run(here / "run")


def test_paths_in_a_dataframe_start_from_the_media_root(tmp_path: Path) -> None:
    for number in range(20):
        shade = 250 if number % 2 else 5
        Image.new("RGB", (16, 16), (shade, shade, shade)).save(tmp_path / f"{number}.png")
    frame = {"picture": [f"{number}.png" for number in range(20)], "label": ["dark", "light"] * 10}
    training = {"epochs": 1, "batch_size": 8}

    model = sm.fit(frame, target="label", media_root=tmp_path, training=training, verbose=False)
    assert model.predict_table(frame)["missing"].to_pylist() == [[]] * 20
    model.save(tmp_path / "model")
    loaded = sm.load(tmp_path / "model")
    assert loaded.predict_table(frame, media_root=tmp_path)["missing"].to_pylist() == [[]] * 20
    with pytest.warns(UserWarning, match="no cell of column 'picture' can be read; the first: row 0"):
        loaded.predict(frame)
