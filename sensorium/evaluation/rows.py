"""Study: the rows that the model is furthest off on, and those that it is least sure of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sensorium.data.column import Array, Cells
from sensorium.evaluation.previews import Preview, preview
from sensorium.evaluation.study import Study, Subject
from sensorium.evaluation.words import number

MOST_ROWS = 6
"""Of each kind, for every output."""


@dataclass(frozen=True)
class ShownRow:
    """One row.

    Attributes:
        row: its position in the table.
        key: its key in words; "" where the recipe has none.
        truth: the target, in the user's words and units.
        answer: the model's, likewise.
        loss: how far off the model is, in the unit of the output's loss.
        uncertainty: from 0, sure; see `UNCERTAINTIES`. NaN where the output does not tell.
        inputs: input → how its cell is shown; not part of report.json.
    """

    row: int
    key: str
    truth: str
    answer: str
    loss: float
    uncertainty: float
    inputs: dict[str, Preview] = field(repr=False, metadata={"json": False})


@dataclass(frozen=True)
class ShownRows:
    """Of one output.

    Attributes:
        worst: the rows with the highest losses, those first.
        most_uncertain: of the others, those with the highest uncertainty, those first.
        wrong: how many rows of all that are scored got a wrong class; None where an answer is no class.
    """

    worst: list[ShownRow]
    most_uncertain: list[ShownRow]
    wrong: int | None


def measure(subject: Subject) -> dict[str, ShownRows] | None:
    """Output → its rows; None where no row can be scored."""
    found = {}
    for name, target in subject.collected.targets.items():
        head = subject.predictor.model.head(name)
        scored = np.flatnonzero(head.scored(target))
        if len(scored) and not head.couples_rows:  # the retrieval study shows these
            found[name] = _rows_of(subject, name, scored)
    return found or None


def _rows_of(subject: Subject, name: str, scored: Array) -> ShownRows:
    kind = subject.predictor.recipe.outputs[name].type
    losses = subject.collected.losses[name]
    uncertainties = np.full(len(losses), np.nan)
    if kind in UNCERTAINTIES:
        uncertainties = UNCERTAINTIES[kind](subject.collected.predicted[name])
    worst = _highest(losses, scored)
    others = np.setdiff1d(scored, worst)
    unsure = _highest(uncertainties, others[np.isfinite(uncertainties[others])])
    chosen = np.unique(np.concatenate([worst, unsure]))
    shown = dict(zip(chosen.tolist(), _shown(subject, name, chosen, uncertainties), strict=True))
    wrong = None
    if kind == "category":
        collected = subject.collected
        said, truth = collected.predicted[name]["codes"], collected.targets[name].values[:, 0]
        wrong = int((said[scored] != truth[scored]).sum())
    return ShownRows([shown[one] for one in worst.tolist()], [shown[one] for one in unsure.tolist()], wrong)


def _highest(values: Array, among: Array) -> Array:
    """Of these positions, those with the highest values, the highest first."""
    order = np.argsort(-np.nan_to_num(values[among], nan=-np.inf), kind="stable")
    return among[order[:MOST_ROWS]]


def _shown(subject: Subject, name: str, chosen: Array, uncertainties: Array) -> list[ShownRow]:
    """The rows at these positions of `collected`."""
    collected, predictor = subject.collected, subject.predictor
    rows = collected.rows[chosen]
    head = predictor.model.head(name)
    answers = head.answers({key: array[chosen] for key, array in collected.predicted[name].items()})
    truths = _truths(subject, name, chosen)
    decoded = subject.loader.batch(rows).inputs
    return [
        ShownRow(
            row=int(row),
            key=subject.loader.row_key(int(row)),
            truth=truths[place],
            answer=_in_words(answers["prediction"][place]),
            loss=float(collected.losses[name][chosen[place]]),
            uncertainty=float(uncertainties[chosen[place]]),
            inputs={one: preview_of(subject, one, int(row), decoded[one], place) for one in predictor.inputs},
        )
        for place, row in enumerate(rows)
    ]


def preview_of(subject: Subject, name: str, row: int, decoded: Cells, place: int) -> Preview:
    """Shows an input's cell.

    Args:
        subject: whose table and columns it is of.
        name: of the input.
        row: position in the table.
        decoded: the input's cells, among them this one.
        place: of this one among them.
    """
    bound = subject.predictor.inputs[name]
    kind = subject.predictor.recipe.inputs[name].type
    cell = subject.table.cell(bound.source, row) if bound.source in subject.table.names else None
    return preview(kind, cell, decoded.values[place], decoded.mask[place], bound.column)


def _truths(subject: Subject, name: str, chosen: Array) -> list[str]:
    """The targets as they stand in the table."""
    source = subject.predictor.targets[name].source
    cells = (subject.table.cell(source, int(row)) for row in subject.collected.rows[chosen])
    return [_in_words(cell) for cell in cells]


def _in_words(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return number(float(value))
    if isinstance(value, list | np.ndarray):
        return ", ".join(str(one) for one in value) or "none"
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _entropy(predicted: dict[str, Array]) -> Array:
    """Entropy over its logarithm's greatest value: 1 where all classes are equally likely."""
    shares = np.clip(predicted["probabilities"].astype(np.float64), 1e-12, 1)
    return np.asarray(-(shares * np.log(shares)).sum(axis=1) / np.log(max(2, shares.shape[1])))


def _mean_entropy(predicted: dict[str, Array]) -> Array:
    """Mean over the labels of the entropy of yes and no, in bits."""
    shares = np.clip(predicted["probabilities"].astype(np.float64), 1e-12, 1 - 1e-12)
    bits = -(shares * np.log2(shares) + (1 - shares) * np.log2(1 - shares))
    return np.asarray(bits.mean(axis=1))


def _spread(predicted: dict[str, Array]) -> Array:
    """Distance from the lowest to the highest quantile, in scaled units; NaN without quantiles."""
    quantiles = predicted.get("quantiles")
    if quantiles is None:
        return np.full(len(predicted["values"]), np.nan)
    return np.asarray(quantiles[:, -1] - quantiles[:, 0])


UNCERTAINTIES: dict[str, Callable[[dict[str, Array]], Array]] = {
    "category": _entropy,
    "categories": _mean_entropy,
    "number": _spread,
}
"""By type of output: how unsure the model is of each row."""


def view(answer: dict[str, ShownRows]) -> dict[str, Any]:
    """Nothing beside the answer."""
    return {}


def sentences(answer: dict[str, ShownRows]) -> list[str]:
    """None: rows are looked at in the page."""
    return []


ROWS = Study("Rows worth a look", measure, view, sentences)
