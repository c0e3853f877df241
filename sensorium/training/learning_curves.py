"""Learning curves: loss and scores by epoch, drawn as SVG, for a file beside the run and for the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from sensorium.ticks import ticks_of
from sensorium.training.run import write_atomically

MOST_PANELS = 12
"""Of a file."""
WIDTH, HEIGHT = 340, 220
"""Of a panel, in its own units, of which a letter is ten high; it scales with the page."""
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 46, 10, 10, 34, 6
_HEADING = 24
"""Above a panel of a file: its name and what its colours mean."""
_SVG = 'xmlns="http://www.w3.org/2000/svg"'
_MARKED = 20
"""Epochs from which on they are not marked one by one."""


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


class Colours(NamedTuple):
    """Of a drawing, as CSS."""

    text: str
    line: str
    training: str
    validation: str


OF_THE_PAGE = Colours("currentColor", "var(--line)", "var(--first)", "var(--second)")
"""The colours of the report's own style sheet."""
OF_A_FILE = Colours("#222222", "#d0d0d0", "#1f6fb4", "#c4560a")


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


def learning_svg(panel: Panel) -> str:
    """One panel as an `<svg>` element in the page's colours; its title and legend belong into the page."""
    drawn = _draw(panel, OF_THE_PAGE)
    return f'<svg {_SVG} aria-hidden="true" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="10">{drawn}</svg>'


def draw_learning_curves(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes an SVG file with the loss and every metric of the validation by epoch.

    Args:
        history: one record an epoch, as in history.jsonl.
        path: of the file.
    """
    panels = learning_panels(history)[:MOST_PANELS]
    columns = min(3, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    drawn = [_placed(panel, *divmod(position, columns)) for position, panel in enumerate(panels)]
    if not panels:
        drawn = [_text(WIDTH / 2, HEIGHT / 2, "no epoch was finished", OF_A_FILE.text, "middle")]
    width, height = columns * WIDTH, rows * (HEIGHT + _HEADING)
    write_atomically(
        path,
        f'<svg {_SVG} width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="10"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(drawn)}</svg>\n",
    )


def _curve(name: str, pairs: Iterable[tuple[int, float | None]]) -> Curve:
    kept = [(epoch, value) for epoch, value in pairs if value is not None and math.isfinite(value)]
    return Curve(name, [epoch for epoch, _ in kept], [float(value) for _, value in kept])


def _validation(history: Sequence[Mapping[str, Any]], name: str) -> list[Curve]:
    curve = _curve("validation", [(record["epoch"], record["validation"].get(name)) for record in history])
    return [curve] if curve.epochs else []


def _placed(panel: Panel, row: int, column: int) -> str:
    """A panel in its place in a file, with its name and, where there are several curves, a legend."""
    heading = [_text(_LEFT, 18, panel.name, OF_A_FILE.text, size=12)]
    if len(panel.curves) > 1:
        names = [f'<tspan fill="{_colour(one, OF_A_FILE)}" dx="8">{one.name}</tspan>' for one in panel.curves]
        heading.append(f'<text x="{WIDTH - _RIGHT}" y="18" text-anchor="end">{"".join(names)}</text>')
    return (
        f'<g transform="translate({column * WIDTH} {row * (HEIGHT + _HEADING)})">{"".join(heading)}'
        f'<g transform="translate(0 {_HEADING})">{_draw(panel, OF_A_FILE)}</g></g>'
    )


class _Axes(NamedTuple):
    """Where epochs and values stand in a panel.

    Attributes:
        epochs: the first and the last.
        heights: the values that are marked, the lowest and the highest at the ends.
    """

    epochs: tuple[int, int]
    heights: list[float]

    def across(self, epoch: float) -> float:
        """From the left."""
        first, last = self.epochs
        share = (epoch - first) / (last - first) if last > first else 0.5
        return round(_LEFT + _GAP + share * (WIDTH - _LEFT - _RIGHT - 2 * _GAP), 1)

    def down(self, value: float) -> float:
        """From the top."""
        share = (value - self.heights[0]) / (self.heights[-1] - self.heights[0])
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    def marked_epochs(self) -> list[int]:
        """Whole numbers, seven at most."""
        first, last = self.epochs
        return [int(one) for one in ticks_of(first, last) if one.is_integer() and first <= one <= last]


def _draw(panel: Panel, colours: Colours) -> str:
    """Axes, the epoch that was kept, and the curves."""
    epochs = [epoch for curve in panel.curves for epoch in curve.epochs]
    values = [value for curve in panel.curves for value in curve.values]
    heights = ticks_of(min(values, default=0.0), max(values, default=1.0))
    axes = _Axes((min(epochs, default=1), max(epochs, default=1)), heights)
    parts = [_grid(axes, colours)]
    if panel.best is not None:
        kept = axes.across(panel.best)
        dashed = f'stroke="{colours.text}" stroke-dasharray="4 3" opacity="0.5"'
        parts.append(f'<path d="M{kept} {_TOP}V{HEIGHT - _BOTTOM}" {dashed}/>')
    for curve in panel.curves:
        pairs = zip(curve.epochs, curve.values, strict=True)
        points = [(axes.across(epoch), axes.down(value)) for epoch, value in pairs]
        parts.append(_polyline(points, _colour(curve, colours)))
    return "".join(parts)


def _grid(axes: _Axes, colours: Colours) -> str:
    """A line at each marked value, and below the marked epochs."""
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for value in axes.heights:
        down = axes.down(value)
        parts.append(f'<path d="M{_LEFT} {down}H{right}" stroke="{colours.line}" stroke-width="0.5"/>')
        parts.append(_text(_LEFT - 5, down + 3.5, f"{value:g}", colours.text, "end"))
    for epoch in axes.marked_epochs():
        parts.append(_text(axes.across(epoch), bottom + 14, str(epoch), colours.text, "middle"))
    parts.append(_text((_LEFT + right) / 2, HEIGHT - 5, "epoch", colours.text, "middle"))
    return "".join(parts)


def _colour(curve: Curve, colours: Colours) -> str:
    return colours.training if curve.name == "training" else colours.validation


def _polyline(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    marks = [f'<circle cx="{x}" cy="{y}" r="2" fill="{colour}"/>' for x, y in points]
    return line + "".join(marks if len(points) < _MARKED else ())


def _text(x: float, y: float, words: str, colour: str, anchor: str = "start", size: int = 10) -> str:
    shown = escape("".join(one if one.isprintable() else " " for one in words))
    return f'<text x="{x}" y="{y}" fill="{colour}" text-anchor="{anchor}" font-size="{size}">{shown}</text>'
