"""Rows explained through the Python call, with every encoder, and what cannot be explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensorium.encoders import ENCODERS
from sensorium.errors import SensoriumError
from sensorium.evaluation import Explanation, evaluate
from sensorium.evaluation.explained import rows_of_keys, rows_of_text
from sensorium.evaluation.report import as_html
from sensorium.explanation import METHODS
from sensorium.predict import Predictor
from tests.explanation.made import linear, predictor_of
from tests.made import picture, simple_rows, sound, text, video

ROWS: dict[str, list[Any]] = {
    **simple_rows(8),
    "photo": [picture(row) for row in range(8)],
    "voice": [sound(row) for row in range(8)],
    "clip": [video(row) for row in range(8)],
    "tags": [["a", "b"][: 1 + row % 2] for row in range(8)],
    "marks": [["a", "b"][: 1 + row % 2] for row in range(8)],
}
TYPES = {
    "text": ("words", {}),
    "image": ("photo", {"size": 32}),
    "audio": ("voice", {"rate": 8000, "seconds": 1}),
    "video": ("clip", {"size": 32, "frames": 4}),
    "number": ("size", {}),
    "category": ("shop", {}),
    "categories": ("tags", {}),
}
KINDS = [(type_, kind) for type_, kinds in ENCODERS.items() for kind in kinds if kind != "pretrained"]


def everything(*types: str) -> Predictor:
    """Inputs of some types, or of all, to a class, some labels and an amount."""
    chosen = {type_: TYPES[type_] for type_ in types or TYPES}
    inputs = {name: {"type": type_, **settings} for type_, (name, settings) in chosen.items()}
    outputs = {"label": "category", "amount": "number", "marks": "categories"}
    return predictor_of({"inputs": inputs, "outputs": outputs}, ROWS)


@pytest.mark.parametrize(("type_", "kind"), KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_every_encoder_can_be_explained(type_: str, kind: str, method: str):
    name, settings = TYPES[type_]
    encoder: dict[str, Any] = {"kind": kind} | ({"patch": 8} if kind == "vit" else {})
    recipe = {
        "inputs": {name: {"type": type_, **settings, "encoder": encoder}, "size": "number"},
        "outputs": {"label": "category"},
    }
    predictor = predictor_of(recipe, ROWS)
    (row,) = predictor.explain(ROWS, [1], method=method).rows
    own = row.inputs[name]
    assert len(own.weights) == len(own.parts) > 0
    assert np.isfinite(own.weights).all()
    assert row.score - row.score_of_none == pytest.approx(
        sum(one.weight for one in row.inputs.values()), abs=1e-4
    )


@pytest.mark.parametrize("kind", ["mean", "cnn", "lstm", "gru", "transformer"])
def test_gradients_pass_through_every_encoder_of_texts(kind: str):
    recipe = {
        "inputs": {"words": {"type": "text", "encoder": {"kind": kind}}},
        "outputs": {"label": "category"},
    }
    (row,) = predictor_of(recipe, ROWS).explain(ROWS, [0], method="integrated_gradients").rows
    assert row.inputs["words"].method == "integrated_gradients"


def test_where_no_gradient_passes_occlusion_stands_in():
    recipe = {
        "inputs": {"tags": {"type": "categories", "encoder": {"kind": "token"}}},
        "outputs": {"label": "category"},
    }
    explanation = predictor_of(recipe, ROWS).explain(ROWS, [1], method="integrated_gradients")
    own = explanation.rows[0].inputs["tags"]
    assert (own.method, own.reason) == ("occlusion", "its encoder lets no gradient through")


def test_outputs_of_every_type():
    predictor = everything()
    label = predictor.explain(ROWS, [1]).rows[0]
    said = predictor.predict_table(ROWS)
    assert label.target.output == "label"
    assert label.answer == label.target.label == said["label_prediction"][1].as_py()
    assert label.shown == pytest.approx(said[f"label_probability_{label.answer}"][1].as_py(), abs=1e-5)
    amount = predictor.explain(ROWS, [1], output="amount").rows[0]
    assert amount.score == pytest.approx(said["amount_prediction"][1].as_py(), rel=1e-4)
    marks = predictor.explain(ROWS, [1], output="marks", label="b").rows[0]
    assert marks.shown == pytest.approx(said["marks_probability_b"][1].as_py(), abs=1e-5)


def test_the_other_class_of_two_has_the_opposite_weights():
    predictor = everything()
    cat, dog = (predictor.explain(ROWS, [2], label=label).rows[0] for label in ("cat", "dog"))
    assert cat.score == pytest.approx(-dog.score, abs=1e-5)
    for name, one in cat.inputs.items():
        assert one.weights == pytest.approx([-weight for weight in dog.inputs[name].weights], abs=1e-4)


def test_the_page_and_its_json(here: Path):
    rows = {**ROWS, "words": ["<b>bold</b> cat", *ROWS["words"][1:]], "voice": [None, *ROWS["voice"][1:]]}
    explanation: Explanation = everything().explain(rows, [0, 3])
    page = explanation.save(here / "sub" / "page.html").read_text(encoding="utf-8")
    assert "<b>bold" not in page
    assert page.count('<article class="explained">') == 2
    assert "Does removing what is named hurt more than removing at random?" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert page.count("<audio") == 1  # row 0 lacks its voice
    assert page.count("<figure title=") == 2 * 4  # frames of two films
    found = json.loads((here / "sub" / "page.json").read_text(encoding="utf-8"))
    assert [row["row"] for row in found["rows"]] == [0, 3]
    assert found["rows"][0]["inputs"]["voice"]["present"] is False
    assert len(found["rows"][1]["inputs"]["photo"]["weights"]) == 49
    assert "cell" not in found["rows"][1]["inputs"]["photo"]
    assert found["check"]["rows"] == 2


def test_a_row_without_any_input_is_refused():
    with pytest.raises(SensoriumError, match=r"row 1 has none of the model's inputs \(a, b\)"):
        linear().explain({"a": [1.0, None], "b": [1.0, None]})


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"rows": [8]}, r"there is no row 8; .* has 8 rows, 0 to 7"),
        ({"rows": [-1]}, "there is no row -1"),
        ({"rows": []}, "there is no row to explain"),
        ({"rows": range(300)}, "there is no row 8"),
        ({"output": "lable"}, "no output 'lable' .did you mean 'label'"),
        ({"label": "dgo"}, "output 'label' has no class 'dgo' .did you mean 'dog'"),
        ({"output": "amount", "label": "dog"}, "output 'amount' has no classes"),
        ({"method": "oclusion"}, "no method 'oclusion' .did you mean 'occlusion'"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(wanted: dict[str, Any], words: str):
    with pytest.raises(SensoriumError, match=words):
        everything().explain(ROWS, **wanted)


def test_rows_in_words():
    assert rows_of_text("3,7") == [3, 7]
    assert rows_of_text("3-5, 9") == [3, 4, 5, 9]
    for wrong in ("x", "3;4", "", "-1", "0-99999"):
        with pytest.raises(SensoriumError, match="rows: "):
            rows_of_text(wrong)


def test_rows_by_key():
    table = linear().open({"a": [1.0, 2.0], "id": [7, 8]})
    assert rows_of_keys(table, ["id=8", "id=7"]) == [1, 0]
    with pytest.raises(SensoriumError, match=r"no column 'ID' \(did you mean 'id'\?"):
        rows_of_keys(table, ["ID=7"])
    with pytest.raises(SensoriumError, match=r"no row of .* has id=9"):
        rows_of_keys(table, ["id=9"])
    with pytest.raises(SensoriumError, match="names no value"):
        rows_of_keys(table, ["id"])


def test_the_study_of_the_report(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sensorium.evaluation.explanation.SHOWN", 1)
    monkeypatch.setattr("sensorium.evaluation.explanation.MOST_ROWS", 3)
    predictor = everything("text", "image")
    evaluation = evaluate(predictor, predictor.open(ROWS), studies=["explanation"])
    study = evaluation.studies["explanation"]
    losses = predictor.collect(predictor.open(ROWS)).losses["label"]
    assert study.outputs["label"].worst[0].row == int(np.argmax(losses))
    assert study.outputs["label"].best[0].row == int(np.argmin(losses))
    assert study.outputs["amount"].check.rows == 3
    page = as_html(evaluation)
    assert "What carried the predictions" in page
    assert page.count('<article class="explained">') == 3 * 2


def test_a_text_that_is_cut_shows_what_was_not_read():
    recipe = {
        "inputs": {"words": {"type": "text", "length": 2, "tokenizer": "word", "min_count": 1}},
        "outputs": {"label": "category"},
    }
    rows = {"words": [text(row) for row in range(8)], "label": ROWS["label"]}
    explanation = predictor_of(recipe, rows).explain(rows, [0])
    assert len(explanation.rows[0].inputs["words"].parts) == 2
    assert explanation.rows[0].inputs["words"].cell.text == rows["words"][0]
