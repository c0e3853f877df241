"""What an answer scores that looks at no input: the least that a model must beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal

import numpy as np

from sensorium.data.column import Cells
from sensorium.evaluation.metrics import Interval
from sensorium.heads.metrics import categories_metrics, category_metrics, number_metrics
from sensorium.heads.retrieval import chance, joined
from sensorium.heads.text_metrics import counts_of, text_metrics

Verdict = Literal["better", "unclear", "worse", "unknown"]


@dataclass(frozen=True)
class Baseline:
    """The same answer for every row.

    Attributes:
        answer: which, in words that go on after "Always".
        metrics: metric → value on the rows that are scored.
    """

    answer: str
    metrics: dict[str, float]


def verdict(interval: Interval, baseline: float | None, goal: Literal["max", "min"]) -> Verdict:
    """Whether the whole 95 % interval lies on the better or the worse side of the baseline.

    Args:
        interval: of the model.
        baseline: value of the same metric on the same rows, if there is one.
        goal: whether more or less is better.

    Returns:
        "better", "worse", "unclear" where the interval includes the baseline, "unknown" where there is no
        interval or no baseline.
    """
    if baseline is None or not np.isfinite([interval.low, interval.high, baseline]).all():
        return "unknown"
    if interval.low <= baseline <= interval.high:
        return "unclear"
    return "better" if (interval.low > baseline) == (goal == "max") else "worse"


def _class_shares(column: Any, config: Any, target: Cells) -> Baseline:
    # labels are sorted by frequency, so the first is the answer
    counts = np.array(column.counts, dtype=np.float64)
    shares = np.tile(counts / counts.sum(), (len(target.values), 1))
    label = column.labels[0] if len(column.labels[0]) <= 40 else column.labels[0][:39] + "…"
    answer = f"answering “{label}”, the most frequent class of the training rows,"
    return Baseline(answer, category_metrics(shares, target.values[:, 0] - 1))


def _label_shares(column: Any, config: Any, target: Cells) -> Baseline:
    truth = target.values[:, 1:] > 0.5
    shares = np.tile(np.array(column.counts) / max(1, column.rows), (len(truth), 1))
    answer = "giving every label the probability of its share of the training rows"
    return Baseline(answer, categories_metrics(shares, truth, config.threshold))


def _middle(column: Any, config: Any, target: Cells) -> Baseline:
    truth = column.unscale(target.values[:, 0])
    if column.median is not None or config.scale == "robust":
        # the median, as no other number has a smaller mean absolute error
        value = column.centre if column.median is None else column.median
        answer = "the median of the training rows"
    elif config.scale == "standard":
        value = column.centre
        answer = "the mean of the training rows, whose median this older model does not know"
    else:
        # an older model knows neither; this one is harder to beat
        value = float(np.median(truth)) if len(truth) else 0.0
        answer = "the median of these very rows"
    return Baseline(f"answering {value:.4g}, {answer},", number_metrics(np.full(len(truth), value), truth))


def _chance(column: Any, config: Any, target: Cells) -> Baseline:
    apart = {
        f"{config.between[query]}_to_{config.between[item]}": chance(
            target.values[:, [query, item]], target.mask[:, query] & target.mask[:, item]
        )
        for query, item in permutations(range(len(config.between)), 2)
    }
    return Baseline("ordering the items by chance", joined(apart))


def _frequent_text(column: Any, config: Any, target: Cells) -> Baseline:
    truth = [column.text(ids[mask]) for ids, mask in zip(target.values, target.mask, strict=True)]
    if not truth:
        return Baseline("answering nothing", text_metrics(counts_of([], []), np.arange(0)))
    text = Counter(truth).most_common(1)[0][0]
    shown = text if len(text) <= 40 else text[:39] + "…"
    metrics = text_metrics(counts_of([text] * len(truth), truth), np.arange(len(truth)))
    return Baseline(f"answering “{shown}”, the most frequent text of these very rows,", metrics)


BASELINES: dict[str, Callable[[Any, Any, Cells], Baseline]] = {
    "category": _class_shares,
    "categories": _label_shares,
    "number": _middle,
    "similarity": _chance,
    "text": _frequent_text,
}
"""By type of output: fitted target column, the head's configuration, target cells of the rows that count."""
