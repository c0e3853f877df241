"""The contract of a study: what an evaluation looks into beyond scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sensorium.data.loader import Loader, Rows
from sensorium.data.table import Table
from sensorium.evaluation.inputs import SubsetPredictions
from sensorium.inference import Collected

if TYPE_CHECKING:
    from sensorium.evaluation.output import OutputEvaluation
    from sensorium.predict import Predictor


class Training(NamedTuple):
    """What the model was trained on, where that can still be read.

    Attributes:
        table: the table of the training.
        parts: "train", "validation", "test" → positions in it.
    """

    table: Table
    parts: dict[str, Rows]


@dataclass(frozen=True)
class Subject:
    """What a study has before it: a model, the rows that it was measured on, and what it said of them.

    Attributes:
        predictor: the model.
        table: that was measured.
        loader: over the table, with the targets that it has; gives cells, for what is shown or made worse.
        features: the same, but for frozen encoders, whose features it gives in place of cells. All that
            only asks what the model says reads here.
        collected: the predictions for the rows measured, with nothing hidden.
        outputs: output → its scores.
        by_subset: the predictions with inputs absent.
        training: what the model was trained on; None where that is not known.
        coverage: asked of sets and intervals, between 0 and 1.
        slices: columns and expressions that the user asked to see apart.
    """

    predictor: Predictor
    table: Table
    loader: Loader
    features: Loader
    collected: Collected
    outputs: dict[str, OutputEvaluation]
    by_subset: SubsetPredictions
    training: Training | None
    coverage: float
    slices: Sequence[str]


class Study(NamedTuple):
    """One question, how it is answered, and how the answer is shown.

    Attributes:
        title: of its section.
        measure: gives the answer, made of dataclasses, named tuples and plain types, which report.json
            holds as they are; None where the question does not arise.
        view: answer → what its section of the page needs beside it, such as drawn curves. The section is
            the file sections/NAME.html.jinja, below the title; it sees `study` (the answer), `view` and
            `evaluation`.
        sentences: answer → lines for the terminal.
    """

    title: str
    measure: Callable[[Subject], Any]
    view: Callable[[Any], dict[str, Any]]
    sentences: Callable[[Any], list[str]]
