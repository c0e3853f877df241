"""A comparison as one HTML page that needs nothing else, as charts, and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from sensorium.comparison.chart import LINE_LEFT, MARGIN, NAMES, Chart, chart_of
from sensorium.comparison.results import Comparison
from sensorium.comparison.words import cells, headings, notes, sentences, summary
from sensorium.errors import SensoriumError
from sensorium.evaluation.report import page_environment
from sensorium.evaluation.words import metric_name
from sensorium.training.run import write_atomically

LONGEST_NAME = 28
"""Characters of a variant's name in a chart; the table has it whole."""
LONGEST_FOLDER = 100
"""Characters of a folder's name."""
_HOME = {"report.css": "sensorium.evaluation"}
"""Files of the page that lie in another folder than this one."""


def write_comparison(comparison: Comparison, folder: str | Path) -> Path:
    """Writes compare.html, which loads nothing from anywhere, compare.json, and an SVG for each output.

    Args:
        comparison: what to write.
        folder: made where it is not there.

    Returns:
        The path of compare.html.

    Raises:
        SensoriumError: when the folder cannot be written.
    """
    folder = Path(folder)
    content = json.dumps(comparison.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    try:
        write_atomically(folder / "compare.json", content + "\n")
        for name in comparison.outputs:
            write_atomically(folder / _chart_name(comparison, name), as_svg(comparison, name))
        write_atomically(folder / "compare.html", as_html(comparison))
    except OSError as error:
        raise SensoriumError(f"{folder}: the comparison cannot be written ({error.strerror})") from None
    return folder / "compare.html"


def question_folder(home: Path, over: Sequence[str]) -> Path:
    """Where the answer to a question belongs, beside the run folders, which several questions share.

    Args:
        home: of the run folders.
        over: the fields that differ.
    """
    return home / re.sub(r"[^\w.+=-]+", "-", "+".join(over)).strip("-.")[:LONGEST_FOLDER]


def as_html(comparison: Comparison) -> str:
    """The page. Whatever comes from the user's data is escaped."""
    page: str = (
        _environment()
        .get_template("compare.html.jinja")
        .render(
            comparison=comparison,
            summary=summary(comparison),
            sentences={name: sentences(comparison, name) for name in comparison.outputs},
            headings=headings(comparison),
            cells=cells,
            charts={name: chart_of(comparison, name) for name in comparison.outputs},
            notes=notes(comparison),
        )
    )
    return page


def as_svg(comparison: Comparison, name: str) -> str:
    """The chart of one output by itself."""
    chart: Chart = chart_of(comparison, name)
    axis = ", ".join(comparison.over)
    svg: str = _environment().get_template("chart.svg.jinja").render(chart=chart, title=name, axis=axis)
    return svg


def _environment() -> Any:
    environment = page_environment(_part)
    environment.filters.update(metric=metric_name, shorten=_shorten)
    environment.globals.update(names=NAMES, left=LINE_LEFT, margin=MARGIN)
    return environment


def _part(name: str) -> str:
    return files(_HOME.get(name, "sensorium.comparison")).joinpath(name).read_text(encoding="utf-8")


def _shorten(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _chart_name(comparison: Comparison, name: str) -> str:
    """compare.svg, or one for each of several outputs."""
    if len(comparison.outputs) == 1:
        return "compare.svg"
    position = list(comparison.outputs).index(name)
    readable = re.sub(r"\W+", "-", name)
    return f"compare-{position}-{readable}.svg"
