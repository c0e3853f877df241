"""Study: how well the classes are told apart, at every threshold and class by class."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sensorium.data.column import Array, Cells
from sensorium.errors import require
from sensorium.evaluation.plots import Line, lines_svg
from sensorium.evaluation.study import Study, Subject
from sensorium.evaluation.words import metric_name, number
from sensorium.heads.metrics import area_under_curve, average_precision

MOST_CLASSES = 30
"""Classes that are listed one by one: the most frequent in training."""
MOST_DRAWN = 8
"""Classes that have a curve of their own."""
MOST_POINTS = 200
"""Of each curve."""

Bools = npt.NDArray[np.bool_]


class Curve(NamedTuple):
    """A curve from left to right."""

    x: list[float]
    y: list[float]


class ClassScores(NamedTuple):
    """One class against all others.

    Attributes:
        label: of the class.
        rows: rows that truly are of it.
        precision: of the rows that were given the class, the share that are of it; NaN for none.
        recall: of the rows that are of the class, the share that were given it; NaN for none.
        f1: harmonic mean of both.
        auc: area under the ROC curve; NaN where only one kind of row is there.
        average_precision: NaN where no row is of the class.
        roc: share of the others taken for it → share of its own found; None where it is not drawn.
        precision_recall: recall → precision; None where it is not drawn.
    """

    label: str
    rows: int
    precision: float
    recall: float
    f1: float
    auc: float
    average_precision: float
    roc: Curve | None
    precision_recall: Curve | None


class Curves(NamedTuple):
    """Of one output.

    Attributes:
        pooled: all classes together: every pair of row and class is one case (micro average).
        classes: the most frequent classes, one against all others.
        left_out: classes that are not listed.
    """

    pooled: ClassScores
    classes: list[ClassScores]
    left_out: int


def measure(subject: Subject) -> dict[str, Curves] | None:
    """Output → its curves; None where no output has classes."""
    found = {}
    for name, target in subject.collected.targets.items():
        kind = subject.predictor.recipe.outputs[name].type
        scored = subject.predictor.model.head(name).scored(target)
        if kind in TRUTHS and scored.any():
            labels = list(subject.loader.targets[name].column.labels)  # type: ignore[attr-defined]
            predicted = {key: array[scored] for key, array in subject.collected.predicted[name].items()}
            truth = TRUTHS[kind](Cells(target.values[scored], target.mask[scored]), len(labels))
            given = GIVEN[kind](predicted, subject.predictor.model.head(name))
            found[name] = class_curves(labels, predicted["probabilities"], truth, given)
    return found or None


def class_curves(labels: list[str], probabilities: Array, truth: Bools, given: Bools) -> Curves:
    """Scores and curves of one output.

    Args:
        labels: of the C classes, the most frequent in training first.
        probabilities: `(N, C)`.
        truth: `(N, C)` bool, True where a row is of a class.
        given: `(N, C)` bool, True where the model's answer names the class.
    """
    listed = range(min(len(labels), MOST_CLASSES))
    return Curves(
        pooled=_class_scores("", probabilities.ravel(), truth.ravel(), given.ravel(), drawn=True),
        classes=[
            _class_scores(labels[one], probabilities[:, one], truth[:, one], given[:, one], one < MOST_DRAWN)
            for one in listed
        ],
        left_out=len(labels) - len(listed),
    )


def _class_scores(label: str, scores: Array, truth: Bools, given: Bools, drawn: bool) -> ClassScores:
    hits, true, claimed = int((truth & given).sum()), int(truth.sum()), int(given.sum())
    both = 0 < true < len(truth)
    return ClassScores(
        label=label,
        rows=true,
        precision=hits / claimed if claimed else np.nan,
        recall=hits / true if true else np.nan,
        f1=2 * hits / (true + claimed) if true + claimed else np.nan,
        auc=area_under_curve(scores, truth),
        average_precision=average_precision(scores, truth),
        roc=_roc(scores, truth) if drawn and both else None,
        precision_recall=_precision_recall(scores, truth) if drawn and both else None,
    )


def _roc(scores: Array, truth: Bools) -> Curve:
    false_share, true_share, _ = require("sklearn.metrics", "train").roc_curve(truth, scores)
    return _thinned(false_share, true_share)


def _precision_recall(scores: Array, truth: Bools) -> Curve:
    precision, recall, _ = require("sklearn.metrics", "train").precision_recall_curve(truth, scores)
    return _thinned(recall[::-1], precision[::-1])


def _thinned(x: Array, y: Array) -> Curve:
    """At most `MOST_POINTS` of the points, both ends among them."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).round().astype(int))
    return Curve(x[kept].tolist(), y[kept].tolist())


def _one_class(target: Cells, size: int) -> Bools:
    return np.asarray(target.values[:, :1] - 1 == np.arange(size))


def _labels(target: Cells, size: int) -> Bools:
    return np.asarray(target.values[:, 1:] > 0.5)


TRUTHS = {"category": _one_class, "categories": _labels}
"""Type of output → whether each row is of each class."""

GIVEN: dict[str, Any] = {
    "category": lambda predicted, head: predicted["codes"][:, None] - 1 == np.arange(len(head.labels)),
    "categories": lambda predicted, head: predicted["probabilities"] >= head.config.threshold,
}
"""Type of output → whether the answer names each class."""


def view(answer: dict[str, Curves]) -> dict[str, Any]:
    """Output → its two drawings."""
    return {
        name: {
            "roc": _drawn([one.roc for one in _all(curves)], ("others taken for it", "found"), f"roc{place}"),
            "precision_recall": _drawn(
                [one.precision_recall for one in _all(curves)], ("recall", "precision"), f"recall{place}"
            ),
        }
        for place, (name, curves) in enumerate(answer.items())
    }


def _all(curves: Curves) -> list[ClassScores]:
    """The classes, then all together, so that their curve lies on top."""
    return [*curves.classes, curves.pooled]


def _drawn(curves: list[Curve | None], axes: tuple[str, str], prefix: str) -> str:
    there = [curve for curve in curves if curve is not None]
    lines = [Line(curve.x, curve.y, "faint") for curve in there[:-1]]
    lines += [Line(curve.x, curve.y, "first") for curve in there[-1:]]
    return lines_svg(lines, axes, prefix, heights=(0, 1))


def sentences(answer: dict[str, Curves]) -> list[str]:
    """The hardest class of every output."""
    lines = []
    for name, curves in answer.items():
        seen = [one for one in curves.classes if one.rows]
        if len(seen) > 2:
            hardest = min(seen, key=lambda one: one.f1)
            lines.append(
                f"{name}: the hardest class is “{hardest.label[:40]}” "
                f"({metric_name('f1')} {number(hardest.f1)} on its {hardest.rows} rows)."
            )
    return lines


CURVES = Study("Telling classes apart", measure, view, sentences)
