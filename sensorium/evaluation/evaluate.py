"""What a model is worth on some rows: scores with intervals, beside what needs no model at all."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensorium.calibration import check_share
from sensorium.data.loader import Rows
from sensorium.data.table import Table
from sensorium.errors import TableError
from sensorium.evaluation.inputs import InputSubset, predict_subsets, score_subsets
from sensorium.evaluation.output import OutputEvaluation, score_output
from sensorium.evaluation.studies import STUDIES
from sensorium.evaluation.study import Subject, Training
from sensorium.features import known_features, use_features
from sensorium.inference import collect

if TYPE_CHECKING:
    from sensorium.predict import Predictor

MOST_LINES = 30
"""Unreadable cells that are listed one by one."""


class Unreadable(NamedTuple):
    """Cells that could not be read and counted as missing: how many, and the first in words."""

    total: int
    lines: list[str]


@dataclass(frozen=True)
class Evaluation:
    """A model, measured.

    Attributes:
        model: its name.
        source: the table's name.
        part: "train", "validation" or "test" of the training table, where only that was measured.
        training_table: True where the table is the one that the model was trained on.
        rows: how many were measured.
        inputs: input → rows that have it.
        outputs: output → its scores; without those whose target column the table lacks.
        not_measured: outputs whose target column the table lacks.
        subsets: the main metrics with inputs absent from every row.
        subset_rows: rows behind `subsets`.
        studies: name, as in `STUDIES` → its answer; without those whose question did not arise.
        unreadable: cells that could not be read.
        history: one record an epoch, as in history.jsonl; empty where it is not known.
        manifest: what the run was made of, as in manifest.json; empty where it is not known.
        notes: what else has to be known, in sentences, such as which part is left out and why.
    """

    model: str
    source: str
    part: str | None
    training_table: bool
    rows: int
    inputs: dict[str, int]
    outputs: dict[str, OutputEvaluation]
    not_measured: list[str]
    subsets: list[InputSubset]
    subset_rows: int
    studies: dict[str, Any]
    unreadable: Unreadable
    history: list[dict[str, Any]] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON types; what is not a finite number is null."""
        content: dict[str, Any] = plain(self)
        return content

    def save(self, folder: str | Path) -> Path:
        """Writes report.html and report.json; see `sensorium.evaluation.write_report`.

        Returns:
            The path of report.html.

        Raises:
            SensoriumError: when the folder cannot be written.
        """
        from sensorium.evaluation.report import write_report

        return write_report(self, folder)

    def __str__(self) -> str:
        """A table for the terminal."""
        from sensorium.evaluation.terminal import as_text

        return as_text(self)


def evaluate(
    predictor: Predictor,
    table: Table,
    rows: Rows | None = None,
    part: str | None = None,
    training: Training | None = None,
    studies: Collection[str] = tuple(STUDIES),
    coverage: float = 0.9,
    slices: Sequence[str] = (),
) -> Evaluation:
    """Measures a model on rows of a table.

    Args:
        predictor: the model.
        table: with the target column of one output at least.
        rows: `(N,)` positions; default: all.
        part: what `rows` are of the training table: "train", "validation" or "test".
        training: what the model was trained on, for the studies that need it.
        studies: which of `STUDIES` to make.
        coverage: asked of sets of classes and of intervals, between 0 and 1.
        slices: columns and expressions whose rows are scored apart.

    Raises:
        TableError: when the table has no rows, or none of the targets' columns.
        SensoriumError: when the coverage is no share, or a slice is neither a column nor a condition.
    """
    rows = np.arange(len(table), dtype=np.int64) if rows is None else rows
    _check(predictor, table, rows)
    check_share(coverage)
    subject = _predicted(predictor, table, rows, training, coverage, slices)
    answers = {name: STUDIES[name].measure(subject) for name in STUDIES if name in studies}
    collected, cells = subject.collected, subject.features.quarantine.cells()
    return Evaluation(
        model=predictor.recipe.name,
        source=table.source,
        part=part,
        training_table=part is not None or table.digest() == predictor.about.get("table"),
        rows=len(rows),
        inputs=dict(zip(predictor.inputs, collected.present.sum(axis=0).tolist(), strict=True)),
        outputs=subject.outputs,
        not_measured=[name for name in predictor.outputs if name not in collected.targets],
        subsets=score_subsets(predictor.model, subject.by_subset),
        subset_rows=subject.by_subset.rows,
        studies={name: answer for name, answer in answers.items() if answer is not None},
        unreadable=Unreadable(len(cells), [cell.line() for cell in cells[:MOST_LINES]]),
    )


def _predicted(
    predictor: Predictor,
    table: Table,
    rows: Rows,
    training: Training | None,
    coverage: float,
    slices: Sequence[str],
) -> Subject:
    """Predicts the rows, with all inputs and with some; a frozen encoder sees every distinct cell once."""
    features = predictor.loader(table)
    known = known_features(predictor.recipe)
    use_features(predictor.model, features, rows, say=lambda line: None, known=known)
    collected = collect(predictor.model, features, rows)
    return Subject(
        predictor=predictor,
        table=table,
        loader=predictor.loader(table),
        features=features,
        collected=collected,
        outputs={name: score_output(predictor, features, collected, name) for name in collected.targets},
        by_subset=predict_subsets(predictor.model, features, collected),
        training=training,
        coverage=coverage,
        slices=list(slices),
    )


def _check(predictor: Predictor, table: Table, rows: Rows) -> None:
    if not len(rows):
        raise TableError(f"{table.source}: there is no row to measure the model on")
    wanted = list(dict.fromkeys(one for bound in predictor.targets.values() for one in bound.sources))
    if not any(set(bound.sources) <= set(table.names) for bound in predictor.targets.values()):
        raise TableError(
            f"{table.source}: has none of the target columns ({', '.join(wanted)}), so there is nothing to "
            "compare the predictions with; give a table that has them, or use predict"
        )


def plain(value: Any) -> Any:
    """Dataclasses, named tuples and numpy as JSON types."""
    if is_dataclass(value):
        kept = [one.name for one in fields(value) if one.metadata.get("json", True)]
        return {name: plain(getattr(value, name)) for name in kept}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
