"""Classes named by words or shown by examples: numbers by hand, and the verb from table to answers."""

from __future__ import annotations

import csv
import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sensorium
from sensorium.classification import classify_by_examples, classify_by_words
from sensorium.classification.accuracy import measure, sentences, spread_words
from sensorium.classification.classified import Classified, softmax
from sensorium.classification.few_shot import Examples, classify_vectors, draw_examples
from sensorium.classification.space import ENCODER_TEMPERATURE, space_of_words, vectors_of
from sensorium.cli import main
from sensorium.data.column import Array
from sensorium.errors import SensoriumError
from sensorium.predict import Predictor
from tests import made

ROWS = 24
CLASSIFY = "classify runs/similar table.csv -o out.csv"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, a table and a run of a similarity; one row has no picture."""
    folder = tmp_path_factory.mktemp("similar")
    for row in range(ROWS):
        (folder / f"{row}.png").write_bytes(made.picture(row))
    columns: dict[str, list[Any]] = {
        "id": [f"r{row}" for row in range(ROWS)],
        "photo": [f"{row}.png" if row != 3 else "" for row in range(ROWS)],
        "words": [made.text(row) for row in range(ROWS)],
        "kind": [made.label(row) for row in range(ROWS)],
        "size": list(range(ROWS)),
    }
    made.write_csv(folder / "table.csv", columns)
    words = {"type": "text", "tokenizer": "word", "min_count": 1, "encoder": {"kind": "mean"}}
    made.write_recipe(
        folder / "recipe.yaml",
        {
            "name": "similar",
            "data": {"path": "table.csv", "key": "id", "split": {"validation": 0.25, "test": 0}},
            "inputs": {
                "photo": {"type": "image", "size": 16, "encoder": {"kind": "cnn"}},
                "words": words,
                "other": {**words, "column": "kind"},
                "size": "number",
            },
            "fusion": {"kind": "concat", "width": 16},
            "outputs": {"alike": {"type": "similarity", "between": ["photo", "words"], "width": 16}},
            "training": {"epochs": 1, "batch_size": 8, "precision": "fp32"},
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert code("train recipe.yaml") == 0
    return folder


@pytest.fixture(autouse=True)
def _there(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)


@pytest.fixture(scope="module")
def predictor(trained: Path) -> Predictor:
    return sensorium.load(trained / "runs/similar")


def code(command: str) -> Any:
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(command))
    return caught.value.code


def answers() -> list[dict[str, str]]:
    with Path("out.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def unit(*rows: list[float]) -> Array:
    vectors = np.array(rows, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def examples_of(vectors: Array, classes: list[int], labels: list[str]) -> Examples:
    return Examples(vectors, np.array(classes), labels, "examples.csv", ["photo"], 0.5)


def test_probabilities_are_of_cosines_over_the_temperature() -> None:
    found = softmax(np.array([[1.0, 0.0]], np.float32), 0.5)
    assert found[0, 0] == pytest.approx(math.exp(2) / (math.exp(2) + 1))


def test_templates_are_averaged(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words at 0° and 90° in one template, at 90° and 90° in the other: the means are at 45° and 90°."""
    planted = {"cat": [1, 0], "dog": [0, 1], "a cat": [0, 1], "a dog": [0, 1]}

    def planted_vectors(predictor: Predictor, table: Any, names: list[str], shared: bool = True) -> Array:
        if names == ["words"]:
            return unit(*(planted[text] for text in table.column("words")))
        return np.array([[1, 0], [0, 1], [0, 0]], np.float32)

    monkeypatch.setattr("sensorium.classification.zero_shot.vectors_of", planted_vectors)
    table = predictor.open({"photo": ["0.png", "1.png", None]})
    found = classify_by_words(predictor, table, ["cat", "dog"], ["{}", "a {}"])
    np.testing.assert_allclose(found.scores[:2], [[math.sqrt(0.5), 0], [math.sqrt(0.5), 1]], atol=1e-6)
    assert found.present.tolist() == [True, True, False]
    temperature = predictor.model.head("alike").learned_temperature
    odds = found.probabilities[0, 0] / found.probabilities[0, 1]
    assert math.log(odds) == pytest.approx(math.sqrt(0.5) / temperature, rel=1e-5)


