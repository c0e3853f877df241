"""What a similarity must beat: a ridge regression from one input's frozen features to the other's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from sensorium.data.column import Array, Cells
from sensorium.data.loader import Loader, Rows
from sensorium.evaluation.metrics import Interval, bootstrap
from sensorium.evaluation.study import Subject
from sensorium.evaluation.words import count, limits, value
from sensorium.features import known_features, use_features
from sensorium.heads.head import Rows as DrawnRows
from sensorium.heads.retrieval import Ranks, ranks, retrieval_metrics
from sensorium.heads.similarity import SimilarityHead
from sensorium.inference import sample
from sensorium.model import Model
from sensorium.vectors import encode_rows

MOST_ROWS = 1_000
"""Training rows that it learns from; of more, a fixed sample is taken."""
PENALTY = 0.003
"""Of the squared weights, a row, where the features of a row have length 1 on average."""
_SAID = {"recall_at_10": "R@10", "recall_at_1": "R@1"}


class Ridge(NamedTuple):
    """What it reaches on the rows measured.

    Attributes:
        rows: of the training part that it learned from.
        metrics: as the head's, with intervals.
        gain: by how much the measured model is better, metric by metric, both on the same resamples.
    """

    rows: int
    metrics: dict[str, Interval]
    gain: dict[str, Interval]

    def words(self) -> str:
        """Two sentences."""
        reached = [f"{short} {_with_limits(self.metrics[metric])}" for metric, short in _SAID.items()]
        gained = [f"{_with_limits(self.gain[metric])} of {short}" for metric, short in _SAID.items()]
        rows = count(self.rows, "training row")
        return (
            f"a ridge regression between the frozen features, learned from {rows}, reaches "
            f"{' and '.join(reached)}. Beyond it this model gains {' and '.join(gained)}."
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
    known = known_features(subject.predictor.recipe)
    use_features(model, taught_from, rows, say=lambda line: None, known=known)
    taught = features_of(model, taught_from, rows, between)
    measured = features_of(model, subject.features, subject.collected.rows, between)
    target = subject.collected.targets[name]
    found = ridge_ranks(taught, measured, target, between)
    if found is None:
        return None
    scored = np.flatnonzero(head.scored(target))
    own = head.directions(subject.collected.predicted[name], target)
    metrics, gain = _compared(found, own, scored)
    return Ridge(len(rows), metrics, gain)


def ridge_ranks(
    taught: Sequence[Array], measured: Sequence[Array], target: Cells, between: Sequence[str]
) -> dict[str, Ranks] | None:
    """Direction, such as `image_to_caption` → what every measured row finds by the regression's answers.

    Args:
        taught: `(N, D)` features of each input, of the rows that it learns from; zero where a row lacks it.
        measured: `(Q, D)` likewise, of the rows that seek and are found.
        target: of these Q rows.
        between: names of the inputs.

    Returns:
        None where no row that it could learn from has two of the inputs.
    """
    found = {}
    for one, other in combinations(range(len(between)), 2):
        both = taught[one].any(axis=1) & taught[other].any(axis=1)
        if not both.any():
            return None
        middle = taught[other][both].mean(axis=0)
        answers = ridge(taught[one][both], taught[other][both] - middle, measured[one])
        sides = {one: _unit(answers), other: _unit(measured[other] - middle)}
        real = target.mask[:, one] & target.mask[:, other]
        for query, item in ((one, other), (other, one)):
            identities = target.values[:, [query, item]]
            found[f"{between[query]}_to_{between[item]}"] = ranks(sides[query], sides[item], identities, real)
    return found


def _compared(
    found: dict[str, Ranks], own: dict[str, Ranks], rows: DrawnRows
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """The regression's metrics, and by how much the model's own are better, by a paired bootstrap."""

    def metrics_of(drawn: DrawnRows) -> dict[str, float]:
        metrics, better = retrieval_metrics(found, drawn), retrieval_metrics(own, drawn)
        return metrics | {f"gain {metric}": better[metric] - value for metric, value in metrics.items()}

    both = bootstrap(metrics_of, rows)
    metrics = {metric: one for metric, one in both.items() if not metric.startswith("gain ")}
    return metrics, {metric: both[f"gain {metric}"] for metric in metrics}


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


def features_of(model: Model, loader: Loader, rows: Rows, between: Sequence[str]) -> list[Array]:
    """`(N, D)` float64 of every input, zero where a row lacks it."""
    encoded = encode_rows(model, loader, rows)
    return [encoded[name].astype(np.float64) for name in between]


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _with_limits(one: Interval) -> str:
    return f"{value(one)} ({limits(one)})"
