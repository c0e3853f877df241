"""Study: the scores of rows that have something in common."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.data.loader import Rows
from sensorium.data.table import Table
from sensorium.evaluation.expression import Condition, mismatches, parse_condition
from sensorium.evaluation.inputs import main_metric
from sensorium.evaluation.metrics import Interval
from sensorium.evaluation.study import Study, Subject
from sensorium.evaluation.words import count, limits, number, value

MOST_GROUPS = 12
"""Groups of a slice; the rarer values share the last."""
MOST_OWN = 4
"""Slices that are made without being asked for."""
FEWEST_MARKED = 5
"""Scored rows of a group that can be better or worse than all: of fewer, an interval is chance."""
RESAMPLES = 500
"""Of each interval."""
HOLDS = "holds"
"""The group of the rows for which a condition is true."""


class Group(NamedTuple):
    """Rows with one thing in common.

    Attributes:
        name: what they have in common, in words.
        rows: how many.
        scores: output → its main metric on these rows, and whether that differs from all rows' by more than
            chance: "better", "worse" or "" (the whole interval on one side of the score of all rows, of
            `FEWEST_MARKED` rows at least).
    """

    name: str
    rows: int
    scores: dict[str, tuple[Interval, str]]


class Slice(NamedTuple):
    """The rows cut into groups by one column or condition.

    Attributes:
        name: the column or condition.
        groups: the largest first.
        note: of a slice that was asked for, how it cuts the rows, in words; else "".
    """

    name: str
    groups: list[Group]
    note: str = ""


def measure(subject: Subject) -> list[Slice] | None:
    """The slices asked for, or else by the columns with few values and by which inputs rows have."""
    rows = subject.collected.rows
    if subject.slices:
        cuts = {text: cut(subject.table, rows, text) for text in subject.slices}
        return [
            Slice(text, _groups(subject, labels), note(subject.table, rows, text, labels))
            for text, labels in cuts.items()
        ]
    own = {name: labels for name, labels in _own_cuts(subject).items() if len(set(labels)) > 1}
    return [Slice(name, _groups(subject, labels)) for name, labels in own.items()] or None


def cut(table: Table, rows: Rows, text: str) -> list[str]:
    """Which group every row is in.

    Args:
        table: the rows' table.
        rows: `(N,)` positions.
        text: a column, cut by its values (numbers with many values by their quarters), or a condition, cut
            into rows for which it holds and those for which it does not.

    Raises:
        SensoriumError: when it is neither.
    """
    if text in table.names:
        return _by_value(_cells(table, rows, text))
    condition = parse_condition(text, table.names)
    return [
        HOLDS if condition.holds(cells) else "does not hold" for cells in _rows_of(table, rows, condition)
    ]


def note(table: Table, rows: Rows, text: str, labels: Sequence[str]) -> str:
    """How a slice that was asked for cuts the rows, in words: never nothing, even where all are in one group.

    Args:
        table: the rows' table.
        rows: `(N,)` positions.
        text: as for `cut`.
        labels: what `cut` gave.
    """
    if text in table.names:
        groups = len(set(labels))
        return f"{groups:,} groups" if groups > 1 else f"all {count(len(labels), 'row')} are in one group"
    held = sum(label == HOLDS for label in labels)
    said = "holds for all" if held == len(labels) else f"holds for {held:,} of"
    said = f"{said} {count(len(labels), 'row')}"
    condition = parse_condition(text, table.names)
    return "; ".join([said, *mismatches(condition, list(_rows_of(table, rows, condition)))])


def _rows_of(table: Table, rows: Rows, condition: Condition) -> Iterator[dict[str, Any]]:
    """Of every row, the cells that the condition looks at."""
    columns = {name: table.column(name) for name in condition.columns}
    return ({name: cells[int(row)] for name, cells in columns.items()} for row in rows)


def _cells(table: Table, rows: Rows, name: str) -> list[Any]:
    column = table.column(name)
    return [column[int(row)] for row in rows]


def _by_value(cells: Sequence[Any]) -> list[str]:
    numbers = [cell for cell in cells if isinstance(cell, int | float) and not isinstance(cell, bool)]
    if len(numbers) == sum(cell is not None for cell in cells) and len(set(numbers)) > MOST_GROUPS:
        return _by_quarter(cells, numbers)
    words = ["missing" if cell is None else _words(cell) for cell in cells]
    counts = Counter(words)
    if len(counts) <= MOST_GROUPS:
        return words
    kept = {word for word, _ in counts.most_common(MOST_GROUPS - 1)}
    return [word if word in kept else f"{len(counts) - len(kept):,} other values" for word in words]


def _by_quarter(cells: Sequence[Any], numbers: Sequence[float]) -> list[str]:
    edges = np.unique(np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1]))
    names = [f"{number(low)} to {number(high)}" for low, high in pairwise(edges)]
    place = np.searchsorted(edges[1:-1], [math.nan if cell is None else cell for cell in cells], side="left")
    return [
        "missing" if cell is None else names[min(int(one), len(names) - 1)]
        for cell, one in zip(cells, place, strict=True)
    ]


def _words(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:.6g}"
    text = f"{len(cell):,} bytes" if isinstance(cell, bytes) else str(cell)
    return text if len(text) <= 60 else text[:59] + "…"


def _own_cuts(subject: Subject) -> dict[str, list[str]]:
    """By columns with few values that are no media, targets or keys, and by what rows lack."""
    table, rows = subject.table, subject.collected.rows
    predictor = subject.predictor
    left_out = {bound.source for bound in predictor.targets.values()} | set(predictor.recipe.data.key)
    left_out |= {bound.source for bound in predictor.inputs.values() if bound.column.media}
    cuts: dict[str, list[str]] = {}
    for name in table.names:
        if name not in left_out and len(cuts) < MOST_OWN:
            cells = _cells(table, rows, name)
            if _has_few_values(cells):
                cuts[name] = _by_value(cells)
    present = subject.collected.present
    if len(predictor.inputs) > 1 and not present.all():
        names = list(predictor.inputs)
        lacking = [[name for name, there in zip(names, row, strict=True) if not there] for row in present]
        cuts["missing inputs"] = _by_value([", ".join(one) if one else "none" for one in lacking])
    return cuts


def _has_few_values(cells: Sequence[Any]) -> bool:
    plain = all(cell is None or isinstance(cell, str | bool | int) for cell in cells)
    return plain and 2 <= len(set(cells)) <= MOST_GROUPS


def _groups(subject: Subject, labels: Sequence[str]) -> list[Group]:
    """The groups, the largest first."""
    counts = Counter(labels)
    cut_by = np.array(labels)
    return [Group(name, rows, _scores(subject, cut_by == name)) for name, rows in counts.most_common()]


def _scores(subject: Subject, chosen: Array) -> dict[str, tuple[Interval, str]]:
    scores = {}
    for name, target in subject.collected.targets.items():
        head = subject.predictor.model.head(name)
        interval = main_metric(head, subject.collected.predicted[name], target, RESAMPLES, chosen)
        differs = _differs(interval, subject.outputs[name].main, head.metric_goal)
        scores[name] = (interval, differs if interval.rows >= FEWEST_MARKED else "")
    return scores


def _differs(own: Interval, whole: Interval, goal: str) -> str:
    if not np.isfinite([own.low, own.high, whole.value]).all() or own.low <= whole.value <= own.high:
        return ""
    return "better" if (own.low > whole.value) == (goal == "max") else "worse"


def view(answer: list[Slice]) -> dict[str, Any]:
    """From how many rows on a group is marked."""
    return {"fewest": FEWEST_MARKED}


def sentences(answer: list[Slice]) -> list[str]:
    """How each slice that was asked for cuts the rows, and the groups that are worse than all rows."""
    lines = []
    for one in answer:
        lines += [f"{one.name}: {one.note}."] if one.note else []
        lines += _worse(one)
    return lines


def _worse(one: Slice) -> list[str]:
    return [
        f"{one.name}: {group.name} ({count(group.rows, 'row')}) is worse for {output}: "
        f"{value(interval)} ({limits(interval)})."
        for group in one.groups
        for output, (interval, differs) in group.scores.items()
        if differs == "worse"
    ]


SLICES = Study("Groups of rows", measure, view, sentences)
