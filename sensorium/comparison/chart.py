"""Where everything of a chart stands: means, intervals and seeds by variant, or along a range of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sensorium.comparison.results import Comparison
from sensorium.evaluation.words import number
from sensorium.ticks import ticks_of

WIDTH = 720
"""Of a chart, in its own units; it scales with the page."""
NAMES = 210
"""Room for the names of variants at the left, or for the metric's numbers."""
LINE_LEFT, LINE_HEIGHT = 64, 300
ROW = 30
MARGIN = 24


class Tick(NamedTuple):
    """A number of an axis, and where it stands."""

    at: float
    label: str


class Mark(NamedTuple):
    """One variant: `along` the axis of the variants; the rest along that of the metric.

    `low` and `high` are None where no interval can be given; `seeds` is empty where there is one only.
    """

    name: str
    along: float
    mean: float
    low: float | None
    high: float | None
    seeds: list[float]


@dataclass(frozen=True)
class Chart:
    """A chart of one output.

    Attributes:
        kind: "dots", the metric from left to right and a line for each variant; or "line", the metric
            upwards over a range of numbers.
        width: of the whole.
        height: of the whole.
        ticks: of the metric.
        marks: the variants.
    """

    kind: str
    width: int
    height: int
    ticks: list[Tick]
    marks: list[Mark]


def chart_of(comparison: Comparison, name: str) -> Chart:
    """The chart of one output: a line where the only field takes three numbers or more, else dots."""
    numbers = _numbers(comparison, list(comparison.outputs[name].variants))
    if numbers is None:
        return _dots(comparison, name)
    return _line(comparison, name, numbers)


def _numbers(comparison: Comparison, names: Sequence[str]) -> list[float] | None:
    """The values of the only field where they are numbers."""
    settings = {one.name: list(one.settings.values()) for one in comparison.variants}
    values = [settings[name][0] for name in names]
    plain = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return values if plain and len(comparison.over) == 1 and len(values) > 2 else None


def _dots(comparison: Comparison, name: str) -> Chart:
    variants = len(comparison.outputs[name].variants)
    places = [MARGIN + ROW * (position + 0.5) for position in range(variants)]
    ticks, marks = _marks(comparison, name, places, NAMES, WIDTH - MARGIN)
    return Chart("dots", WIDTH, 2 * MARGIN + ROW * variants, ticks, marks)


def _line(comparison: Comparison, name: str, numbers: Sequence[float]) -> Chart:
    """A range that spans a factor of 20 or more is drawn on a logarithmic axis."""
    spread = np.asarray(numbers, dtype=np.float64)
    if spread.min() > 0 and spread.max() >= 20 * spread.min():
        spread = np.log(spread)
    shares = (spread - spread.min()) / max(float(np.ptp(spread)), 1e-12)
    places = [LINE_LEFT + MARGIN + float(share) * (WIDTH - LINE_LEFT - 3 * MARGIN) for share in shares]
    ticks, marks = _marks(comparison, name, places, LINE_HEIGHT - 2 * MARGIN, MARGIN)
    return Chart("line", WIDTH, LINE_HEIGHT, ticks, marks)


def _marks(
    comparison: Comparison, name: str, places: Sequence[float], start: float, end: float
) -> tuple[list[Tick], list[Mark]]:
    """Ticks and marks, with the metric from `start` to `end`."""
    variants = comparison.outputs[name].variants
    shown = [value for one in variants.values() for value in (*one.seeds, one.score.low, one.score.high)]
    finite = [value for value in shown if math.isfinite(value)]
    steps = ticks_of(min(finite, default=0.0), max(finite, default=1.0))

    def place(value: float) -> float:
        return round(start + (value - steps[0]) / (steps[-1] - steps[0]) * (end - start), 1)

    marks = [
        Mark(
            variant,
            round(along, 1),
            place(one.score.value),
            place(one.score.low) if math.isfinite(one.score.low) else None,
            place(one.score.high) if math.isfinite(one.score.high) else None,
            [place(value) for value in one.seeds] if len(one.seeds) > 1 else [],
        )
        for (variant, one), along in zip(variants.items(), places, strict=True)
        if math.isfinite(one.score.value)
    ]
    return [Tick(place(value), number(value)) for value in steps], marks
