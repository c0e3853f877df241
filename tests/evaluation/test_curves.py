"""ROC and precision by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sensorium.evaluation import curves
from sensorium.evaluation.curves import Curve, class_curves, sentences, view

PROBABILITIES = np.array([[0.9, 0.1, 0.0], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
TRUTH = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]], dtype=bool)
GIVEN = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], dtype=bool)


def test_scores_by_hand() -> None:
    found = class_curves(["a", "b", "c"], PROBABILITIES, TRUTH, GIVEN)
    a, b, c = found.classes
    assert (a.rows, a.precision, a.recall, a.f1) == (2, pytest.approx(2 / 3), 1.0, pytest.approx(0.8))
    assert (b.rows, b.precision, b.recall) == (2, 1.0, 0.5)
    assert c.rows == 0
    assert np.isnan([c.precision, c.recall, c.f1, c.auc]).all()
    assert c.roc is None
    # of the four pairs of a true and a false row of class a, (0.5, 0.6) alone is the wrong way round
    assert a.auc == 0.75
    assert a.roc == Curve([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    assert a.precision_recall is not None
    assert a.precision_recall.x == [0.0, 0.5, 0.5, 1.0, 1.0]
    assert a.precision_recall.y == pytest.approx([1.0, 1.0, 0.5, 2 / 3, 0.5])
    assert found.pooled.rows == 4
    assert found.left_out == 0


def test_long_curves_keep_their_ends_and_rare_classes_are_left_out() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(40), 2000)
    truth = np.eye(40, dtype=bool)[generator.integers(0, 40, 2000)]
    found = class_curves([str(one) for one in range(40)], probabilities, truth, truth)
    assert len(found.classes) == curves.MOST_CLASSES
    assert found.left_out == 10
    assert found.pooled.roc is not None
    assert len(found.pooled.roc.x) == curves.MOST_POINTS
    assert (found.pooled.roc.x[0], found.pooled.roc.y[0]) == (0, 0)
    assert (found.pooled.roc.x[-1], found.pooled.roc.y[-1]) == (1, 1)
    assert [one.roc is not None for one in found.classes] == [one < curves.MOST_DRAWN for one in range(30)]


def test_it_is_drawn_and_said() -> None:
    answer = {"kind": class_curves(["a", "b", "c"], PROBABILITIES, TRUTH, GIVEN)}
    drawn = view(answer)["kind"]
    assert drawn["roc"].startswith("<svg")
    assert "var(--first)" in drawn["roc"]
    assert drawn["precision_recall"] != drawn["roc"]
    assert sentences(answer) == []  # two classes that occur say all that there is to say
    seen = class_curves(["a", "b", "c"], PROBABILITIES, TRUTH | np.eye(4, 3, 0, dtype=bool), GIVEN)
    assert sentences({"kind": seen})[0].startswith("kind: the hardest class is “c”")
