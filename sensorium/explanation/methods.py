"""How the parts of a row get their weights."""

from __future__ import annotations

from collections.abc import Callable

from sensorium.explanation.gradients import integrated_gradients
from sensorium.explanation.scores import RowScores, Weights
from sensorium.explanation.shapley import sampled_shapley

ORDERS = 4
"""Orders of the parts that `shapley` draws; each is also tried in reverse."""


def occlusion(scores: RowScores) -> Weights:
    """What the score loses without each part alone (Zeiler and Fergus 2014, arXiv 1311.2901)."""
    return Weights(scores.lost_without(slice(0, scores.size)))


def shapley(scores: RowScores) -> Weights:
    """Shapley values of the parts, over some orders; they add up to the score minus that without any part."""
    return Weights(sampled_shapley(lambda joined: scores.without_parts(~joined), scores.size, ORDERS))


METHODS: dict[str, Callable[[RowScores], Weights]] = {
    "occlusion": occlusion,
    "integrated_gradients": integrated_gradients,
    "shapley": shapley,
}
"""By name: how much each part of a row raises its score."""

DEFAULT = "occlusion"
"""The method where none is asked for."""
