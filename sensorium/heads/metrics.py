"""Scores of predictions against the truth, in numpy alone.

Every function gets only the rows that count and gives NaN where a score is undefined (no row, one class
only ...) instead of a warning. They are written out rather than taken from scikit-learn because the
bootstrap calls them a thousand times and scikit-learn's checks of its arguments would then take most of
the time; the tests compare each with scikit-learn.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]

MOST_AUC_CLASSES = 1000
"""Classes up to which their areas are computed: beyond, every resample would take minutes."""

SMALLEST_PROBABILITY = 1e-7
"""Log loss is cut here, about the distance from 1 to the next float32: certain and wrong costs 16.1."""


def category_metrics(probabilities: Floats, classes: Integers) -> dict[str, float]:
    """Scores of one class a row.

    Args:
        probabilities: `(N, C)`.
        classes: `(N,)` true classes, 0..C-1.

    Returns:
        accuracy; balanced_accuracy: mean recall of the classes that occur in the truth; macro_f1: mean
        over the classes that occur in the truth or the predictions; auc: area under the ROC curve, one
        class against the rest, mean over the classes that occur in the truth, NaN if only one does, or more
        than `MOST_AUC_CLASSES`;
        log_loss in nats.
    """
    names = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "log_loss")
    if len(classes) == 0 or not np.isfinite(probabilities).all():
        return dict.fromkeys(names, math.nan)
    classes = classes.astype(np.int64)
    predicted = probabilities.argmax(axis=1)
    size = probabilities.shape[1]
    hits = np.bincount(classes[predicted == classes], minlength=size)
    true = np.bincount(classes, minlength=size)
    claimed = np.bincount(predicted, minlength=size)
    return {
        "accuracy": float(hits.sum() / len(classes)),
        "balanced_accuracy": float((hits[true > 0] / true[true > 0]).mean()),
        "macro_f1": float(_f1(hits, true, claimed)[true + claimed > 0].mean()),
        "auc": _mean_auc(probabilities, classes, np.flatnonzero(true)),
        "log_loss": _log_loss(probabilities, classes),
    }


def _f1(hits: Integers, true: Integers, claimed: Integers) -> Floats:
    """F1 of each class: twice the hits over true and claimed together; 0 where there is neither."""
    return np.asarray(2 * hits / np.maximum(true + claimed, 1))


def _log_loss(probabilities: Floats, classes: Integers) -> float:
    chosen = probabilities[np.arange(len(classes)), classes].astype(np.float64)
    return float(-np.log(np.clip(chosen, SMALLEST_PROBABILITY, 1)).mean())


def _mean_auc(probabilities: Floats, classes: Integers, present: Integers) -> float:
    if not 2 <= len(present) <= MOST_AUC_CLASSES:
        return math.nan
    return float(np.mean([area_under_curve(probabilities[:, one], classes == one) for one in present]))


def area_under_curve(scores: Floats, truth: Bools) -> float:
    """Share of pairs (one true, one false) in which the true one scores higher, ties counting half.

    Equal to the area under the ROC curve (Mann and Whitney 1947). NaN without both kinds.

    Args:
        scores: `(N,)`.
        truth: `(N,)` bool.
    """
    # sorted queries, too: the search then walks through memory instead of jumping about
    true, false = np.sort(scores[truth]), np.sort(scores[~truth])
    if len(true) == 0 or len(false) == 0:
        return math.nan
    below = np.searchsorted(false, true, side="left") + np.searchsorted(false, true, side="right")
    return float(below.mean() / (2 * len(false)))


def categories_metrics(probabilities: Floats, truth: Bools, threshold: float) -> dict[str, float]:
    """Scores of many labels a row.

    Args:
        probabilities: `(N, C)`.
        truth: `(N, C)` bool.
        threshold: probability from which a label is given.

    Returns:
        micro_f1 over all labels together; macro_f1: mean over the labels that occur in the truth or the
        predictions; subset_accuracy: share of rows with exactly the right labels; mean_average_precision:
        mean over the labels that occur in the truth.
    """
    names = ("micro_f1", "macro_f1", "subset_accuracy", "mean_average_precision")
    if len(truth) == 0 or not np.isfinite(probabilities).all():
        return dict.fromkeys(names, math.nan)
    given = probabilities >= threshold
    hits, true, claimed = (given & truth).sum(axis=0), truth.sum(axis=0), given.sum(axis=0)
    both = true.sum() + claimed.sum()
    each = _f1(hits, true, claimed)[true + claimed > 0]
    precision = [average_precision(probabilities[:, one], truth[:, one]) for one in np.flatnonzero(true)]
    return {
        "micro_f1": float(2 * hits.sum() / both) if both else math.nan,
        "macro_f1": float(each.mean()) if len(each) else math.nan,
        "subset_accuracy": float((given == truth).all(axis=1).mean()),
        "mean_average_precision": float(np.mean(precision)) if precision else math.nan,
    }


def average_precision(scores: Floats, truth: Bools) -> float:
    """Sum over the thresholds of precision times the rise in recall, without interpolation.

    NaN where nothing is true.

    Args:
        scores: `(N,)`.
        truth: `(N,)` bool.
    """
    if not truth.any():
        return math.nan
    order = np.argsort(-scores, kind="stable")
    # rows that score alike pass a threshold together: only the last of them is a threshold
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(truth[order])[last]
    rise = np.diff(hits, prepend=0) / truth.sum()
    return float((hits / (last + 1) * rise).sum())


def number_metrics(predicted: Floats, truth: Floats) -> dict[str, float]:
    """Scores of one number a row.

    Args:
        predicted: `(N,)` in the user's units.
        truth: `(N,)` in the user's units.

    Returns:
        mae, rmse and median_absolute_error in the user's units, infinite where squares or sums of errors are
        too large for float64; r2: share of the variance explained, NaN for fewer than two rows, a truth that
        never changes, and squares that are too large.
    """
    names = ("mae", "rmse", "median_absolute_error", "r2")
    if len(truth) == 0 or not np.isfinite(predicted).all():
        return dict.fromkeys(names, math.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # the infinite is said as such
        error = np.abs(predicted - truth)
        squares = float(np.square(error).sum())
        spread = float(np.square(truth - truth.mean()).sum())
        changes = bool((truth != truth[0]).any()) and spread > 0
        return {
            "mae": float(error.mean()),
            "rmse": math.sqrt(squares / len(error)),
            "median_absolute_error": float(np.median(error)),
            "r2": 1 - squares / spread if changes and math.isfinite(squares + spread) else math.nan,
        }


def quantile_metrics(quantiles: Floats, truth: Floats, levels: Floats) -> dict[str, float]:
    """Scores of several quantiles a row.

    Args:
        quantiles: `(N, Q)`, rising in each row, in the user's units.
        truth: `(N,)` in the user's units.
        levels: `(Q,)` rising, between 0 and 1.

    Returns:
        pinball: mean over rows and levels, in the user's units; coverage: share of rows from the lowest
        to the highest quantile, to be compared with the distance of their levels (0.8 for 0.1 and 0.9);
        NaN for one quantile.
    """
    if len(truth) == 0 or not np.isfinite(quantiles).all():
        return {"pinball": math.nan, "coverage": math.nan}
    inside = (quantiles[:, 0] <= truth) & (truth <= quantiles[:, -1])
    with np.errstate(over="ignore"):  # as in `number_metrics`
        error = truth[:, None] - quantiles
        pinball = float(np.maximum(levels * error, (levels - 1) * error).mean())
    return {"pinball": pinball, "coverage": float(inside.mean()) if len(levels) > 1 else math.nan}
