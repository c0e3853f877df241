"""A ridge regression between frozen features, by hand and beside a trained similarity."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sensorium
from sensorium.evaluation import evaluate
from sensorium.evaluation.ridge import PENALTY, ridge
from sensorium.evaluation.study import Training
from tests import made
from tests.made_checkpoint import text_checkpoint


def test_one_feature_by_hand():
    known, answers = np.array([[-1.0], [1.0]]), np.array([[-2.0], [2.0]])
    # Σxy = 4, Σx² = 2: the weight is 4 / (2 + penalty · rows)
    weight = 4 / (2 + PENALTY * 2)
    assert ridge(known, answers, np.array([[3.0]]))[0, 0] == pytest.approx(3 * weight, rel=1e-4)


def test_wide_and_narrow_forms_agree():
    generator = np.random.default_rng(0)
    known, answers, asked = (generator.normal(size=size) for size in ((6, 6), (6, 3), (4, 6)))
    both = np.concatenate([known, known]), np.concatenate([answers, answers])
    np.testing.assert_allclose(ridge(*both, asked), ridge(known, answers, asked), rtol=1e-6)


def retrieval(encoder: dict[str, Any]) -> Any:
    """A similarity of a text and its copy, measured on rows that it did not see; and its words."""
    rows = made.simple_rows(60)
    rows["words"] = [f"{made.WORDS[row % 7]} {made.WORDS[7 + row % 6]}" for row in range(60)]
    recipe = made.simple_recipe(epochs=1)
    recipe["data"] = {"split": {"validation": 0, "test": 0}}
    words = {"type": "text", "column": "words", "encoder": encoder}
    recipe["inputs"] = {"words": words, "copy": words}
    recipe["outputs"] = {"match": {"type": "similarity", "between": ["words", "copy"]}}
    predictor = sensorium.fit(rows, recipe=recipe, verbose=False)
    table = predictor.open(rows)
    training = Training(table, {"train": np.arange(40)})
    return evaluate(predictor, table, np.arange(40, 60), training=training, studies=["retrieval"])


def test_it_stands_beside_a_similarity_of_frozen_encoders(tmp_path: Path):
    weights = text_checkpoint(tmp_path / "tiny")
    measured = retrieval({"kind": "pretrained", "weights": str(weights)})
    found = measured.studies["retrieval"]["match"].ridge
    assert found.rows == 40
    # the features of a text and of its copy are the same
    assert found.metrics["recall_at_1"].value > 0.8
    own = measured.outputs["match"].metrics
    for metric, gain in found.gain.items():
        assert gain.value == pytest.approx(own[metric].value - found.metrics[metric].value)
    said = " ".join(str(measured).split())
    assert "learned from 40 training rows, reaches R@10 1.000" in said
    assert "Beyond it this model gains" in said


def test_it_needs_frozen_encoders():
    assert retrieval({"kind": "mean"}).studies["retrieval"]["match"].ridge is None
