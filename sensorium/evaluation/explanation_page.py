"""Explained rows as one HTML page that needs nothing else, and as JSON."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from sensorium.errors import SensoriumError
from sensorium.evaluation.deletion_check import check_sentence, check_svg
from sensorium.evaluation.explanation_drawings import draw_row
from sensorium.evaluation.report import FILTERS, page_environment
from sensorium.training.run import write_atomically

if TYPE_CHECKING:
    from sensorium.evaluation.explained import Explanation


def write_explanation(explanation: Explanation, path: str | Path) -> Path:
    """Writes the page, and its figures as JSON beside it.

    Args:
        explanation: what to show.
        path: of the page; ends in .html.

    Raises:
        SensoriumError: when the name ends otherwise, or the files cannot be written.
    """
    path = check_page(path)
    content = json.dumps(explanation.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    page = as_html(explanation)
    try:
        write_atomically(path.with_suffix(".json"), content + "\n")
        write_atomically(path, page)
    except OSError as error:
        raise SensoriumError(f"{path}: the explanation cannot be written ({error.strerror})") from None
    return path


def check_page(path: str | Path) -> Path:
    """A name that a page can have.

    Raises:
        SensoriumError: when it does not end in .html.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise SensoriumError(f"{path}: the page's name must end in .html; a .json file is written beside it")
    return path


def as_html(explanation: Explanation) -> str:
    """The page. Whatever comes from the user's data is escaped."""
    environment = page_environment(_part)
    environment.filters.update(FILTERS)
    page: str = environment.get_template("explanation.html.jinja").render(
        explanation=explanation,
        drawn=[draw_row(row) for row in explanation.rows],
        sentence=check_sentence(explanation.check),
        picture=check_svg(explanation.check, "deletion"),
    )
    return page


def _part(name: str) -> str:
    return files("sensorium.evaluation").joinpath(name).read_text(encoding="utf-8")
