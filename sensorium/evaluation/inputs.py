"""What is left of a model when inputs are absent."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sensorium.data.column import Array, Cells
from sensorium.data.loader import Loader, Rows, plan_batches
from sensorium.evaluation.metrics import Interval, affordable_resamples, bootstrap
from sensorium.heads.head import Head
from sensorium.inference import Collected, batch_to_device, sample, subsets
from sensorium.model import Model

__all__ = ["InputSubset", "sample", "score_subsets", "subsets"]

MOST_ROWS = 2_000
"""Rows on which subsets of inputs are tried; of more rows, a fixed sample is taken."""
RESAMPLES = 1000
"""Of each bootstrap; with nothing hidden, as for the main scores, so that both show the same interval."""
FEWEST_RESAMPLES = 200
"""Of each bootstrap with inputs hidden, where there is much work."""
WORK = 2_000_000
"""Rows times subsets times resamples; above, fewer are drawn with inputs hidden."""

Predicted = dict[str, dict[str, Array]]


class InputSubset(NamedTuple):
    """The model with some inputs alone.

    Attributes:
        present: inputs left as each row has them; all others are absent from every row.
        scores: output → its main metric.
    """

    present: list[str]
    scores: dict[str, Interval]


def score_subsets(model: Model, loader: Loader, collected: Collected) -> tuple[list[InputSubset], int]:
    """Scores every subset of `subsets` over the same rows.

    Args:
        model: in evaluation mode, on the CPU.
        loader: of the table, with its targets.
        collected: the predictions with nothing hidden.

    Returns:
        The scores, and how many rows stand behind each (fewer count where targets are missing).
    """
    chosen = sample(np.arange(len(collected.rows)), MOST_ROWS)
    tried = subsets(model.inputs)
    predicted: list[Predicted] = [
        {
            name: {key: array[chosen] for key, array in arrays.items()}
            for name, arrays in collected.predicted.items()
        }
    ]
    predicted += _predict(model, loader, collected.rows[chosen], tried[1:])
    targets = {
        name: Cells(cells.values[chosen], cells.mask[chosen]) for name, cells in collected.targets.items()
    }
    fewer = min(RESAMPLES, max(FEWEST_RESAMPLES, WORK // max(1, len(chosen) * len(tried))))
    resamples = [RESAMPLES] + [fewer] * (len(tried) - 1)
    scored = [
        InputSubset(
            present,
            {name: main_metric(model.head(name), own[name], targets[name], draws) for name in targets},
        )
        for present, own, draws in zip(tried, predicted, resamples, strict=True)
    ]
    return scored, len(chosen)


def _predict(model: Model, loader: Loader, rows: Rows, tried: list[list[str]]) -> list[Predicted]:
    """Decodes once, predicts as often as there are subsets; only predictions are kept in memory."""
    device = torch.device("cpu")
    parts: list[list[Predicted]] = [[] for _ in tried]
    for decoded in loader.batches(plan_batches(rows, 64)):
        inputs = batch_to_device(decoded, device).inputs
        for own, present in zip(parts, tried, strict=True):
            hidden = [name for name in model.inputs if name not in present]
            own.append(
                {
                    name: {key: value.numpy() for key, value in arrays.items()}
                    for name, arrays in model.predict(inputs, hidden).items()
                }
            )
    return [
        {
            name: {key: np.concatenate([part[name][key] for part in own]) for key in arrays}
            for name, arrays in own[0].items()
        }
        for own in parts
    ]


def main_metric(head: Head, predicted: dict[str, Array], target: Cells, resamples: int) -> Interval:
    """The main metric of a head over the rows that it scores, with its interval."""

    def main_metric_of(rows: npt.NDArray[np.integer[Any]]) -> dict[str, float]:
        chosen = {key: array[rows] for key, array in predicted.items()}
        return {head.metric: head.metrics(chosen, Cells(target.values[rows], target.mask[rows]))[head.metric]}

    rows = np.flatnonzero(head.scored(target))
    affordable = min(resamples, affordable_resamples(predicted, len(rows)))
    return bootstrap(main_metric_of, rows, resamples=affordable)[head.metric]
