"""How far to trust a score: intervals for every metric of a head, and the confusion of classes."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sensorium.data.column import Array, Cells
from sensorium.heads.head import Head, MetricsOfRows, Rows

WORK = 20_000_000
"""Rows times resamples that a bootstrap may look at: 1,000 resamples up to 20,000 rows, fewer above."""
MOST_RESAMPLES = 1000
FEWEST_RESAMPLES = 100
NUMBERS = 200_000_000
"""Predicted numbers (rows times classes times resamples) that `score` may look at."""

PROPORTIONS = frozenset({"accuracy", "subset_accuracy", "coverage", "exact_match"})
"""Metrics that are the share of rows with some property."""
FOUND = ("recall_at_10", "recall_at_1", "recall_at_5", "mrr", "ndcg_at_10")
"""Metrics of a similarity, over all directions; each also stands for one, as `<metric>_<direction>`."""
SHARES = PROPORTIONS | {"balanced_accuracy", "macro_f1", "micro_f1", "auc", "mean_average_precision", *FOUND}
"""Metrics between 0 and 1."""


class Interval(NamedTuple):
    """A score and how far the choice of rows can move it.

    Attributes:
        value: the metric over all rows.
        low: lower limit; NaN where no interval can be given.
        high: upper limit; NaN where no interval can be given.
        rows: rows that were scored.
        resamples: how many resamples stand behind the limits; 0 for Wilson's.
        method: "bootstrap", "wilson" or, without limits, "none".
    """

    value: float
    low: float
    high: float
    rows: int
    resamples: int
    method: Literal["bootstrap", "wilson", "none"]


def score(head: Head, predicted: dict[str, Array], target: Cells, seed: int = 0) -> dict[str, Interval]:
    """Every metric of a head with its interval, over the rows that the head scores.

    A head that predicts many numbers a row gets fewer resamples: 100 at least.

    Args:
        head: the head that predicted.
        predicted: what `head.predict` gave, joined over batches; arrays of N rows.
        target: the target of the same N rows.
        seed: of the resampling.
    """

    rows = np.flatnonzero(head.scored(target))
    metrics_of = head.metrics_of_rows(predicted, target)
    return bootstrap(metrics_of, rows, affordable_resamples(predicted, len(rows)), seed)


def affordable_resamples(predicted: dict[str, Array], rows: int) -> int:
    """How many resamples of some rows of predictions stay within `NUMBERS`: from 100 to 1,000."""
    width = sum(math.prod(values.shape[1:]) for values in predicted.values())
    return max(FEWEST_RESAMPLES, min(MOST_RESAMPLES, NUMBERS // max(1, rows * width)))


def bootstrap(
    metric_function: MetricsOfRows,
    rows: Rows,
    resamples: int = MOST_RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Intervals of metrics by the percentile bootstrap (Efron 1979) over rows.

    The limits are quantiles of the metric over resamples of the rows, drawn with replacement; resamples in
    which a metric is undefined are left out. Over 20,000 rows fewer resamples are drawn, 100 at least.

    Where every resample gives the same (all rows right), and where a share of rows rests on fewer than five
    rows of one kind, the bootstrap is too narrow: shares then get the interval of Wilson (1927). For a
    proportion that is exact theory; for the other metrics between 0 and 1 (balanced accuracy, F1, AUC,
    average precision) it is an approximation, used only instead of an interval of width zero, and too
    narrow where classes are rare. Anything else of which every resample gives the same, such as a difference
    of two models that score alike on every row, gets no interval: the rows do not show how far it can move.

    Args:
        metric_function: positions of rows, repeated as drawn → metric name → value.
        rows: `(N,)` positions of the rows that are scored.
        resamples: how many to draw.
        seed: the same seed gives the same limits.
        level: of confidence, between 0 and 1.

    Returns:
        metric name → `Interval`. The limits are NaN for an undefined metric, and where Wilson's interval
        does not apply for fewer than two rows and where all resamples agree.
    """
    values = metric_function(rows)
    draws = 0 if len(rows) < 2 else min(resamples, max(FEWEST_RESAMPLES, WORK // len(rows)))
    generator = np.random.default_rng(seed)
    drawn = [metric_function(generator.choice(rows, len(rows))) for _ in range(draws)]
    return {
        name: interval_of(name, value, np.array([one[name] for one in drawn]), len(rows), level)
        for name, value in values.items()
    }


def interval_of(name: str, value: float, drawn: Array, rows: int, level: float) -> Interval:
    """A metric with the limits that its values over resamples give; see `bootstrap`.

    Args:
        name: of the metric.
        value: over all rows.
        drawn: `(R,)` the same over R resamples.
        rows: how many were scored.
        level: of confidence, between 0 and 1.
    """
    drawn = drawn[np.isfinite(drawn)]
    if not math.isfinite(value) or rows == 0:
        return Interval(value, math.nan, math.nan, rows, 0, "none")
    few = min(value, 1 - value) * rows < 5
    stuck = len(drawn) == 0 or bool(drawn.min() == drawn.max())
    if (name in PROPORTIONS and few) or (name.startswith(tuple(SHARES)) and stuck):
        return Interval(value, *wilson(value, rows, level), rows, 0, "wilson")
    if stuck:
        return Interval(value, math.nan, math.nan, rows, 0, "none")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), rows, len(drawn), "bootstrap")


def wilson(share: float, rows: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion that stays inside 0..1 and has a width for 0 and 1 too (Wilson 1927).

    Args:
        share: of the rows, between 0 and 1.
        rows: how many rows, at least 1.
        level: of confidence, between 0 and 1.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    reach = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    # at 0 and 1 the limit is the share itself, but for rounding
    return min(share, max(0.0, centre - reach)), max(share, min(1.0, centre + reach))


class Confusion(NamedTuple):
    """Which class is taken for which.

    Attributes:
        labels: C class names, in the order of rows and columns.
        counts: `(C, C)` int64: rows are the true classes, columns the predicted ones.
    """

    labels: list[str]
    counts: npt.NDArray[np.int64]


def confusion(predicted: Rows, target: Rows, labels: list[str], most: int) -> Confusion:
    """Counts every pair of true and predicted class.

    The classes beyond `most` are joined before they are counted: all pairs of 10,000 would fill the memory.

    Args:
        predicted: `(N,)` codes of the category column, 1..C.
        target: `(N,)` codes of the category column; rows of code 0 (missing or not learned) are left out.
        labels: the C labels of the codes 1..C, the most frequent in training first.
        most: classes kept apart; where two or more are left, they share one row and column.
    """
    others = len(labels) - most
    if others > 1:
        labels = [*labels[:most], f"(other: {others} classes)"]
        predicted, target = np.minimum(predicted, most + 1), np.minimum(target, most + 1)
    size = len(labels)
    known = (target > 0) & (predicted > 0)
    pairs = (target[known] - 1) * size + predicted[known] - 1
    counts = np.bincount(pairs, minlength=size * size).reshape(size, size)
    return Confusion(list(labels), counts.astype(np.int64))
