"""The paired test, with numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sensorium.comparison.paired import Difference, differences, holm, resampled
from sensorium.comparison.words import verdict


def means_of(scores: Any) -> Callable[[Any], Any]:
    """`(V, S, N)` scores of rows → a function that gives `(V, S)` means over the rows drawn."""
    return lambda rows: np.asarray(scores, dtype=float)[:, :, rows].mean(axis=2)


def test_two_rows_by_hand() -> None:
    """Differences 1 and 0: a resample's mean is 0, 1/2 or 1 with probability 1/4, 1/2 and 1/4."""
    drawn = resampled(means_of([[[0, 1]], [[1, 1]]]), rows=2, resamples=8000)
    assert drawn.shape == (8000, 2)
    shares = [float((drawn[:, 1] - drawn[:, 0] == value).mean()) for value in (0, 0.5, 1)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    reference, found = differences([0.5, 1.0], drawn, reference=0)
    assert reference is None
    assert found is not None
    assert (found.value, found.low, found.high) == (0.5, 0, 1)
    assert found.p == pytest.approx(2 * 0.25, abs=0.04)
    assert not found.excludes_zero


def test_rows_are_drawn_alike_for_all_variants() -> None:
    """A variant that is right wherever another is, and in one row more, is never behind it."""
    rows = np.arange(50) % 2
    drawn = resampled(means_of([[rows], [rows]]), rows=50, resamples=200)
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 1])
    assert drawn[:, 0].std() > 0


def test_seeds_are_drawn_for_each_variant_by_itself() -> None:
    """One row; seeds 0 and 1 against 1/2 twice: the mean of two drawn seeds is 0, 1/2 or 1."""
    drawn = resampled(means_of([[[0], [1]], [[0.5], [0.5]]]), rows=1, resamples=8000)
    shares = [float((drawn[:, 0] == value).mean()) for value in (0, 0.5, 1)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    assert set(drawn[:, 1]) == {0.5}


def test_a_sure_difference_has_the_least_p() -> None:
    drawn = resampled(means_of([[[0, 0, 0]], [[1, 1, 1]]]), rows=3, resamples=999)
    found = differences([0.0, 1.0], drawn, reference=0)[1]
    assert found == Difference(1.0, 1.0, 1.0, p=2 / 1000, corrected_p=2 / 1000)


def test_no_difference_at_all_has_p_one() -> None:
    drawn = np.full((99, 2), 0.7)
    found = differences([0.7, 0.7], drawn, reference=0)[1]
    assert found == Difference(0.0, 0.0, 0.0, p=1.0, corrected_p=1.0)


def test_undefined_resamples_do_not_count() -> None:
    drawn = np.array([[0.0, np.nan], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    found = differences([0.0, 1.0], drawn, reference=0)[1]
    assert found is not None
    assert (found.low, found.high, found.p) == (1.0, 1.0, 2 / 4)
    nothing = differences([0.0, np.nan], np.full((4, 2), np.nan), reference=0)[1]
    assert nothing is not None
    assert nothing.p == 1.0
    assert not nothing.excludes_zero


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("low", "high", "corrected", "goal", "expected"),
    [
        (0.1, 0.3, 0.01, "max", "better"),
        (0.1, 0.3, 0.01, "min", "worse"),
        (-0.3, -0.1, 0.01, "max", "worse"),
        (-0.3, -0.1, 0.01, "min", "better"),
        (0.1, 0.3, 0.2, "max", "uncertain"),
        (-0.1, 0.3, 0.5, "max", "inside"),
    ],
)
def test_the_verdict(low: float, high: float, corrected: float, goal: Any, expected: str) -> None:
    assert verdict(Difference((low + high) / 2, low, high, corrected, corrected), goal) == expected
