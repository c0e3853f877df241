"""Rows of a table explained, with the check of the explanations; as a page and as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensorium.data.loader import Rows
from sensorium.data.table import Table
from sensorium.errors import SensoriumError, TableError, did_you_mean
from sensorium.evaluation.deletion_check import DeletionCheck, check_deletions
from sensorium.evaluation.evaluate import plain
from sensorium.explanation import DEFAULT, METHODS, RowExplanation, choose_target, explain_row

if TYPE_CHECKING:
    from sensorium.predict import Predictor

MOST_ROWS = 200
"""That one page explains."""
FIRST_ROWS = 6
"""Explained where none are asked for."""


@dataclass(frozen=True)
class Explanation:
    """What carried the predictions for some rows.

    Attributes:
        model: its name.
        source: the table.
        output: that is explained.
        method: a key of `sensorium.explanation.METHODS`.
        rows: the rows, in the order asked for.
        check: whether removing what is named hurts more than removing at random, over these rows.
        unreadable: one line for every cell that could not be read and counted as missing.
    """

    model: str
    source: str
    output: str
    method: str
    rows: list[RowExplanation]
    check: DeletionCheck
    unreadable: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Everything but the cells themselves, as JSON types."""
        content: dict[str, Any] = plain(self)
        return content

    def save(self, path: str | Path) -> Path:
        """Writes a page that loads nothing from anywhere, and a JSON file of the same name beside it.

        Args:
            path: ends in .html.

        Returns:
            The path of the page.

        Raises:
            SensoriumError: when the name ends otherwise, or the files cannot be written.
        """
        from sensorium.evaluation.explanation_page import write_explanation

        return write_explanation(self, path)


def explain(
    predictor: Predictor,
    table: Table,
    rows: Sequence[int] | Rows | None = None,
    output: str | None = None,
    label: str | None = None,
    method: str = DEFAULT,
) -> Explanation:
    """Explains rows of a table.

    Args:
        predictor: the model.
        table: that `predictor.open` gave.
        rows: positions; None for the first few.
        output: None for the first that can be explained.
        label: a class of it; None for what the model predicts of each row.
        method: a key of `METHODS`.

    Raises:
        TableError: when there is no such row, or no row at all.
        SensoriumError: when there is no such output, class or method, or a row has no input.
    """
    check_method(method)
    output, label = choose_target(predictor, output, label)
    chosen = check_rows(table, np.arange(min(FIRST_ROWS, len(table))) if rows is None else rows)
    loader = predictor.loader(table)
    explained = [explain_row(predictor, loader, row, output, label, method) for row in chosen]
    return Explanation(
        model=predictor.recipe.name,
        source=table.source,
        output=output,
        method=method,
        rows=explained,
        check=check_deletions([one.deletion for one in explained], explained[0].target.shown_unit),
        unreadable=[cell.line() for cell in loader.quarantine.cells()],
    )


def check_method(method: str) -> None:
    """Refuses a method that there is not.

    Raises:
        SensoriumError: with the nearest.
    """
    if method not in METHODS:
        raise SensoriumError(
            f"method: there is no method {method!r}{did_you_mean(method, list(METHODS))}; "
            f"one of {', '.join(METHODS)}"
        )


def check_rows(table: Table, rows: Sequence[int] | Rows) -> list[int]:
    """Positions in a table, each once.

    Raises:
        TableError: when there is no such row, none at all, or there are more than a page can hold.
    """
    chosen = list(dict.fromkeys(int(row) for row in rows))
    strange = [row for row in chosen if not 0 <= row < len(table)]
    if strange:
        counted = f"has {len(table):,} rows, 0 to {len(table) - 1:,}" if len(table) else "has no row"
        raise TableError(f"rows: there is no row {strange[0]}; {table.source} {counted}")
    if not chosen:
        raise TableError(f"{table.source}: there is no row to explain")
    if len(chosen) > MOST_ROWS:
        raise TableError(f"rows: {len(chosen):,} rows are too many for one page; name {MOST_ROWS} at most")
    return chosen


def rows_of_text(text: str) -> list[int]:
    """ "3,7" and "3-7" as positions.

    Raises:
        TableError: when it is neither.
    """
    rows: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,12})\s*(?:-\s*(\d{1,12})\s*)?", part)
        if found is None:
            raise TableError(f"rows: {part.strip()[:40]!r} is no row; write positions such as 3,7 or 3-7")
        first, last = int(found[1]), int(found[2] or found[1])
        if last - first >= MOST_ROWS:
            raise TableError(f"rows: {part.strip()} are too many for one page; name {MOST_ROWS} at most")
        rows += range(first, last + 1)
    return rows


def rows_of_keys(table: Table, keys: Sequence[str]) -> list[int]:
    """Positions of the rows that have a value such as "id=7" in a column.

    Raises:
        TableError: when there is no such column, with the nearest, or no such row.
    """
    rows: list[int] = []
    for key in keys:
        name, equals, wanted = key.partition("=")
        if not equals:
            raise TableError(f"key: {key[:40]!r} names no value; write a column and a value, such as id=7")
        if name not in table.names:
            raise TableError(f"key: {table.source} has no column {name!r}{did_you_mean(name, table.names)}")
        found = [row for row, cell in enumerate(table.column(name)) if str(cell) == wanted]
        if not found:
            raise TableError(f"key: no row of {table.source} has {name}={wanted[:40]}")
        rows += found
    return rows
