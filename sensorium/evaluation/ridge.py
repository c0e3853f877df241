"""What a similarity must beat: a ridge regression from one input's frozen features to the other's."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.data.loader import Loader, Rows
from sensorium.evaluation.study import Subject
from sensorium.evaluation.words import count, number
from sensorium.features import use_features
from sensorium.heads.retrieval import ranks, retrieval_metrics
from sensorium.heads.similarity import SimilarityHead
from sensorium.inference import sample
from sensorium.model import Model
from sensorium.vectors import encode_rows

MOST_ROWS = 1_000
"""Training rows that it learns from; of more, a fixed sample is taken."""
PENALTY = 0.003
"""Of the squared weights, a row, where the features of a row have length 1 on average."""


class Ridge(NamedTuple):
    """What it reaches on the rows measured.

    Attributes:
        rows: of the training part that it learned from.
        metrics: as the head's.
    """

    rows: int
    metrics: dict[str, float]

    def words(self) -> str:
        """One sentence."""
        rows = count(self.rows, "training row")
        ten, one = (number(self.metrics[f"recall_at_{cut}"]) for cut in (10, 1))
        return (
            f"a ridge regression between the frozen features, learned from {rows}, reaches R@10 {ten} and "
            f"R@1 {one}."
        )


def ridge_between(subject: Subject, name: str, head: SimilarityHead) -> Ridge | None:
    """Scores the regression from each input to every later one; both directions seek with its answers.

    None where the training part is not known, or an encoder is not frozen, so that its features are no
    starting point that the model had.
    """
    model, training, between = subject.predictor.model, subject.training, head.config.between
    frozen = all(getattr(model.encoder(one), "frozen", False) for one in between)
    if training is None or not frozen or not len(training.parts["train"]):
        return None
    rows = sample(training.parts["train"], MOST_ROWS)
    taught_from = subject.predictor.loader(training.table)
    use_features(model, taught_from, rows, say=lambda line: None)
    fitted = _features(model, taught_from, rows, between)
    measured = _features(model, subject.features, subject.collected.rows, between)
    target = subject.collected.targets[name]
    found = {}
    for one, other in combinations(range(len(between)), 2):
        taught = fitted[one].any(axis=1) & fitted[other].any(axis=1)
        if not taught.any():
            return None
        middle = fitted[other][taught].mean(axis=0)
        answers = ridge(fitted[one][taught], fitted[other][taught] - middle, measured[one])
        sides = {one: _unit(answers), other: _unit(measured[other] - middle)}
        real = target.mask[:, one] & target.mask[:, other]
        for query, item in ((one, other), (other, one)):
            identities = target.values[:, [query, item]]
            found[f"{between[query]}_to_{between[item]}"] = ranks(sides[query], sides[item], identities, real)
    return Ridge(len(rows), retrieval_metrics(found, np.flatnonzero(head.scored(target))))


def ridge(known: Array, answers: Array, asked: Array) -> Array:
    """Ridge regression (Hoerl and Kennard 1970) on standardised features, in closed form.

    Args:
        known: `(N, D)` features.
        answers: `(N, T)`, of mean zero.
        asked: `(Q, D)` features.

    Returns:
        `(Q, T)`.
    """
    centre, spread = known.mean(axis=0), known.std(axis=0) + 1e-6
    scale = np.sqrt(known.shape[1])
    known, asked = (known - centre) / spread / scale, (asked - centre) / spread / scale
    penalty = PENALTY * len(known)
    if known.shape[1] < len(known):
        gram = known.T @ known + penalty * np.eye(known.shape[1])
        return np.asarray(asked @ np.linalg.solve(gram, known.T @ answers))
    gram = known @ known.T + penalty * np.eye(len(known))
    return np.asarray(asked @ (known.T @ np.linalg.solve(gram, answers)))


def _features(model: Model, loader: Loader, rows: Rows, between: list[str]) -> list[Array]:
    """`(N, D)` float64 of every input, zero where a row lacks it."""
    encoded = encode_rows(model, loader, rows)
    return [encoded[name].astype(np.float64) for name in between]


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
