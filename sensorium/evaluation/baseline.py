"""What an answer scores that looks at no input: the least that a model must beat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sensorium.data.column import Cells
from sensorium.evaluation.metrics import Interval
from sensorium.heads.metrics import categories_metrics, category_metrics, number_metrics

Verdict = Literal["better", "unclear", "worse", "unknown"]


@dataclass(frozen=True)
class Baseline:
    """The same answer for every row.

    Attributes:
        answer: which, in words that go on after "Always".
        metrics: metric → value on the rows that are scored; without metrics that say nothing of it.
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


def _most_frequent_class(column: Any, config: Any, target: Cells) -> Baseline:
    certain = np.zeros((len(target.values), len(column.labels)), dtype=np.float32)
    certain[:, 0] = 1  # labels are sorted by how often training had them
    metrics = category_metrics(certain, target.values[:, 0] - 1)
    del metrics["log_loss"]  # of a certainty that nobody claims
    label = column.labels[0] if len(column.labels[0]) <= 40 else column.labels[0][:39] + "…"
    return Baseline(f"answering “{label}”, the most frequent class of the training rows,", metrics)


def _no_label(column: Any, config: Any, target: Cells) -> Baseline:
    truth = target.values[:, 1:] > 0.5
    metrics = categories_metrics(np.zeros(truth.shape, dtype=np.float32), truth, config.threshold)
    return Baseline("giving no label, with the same probabilities for every row,", metrics)


def _middle(column: Any, config: Any, target: Cells) -> Baseline:
    truth = column.unscale(target.values[:, 0])
    names = {"standard": "mean", "robust": "median"}
    if config.scale in names:
        answer, value = f"the {names[config.scale]} of the training rows", column.centre
    else:
        # an unscaled column keeps no mean of its training rows; this one is harder to beat
        answer, value = "the mean of these very rows", float(truth.mean()) if len(truth) else 0.0
    return Baseline(
        f"answering {value:.4g}, {answer},", number_metrics(np.full(len(truth), value), truth)
    )


BASELINES: dict[str, Callable[[Any, Any, Cells], Baseline]] = {
    "category": _most_frequent_class,
    "categories": _no_label,
    "number": _middle,
}
"""By type of output: fitted target column, the head's configuration, target cells of the rows that count."""
