"""What is left of a model when inputs are absent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sensorium.data.column import Array, Cells
from sensorium.data.loader import Loader, Rows
from sensorium.encoded import Predicted, join_predicted
from sensorium.evaluation.metrics import Interval, affordable_resamples, bootstrap
from sensorium.evaluation.metrics import Rows as DrawnRows
from sensorium.heads.head import Head
from sensorium.inference import Collected, predict_batches, sample, subsets
from sensorium.model import Model

MOST_ROWS = 2_000
"""Rows on which subsets of inputs are tried; of more rows, a fixed sample is taken."""
RESAMPLES = 1000
"""Of each bootstrap; with nothing hidden, as for the main scores, so that both show the same interval."""
FEWEST_RESAMPLES = 200
"""Of each bootstrap with inputs hidden, where there is much work."""
WORK = 2_000_000
"""Rows times subsets times resamples; above, fewer are drawn with inputs hidden."""


class InputSubset(NamedTuple):
    """The model with some inputs alone.

    Attributes:
        present: inputs left as each row has them; all others are absent from every row.
        scores: output → its main metric.
    """

    present: list[str]
    scores: dict[str, Interval]


@dataclass(frozen=True)
class SubsetPredictions:
    """What a model says with inputs absent.

    Attributes:
        rows: N, how many were tried; a fixed sample where there are more than `MOST_ROWS`.
        targets: output → its target, N rows; without similarities, which compare the inputs themselves.
        predicted: inputs left in → predictions of the N rows; all inputs first, as `subsets` orders them.
    """

    rows: int
    targets: dict[str, Cells]
    predicted: dict[tuple[str, ...], Predicted]

    @property
    def resamples(self) -> int:
        """How many to draw of a metric that is taken anew for every subset."""
        return min(RESAMPLES, max(FEWEST_RESAMPLES, WORK // max(1, self.rows * len(self.predicted))))


def predict_subsets(model: Model, loader: Loader, collected: Collected) -> SubsetPredictions:
    """Predicts with every subset of `subsets`, on the same rows.

    Args:
        model: in evaluation mode, on the CPU.
        loader: of the table, with its targets.
        collected: the predictions with nothing hidden.
    """
    chosen = sample(np.arange(len(collected.rows)), MOST_ROWS)
    tried = [tuple(present) for present in subsets(model.inputs)]
    everything = {
        name: {key: array[chosen] for key, array in arrays.items()}
        for name, arrays in collected.predicted.items()
    }
    return SubsetPredictions(
        rows=len(chosen),
        targets={
            name: Cells(cells.values[chosen], cells.mask[chosen])
            for name, cells in collected.targets.items()
            if not model.head(name).couples_rows
        },
        predicted={
            tried[0]: everything,
            **_predict(model, loader, collected.rows[chosen], tried[1:]),
        },
    )


def score_subsets(model: Model, predictions: SubsetPredictions) -> list[InputSubset]:
    """The main metrics of every subset."""
    fewer = predictions.resamples
    return [
        InputSubset(
            list(present),
            {
                name: main_metric(model.head(name), own[name], target, fewer if place else RESAMPLES)
                for name, target in predictions.targets.items()
            },
        )
        for place, (present, own) in enumerate(predictions.predicted.items())
    ]


def main_metric(
    head: Head, predicted: dict[str, Array], target: Cells, resamples: int, among: Array | None = None
) -> Interval:
    """The main metric of a head with its interval.

    Args:
        head: the head that predicted.
        predicted: arrays of N rows.
        target: of the same N rows.
        resamples: of the bootstrap, at most.
        among: `(N,)` bool, the rows to look at; default: all.
    """
    scored = head.scored(target)
    rows = np.flatnonzero(scored if among is None else scored & among)
    affordable = min(resamples, affordable_resamples(predicted, len(rows)))
    value_of = main_values(head, predicted, target)
    drawn = bootstrap(lambda rows: {head.metric: value_of(rows)}, rows, resamples=affordable)
    return drawn[head.metric]


def main_value(head: Head, predicted: dict[str, Array], target: Cells, rows: DrawnRows) -> float:
    """The main metric of a head over some rows, repeated as drawn."""
    return main_values(head, predicted, target)(rows)


def main_values(head: Head, predicted: dict[str, Array], target: Cells) -> Callable[[DrawnRows], float]:
    """What gives the main metric over some rows, to be asked for many draws of them."""
    metrics_of = head.metrics_of_rows(predicted, target)
    return lambda rows: metrics_of(rows)[head.metric]


def _predict(
    model: Model, loader: Loader, rows: Rows, tried: list[tuple[str, ...]]
) -> dict[tuple[str, ...], Predicted]:
    """Decodes and encodes once, fuses as often as there are subsets; only predictions are kept in memory."""
    parts: list[list[Predicted]] = [[] for _ in tried]
    for _, predicted in predict_batches(model, loader, rows, tried):
        for own, one in zip(parts, predicted, strict=True):
            own.append(one)
    return {present: join_predicted(own) for present, own in zip(tried, parts, strict=True)}
