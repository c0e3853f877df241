"""How often the class is right, beside the answer that looks at no row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensorium.classification.classified import Classified
from sensorium.data.column import Array
from sensorium.errors import SensoriumError
from sensorium.evaluation.baseline import Verdict, verdict
from sensorium.evaluation.metrics import Interval, bootstrap
from sensorium.evaluation.words import count, limits, number, value
from sensorium.heads.metrics import category_metrics

SHOWN = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}
"""Metrics that are printed, in words."""
BESIDE: dict[Verdict, str] = {
    "better": ": the whole interval is better",
    "worse": ": the whole interval is worse",
    "unclear": ": the interval includes it",
    "unknown": "",
}
"""What the interval says of the baseline."""


@dataclass(frozen=True)
class Accuracy:
    """Of the rows that have the input and a class that could be found.

    Attributes:
        metrics: as `category_metrics` names them, with 95 % intervals.
        majority: the most frequent class of these very rows.
        share: of that class: what always answering it would reach.
        without_truth: rows with no class.
        other_truth: rows whose class is none of the labels.
        without_input: rows with a class, but nothing to classify.
    """

    metrics: dict[str, Interval]
    majority: str
    share: float
    without_truth: int
    other_truth: int
    without_input: int


def measure(classified: Classified, truth: Sequence[str | None], column: str, seed: int = 0) -> Accuracy:
    """Compares answers with the truth.

    Args:
        classified: N rows.
        truth: N labels; None where it is not known.
        column: that the truth is from, for messages.
        seed: of the resampling.

    Raises:
        SensoriumError: when no row can be scored.
    """
    place = {label: number for number, label in enumerate(classified.labels)}
    classes = np.array([place.get(one, -1) if one is not None else -1 for one in truth], np.int64)
    rows = np.flatnonzero((classes >= 0) & classified.present)
    if not len(rows):
        raise SensoriumError(
            f"no row can be scored: column {column!r} holds none of the labels in a row that has the input; "
            "labels are compared letter by letter"
        )

    def metrics_of(drawn: Array) -> dict[str, float]:
        return category_metrics(classified.probabilities[drawn], classes[drawn])

    counts = np.bincount(classes[rows], minlength=len(classified.labels))
    known = np.array([one is not None for one in truth])
    return Accuracy(
        metrics=bootstrap(metrics_of, rows, seed=seed),
        majority=classified.labels[int(counts.argmax())],
        share=float(counts.max() / len(rows)),
        without_truth=int((~known).sum()),
        other_truth=int((known & (classes < 0)).sum()),
        without_input=int(((classes >= 0) & ~classified.present).sum()),
    )


def sentences(accuracy: Accuracy) -> list[str]:
    """The scores, the baseline and what did not count, in words."""
    main = accuracy.metrics["accuracy"]
    lines = [
        f"{words} {value(accuracy.metrics[name])} (95 % interval {limits(accuracy.metrics[name])})"
        for name, words in SHOWN.items()
    ]
    lines[0] += f" on {count(main.rows, 'row')}"
    said = (
        f"always “{accuracy.majority[:40]}”, the most frequent class of these rows: {number(accuracy.share)}"
    )
    lines.append(said + BESIDE[verdict(main, accuracy.share, "max")])
    left_out = [
        (accuracy.without_truth, "without a truth"),
        (accuracy.other_truth, "of a class that is none of the labels"),
        (accuracy.without_input, "with a truth but nothing to classify"),
    ]
    return lines + [f"not counted: {count(rows, 'row')} {why}" for rows, why in left_out if rows]


def spread_words(draws: Sequence[Accuracy]) -> str:
    """How the accuracy differs with the examples that were drawn, in words."""
    values = [one.metrics["accuracy"].value for one in draws]
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return (
        f"over {count(len(values), 'draw')} of examples: accuracy {number(mean)} on average, "
        f"{number(min(values))} to {number(max(values))}, standard deviation {number(deviation)}"
    )
