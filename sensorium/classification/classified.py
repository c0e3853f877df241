"""Classes of rows with their scores, and the table that is made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sensorium.data.column import Array
from sensorium.data.table import Table
from sensorium.errors import SensoriumError
from sensorium.predict import Predictor, check_names


@dataclass(frozen=True)
class Classified:
    """What was found for N rows among C classes.

    Attributes:
        labels: of the classes.
        scores: `(N, C)` float32; the cosine, or for a logistic regression the logarithm of the probability.
        probabilities: `(N, C)` float64.
        present: `(N,)` bool, False where the row lacks what is classified: its numbers mean nothing.
    """

    labels: list[str]
    scores: Array
    probabilities: Array
    present: Array


def softmax(scores: Array, temperature: float) -> Array:
    """Probabilities `(N, C)` float64 of scores `(N, C)` divided by a temperature."""
    logits = scores.astype(np.float64) / temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def check_top(top: int) -> None:
    """Raises SensoriumError when not one label a row is asked for."""
    if top < 1:
        raise SensoriumError(f"the labels of a row to write are {top}: ask for 1 at least")


def tabulate(predictor: Predictor, table: Table, classified: Classified, top: int = 3) -> pa.Table:
    """The answers in the order of the rows, under their keys.

    Args:
        predictor: knows the key.
        table: that was classified.
        classified: its rows.
        top: labels of each row, the most probable first; fewer where there are fewer classes.

    Returns:
        The key columns (or `row`); `label`, `score` and `probability`; and as `label_2`, `score_2` and
        `probability_2` and so on those that come next. Null in a row that lacks what is classified.

    Raises:
        SensoriumError: when two of these columns would have the same name.
    """
    check_top(top)
    columns = predictor.keys(table, np.arange(len(table)))
    missing = ~classified.present
    order = np.argsort(-classified.probabilities, axis=1, kind="stable")
    labels = np.array(classified.labels, dtype=object)
    for place in range(min(top, len(labels))):
        chosen = order[:, place]
        rows = np.arange(len(chosen))
        suffix = f"_{place + 1}" if place else ""
        columns += [
            (f"label{suffix}", pa.array(labels[chosen], pa.string(), mask=missing)),
            (f"score{suffix}", pa.array(classified.scores[rows, chosen], mask=missing)),
            (f"probability{suffix}", pa.array(classified.probabilities[rows, chosen], mask=missing)),
        ]
    check_names([name for name, _ in columns])
    return pa.table(dict(columns))
