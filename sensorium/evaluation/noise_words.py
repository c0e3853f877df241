"""A study of noise in plain sentences, and what its section of the page shows."""

from __future__ import annotations

import math
from typing import Any

from sensorium.evaluation.noise import LEVELS, Curve, Noise, measure
from sensorium.evaluation.plots import Line, lines_svg
from sensorium.evaluation.study import Study
from sensorium.evaluation.words import metric_name, number


def view(answer: Noise) -> dict[str, Any]:
    """The curves, drawn, and whether there are several inputs."""
    heights = {
        name: _heights([one for one in answer.curves if one.output == name]) for name in answer.metrics
    }
    curves = [
        {
            "curve": curve,
            "title": title(curve),
            "worse": levels_in_words(curve.worse_than_absent) or "–",
            "picture": _picture(curve, heights[curve.output], f"noise{place}"),
        }
        for place, curve in enumerate(answer.curves)
    ]
    return {"curves": curves, "several": any(len(curve.sources) > 1 for curve in answer.curves)}


def _heights(curves: list[Curve]) -> tuple[float, float] | None:
    """The lowest and the highest that any of the curves of an output shows."""
    points = [point for curve in curves for point in curve.points]
    shown = [height for one in points for height in (*one.score[:3], one.late_fusion)]
    shown = [height for height in (*shown, *(curve.absent for curve in curves)) if math.isfinite(height)]
    return (min(shown), max(shown)) if shown else None


def _picture(curve: Curve, heights: tuple[float, float] | None, prefix: str) -> str:
    levels = [point.level for point in curve.points]
    scores = [point.score for point in curve.points]
    own = Line(
        levels,
        [one.value for one in scores],
        "first",
        low=[one.low for one in scores],
        high=[one.high for one in scores],
    )
    reference = Line(levels, [point.late_fusion for point in curve.points], "second")
    absent = Line(levels, [curve.absent] * len(levels), "soft")
    return lines_svg([absent, reference, own], (curve.axis, ""), prefix, curve.ticks, heights)


def sentences(answer: Noise) -> list[str]:
    """One line for every curve."""
    return [
        f"{f'{curve.output}, ' if len(answer.metrics) > 1 else ''}{title(curve)}: "
        f"{sentence(curve, answer.metrics[curve.output])}"
        for curve in answer.curves
    ]


def title(curve: Curve) -> str:
    """What gets worse, in words."""
    if len(curve.sources) > 1:
        return "noise on all inputs together"
    return f"{curve.sources[0].corruption} on {curve.sources[0].input}"


def sentence(curve: Curve, metric: str) -> str:
    """How much is kept, and where noise does more harm than absence."""
    said = f"relative robustness of the {metric_name(metric)} {number(curve.relative)}"
    without = "it" if len(curve.sources) == 1 else "them"
    levels = levels_in_words(curve.worse_than_absent) or "at no level"
    return f"{said}; {levels} worse than without {without}."


def levels_in_words(levels: list[float]) -> str:
    """ "from level 0.4 on" where that holds of every level up to the last; else each of them; "" for none."""
    if levels and levels == list(LEVELS[-len(levels) :]):
        return f"from level {levels[0]:g} on"
    listed = ", ".join(f"{level:g}" for level in levels)
    return f"at {'level' if len(levels) == 1 else 'levels'} {listed}" if levels else ""


NOISE = Study("With noise", measure, view, sentences)
