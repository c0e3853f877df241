"""One row explained: a weight for every input and for every part of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch

from sensorium.batch import to_device
from sensorium.data.column import Array, Cells
from sensorium.data.loader import Loader
from sensorium.encoded import Predicted, encode_all, predict_encoded
from sensorium.errors import SensoriumError
from sensorium.explanation.deletion import Deletion, deletion
from sensorium.explanation.methods import METHODS
from sensorium.explanation.parts import Part, Partition, partition
from sensorium.explanation.scores import RowScores
from sensorium.explanation.shapley import MOST_PLAYERS, sampled_shapley, shapley
from sensorium.explanation.target import Target, target_of

if TYPE_CHECKING:
    from sensorium.predict import Predictor

INPUT_ORDERS = 16
"""Orders drawn of the inputs where they are too many for every subset."""


@dataclass(frozen=True)
class InputExplanation:
    """What one input of a row carried.

    Attributes:
        type: of its column.
        present: whether the row has it; if not, nothing of it counts.
        weight: its Shapley value: what it adds to the score, averaged over all orders in which the inputs
            of the row can join. The weights of a row add up to `score - score_of_none`.
        method: how its parts were weighed.
        reason: why it was not the method asked for; "" where it was.
        parts: of the cell, in its order.
        weights: of the parts; what each adds to the score.
        cell: decoded, and what the parts mean in it; not part of the JSON.
    """

    type: str
    present: bool
    weight: float
    method: str
    reason: str
    parts: list[Part]
    weights: list[float]
    cell: Partition = field(repr=False, metadata={"json": False})


@dataclass(frozen=True)
class RowExplanation:
    """What carried the prediction for one row.

    Attributes:
        row: its position in the table.
        key: its key in words; "" where the recipe has none.
        answer: what the model says of the output, in the user's words and units.
        target: what is explained.
        score: of the target.
        score_of_none: the same without any input.
        shown: the probability of the class, or the score where there is no class.
        inputs: input → what it carried, in the order of the recipe.
        deletion: the check.
    """

    row: int
    key: str
    answer: str
    target: Target
    score: float
    score_of_none: float
    shown: float
    inputs: dict[str, InputExplanation]
    deletion: Deletion


def explain_row(
    predictor: Predictor,
    loader: Loader,
    row: int,
    output: str,
    label: str | None,
    method: str,
    features: Loader | None = None,
) -> RowExplanation:
    """Explains one row.

    Args:
        predictor: the model.
        loader: over the table.
        row: position in the table.
        output: that is explained.
        label: a class of it; None for the one that the row most likely has.
        method: a key of `METHODS`.
        features: gives features of frozen encoders in place of cells, where these are known.

    Raises:
        SensoriumError: when the row has no input at all.
    """
    scores, predicted = score_row(predictor, loader, row, output, label, features)
    of_inputs, score, score_of_none = weigh_inputs(scores)
    weights = METHODS[method](scores)
    return RowExplanation(
        row=row,
        key=loader.row_key(row),
        answer=_answer(predictor, output, predicted[output]),
        target=scores.target,
        score=score,
        score_of_none=score_of_none,
        shown=float(scores.target.shown(np.array(score))),
        inputs={
            name: InputExplanation(
                type=predictor.recipe.inputs[name].type,
                present=own.present,
                weight=of_inputs.get(name, 0.0),
                method="occlusion" if name in weights.occluded else method,
                reason=weights.occluded.get(name, ""),
                parts=own.parts,
                weights=weights.values[scores.slices[name]].tolist(),
                cell=own,
            )
            for name, own in scores.partitions.items()
        },
        deletion=deletion(scores, weights.values, seed=row),
    )


def delete_row(
    predictor: Predictor,
    loader: Loader,
    row: int,
    output: str,
    label: str | None,
    method: str,
    features: Loader | None = None,
) -> Deletion:
    """The check of one row's explanation alone; arguments and errors as of `explain_row`."""
    scores, _ = score_row(predictor, loader, row, output, label, features)
    return deletion(scores, METHODS[method](scores).values, seed=row)


def score_row(
    predictor: Predictor,
    loader: Loader,
    row: int,
    output: str,
    label: str | None,
    features: Loader | None = None,
) -> tuple[RowScores, Predicted]:
    """One row, ready to have parts taken away, and what the model says of it; arguments as of `explain_row`.

    Raises:
        SensoriumError: when the row has no input at all.
    """
    model, place = predictor.model, np.array([row])
    decoded = loader.batch(place).inputs
    cells = {name: _cell(predictor, loader, name, row, decoded[name]) for name in predictor.inputs}
    if not any(one.present for one in cells.values()):
        raise SensoriumError(
            f"row {row} has none of the model's inputs ({', '.join(cells)}), so nothing can be explained"
        )
    given = decoded if features is None else features.batch(place).inputs
    whole = encode_all(model, to_device(given, torch.device("cpu")))
    predicted = predict_encoded(model, whole)
    kind = predictor.recipe.outputs[output].type
    target = target_of(model.head(output), kind, output, label, predicted[output])
    return RowScores(model, cells, target, whole), predicted


def weigh_inputs(scores: RowScores) -> tuple[dict[str, float], float, float]:
    """Shapley values of the inputs that a row has, its score, and its score without any.

    Beyond `MOST_PLAYERS` inputs only some orders of joining are tried.
    """
    names = scores.present
    ends = scores.with_inputs(np.array([[True] * len(names), [False] * len(names)]))
    if len(names) > MOST_PLAYERS:
        values = sampled_shapley(scores.with_inputs, len(names), INPUT_ORDERS)
        return dict(zip(names, values.tolist(), strict=True)), float(ends[0]), float(ends[1])
    every = [frozenset(some) for size in range(len(names) + 1) for some in combinations(names, size)]
    worths = scores.with_inputs(np.array([[name in some for name in names] for some in every]))
    values_of = dict(zip(every, worths.tolist(), strict=True))
    return {name: shapley(values_of, name) for name in names}, float(ends[0]), float(ends[1])


def _cell(predictor: Predictor, loader: Loader, name: str, row: int, decoded: Cells) -> Partition:
    bound = predictor.inputs[name]
    cell = loader.table.cell(bound.source, row) if bound.source in loader.table.names else None
    return partition(predictor.recipe.inputs[name].type, bound.column, cell, decoded)


def _answer(predictor: Predictor, output: str, predicted: dict[str, Array]) -> str:
    answer = predictor.model.head(output).answers(predicted)["prediction"][0]
    if isinstance(answer, list | np.ndarray):
        return ", ".join(str(one) for one in answer) or "none"
    return f"{answer:.4g}" if isinstance(answer, float | np.floating) else str(answer)
