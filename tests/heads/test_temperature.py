"""Temperatures: found again where they are known, and 1 where nothing can be learned."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.batch import Raw
from sensorium.data.column import Cells
from sensorium.heads.categories import CategoriesHead
from sensorium.heads.category import CategoryHead
from sensorium.heads.temperature import (
    HIGHEST,
    sigmoid_at,
    sigmoid_temperature,
    softmax_at,
    softmax_temperature,
)
from tests.heads.test_heads import giving, made, numpy_of


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_a_known_factor_on_the_logits_of_classes_is_found(factor: float):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 4)) * 2
    chance = softmax(logits)
    classes = (chance.cumsum(axis=1) < generator.random((20_000, 1))).sum(axis=1)
    found = softmax_temperature(softmax(logits * factor).astype(np.float32), classes)
    assert found == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_a_known_factor_on_the_logits_of_labels_is_found(factor: float):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 3)) * 1.5
    truth = generator.random(logits.shape) < 1 / (1 + np.exp(-logits))
    claimed = (1 / (1 + np.exp(-logits * factor))).astype(np.float32)
    assert sigmoid_temperature(claimed, truth) == pytest.approx(factor, rel=0.05)


def test_the_temperature_by_hand():
    """Log-odds of log 9, right in three of four: best where the claim is 3/4, so log 9 / T = log 3."""
    probabilities = np.array([[0.9, 0.1]] * 4, dtype=np.float32)
    assert softmax_temperature(probabilities, np.array([0, 0, 0, 1])) == pytest.approx(2.0, rel=1e-5)
    truth = np.array([[True], [True], [True], [False]])
    assert sigmoid_temperature(probabilities[:, :1], truth) == pytest.approx(2.0, rel=1e-5)


def test_where_nothing_can_be_learned_it_is_one():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    assert softmax_temperature(probabilities, np.array([0, 1])) == 1.0  # every row right
    assert softmax_temperature(probabilities[:0], np.array([], dtype=np.int64)) == 1.0
    assert sigmoid_temperature(probabilities[:0], np.zeros((0, 2), dtype=np.bool_)) == 1.0
    assert softmax_temperature(probabilities, np.array([1, 0])) == HIGHEST  # every row wrong


def test_certain_and_wrong_stays_finite():
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    assert 1 < softmax_temperature(probabilities, np.array([0, 1, 1])) <= HIGHEST
    assert 1 < sigmoid_temperature(probabilities, np.array([[True, True]] * 3)) <= HIGHEST


@settings(max_examples=50)
@given(st.lists(st.floats(-4, 4), min_size=3, max_size=3), st.floats(0.25, 4))
def test_a_further_temperature_undoes_the_first(logits: list[float], temperature: float):
    plain = softmax(np.array([logits]))
    scaled = softmax(np.array([logits]) / temperature)
    np.testing.assert_allclose(softmax_at(scaled, 1 / temperature), plain, atol=1e-9)
    odds = 1 / (1 + np.exp(-np.array([logits])))
    scaled_odds = 1 / (1 + np.exp(-np.array([logits]) / temperature))
    np.testing.assert_allclose(sigmoid_at(scaled_odds, 1 / temperature), odds, atol=1e-6)


def test_a_head_predicts_at_its_temperature_and_answers_the_same():
    head = made(CategoryHead, ["b", "b", "a"])
    fused = giving(head, [[math.log(9.0), 0.0], [0.0, 1e-7]])
    plain = numpy_of(head.predict(fused))
    loss = head.loss(fused, target_of([[1], [2]]))
    head.temperature = 2.0
    cooled = numpy_of(head.predict(fused))
    assert cooled["probabilities"][0].tolist() == pytest.approx([0.75, 0.25])
    assert cooled["codes"].tolist() == plain["codes"].tolist() == [1, 2]
    assert torch.equal(head.loss(fused, target_of([[1], [2]])), loss)  # training never sees it


def test_labels_are_judged_at_the_temperature():
    head = made(CategoriesHead, [["a"], ["a", "b"]])
    fused = giving(head, [[math.log(9.0), -math.log(9.0)]])
    head.temperature = 2.0
    predicted = numpy_of(head.predict(fused))
    assert predicted["probabilities"][0].tolist() == pytest.approx([0.75, 0.25])
    assert head.answers(predicted)["prediction"] == [["a"]]


def test_a_head_learns_from_the_rows_that_count():
    head = made(CategoryHead, ["b", "b", "a"])
    probabilities = np.array([[0.9, 0.1]] * 6, dtype=np.float32)
    target = Cells(np.array([[1], [1], [1], [2], [0], [2]]), np.array([[True]] * 5 + [[False]]))
    assert head.fit_temperature({"probabilities": probabilities}, target) == pytest.approx(2.0, rel=1e-5)


def target_of(codes: list[list[int]]) -> Raw:
    return Raw(torch.tensor(codes), torch.ones(len(codes), 1, dtype=torch.bool))
