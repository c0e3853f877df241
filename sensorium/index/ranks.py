"""Several rankings made one."""

from __future__ import annotations

from collections.abc import Sequence

DAMPING = 60
"""k of reciprocal-rank fusion, as its authors chose it."""


def fuse(rankings: Sequence[Sequence[int]]) -> list[tuple[int, float]]:
    """Reciprocal-rank fusion (Cormack, Clarke & Büttcher 2009): the sum over rankings of 1 / (60 + rank).

    Args:
        rankings: items of each, the best first; its rank is 1.

    Returns:
        Every item with its score, the best first; of equal ones the one that was met first.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1 / (DAMPING + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
