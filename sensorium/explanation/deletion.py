"""The check of an explanation: taking away what it names must hurt more than taking away at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensorium.data.column import Array
from sensorium.explanation.scores import RowScores

STEPS = 10
"""Steps from a whole row to one without any part."""
DRAWS = 5
"""Random orders."""


@dataclass(frozen=True)
class Deletion:
    """What is left of a prediction when more and more parts of a row are taken away (Petsiuk, Das and Saenko
    2018, arXiv 1806.07421).

    Attributes:
        shares: of the parts that are gone, from 0 to 1.
        named: the probability of the class, or the predicted number, with the parts of the highest weight
            taken away first.
        random: the mean over random orders.
        reversed: with those of the lowest weight taken away first.
    """

    shares: list[float]
    named: list[float]
    random: list[float]
    reversed: list[float]

    @property
    def advantage(self) -> float:
        """The area between the random order and the named one: positive where the named parts count more."""
        return float(np.trapezoid(np.array(self.random) - np.array(self.named), self.shares))


def deletion(scores: RowScores, weights: Array, seed: int = 0) -> Deletion:
    """Takes the parts of a row away, in the order of their weights and in others.

    Args:
        scores: the row.
        weights: `(P,)` of its parts.
        seed: of the random orders.
    """
    generator = np.random.default_rng(seed)
    named = np.argsort(-weights, kind="stable")
    orders = [named, named[::-1], *(generator.permutation(len(weights)) for _ in range(DRAWS))]
    counts = np.rint(np.linspace(0, scores.size, min(STEPS, max(1, scores.size)) + 1)).astype(int)
    removed = np.zeros((len(orders), len(counts), scores.size), dtype=np.bool_)
    for place, order in enumerate(orders):
        for step, count in enumerate(counts):
            removed[place, step, order[:count]] = True
    found = scores.target.shown(scores.without_parts(removed.reshape(-1, scores.size)))
    curves = found.reshape(len(orders), len(counts))
    return Deletion(
        shares=(counts / max(1, scores.size)).tolist(),
        named=curves[0].tolist(),
        random=curves[2:].mean(axis=0).tolist(),
        reversed=curves[1].tolist(),
    )
