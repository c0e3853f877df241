"""Curves and points: SVG without user text for the report, coloured by its CSS."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sensorium.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that stand for the page's own; `_inline` puts those in their place.
_TEXT, _LINE, _FIRST, _SECOND = "#010101", "#010102", "#010103", "#010104"
_PAGE_COLOURS = {
    _TEXT: "currentColor",
    _LINE: "var(--line)",
    _FIRST: "var(--first)",
    _SECOND: "var(--second)",
}


class Line(NamedTuple):
    """One line of a plot, with a band from `low` to `high` where these are given.

    Attributes:
        across: places from left to right.
        values: heights; what is not finite is a gap.
        style: "first" or "second", the page's own colours; "soft" for a line beside the point; "faint" for
            one of many.
        low: lower edge of the band.
        high: upper edge of the band.
    """

    across: Sequence[float]
    values: Sequence[float]
    style: Literal["first", "second", "soft", "faint"]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def scatter_svg(true: Sequence[float], predicted: Sequence[float], prefix: str) -> str:
    """True against predicted numbers with the line of perfect answers, as an `<svg>` element."""
    figure = _figure(3.6, 3.2)
    axes = figure.add_subplot()
    pairs = [pair for pair in zip(true, predicted, strict=True) if all(map(math.isfinite, pair))]
    ends = [min(map(min, pairs)), max(map(max, pairs))] if pairs else [0.0, 1.0]
    axes.plot(ends, ends, color=_LINE, linewidth=1.2)
    axes.plot(
        [one for one, _ in pairs], [other for _, other in pairs],
        linestyle="", marker="o", markersize=4, alpha=0.7, markeredgewidth=0, color=_FIRST,
    )  # fmt: skip
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    _style(axes, _PAGE_KEYS)
    return _inline(figure, prefix)


def lines_svg(
    lines: Sequence[Line],
    axes: tuple[str, str],
    prefix: str,
    ticks: Mapping[float, str] | None = None,
    heights: tuple[float, float] | None = None,
) -> str:
    """Lines over one axis as an `<svg>` element; which is which is said in the page.

    Args:
        lines: the last one lies on top.
        axes: what runs to the right and what upwards; no text of the user.
        prefix: of the ids in it, different for each picture of a page.
        ticks: place → what stands there; None for the places themselves.
        heights: the lowest and the highest to show, so that pictures can be compared; None for what fits.
    """
    figure = _figure(3.6, 2.4)
    plot = figure.add_subplot()
    for line in lines:
        colour, dash, width, opacity = _STYLES[line.style]
        plot.plot(line.across, line.values, color=colour, linestyle=dash, linewidth=width, alpha=opacity)
        if len(line.low):
            plot.fill_between(line.across, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
    if ticks is not None:
        plot.set_xticks(list(ticks), list(ticks.values()))
    if heights is not None:
        margin = 0.05 * ((heights[1] - heights[0]) or 1.0)
        plot.set_ylim(heights[0] - margin, heights[1] + margin)
    plot.set_xlabel(axes[0])
    plot.set_ylabel(axes[1])
    _style(plot, _PAGE_KEYS)
    return _inline(figure, prefix)


_STYLES = {
    "first": (_FIRST, "-", 1.6, 1.0),
    "second": (_SECOND, "-", 1.4, 1.0),
    "soft": (_TEXT, "--", 1.2, 0.7),
    "faint": (_FIRST, "-", 0.8, 0.4),
}
"""Style of a line → colour, dash, width in points, opacity."""

_PAGE_KEYS = {colour: colour for colour in _PAGE_COLOURS}


def _figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches; pyplot's global state is not touched."""
    figures: Any = require("matplotlib.figure", "train")
    figure: Figure = figures.Figure(figsize=(width, height), layout="constrained")
    return figure


def _style(axes: Axes, colours: Mapping[str, str]) -> None:
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(colours[_LINE])
    axes.grid(color=colours[_LINE], linewidth=0.4)
    axes.tick_params(color=colours[_LINE], labelcolor=colours[_TEXT], labelsize=8)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=colours[_TEXT], fontsize=8)


def _inline(figure: Figure, prefix: str) -> str:
    """An `<svg>` element for a page: scales with it, takes its font and colours, and keeps its ids apart."""
    from matplotlib import rc_context

    content = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # text stays text, and the same picture gives the same ids
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "sensorium"}):
        figure.savefig(content, format="svg", transparent=True, metadata=nothing)
    svg = content.getvalue().decode("utf-8")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>|<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(width|height)="[\d.]+pt"', "", svg)
    svg = re.sub(r"font-family: [^;\"]*;?", "", svg)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    for placeholder, colour in _PAGE_COLOURS.items():
        svg = svg.replace(placeholder, colour)
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
