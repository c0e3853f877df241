"""What trained runs answer on the rows held back, as scores that can be drawn again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sensorium.comparison.paired import Rows
from sensorium.data.column import Array, Cells
from sensorium.data.loader import Rows as TableRows
from sensorium.data.table import Table
from sensorium.heads.head import Head, MetricsOfRows
from sensorium.inference import collect
from sensorium.predict import load
from sensorium.prepare import new_loader
from sensorium.recipe import Recipe


class Answers(NamedTuple):
    """One output of one run on N rows: its head, what it predicted, and the truth."""

    head: Head
    predicted: dict[str, Array]
    target: Cells

    def metrics(self, rows: Rows) -> dict[str, float]:
        """The head's metrics over some of the rows."""
        return self.metrics_of_rows()(rows)

    def metrics_of_rows(self) -> MetricsOfRows:
        """What gives the head's metrics over some of the rows, to be asked for many draws of them."""
        return self.head.metrics_of_rows(self.predicted, self.target)


def answers_of(folder: Path, recipe: Recipe, table: Table, rows: TableRows) -> dict[str, Answers]:
    """Every output of a finished run on rows of a table.

    Args:
        folder: of the run.
        recipe: that was trained in it, which says where decoded media are kept.
        table: the rows.
        rows: `(N,)` positions.
    """
    predictor = load(folder)
    loader = new_loader(recipe, table, predictor.inputs, predictor.targets)
    collected = collect(predictor.model, loader, rows)
    return {
        name: Answers(predictor.model.head(name), collected.predicted[name], collected.targets[name])
        for name in predictor.outputs
    }


def counted(answers: Sequence[Sequence[Answers]]) -> Rows:
    """Positions of the rows that every run scores."""
    masks = [one.head.scored(one.target) for runs in answers for one in runs]
    return np.flatnonzero(np.logical_and.reduce(masks))


def row_scores_of(kind: str, answers: Sequence[Sequence[Answers]], rows: Rows) -> Array | None:
    """`(V, S, n)` scores of some rows; None where the main metric is not their mean.

    Args:
        kind: type of the output, such as "category".
        answers: V times S runs.
        rows: `(n,)` positions of the rows that count.
    """
    if kind not in ROW_SCORES:
        return None
    return np.array([[ROW_SCORES[kind](one)[rows] for one in runs] for runs in answers])


def scorer(answers: Sequence[Sequence[Answers]], rows: Rows) -> Callable[[Rows], Array]:
    """The main metric of V variants with S seeds, as a function of the rows drawn, worked out anew for each.

    Args:
        answers: V times S runs.
        rows: `(n,)` positions of the rows that count.

    Returns:
        A function from positions in `rows`, `(m,)`, to `(V, S)`.
    """
    functions = [[(one.metrics_of_rows(), one.head.metric) for one in runs] for runs in answers]

    def measure(drawn: Rows) -> Array:
        chosen = rows[drawn]
        return np.array([[metrics_of(chosen)[metric] for metrics_of, metric in runs] for runs in functions])

    return measure


def mean_scorer(each: Array) -> Callable[[Rows], Array]:
    """Scores of rows, `(V, S, N)` → a function from positions drawn, `(m,)`, to their means, `(V, S)`."""

    def mean_over(drawn: Rows) -> Array:
        return np.asarray(each @ (np.bincount(drawn, minlength=each.shape[-1]) / len(drawn)))

    return mean_over


def _hits(answers: Answers) -> Array:
    return np.asarray(answers.predicted["codes"] == answers.target.values[:, 0], dtype=np.float64)


def _absolute_errors(answers: Answers) -> Array:
    head: Any = answers.head
    truth = head.column.unscale(answers.target.values[:, 0].astype(np.float64))
    return np.asarray(np.abs(head.answers(answers.predicted)["prediction"] - truth))


ROW_SCORES: Mapping[str, Callable[[Answers], Array]] = {"category": _hits, "number": _absolute_errors}
"""Type of output → the scores of its rows, `(N,)`, where the main metric is their mean: accuracy, absolute
error. Drawing rows again is then one product; other metrics are worked out anew each time."""
