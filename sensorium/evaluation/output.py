"""One output of a model, scored: its metrics with intervals, and what a picture of them needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from sensorium.data.column import Array, Cells
from sensorium.data.loader import Loader
from sensorium.evaluation.baseline import BASELINES, Baseline
from sensorium.evaluation.metrics import Confusion, Interval, confusion, score
from sensorium.inference import Collected, sample

if TYPE_CHECKING:
    from sensorium.predict import Predictor

MOST_LABELS = 30
"""Classes of a confusion matrix; the rarest beyond share one row and column."""
MOST_POINTS = 2_000
"""Rows of a true against predicted plot."""


class Points(NamedTuple):
    """True and predicted numbers of some rows, in the table's units; `total` rows were scored."""

    true: list[float]
    predicted: list[float]
    total: int


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


def score_output(predictor: Predictor, loader: Loader, collected: Collected, name: str) -> OutputEvaluation:
    """Scores one output.

    Args:
        predictor: the model.
        loader: of the table, with the output's target.
        collected: what the model says of the rows.
        name: of the output.
    """
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
