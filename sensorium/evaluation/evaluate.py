"""What a model is worth on some rows: scores with intervals, beside what needs no model at all."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from sensorium.calibration import check_share
from sensorium.data.column import Array, Cells
from sensorium.data.loader import Loader, Rows
from sensorium.data.table import Table
from sensorium.errors import TableError
from sensorium.evaluation.baseline import BASELINES, Baseline
from sensorium.evaluation.inputs import InputSubset, predict_subsets, score_subsets
from sensorium.evaluation.metrics import Confusion, Interval, confusion, score
from sensorium.evaluation.studies import STUDIES
from sensorium.evaluation.study import Subject, Training
from sensorium.features import use_features
from sensorium.inference import Collected, collect, sample

if TYPE_CHECKING:
    from sensorium.predict import Predictor

MOST_LABELS = 30
"""Classes of a confusion matrix; the rarest beyond share one row and column."""
MOST_POINTS = 2_000
"""Rows of a true against predicted plot."""
MOST_LINES = 30
"""Unreadable cells that are listed one by one."""


class Points(NamedTuple):
    """True and predicted numbers of some rows, in the table's units; `total` rows were scored."""

    true: list[float]
    predicted: list[float]
    total: int


class Unreadable(NamedTuple):
    """Cells that could not be read and counted as missing: how many, and the first in words."""

    total: int
    lines: list[str]


@dataclass(frozen=True)
class OutputEvaluation:
    """One output, scored.

    Attributes:
        type: of the output, such as "category".
        metric: the main metric, a key of `metrics`.
        goal: whether more or less of the main metric is better.
        metrics: metric → value with its 95 % interval, over the rows that count.
        baseline: what an answer that looks at no input scores on the same rows; None where there is none.
        scored: rows that count.
        without_target: rows whose target is missing or could not be read; they do not count.
        not_learned: rows with a class that training did not have. They do not count where a row has one
            class; where it has several labels, the row counts without that label.
        confusion: of categories, at most `MOST_LABELS` classes and one for the rest.
        points: of numbers.
    """

    type: str
    metric: str
    goal: Literal["max", "min"]
    metrics: dict[str, Interval]
    baseline: Baseline | None
    scored: int
    without_target: int
    not_learned: int
    confusion: Confusion | None
    points: Points | None

    @property
    def main(self) -> Interval:
        """The main metric."""
        return self.metrics[self.metric]


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
    history: list[dict[str, Any]]
    manifest: dict[str, Any]
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
    history: Sequence[Mapping[str, Any]] | None = None,
    manifest: Mapping[str, Any] | None = None,
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
        history: the records of history.jsonl, for the learning curves.
        manifest: the content of manifest.json, for the facts of the training.
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
    features = predictor.loader(table)
    use_features(predictor.model, features, rows, say=lambda line: None)
    collected = collect(predictor.model, features, rows)
    by_subset = predict_subsets(predictor.model, features, collected)
    cells = features.quarantine.cells()
    outputs = {name: _score_output(predictor, features, collected, name) for name in collected.targets}
    subject = Subject(
        predictor,
        table,
        predictor.loader(table),
        features,
        collected,
        outputs,
        by_subset,
        training,
        coverage,
        list(slices),
    )
    answers = {name: STUDIES[name].measure(subject) for name in STUDIES if name in studies}
    return Evaluation(
        model=predictor.recipe.name,
        source=table.source,
        part=part,
        training_table=part is not None or table.digest() == predictor.about.get("table"),
        rows=len(rows),
        inputs=dict(zip(predictor.inputs, collected.present.sum(axis=0).tolist(), strict=True)),
        outputs=outputs,
        not_measured=[name for name in predictor.outputs if name not in collected.targets],
        subsets=score_subsets(predictor.model, by_subset),
        subset_rows=by_subset.rows,
        studies={name: answer for name, answer in answers.items() if answer is not None},
        unreadable=Unreadable(len(cells), [cell.line() for cell in cells[:MOST_LINES]]),
        history=[dict(record) for record in history or []],
        manifest=dict(manifest or {}),
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


def _score_output(predictor: Predictor, loader: Loader, collected: Collected, name: str) -> OutputEvaluation:
    head = predictor.model.head(name)
    column: Any = loader.targets[name].column
    predicted, target = collected.predicted[name], collected.targets[name]
    kind = predictor.recipe.outputs[name].type
    scored = head.scored(target)
    baseline = BASELINES[kind](column, head.config, _take(target, scored)) if kind in BASELINES else None
    return OutputEvaluation(
        type=kind,
        metric=head.metric,
        goal=head.metric_goal,
        metrics=score(head, predicted, target),
        baseline=baseline,
        scored=int(scored.sum()),
        without_target=int((~target.mask.any(axis=1)).sum()),
        not_learned=_not_learned(kind, target),
        confusion=_confusion(column.labels, predicted, target) if kind == "category" else None,
        points=_points(head, column, predicted, target) if kind == "number" else None,
    )


def _not_learned(kind: str, target: Cells) -> int:
    present = target.mask.any(axis=1)
    if kind == "category":
        return int((present & (target.values[:, 0] == 0)).sum())
    if kind == "categories":
        return int((present & (target.values[:, 0] > 0)).sum())
    return 0


def _confusion(labels: list[str], predicted: dict[str, Array], target: Cells) -> Confusion:
    truth = np.where(target.mask[:, 0], target.values[:, 0], 0)
    return confusion(predicted["codes"], truth, labels, MOST_LABELS)


def _points(head: Any, column: Any, predicted: dict[str, Array], target: Cells) -> Points:
    scored = np.flatnonzero(head.scored(target))
    chosen = sample(scored, MOST_POINTS)
    values = {name: array[chosen] for name, array in predicted.items()}
    return Points(
        true=column.unscale(target.values[chosen, 0]).tolist(),
        predicted=np.asarray(head.answers(values)["prediction"]).tolist(),
        total=len(scored),
    )


def _take(target: Cells, rows: Array) -> Cells:
    return Cells(target.values[rows], target.mask[rows])


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
