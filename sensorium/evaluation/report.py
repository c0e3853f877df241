"""An evaluation as one HTML page that needs nothing else, and as JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensorium.errors import SensoriumError, require
from sensorium.evaluation.metrics import SHARES
from sensorium.evaluation.plots import scatter_svg
from sensorium.evaluation.studies import STUDIES
from sensorium.evaluation.words import (
    count,
    facts,
    interval_notes,
    limits,
    metric_name,
    number,
    sentences,
    subset_name,
    summary,
    value,
)
from sensorium.training.learning_curves import learning_panels, learning_svg
from sensorium.training.run import write_atomically

if TYPE_CHECKING:
    from sensorium.evaluation.evaluate import Evaluation
    from sensorium.evaluation.output import OutputEvaluation


FILTERS: dict[str, Callable[[Any], str]] = {
    "number": number,
    "value": value,
    "limits": limits,
    "metric": metric_name,
    "thousands": lambda size: f"{size:,}",
    "rows": lambda rows: count(rows, "row"),
}
"""What the templates write with."""


def write_report(evaluation: Evaluation, folder: str | Path) -> Path:
    """Writes report.html, which loads nothing from anywhere, and report.json.

    Args:
        evaluation: what to report.
        folder: made where it is not there.

    Returns:
        The path of report.html.

    Raises:
        SensoriumError: when the folder cannot be written.
    """
    folder = Path(folder)
    page = as_html(evaluation)
    content = json.dumps(evaluation.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    try:
        write_atomically(folder / "report.json", content + "\n")
        write_atomically(folder / "report.html", page)
    except OSError as error:
        raise SensoriumError(f"{folder}: the report cannot be written ({error.strerror})") from None
    return folder / "report.html"


def check_folder(folder: str | Path) -> None:
    """Makes the folder of a report, so that what cannot be written is known before anything is measured.

    Raises:
        SensoriumError: when it cannot be made or written.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SensoriumError(f"{folder}: the report cannot be written ({error.strerror})") from None
    if not os.access(folder, os.W_OK):
        raise SensoriumError(f"{folder}: the report cannot be written (Permission denied)")


def as_html(evaluation: Evaluation) -> str:
    """The page. Whatever comes from the user's data is escaped."""
    environment = page_environment(_part)
    environment.filters.update(FILTERS)
    page: str = environment.get_template("report.html.jinja").render(
        evaluation=evaluation,
        summary=summary(evaluation),
        sentences={name: sentences(name, output) for name, output in evaluation.outputs.items()},
        interval_notes=interval_notes(evaluation),
        heat={name: _shares(output) for name, output in evaluation.outputs.items()},
        subset_names=[subset_name(subset.present, list(evaluation.inputs)) for subset in evaluation.subsets],
        bars={name: _bars(evaluation, name) for subset in evaluation.subsets[:1] for name in subset.scores},
        scatters={
            name: _scatter(output, position)
            for position, (name, output) in enumerate(evaluation.outputs.items())
        },
        sections=[name for name in STUDIES if name in evaluation.studies],
        titles={name: study.title for name, study in STUDIES.items()},
        views={name: STUDIES[name].view(answer) for name, answer in evaluation.studies.items()},
        curves=_curves(evaluation),
        facts=facts(evaluation),
        duplicates=evaluation.manifest.get("duplicates"),
    )
    return page


def page_environment(part: Callable[[str], str]) -> Any:
    """Jinja as every page uses it: all that comes from the user is escaped, an unknown name is an error.

    Args:
        part: name of a template or style → its text.
    """
    jinja = require("jinja2", "train")
    return jinja.Environment(
        loader=jinja.FunctionLoader(part),
        autoescape=True,
        undefined=jinja.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _part(name: str) -> str:
    """A file of the page, which lies beside this one."""
    return files("sensorium.evaluation").joinpath(name).read_text(encoding="utf-8")


def _shares(output: OutputEvaluation) -> list[list[tuple[int, float]]]:
    """Every count of the confusion matrix with its share of the true class."""
    if output.confusion is None:
        return []
    return [
        [(int(count), float(count) / max(1, int(row.sum()))) for count in row]
        for row in output.confusion.counts
    ]


def _bars(evaluation: Evaluation, name: str) -> list[dict[str, Any]]:
    """Where bar and whisker of every subset begin and end, in percent of the widest."""
    intervals = [subset.scores[name] for subset in evaluation.subsets]
    output = evaluation.outputs[name]
    ends = [end for one in intervals for end in (one.value, one.high) if math.isfinite(end)]
    top = 1.0 if output.metric in SHARES else max([*ends, 1e-12])
    baseline = output.baseline.metrics.get(output.metric, math.nan) if output.baseline else math.nan

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, value / top)), 2) if math.isfinite(value) else 0.0

    return [
        {
            "value": place(one.value),
            "low": place(one.low),
            "width": round(place(one.high) - place(one.low), 2),
            "baseline": place(baseline) if math.isfinite(baseline) and baseline <= top else None,
        }
        for one in intervals
    ]


def _scatter(output: OutputEvaluation, position: int) -> Any:
    if output.points is None or not output.points.true:
        return None
    return _safe(scatter_svg(output.points.true, output.points.predicted, f"scatter{position}"))


def _curves(evaluation: Evaluation) -> list[dict[str, Any]]:
    main = [f"{name}.{output.metric}" for name, output in evaluation.outputs.items()]
    return [
        {"panel": panel, "svg": _safe(learning_svg(panel))}
        for panel in learning_panels(evaluation.history, main)
    ]


def _safe(svg: str) -> Any:
    """Marks what was drawn, which holds numbers and no text of the user, as not to be escaped."""
    return require("markupsafe", "train").Markup(svg)
