"""Deletion curves over rows, and what they say."""

from __future__ import annotations

import pytest

from sensorium.evaluation.deletion_check import POINTS, check_deletions, check_sentence
from sensorium.explanation import Deletion


def curve(drop: float) -> Deletion:
    """Random order stays at 1 until the end; the named one falls by `drop` in the middle."""
    return Deletion([0.0, 0.5, 1.0], [1.0, 1 - drop, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0])


def test_the_mean_of_curves_with_other_steps():
    other = Deletion([0.0, 1.0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5])
    check = check_deletions([curve(1.0), other], "probability")
    assert len(check.named) == POINTS
    assert (check.named[0], check.named[POINTS // 2]) == (pytest.approx(0.75), pytest.approx(0.25))
    assert check.advantage.value == pytest.approx((0.5 + 0) / 2)  # a triangle of width 1 and height 1


@pytest.mark.parametrize(
    ("drops", "unit", "pieces"),
    [
        ([0.4, 0.5, 0.6] * 4, "probability", ["random? Yes: ", "the probability is 0.250 lower", "12 rows"]),
        ([-0.4, -0.5, -0.6] * 4, "probability", ["random? No, it hurts less: ", "0.250 higher"]),
        ([0.4, -0.4, 0.2, -0.2] * 3, "cosine", ["These rows cannot tell: ", "the cosine is 0.000 "]),
        (
            [0.5],
            "units of the table",
            ["few rows cannot tell", "number, in units of the table, is 0.250"],
        ),
        ([0.4, 0.6], "probability", ["With fewer than 10 rows the interval itself is rough."]),
    ],
)
def test_what_the_curves_say(drops: list[float], unit: str, pieces: list[str]):
    said = check_sentence(check_deletions([curve(drop) for drop in drops], unit))
    for piece in pieces:
        assert piece in said
