"""Classes shown by a few rows each, on vectors of a model that never saw them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sensorium.classification.classified import Classified, softmax
from sensorium.classification.space import (
    compared_inputs,
    has_vector,
    known_inputs,
    temperature_of,
    unit,
    vectors_of,
)
from sensorium.data.column import Array
from sensorium.data.table import Table
from sensorium.errors import SensoriumError, require
from sensorium.predict import Predictor

INVERSE_PENALTY = 10.0
"""Of the logistic regression. On unit vectors scikit-learn's 1 holds back too much once there are 20 examples
a class: on examples/stamps 0.81 in place of 0.86; 100 gives the same as 10."""
MOST_STEPS = 1000


@dataclass(frozen=True)
class Examples:
    """Rows whose class is known, those that have an input.

    Attributes:
        vectors: `(M, E)` float32 of unit length.
        classes: `(M,)` int64, places in `labels`.
        labels: C, in the order of their letters.
        source: what the table is called.
        inputs: whose vectors these are.
        temperature: what cosines between these vectors are divided by.
    """

    vectors: Array
    classes: Array
    labels: list[str]
    source: str
    inputs: list[str]
    temperature: float


class Answers(NamedTuple):
    """Scores `(N, C)` float32 and probabilities `(N, C)` float64."""

    scores: Array
    probabilities: Array


def read_examples(predictor: Predictor, table: Table, label: str, inputs: Sequence[str] = ()) -> Examples:
    """Rows that show what the classes are.

    Args:
        predictor: any model.
        table: opened by it.
        label: column with the class; rows without one are left out, and rows without any of the inputs.
        inputs: whose vectors are compared; none: those that a similarity compares, or else all.

    Raises:
        TableError: when there is no such column.
        SensoriumError: when there is no such input, or fewer than two classes are left.
    """
    table.require([label])
    names = known_inputs(predictor, inputs) or _usual_inputs(predictor, table)
    vectors = vectors_of(predictor, table, names)
    cells = label_texts(table, label)
    rows = [row for row, cell in enumerate(cells) if cell is not None and vectors[row].any()]
    labels = sorted({str(cells[row]) for row in rows})
    if len(labels) < 2:
        raise SensoriumError(
            f"{table.source}, column {label!r}: {len(labels)} classes have examples with "
            f"{' or '.join(names)}; two at least are needed"
        )
    place = {one: number for number, one in enumerate(labels)}
    classes = np.array([place[str(cells[row])] for row in rows], np.int64)
    return Examples(vectors[rows], classes, labels, table.source, names, temperature_of(predictor, names))


def classify_by_examples(
    predictor: Predictor, table: Table, examples: Examples, by: str = "prototype"
) -> Classified:
    """Classifies rows by examples; `draw_examples` takes a few of them.

    Args:
        predictor: whose vectors the examples have.
        table: opened by it.
        examples: of the classes.
        by: one of `CLASSIFIERS`.

    Raises:
        SensoriumError: when `by` is not known.
    """
    return classify_vectors(vectors_of(predictor, table, examples.inputs), examples, by)


def classify_vectors(vectors: Array, examples: Examples, by: str) -> Classified:
    """Classifies `(N, E)` vectors of unit length, zero where missing; see `classify_by_examples`."""
    if by not in CLASSIFIERS:
        raise SensoriumError(f"classifying by {by!r} is not known: one of {', '.join(CLASSIFIERS)}")
    answers = CLASSIFIERS[by](vectors, examples)
    return Classified(examples.labels, answers.scores, answers.probabilities, has_vector(vectors))


def draw_examples(examples: Examples, shots: int, seed: int = 0, draw: int = 0) -> Examples:
    """So many examples of each class; the same ones for the same seed and draw.

    Raises:
        SensoriumError: when a class has fewer.
    """
    if shots < 1:
        raise SensoriumError(f"shots is {shots}: take 1 example of a class at least")
    counts = np.bincount(examples.classes, minlength=len(examples.labels))
    least = int(counts.argmin())
    if counts[least] < shots:
        short = int((counts < shots).sum())
        others = (
            f", and {short - 1} more {'classes have' if short > 2 else 'class has'} too few"
            if short > 1
            else ""
        )
        raise SensoriumError(
            f"{examples.source}: the class {examples.labels[least][:60]!r} has {counts[least]} usable "
            f"examples, fewer than {shots} shots{others}; take fewer, or leave the class out"
        )
    random = np.random.default_rng([seed, draw])
    classes = range(len(examples.labels))
    rows = np.concatenate(
        [random.permutation(np.flatnonzero(examples.classes == one))[:shots] for one in classes]
    )
    return Examples(
        examples.vectors[rows], examples.classes[rows], examples.labels, examples.source, examples.inputs,
        examples.temperature,
    )  # fmt: skip


def label_texts(table: Table, column: str) -> list[str | None]:
    """A column's cells as labels, without space around them; None where there is none."""
    cells = [None if cell is None else str(cell).strip() for cell in table.column(column)]
    return [cell or None for cell in cells]


def nearest_prototype(vectors: Array, examples: Examples) -> Answers:
    """By the cosine to the mean vector of each class.

    Source: Snell, Swersky, Zemel (2017), arXiv:1703.05175; here the means are brought to unit length, so that
    the order by cosine is that by Euclidean distance.
    """
    classes = range(len(examples.labels))
    means = np.stack([examples.vectors[examples.classes == one].mean(axis=0) for one in classes])
    scores = vectors @ unit(means).T
    return Answers(scores, softmax(scores, examples.temperature))


def logistic_regression(vectors: Array, examples: Examples) -> Answers:
    """By a logistic regression on the vectors as they are; the score is the logarithm of the probability."""
    linear = require("sklearn.linear_model", "train")
    model = linear.LogisticRegression(C=INVERSE_PENALTY, max_iter=MOST_STEPS)
    model.fit(examples.vectors, examples.classes)
    logarithms = model.predict_log_proba(vectors.astype(np.float64))
    return Answers(logarithms.astype(np.float32), np.exp(logarithms))


CLASSIFIERS: dict[str, Callable[[Array, Examples], Answers]] = {
    "prototype": nearest_prototype,
    "logistic": logistic_regression,
}


def _usual_inputs(predictor: Predictor, table: Table) -> list[str]:
    """Of the inputs that the table has a column for."""
    names = list(compared_inputs(predictor)) or list(predictor.inputs)
    return [name for name in names if predictor.inputs[name].source in table.names] or names
