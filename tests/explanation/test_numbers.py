"""Weights worked out by hand on a linear model: y = 5 + 2 a - 0.5 b."""

import numpy as np
import pytest

from sensorium.evaluation import explain
from sensorium.explanation import METHODS
from sensorium.explanation.shapley import sampled_shapley, shapley
from tests.explanation.made import LINEAR_ROWS, linear, predictor_of


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_linear_model_its_slopes(method: str):
    """Row 2 is a = 3, b = 30; the middle of the training rows is a = 2, b = 20."""
    predictor = linear()
    (row,) = explain(predictor, predictor.open(LINEAR_ROWS), [2], method=method).rows
    assert row.score == pytest.approx(5 + 6 - 15)
    assert row.inputs["a"].weights == pytest.approx([2 * (3 - 2)])
    assert row.inputs["b"].weights == pytest.approx([-0.5 * (30 - 20)])
    assert row.target.unit == "units of the table"
    assert [one.method for one in row.inputs.values()] == [method, method]


def test_the_inputs_share_what_they_bring_about():
    predictor = linear()
    (row,) = explain(predictor, predictor.open(LINEAR_ROWS), [2]).rows
    assert row.score_of_none == pytest.approx(5)
    assert row.inputs["a"].weight == pytest.approx(6)
    assert row.inputs["b"].weight == pytest.approx(-15)


def test_an_input_that_the_row_lacks_carries_nothing():
    predictor = linear()
    (row,) = explain(predictor, predictor.open({"a": [3.0], "b": [None]}), [0]).rows
    assert row.inputs["a"].weight == pytest.approx(6)
    assert (row.inputs["b"].present, row.inputs["b"].weight, row.inputs["b"].parts) == (False, 0.0, [])


def test_the_deletion_curve_by_hand():
    """From -4: without a (weight 2) it is -6, without both -1; the other way round 1, then -1."""
    predictor = linear()
    (row,) = explain(predictor, predictor.open(LINEAR_ROWS), [2]).rows
    assert row.deletion.shares == [0, 0.5, 1]
    assert row.deletion.named == pytest.approx([-4, -6, -1])
    assert row.deletion.reversed == pytest.approx([-4, 1, -1])
    first = row.deletion.random[1]
    assert -6 <= first <= 1
    # trapezoids: the curves differ in the middle alone, over a width of 0.5
    assert row.deletion.advantage == pytest.approx(0.5 * (first + 6))


def test_the_weights_of_a_text_add_up():
    """Completeness: together the words are what all of them add, through layers that are not linear."""
    rows = {"words": ["a red cat", "the blue dog runs", "cat and dog"], "kind": ["x", "y", "x"]}
    recipe = {
        "inputs": {
            "words": {"type": "text", "tokenizer": "word", "min_count": 1, "encoder": {"kind": "transformer"}}
        },
        "outputs": {"kind": "category"},
    }
    predictor = predictor_of(recipe, rows)
    (row,) = explain(predictor, predictor.open(rows), [1], method="integrated_gradients").rows
    assert [part.name for part in row.inputs["words"].parts] == ["the", "blue", "dog", "runs"]
    ends = np.log(np.divide(row.deletion.named, np.subtract(1, row.deletion.named)))[[0, -1]]
    assert row.inputs["words"].method == "integrated_gradients"
    assert sum(row.inputs["words"].weights) == pytest.approx(ends[0] - ends[1], rel=0.02, abs=1e-3)
    assert row.score == pytest.approx(ends[0], abs=1e-5)


def test_sampled_shapley_values_come_near_and_add_up():
    worth = np.random.default_rng(0).normal(size=16)
    values = {
        frozenset(player for player in range(4) if code >> player & 1): float(worth[code])
        for code in range(16)
    }
    exact = [
        shapley({frozenset(map(str, key)): one for key, one in values.items()}, str(p)) for p in range(4)
    ]

    def worth_of(joined: np.ndarray) -> np.ndarray:
        return np.array([values[frozenset(np.flatnonzero(row).tolist())] for row in joined])

    found = sampled_shapley(worth_of, 4, orders=400)
    assert found == pytest.approx(exact, abs=0.15)
    assert found.sum() == pytest.approx(worth[15] - worth[0])
