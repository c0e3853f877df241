"""Curves and points: a PNG beside the run, and SVG without user text for the report, coloured by its CSS."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sensorium.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 12
"""Of a PNG with learning curves."""

_CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "Arial Unicode MS",
    "Droid Sans Fallback",
)
_LATIN_FONT = "DejaVu Sans"  # comes with matplotlib

# Colours that stand for the page's own; `_inline` puts those in their place.
_TEXT, _LINE, _FIRST, _SECOND = "#010101", "#010102", "#010103", "#010104"
_PAGE_COLOURS = {
    _TEXT: "currentColor",
    _LINE: "var(--line)",
    _FIRST: "var(--first)",
    _SECOND: "var(--second)",
}
_PNG_COLOURS = {_TEXT: "#222222", _LINE: "#d0d0d0", _FIRST: "#1f6fb4", _SECOND: "#c4560a"}


class Curve(NamedTuple):
    """Values by epoch; `name` is "training" or "validation"."""

    name: str
    epochs: list[int]
    values: list[float]


class Panel(NamedTuple):
    """One small plot: "loss" or a metric such as "category.accuracy", and the epoch that was kept."""

    name: str
    curves: list[Curve]
    best: int | None


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


def learning_panels(
    history: Sequence[Mapping[str, Any]], metrics: Iterable[str] | None = None
) -> list[Panel]:
    """Arranges the records of history.jsonl.

    Args:
        history: one record an epoch.
        metrics: which of the validation's metrics to show; default: all.

    Returns:
        The loss, then the metrics that some record has.
    """
    if not history:
        return []
    best = max((record["epoch"] for record in history if record.get("best")), default=None)
    seen = dict.fromkeys(name for record in history for name in record["validation"])
    wanted = list(seen) if metrics is None else [name for name in metrics if name in seen]
    training = _curve("training", [(record["epoch"], record["train_loss"]) for record in history])
    panels = [Panel("loss", [training, *_validation(history, "loss")], best)]
    return panels + [Panel(name, _validation(history, name), best) for name in wanted if name != "loss"]


def draw_learning_curves(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes a PNG with the loss and every metric of the validation by epoch.

    Args:
        history: one record an epoch, as in history.jsonl.
        path: of the PNG.
    """
    panels = learning_panels(history)[:MOST_PANELS]
    columns = min(3, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    figure = _figure(4.0 * columns, 2.8 * rows)
    for position, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, position)
        _draw_panel(axes, panel, _PNG_COLOURS)
        fonts = _fonts()
        title = drawable(panel.name, fonts)
        axes.set_title(title, fontfamily=list(fonts), fontsize=10, parse_math=False)
        if len(panel.curves) > 1:
            axes.legend(fontsize=8, frameon=False)
    if not panels:
        figure.text(0.5, 0.5, "no epoch was finished", ha="center", va="center")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=120, facecolor="white")


def learning_svg(panel: Panel, prefix: str) -> str:
    """One panel as an `<svg>` element; its title and legend belong into the page.

    Args:
        panel: what to draw.
        prefix: of the ids in it, different for each picture of a page.
    """
    figure = _figure(3.6, 2.3)
    _draw_panel(figure.add_subplot(), panel, _PAGE_KEYS)
    return _inline(figure, prefix)


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


def drawable(text: str, fonts: Sequence[str]) -> str:
    """The text with a box in place of what none of the fonts has: matplotlib would warn of each."""
    known = [_characters(font) for font in fonts]
    return "".join(one if any(ord(one) in font for font in known) else "□" for one in text)


def _curve(name: str, pairs: Iterable[tuple[int, float | None]]) -> Curve:
    kept = [(epoch, value) for epoch, value in pairs if value is not None and math.isfinite(value)]
    return Curve(name, [epoch for epoch, _ in kept], [float(value) for _, value in kept])


def _validation(history: Sequence[Mapping[str, Any]], name: str) -> list[Curve]:
    curve = _curve("validation", [(record["epoch"], record["validation"].get(name)) for record in history])
    return [curve] if curve.epochs else []


def _figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches; pyplot's global state is not touched."""
    figures: Any = require("matplotlib.figure", "train")
    figure: Figure = figures.Figure(figsize=(width, height), layout="constrained")
    return figure


def _draw_panel(axes: Axes, panel: Panel, colours: Mapping[str, str]) -> None:
    from matplotlib.ticker import MaxNLocator

    if panel.best is not None:
        axes.axvline(panel.best, color=colours[_TEXT], alpha=0.5, linewidth=1, linestyle="--")
    for curve in panel.curves:
        colour = colours[_FIRST if curve.name == "training" else _SECOND]
        marker = "o" if len(curve.epochs) < 20 else ""
        axes.plot(curve.epochs, curve.values, color=colour, label=curve.name, marker=marker, markersize=3)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("epoch")
    _style(axes, colours)


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


@cache
def _fonts() -> tuple[str, ...]:
    """matplotlib's own font, and after it one with Chinese characters where one is installed."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return (_LATIN_FONT, *[name for name in _CJK_FONTS if name in installed][:1])


@cache
def _characters(font: str) -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties(family=[font]))).get_charmap())
