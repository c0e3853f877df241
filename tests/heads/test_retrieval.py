"""Places, recall, MRR and nDCG worked out by hand."""

import math

import numpy as np
import pytest

from sensorium.heads import retrieval
from sensorium.heads.retrieval import Ranks, chance, nearest, ranks, retrieval_metrics

ALL = np.ones(4, dtype=np.bool_)
APART = np.stack([np.arange(1, 5), np.arange(1, 5)], axis=1)


def turned(*degrees: float) -> np.ndarray:
    """Unit vectors in the plane."""
    return np.array([[math.cos(math.radians(one)), math.sin(math.radians(one))] for one in degrees])


def test_places_and_gains_by_hand():
    found = ranks(turned(0, 40, 90, 100), turned(0, 10, 80, 170), APART, ALL)
    # 40° is 30° from 10°, and 40° from both 0° and 80°: its own is nearest; 100° is 20° from 80°, 70° from 170°
    assert found.first.tolist() == [1, 1, 1, 2]
    assert found.gain == pytest.approx([1, 1, 1, 1 / math.log2(3)])
    assert found.items == 4


def test_equal_items_are_one_and_all_of_them_are_right():
    identities = np.array([[1, 7], [2, 7], [3, 8], [1, 9]])
    items = turned(0, 0, 50, 90)
    found = ranks(turned(45, 45, 45, 45), items, identities, ALL)
    assert found.items == 3
    # from 45°: item 8 at 5°, items 7 and 9 at 45°; query 1 may find 7 or 9, query 2 only 7, query 3 only 8
    assert found.first[[0, 2, 3]].tolist() == [2, 1, 2]
    best = 1 / math.log2(2) + 1 / math.log2(3)
    assert found.gain[0] == pytest.approx((1 / math.log2(3) + 1 / math.log2(4)) / best)


def test_of_equally_near_items_the_wrong_ones_come_first():
    found = ranks(np.ones((4, 2)), np.ones((4, 2)), APART, ALL)
    assert found.first.tolist() == [4, 4, 4, 4]


def test_rows_that_lack_a_side_neither_seek_nor_are_found():
    real = np.array([True, True, False, True])
    found = ranks(turned(0, 40, 90, 100), turned(0, 10, 80, 170), APART, real)
    assert found.items == 3
    assert np.isnan(found.first[2])
    assert found.first[[0, 1, 3]].tolist() == [1, 1, 1]


def test_metrics_by_hand_over_the_rows_asked_for():
    first = np.array([1.0, 4.0, 10.0, 11.0, math.nan])
    found = {
        "a_to_b": Ranks(first, 1 / np.log2(first + 1), 20),
        "b_to_a": Ranks(np.ones(5), np.ones(5), 20),
    }
    scores = retrieval_metrics(found, np.array([0, 1, 2, 3]))
    assert scores["recall_at_1_a_to_b"] == 0.25
    assert scores["recall_at_5_a_to_b"] == 0.5
    assert scores["recall_at_10_a_to_b"] == 0.75
    assert scores["mrr_a_to_b"] == pytest.approx((1 + 1 / 4 + 1 / 10 + 1 / 11) / 4)
    assert scores["recall_at_10"] == (0.75 + 1) / 2
    assert retrieval_metrics(found, np.array([1, 1, 4]))["recall_at_1_a_to_b"] == 0
    assert math.isnan(retrieval_metrics(found, np.array([4]))["mrr_a_to_b"])


def test_in_blocks_as_at_once(monkeypatch):
    generator = np.random.default_rng(0)
    queries, items = generator.normal(size=(2, 60, 4))
    identities = generator.integers(1, 40, size=(60, 2))
    whole = ranks(queries, items, identities, np.ones(60, dtype=np.bool_))
    monkeypatch.setattr(retrieval, "SCORES_AT_ONCE", 100)
    parts = ranks(queries, items, identities, np.ones(60, dtype=np.bool_))
    np.testing.assert_array_equal(whole.first, parts.first)
    np.testing.assert_array_equal(whole.gain, parts.gain)


def test_places_agree_with_sorting():
    generator = np.random.default_rng(1)
    queries, items = generator.normal(size=(2, 50, 6))
    identities = np.stack([np.arange(1, 51), generator.integers(1, 30, size=50)], axis=1)
    found = ranks(queries, items, identities, np.ones(50, dtype=np.bool_))
    _, firsts = np.unique(identities[:, 1], return_index=True)
    for row in range(50):
        order = identities[firsts, 1][np.argsort(-(items[firsts] @ queries[row]))]
        assert found.first[row] == 1 + order.tolist().index(identities[row, 1])


def test_nearest_are_in_order():
    assert nearest(np.array([[0.1, 0.9, 0.5, 0.7]]), 3).tolist() == [[1, 3, 2]]
    assert nearest(np.array([[0.1, 0.9]]), 3).tolist() == [[1, 0]]


def test_chance_is_what_random_orders_reach():
    identities = np.stack([np.arange(1, 41), np.repeat(np.arange(1, 21), 2)], axis=1)
    real = np.ones(40, dtype=np.bool_)
    generator = np.random.default_rng(0)
    drawn = [
        retrieval_metrics({"x": ranks(generator.normal(size=(40, 8)), one, identities, real)}, np.arange(40))
        for one in np.repeat(generator.normal(size=(300, 20, 8)), 2, axis=1)
    ]
    expected = chance(identities, real)
    assert expected["recall_at_10"] == pytest.approx(0.5)
    for metric, value in expected.items():
        assert np.mean([one[metric] for one in drawn]) == pytest.approx(value, abs=0.02), metric


def test_chance_with_several_right_ones():
    # the one query has two right items of three: the first is right in 2 of 3 orders, else the second is
    identities = np.array([[1, 1], [1, 2], [2, 3]])
    scores = chance(identities[:2], np.ones(2, dtype=np.bool_))
    assert scores["recall_at_1"] == 1
    scores = chance(identities, np.ones(3, dtype=np.bool_))
    assert scores["recall_at_1"] == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)
    two, one = 2 / 3 + 1 / 3 / 2, (1 + 1 / 2 + 1 / 3) / 3
    assert scores["mrr"] == pytest.approx((two + two + one) / 3)
