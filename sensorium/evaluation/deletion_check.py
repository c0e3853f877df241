"""Whether explanations name what counts: deletion curves over several rows, and what they say in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sensorium.evaluation.baseline import verdict
from sensorium.evaluation.metrics import Interval, bootstrap
from sensorium.evaluation.plots import Line, lines_svg
from sensorium.evaluation.words import count, limits, number
from sensorium.explanation import Deletion

POINTS = 21
"""Of a mean curve, from nothing taken away to everything."""
FEW_ROWS = 10
"""Below, an interval over rows says little."""


class DeletionCheck(NamedTuple):
    """Deletion curves, averaged over rows; see `sensorium.explanation.Deletion`.

    Attributes:
        rows: how many.
        unit: of the curves.
        shares: of the parts that are gone.
        named: with what the explanation names taken away first.
        random: in random order.
        reversed: with what it names taken away last.
        advantage: the mean area between `random` and `named`; positive where what is named counts more than
            what is drawn at random. Its interval is over rows.
    """

    rows: int
    unit: str
    shares: list[float]
    named: list[float]
    random: list[float]
    reversed: list[float]
    advantage: Interval


def check_deletions(deletions: Sequence[Deletion], unit: str) -> DeletionCheck:
    """The mean of the curves of several rows, which may have different steps.

    Args:
        deletions: of one row each; at least one.
        unit: of the curves.
    """
    shares = np.linspace(0, 1, POINTS)

    def mean(name: str) -> list[float]:
        curves = [np.interp(shares, one.shares, getattr(one, name)) for one in deletions]
        return [float(height) for height in np.mean(curves, axis=0)]

    areas = np.array([one.advantage for one in deletions])
    found = bootstrap(lambda rows: {"advantage": float(areas[rows].mean())}, np.arange(len(areas)))
    return DeletionCheck(
        rows=len(deletions),
        unit=unit,
        shares=shares.tolist(),
        named=mean("named"),
        random=mean("random"),
        reversed=mean("reversed"),
        advantage=found["advantage"],
    )


def check_sentence(check: DeletionCheck) -> str:
    """Whether removing what is named hurts more than removing at random, and by how much."""
    gain = check.advantage
    known = math.isfinite(gain.low)
    said = _SAID[verdict(gain, 0.0, "max") if known else "unknown"]
    what = check.unit if check.unit in ("probability", "cosine") else f"number, in {check.unit},"
    amount = number(abs(gain.value), abs(gain.high) if known else 0.0)
    interval = f"95 % interval of the difference {limits(gain)}, " if known else ""
    few = " With fewer than 10 rows the interval itself is rough." if known and check.rows < FEW_ROWS else ""
    return (
        f"Does removing what is named hurt more than removing at random? {said}: on average over the way "
        f"from the whole row to nothing, the {what} is {amount} {'lower' if gain.value >= 0 else 'higher'} "
        f"({interval}{count(check.rows, 'row')}).{few}"
    )


_SAID = {
    "better": "Yes",
    "worse": "No, it hurts less",
    "unclear": "These rows cannot tell",
    "unknown": "So few rows cannot tell",
}


def check_svg(check: DeletionCheck, prefix: str) -> str:
    """The three curves as an `<svg>` element.

    Args:
        check: what to draw.
        prefix: of the ids in it, different for each picture of a page.
    """
    lines = [
        Line(check.shares, check.reversed, "soft"),
        Line(check.shares, check.random, "second"),
        Line(check.shares, check.named, "first"),
    ]
    return lines_svg(lines, ("share of the parts removed", check.unit), prefix)
