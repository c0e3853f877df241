"""The paired test, with numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sensorium.comparison.paired import (
    Difference,
    differences,
    holm,
    interval,
    resampled,
    sign_test,
    standard_error,
)
from sensorium.comparison.words import verdict


def means_of(scores: Any) -> Callable[[Any], Any]:
    """`(V, S, N)` scores of rows → a function that gives `(V, S)` means over the rows drawn."""
    return lambda rows: np.asarray(scores, dtype=float)[:, :, rows].mean(axis=2)


def against_the_first(each: Any, resamples: int = 200, seed: int = 0) -> list[Difference]:
    """`(V, S, N)` scores of rows → the differences of all variants from the first."""
    rows = each.shape[-1]
    drawn = resampled(means_of(each), rows, resamples, seed)
    found = differences(each.mean(axis=2), drawn, 0, each.mean(axis=1), rows)
    assert found[0] is None
    return [one for one in found if one is not None]


def test_rows_are_drawn_alike_for_all_runs() -> None:
    """Differences 1 and 0: a resample's mean is 0, 1/2 or 1 with probability 1/4, 1/2 and 1/4."""
    drawn = resampled(means_of([[[0, 1]], [[1, 1]]]), rows=2, resamples=8000)
    assert drawn.shape == (8000, 2, 1)
    shares = [float((drawn[:, 1, 0] - drawn[:, 0, 0] == value).mean()) for value in (0, 0.5, 1)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    rows = np.arange(50) % 2
    drawn = resampled(means_of([[rows, rows]]), rows=50, resamples=200)
    np.testing.assert_array_equal(drawn[:, 0, 0], drawn[:, 0, 1])
    assert drawn.std() > 0


def test_the_error_of_seeds_by_hand() -> None:
    """No spread over rows; seeds 0, 2 and 1, 1: variances 2 and 0, so 2 / 2 in all, with one degree."""
    scores = np.array([[0.0, 2.0], [1.0, 1.0]])
    error = standard_error(scores, np.stack([scores] * 5), (1, -1), rows=10)
    assert tuple(error) == pytest.approx((1, 1))
    assert error.reach == pytest.approx(12.7062, abs=1e-3)  # Student's t with one degree of freedom
    even = np.array([[0.0, 2.0], [0.0, 2.0]])
    assert standard_error(even, np.stack([even] * 5), (1, -1), rows=10).degrees == pytest.approx(2)


def test_the_error_of_rows_by_hand() -> None:
    """What rows do to all seeds alike counts once; what they do to each by itself, in the seeds' spread."""
    scores = np.zeros((1, 2))
    alike = np.array([[[-1.0, -1.0]], [[1.0, 1.0]]])
    assert tuple(standard_error(scores, alike, (1,), rows=10)) == pytest.approx((np.sqrt(2), 9))
    apart = np.array([[[-1.0, 1.0]], [[1.0, -1.0]]])
    assert tuple(standard_error(scores, apart, (1,), rows=10)) == pytest.approx((1, 1))


@pytest.mark.parametrize(("seeds", "most"), [(1, 0.075), (2, 0.04), (3, 0.065), (5, 0.075)])
def test_equal_variants_are_seldom_told_apart(seeds: int, most: float) -> None:
    """Accuracy 0.7, 3 points of spread between seeds, 500 rows that are partly as hard for every model.

    One seed cannot show its spread, so there the models have none.
    """
    generator = np.random.default_rng(3)
    false = []
    for trial in range(300):
        chance = 0.7 + 0.03 * (seeds > 1) * generator.standard_normal((2, seeds, 1))
        alike = generator.random((2, seeds, 500)) < 0.5
        hardness = np.where(alike, generator.random(500), generator.random((2, seeds, 500)))
        false.append(against_the_first((hardness < chance).astype(float), 100, trial)[0].p < 0.05)
    assert np.mean(false) <= most


def test_a_true_difference_is_found() -> None:
    """Ten points between means, 1 point of spread: found with three seeds nearly always."""
    generator = np.random.default_rng(4)
    found = []
    for trial in range(30):
        chance = np.array([0.7, 0.8])[:, None, None] + 0.01 * generator.standard_normal((2, 3, 1))
        right = (generator.random((2, 3, 500)) < chance).astype(float)
        found.append(against_the_first(right, 100, trial)[0].p < 0.05)
    assert np.mean(found) > 0.9


@pytest.mark.parametrize(
    ("ahead", "behind", "p"), [(5, 0, 0.0625), (5, 1, 14 / 64), (3, 3, 1.0), (0, 0, 1.0), (25, 0, 0.0)]
)
def test_the_exact_sign_test(ahead: int, behind: int, p: float) -> None:
    assert sign_test(np.array([1] * ahead + [-0.5] * behind + [0] * 7)) == pytest.approx(p)


def test_few_rows_that_differ_are_not_significant() -> None:
    """Of 20 rows, 5 right for one model alone: McNemar's exact test gives 1/16."""
    each = np.ones((2, 1, 20))
    each[0, 0, :5] = 0
    (found,) = against_the_first(each)
    assert found.p == pytest.approx(0.0625)
    assert verdict(found, "max") == "undecided"


def test_a_sure_difference_of_undefined_spread_has_a_p_above_zero() -> None:
    drawn = np.tile([[[0.0], [1.0]]], (999, 1, 1))
    found = differences(np.array([[0.0], [1.0]]), drawn, 0, None, rows=50)[1]
    assert found == Difference(1.0, 1.0, 1.0, p=2 / 1000, corrected_p=2 / 1000)


def test_no_difference_at_all_has_p_one() -> None:
    (found,) = against_the_first(np.ones((2, 3, 40)))
    assert found == Difference(0.0, 0.0, 0.0, p=1.0, corrected_p=1.0)


def test_undefined_resamples_do_not_count() -> None:
    drawn = np.array([[[0.0], [np.nan]], [[0.0], [1.0]], [[0.0], [3.0]]])
    assert standard_error(np.array([[0.0], [2.0]]), drawn, (1, -1), rows=9).size == pytest.approx(np.sqrt(2))
    nothing = differences(np.array([[0.0], [np.nan]]), np.full((4, 2, 1), np.nan), 0, None, rows=9)[1]
    assert nothing is not None
    assert nothing.p == 1.0
    assert verdict(nothing, "max") == "undecided"


def test_many_comparisons_can_still_be_significant() -> None:
    """60 variants, 30 points above the reference: the smallest p does not end where the resamples do."""
    generator = np.random.default_rng(5)
    chance = np.array([0.5] + [0.8] * 60)[:, None, None]
    found = against_the_first((generator.random((61, 1, 500)) < chance).astype(float), 200)
    assert all(one.corrected_p < 0.001 for one in found)


def test_the_interval_holds_the_spread_of_the_seeds() -> None:
    """All rows right for one seed, four of five for the other: wider than what the rows alone show."""
    each = np.ones((1, 2, 50))
    each[0, 1, ::5] = 0
    drawn = resampled(means_of(each), 50, 200)[:, 0]
    found = interval("accuracy", np.array([1.0, 0.8]), drawn, 50)
    assert found.low == 0.0  # one degree of freedom: 12.7 times 0.1 below 0.9
    assert found.high == 1.0
    alone = interval("accuracy", np.array([0.8]), drawn[:, 1:], 50)
    assert 0.6 < alone.low < 0.75
    assert 0.85 < alone.high < 0.95


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("value", "p", "corrected", "goal", "expected"),
    [
        (0.2, 0.01, 0.01, "max", "better"),
        (0.2, 0.01, 0.01, "min", "worse"),
        (-0.2, 0.01, 0.01, "max", "worse"),
        (-0.2, 0.01, 0.01, "min", "better"),
        (0.2, 0.01, 0.2, "max", "uncertain"),
        (0.2, 0.2, 0.5, "max", "undecided"),
    ],
)
def test_the_verdict(value: float, p: float, corrected: float, goal: Any, expected: str) -> None:
    assert verdict(Difference(value, value - 0.1, value + 0.1, p, corrected), goal) == expected