def test_a_picture_meets_words_in_the_similarity_and_a_text_in_its_encoder(predictor: Predictor) -> None:
    assert space_of_words(predictor) == space_of_words(predictor, "photo")
    assert space_of_words(predictor, "photo")[:3] == ("photo", "words", True)
    assert space_of_words(predictor, "other") == ("other", "other", False, ENCODER_TEMPERATURE)


def test_a_text_is_nearest_to_its_own_words(predictor: Predictor) -> None:
    """The same text on both sides has the cosine 1, whatever the encoder learned."""
    words = list(dict.fromkeys(made.text(row) for row in range(4)))
    found = classify_by_words(predictor, predictor.open({"words": words}), words, name="words")
    np.testing.assert_allclose(np.diag(found.scores), 1, atol=1e-5)


def test_only_what_is_classified_is_encoded(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels meet pictures: no word of the table is read, and no other input of the model."""
    table = predictor.open("table.csv")
    encoded: list[tuple[str, int]] = []
    encode = type(predictor.model).encode

    def noted(model: Any, name: str, raw: Any, present: Any) -> Any:
        encoded.append((name, int(present.sum())))
        return encode(model, name, raw, present)

    monkeypatch.setattr(type(predictor.model), "encode", noted)
    classify_by_words(predictor, table, ["cat", "dog"])
    assert sorted((name, rows) for name, rows in encoded if rows) == [("photo", ROWS - 1), ("words", 2)]


def test_an_input_alone_has_the_vector_that_it_has_among_others(predictor: Predictor) -> None:
    table = predictor.open("table.csv")
    for name in ("photo", "words"):
        own = vectors_of(predictor, table, [name])
        np.testing.assert_allclose(own, predictor.embed(table)[name], atol=1e-6)


def test_several_inputs_are_joined_and_keep_unit_length(predictor: Predictor) -> None:
    vectors = vectors_of(predictor, predictor.open("table.csv"), ["photo", "words"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert not vectors[3, :16].any()
    assert np.square(vectors[0, :16]).sum() == pytest.approx(0.5, abs=1e-5)


def test_the_nearest_prototype_by_hand() -> None:
    """Examples at 0° and 90° have their prototype at 45°; the other class has one at 180°."""
    examples = examples_of(unit([1, 0], [0, 1], [-1, 0]), [0, 0, 1], ["right", "left"])
    found = classify_vectors(np.array([[1, 0], [-1, 0], [0, 0]], np.float32), examples, "prototype")
    half = math.sqrt(0.5)
    np.testing.assert_allclose(found.scores[:2], [[half, -1], [-half, 1]], atol=1e-6)
    assert found.probabilities[0, 0] == pytest.approx(1 / (1 + math.exp(-(half + 1) / 0.5)))
    assert found.present.tolist() == [True, True, False]


@pytest.mark.parametrize("by", ["prototype", "logistic"])
@pytest.mark.parametrize("classes", [2, 3])
def test_planted_classes_are_found(by: str, classes: int) -> None:
    random = np.random.default_rng(0)
    truth = np.arange(60) % classes
    vectors = unit(*(np.eye(8)[truth] + 0.15 * random.normal(size=(60, 8))).tolist())
    examples = examples_of(vectors[:30], truth[:30].tolist(), list("abc")[:classes])
    found = classify_vectors(vectors[30:], examples, by)
    assert (found.probabilities.argmax(axis=1) == truth[30:]).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-6)


def test_shots_are_drawn_of_each_class_and_again_the_same() -> None:
    examples = examples_of(unit(*np.eye(10).tolist()), [0] * 6 + [1] * 4, ["a", "b"])
    drawn = draw_examples(examples, 3, seed=1)
    assert drawn.classes.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(drawn.vectors, draw_examples(examples, 3, seed=1).vectors)
    assert any(
        (drawn.vectors != draw_examples(examples, 3, seed=1, draw=one).vectors).any() for one in (1, 2)
    )
    with pytest.raises(SensoriumError, match="class 'b' has 4 usable examples, fewer than 5 shots"):
        draw_examples(examples, 5)


def test_accuracy_counts_what_can_be_right() -> None:
    """Of six rows one has no truth, one another class, one no input; of the three left two are right."""
    probabilities = np.array([[0.9, 0.1]] * 3 + [[0.2, 0.8]] * 3)
    present = np.array([True, True, True, True, True, False])
    found = Classified(["a", "b"], probabilities.astype(np.float32), probabilities, present)
    accuracy = measure(found, ["a", "b", None, "b", "c", "b"], "kind")
    assert accuracy.metrics["accuracy"].value == pytest.approx(2 / 3)
    assert (accuracy.majority, accuracy.share) == ("b", pytest.approx(2 / 3))
    assert (accuracy.without_truth, accuracy.other_truth, accuracy.without_input) == (1, 1, 1)
    assert sentences(accuracy)[0].startswith("accuracy 0.667 (95 % interval 0.208 to 0.939) on 3 rows")
    assert "standard deviation 0.000" in spread_words([accuracy, accuracy])
    with pytest.raises(SensoriumError, match="no row can be scored: column 'kind' holds none"):
        measure(found, ["x"] * 6, "kind")


def test_keys_and_order_are_kept_and_a_missing_picture_has_no_label(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = f"{CLASSIFY} --labels 'cat, dog,red' --template 'a {{}}' --truth kind --top 2"
    assert code(command) == 0
    found = answers()
    assert [row["id"] for row in found] == [f"r{row}" for row in range(ROWS)]
    assert list(found[0]) == ["id", "label", "score", "probability", "label_2", "score_2", "probability_2"]
    assert [place for place, row in enumerate(found) if not row["label"]] == [3]
    assert {row["label"] for row in found} <= {"cat", "dog", "red", ""}
    assert all(float(row["probability"]) >= float(row["probability_2"]) for row in found if row["label"])
    said = capsys.readouterr().out
    assert "on 23 rows" in said
    assert "the most frequent class of these rows: 0.5" in said
    assert "1 row without the input have no label" in said


def test_labels_from_a_file_are_those_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\n\n dog \n", encoding="utf-8")
    assert code(f"{CLASSIFY} --labels-from {tmp_path}/labels.txt") == 0
    first = answers()
    assert code(f"{CLASSIFY} --labels cat,dog") == 0
    assert answers() == first


def test_examples_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    command = f"{CLASSIFY} --examples table.csv --label kind --shots 4 --by logistic --truth kind"
    assert code(command) == 0
    said = capsys.readouterr().out
    assert "over 5 draws of examples: accuracy" in said
    assert all(row["label"] in ("cat", "dog") for row in answers())  # row 3 has its words


def test_few_shot_from_python(predictor: Predictor) -> None:
    from sensorium.classification import read_examples, tabulate

    table = predictor.open("table.csv")
    examples = read_examples(predictor, table, "kind", ["photo"])
    assert len(examples.classes) == ROWS - 1
    found = tabulate(predictor, table, classify_by_examples(predictor, table, examples), top=1)
    assert found.column_names == ["id", "label", "score", "probability"]
    assert found["label"].null_count == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--examples table.csv --label kind --shots 0", "shots is 0: take 1 example of a class at least"),
        ("--examples table.csv --label kind --draws 0", "draws is 0: draw examples once at least"),
        ("--labels a,b --top 0", "the labels of a row to write are 0: ask for 1 at least"),
    ],
)
def test_what_cannot_be_used_is_one_line(options: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.csv").unlink(missing_ok=True)
    assert code(f"{CLASSIFY} {options}") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {says}")
    assert not Path("out.csv").exists()
