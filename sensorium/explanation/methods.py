"""How the parts of a row get their weights."""

from __future__ import annotations

from collections.abc import Callable

from sensorium.explanation.gradients import integrated_gradients
from sensorium.explanation.scores import RowScores, Weights


def occlusion(scores: RowScores) -> Weights:
    """What the score loses without each part alone (Zeiler and Fergus 2014, arXiv 1311.2901)."""
    return Weights(scores.lost_without(slice(0, scores.size)))


METHODS: dict[str, Callable[[RowScores], Weights]] = {
    "occlusion": occlusion,
    "integrated_gradients": integrated_gradients,
}
"""By name: how much each part of a row raises its score."""

DEFAULT = "occlusion"
"""The method where none is asked for: on stamps and on reviews both do equally well by deletion curves, and
occlusion needs no gradient."""
