"""Reliability diagrams as SVG, coloured by the page."""

from __future__ import annotations

from sensorium.evaluation.calibration import Reliability
from sensorium.evaluation.plots import _FIRST, _LINE, _PAGE_KEYS, _SECOND, _figure, _inline, _style


def reliability_svg(before: Reliability, after: Reliability | None, prefix: str) -> str:
    """Accuracy by confidence, as an `<svg>` element; on the line, claims are as often right as they say.

    Args:
        before: at temperature 1, in the page's second colour.
        after: at the temperature, in its first colour; None draws `before` alone.
        prefix: of the ids in it, different for each picture of a page.
    """
    figure = _figure(3.6, 3.2)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=_LINE, linewidth=1.2)
    for drawn, colour, dashes in ((before, _SECOND, "--"), (after, _FIRST, "-")):
        if drawn is not None:
            axes.plot(
                [one.confidence for one in drawn.bins], [one.accuracy for one in drawn.bins],
                color=colour, linestyle=dashes, linewidth=0.9, marker="o", markersize=3.5,
            )  # fmt: skip
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="share right")
    _style(axes, _PAGE_KEYS)
    return _inline(figure, prefix)
