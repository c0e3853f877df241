"""Whether probabilities and conformal sets hold on rows that the model did not learn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sensorium.data.column import Array, Cells
from sensorium.encoded import Predicted
from sensorium.evaluation.inputs import MOST_ROWS
from sensorium.evaluation.metrics import Interval, wilson
from sensorium.heads.head import Head
from sensorium.heads.metrics import SMALLEST_PROBABILITY
from sensorium.heads.temperature import sigmoid_at, softmax_at
from sensorium.inference import Collected, sample

if TYPE_CHECKING:
    from sensorium.predict import Predictor

BINS = 15
"""Of a reliability diagram, at most."""
ROWS_OF_A_BIN = 10
"""At least, where there are so many: of fewer a share says little."""


class Bin(NamedTuple):
    """A point of a reliability diagram.

    Attributes:
        confidence: the mean probability that was claimed.
        accuracy: the share of claims that were right.
        claims: how many.
    """

    confidence: float
    accuracy: float
    claims: int


class Reliability(NamedTuple):
    """Claimed probabilities beside what was true.

    Attributes:
        error: expected calibration error (Guo et al. 2017, arXiv:1706.04599): the distance between confidence
            and accuracy, mean over the bins by their claims. With few claims it lies above the truth.
        log_loss: in nats, mean over the claims' rows (of several labels: over rows and labels).
        bins: at most 15 of equal mass, rising in confidence.
    """

    error: float
    log_loss: float
    bins: list[Bin]


class SubsetCoverage(NamedTuple):
    """Sets or intervals of the model with some inputs alone.

    Attributes:
        present: inputs left as each row has them; all others are absent from every row.
        coverage: share of rows whose truth was in their set, with Wilson's interval.
        size: mean number of classes in a set, or mean width of an interval in the table's units.
        unlimited: rows whose set held everything, as too few validation rows had their inputs.
        answered: share of rows whose set is one class; None for numbers.
        accuracy: share of those whose class is the true one, with Wilson's interval; None for numbers.
        empty: rows whose set has no class; 0 for numbers.
    """

    present: list[str]
    coverage: Interval
    size: float
    unlimited: int
    answered: float | None
    accuracy: Interval | None
    empty: int


@dataclass(frozen=True)
class OutputCalibration:
    """One output.

    Attributes:
        type: of the output, such as "category".
        temperature: what its logits are divided by; 1 where nothing was learned.
        before: at temperature 1; None where the output has no probabilities, or no row counts.
        after: at the temperature.
        subsets: its sets with inputs absent; empty where the output, or the model, gives none.
    """

    type: str
    temperature: float
    before: Reliability | None
    after: Reliability | None
    subsets: list[SubsetCoverage]


@dataclass(frozen=True)
class CalibrationStudy:
    """Probabilities and sets of a model, checked.

    Attributes:
        calibrated: False for a model trained without validation rows, or by an older version.
        coverage: that was asked of the sets.
        inputs: of the model.
        rows: behind the sets of every subset; fewer where targets are missing.
        outputs: output → what was found; without those that have neither probabilities nor sets.
    """

    calibrated: bool
    coverage: float
    inputs: list[str]
    rows: int
    outputs: dict[str, OutputCalibration]


def study_calibration(
    predictor: Predictor,
    collected: Collected,
    by_subset: Mapping[tuple[str, ...], Predicted],
    coverage: float = 0.9,
) -> CalibrationStudy | None:
    """Measures temperatures on all rows, and sets with every subset of inputs.

    Args:
        predictor: the model.
        collected: the predictions with nothing hidden, and the targets that the table has.
        by_subset: inputs left in → predictions with all others hidden, all inputs first, of those rows that
            `sample` takes of the collected ones, at most `MOST_ROWS`.
        coverage: asked of sets and intervals, between 0 and 1.

    Returns:
        None where no measured output has probabilities or sets.
    """
    chosen = sample(np.arange(len(collected.rows)), MOST_ROWS)
    outputs = {}
    for name, target in collected.targets.items():
        head, kind = predictor.model.head(name), predictor.recipe.outputs[name].type
        after, before = (
            _reliability(kind, head, collected.predicted[name], target, back)
            for back in (1.0, 1 / head.temperature)
        )
        sampled = Cells(target.values[chosen], target.mask[chosen])
        sets = _study_sets(predictor, name, sampled, collected.present[chosen], by_subset, coverage)
        if after is not None or sets:
            outputs[name] = OutputCalibration(kind, head.temperature, before, after, sets)
    if not outputs:
        return None
    calibrated = predictor.calibration is not None
    return CalibrationStudy(calibrated, coverage, list(predictor.inputs), len(chosen), outputs)


class Claims(NamedTuple):
    """Probabilities that were claimed: `confidence (K,)`, `right (K,)` bool; and the log loss of all."""

    confidence: Array
    right: npt.NDArray[np.bool_]
    log_loss: float


def _top_class(probabilities: Array, codes: Array, temperature: float) -> Claims:
    """One claim a row: its most likely class."""
    classes = codes[:, 0] - 1
    scaled = softmax_at(probabilities, temperature)
    chosen = scaled[np.arange(len(classes)), classes]
    return Claims(scaled.max(axis=1), scaled.argmax(axis=1) == classes, _log_loss(chosen))


def _every_label(probabilities: Array, given: Array, temperature: float) -> Claims:
    """One claim a row and label: that the label applies."""
    scaled, truth = sigmoid_at(probabilities, temperature), given[:, 1:] > 0.5
    return Claims(scaled.ravel(), truth.ravel(), _log_loss(np.where(truth, scaled, 1 - scaled)))


CLAIMS: dict[str, Callable[[Array, Array, float], Claims]] = {
    "category": _top_class,
    "categories": _every_label,
}
"""Type of output → (probabilities `(N, C)`, values of the target, a further temperature) → its claims."""


def _log_loss(probabilities_of_the_truth: Array) -> float:
    return float(-np.log(np.clip(probabilities_of_the_truth, SMALLEST_PROBABILITY, 1)).mean())


def _reliability(
    kind: str, head: Head, predicted: dict[str, Array], target: Cells, temperature: float
) -> Reliability | None:
    rows = head.scored(target)
    if kind not in CLAIMS or not rows.any():
        return None
    return reliability(CLAIMS[kind](predicted["probabilities"][rows], target.values[rows], temperature))


def reliability(claims: Claims) -> Reliability:
    """Confidence and accuracy in at most `BINS` bins of equal mass, and what that amounts to."""
    order = np.argsort(claims.confidence, kind="stable")
    parts = np.array_split(order, min(BINS, max(1, len(order) // ROWS_OF_A_BIN)))
    bins = [
        Bin(float(claims.confidence[part].mean()), float(claims.right[part].mean()), len(part))
        for part in parts
    ]
    error = sum(abs(one.confidence - one.accuracy) * one.claims for one in bins) / len(order)
    return Reliability(error, claims.log_loss, bins)


def _study_sets(
    predictor: Predictor,
    name: str,
    target: Cells,
    present: Array,
    by_subset: Mapping[tuple[str, ...], Predicted],
    coverage: float,
) -> list[SubsetCoverage]:
    """The sets of one output with every subset of the inputs."""
    head, calibration = predictor.model.head(name), predictor.calibration
    if calibration is None or name not in calibration.scores:
        return []
    found = []
    for left, predicted in by_subset.items():
        there = present & np.array([one in left for one in calibration.inputs])
        thresholds = calibration.thresholds(name, there, coverage)
        found.append(_sets(list(left), head, predicted[name], target, thresholds))
    return found


def _sets(
    left: list[str], head: Head, predicted: dict[str, Array], target: Cells, thresholds: Array
) -> SubsetCoverage:
    rows = head.scored(target)
    covered = np.asarray(head.nonconformity(predicted, target))[rows] <= thresholds[rows]
    columns = head.sets(predicted, thresholds)
    classes = "set" in columns
    if classes:
        size = np.array([len(one) for one in columns["set"]], dtype=np.float64)[rows]
    else:
        size = (np.asarray(columns["high"]) - np.asarray(columns["low"]))[rows]
    return SubsetCoverage(
        present=left,
        coverage=_share(covered),
        size=float(size.mean()) if rows.any() else math.nan,
        unlimited=int(np.isinf(thresholds[rows]).sum()),
        answered=float((size == 1).mean()) if classes and rows.any() else None,
        accuracy=_share(covered[size == 1]) if classes else None,
        empty=int((size == 0).sum()) if classes else 0,
    )


def _share(right: Array) -> Interval:
    """A share of rows with Wilson's interval."""
    if not len(right):
        return Interval(math.nan, math.nan, math.nan, 0, 0, "none")
    share = float(right.mean())
    return Interval(share, *wilson(share, len(right)), len(right), 0, "wilson")
