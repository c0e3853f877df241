"""Scores of finding one input by another: recall, reciprocal rank and nDCG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]

CUTS = (1, 5, 10)
"""Of recall."""
DEPTH = 10
"""Places that nDCG looks at."""
SCORES_AT_ONCE = 16 * 1024**2
"""Similarities held in memory at a time."""


class Ranks(NamedTuple):
    """What every row finds.

    Attributes:
        first: `(N,)` float64, the place of the first right item, from 1; NaN in rows that do not count.
        gain: `(N,)` float64, nDCG of the first 10 places; NaN likewise.
        items: how many different items there are to find.
    """

    first: Floats
    gain: Floats
    items: int


def ranks(queries: Floats, items: Floats, identities: Integers, real: Bools) -> Ranks:
    """Seeks with every row's query among the different items of all rows.

    Equal items are one item, met once. Right are the items of all rows whose query is equal; of items with
    the same similarity the wrong ones come first, so that a cell that could not be read is not found.

    Args:
        queries: `(N, E)`.
        items: `(N, E)`.
        identities: `(N, 2)` of query and item; equal cells have equal numbers.
        real: `(N,)` bool, the rows that have both.
    """
    first, gain = np.full(len(real), np.nan), np.full(len(real), np.nan)
    rows = np.flatnonzero(real)
    if not len(rows):
        return Ranks(first, gain, 0)
    query_rows, query_codes = different(identities[rows, 0])
    item_rows, item_codes = different(identities[rows, 1])
    right = np.unique(np.stack([query_codes, item_codes], axis=1), axis=0)
    places, gains = _seek(queries[rows[query_rows]], items[rows[item_rows]], right)
    first[rows], gain[rows] = places[query_codes], gains[query_codes]
    return Ranks(first, gain, len(item_rows))


def different(identities: Integers) -> tuple[Integers, Integers]:
    """The first position of every different number, and which of them each is."""
    _, positions, codes = np.unique(identities, return_index=True, return_inverse=True)
    return positions, codes.reshape(-1)


def _seek(queries: Floats, items: Floats, right: Integers) -> tuple[Floats, Floats]:
    """Place of the first right item and nDCG of every query; right: `(P, 2)` of query and item, sorted."""
    places, gains = np.zeros(len(queries)), np.zeros(len(queries))
    step = max(1, SCORES_AT_ONCE // len(items))
    for start in range(0, len(queries), step):
        scores = queries[start : start + step] @ items.T
        begin, end = np.searchsorted(right[:, 0], [start, start + step])
        is_right = np.zeros(scores.shape, dtype=np.bool_)
        is_right[right[begin:end, 0] - start, right[begin:end, 1]] = True
        scores[is_right] = np.nextafter(scores[is_right], -np.inf)
        best = np.where(is_right, scores, -np.inf).max(axis=1, keepdims=True)
        part = slice(start, start + len(scores))
        places[part] = 1 + (scores > best).sum(axis=1)
        gains[part] = _gain(scores, is_right)
    return places, gains


def chance(identities: Integers, real: Bools) -> dict[str, float]:
    """What an order of the items at random is expected to reach: the metrics of `retrieval_metrics`.

    Args:
        identities: `(N, 2)` of query and item, as `ranks` takes them.
        real: `(N,)` bool, likewise.
    """
    if not real.any():
        return _means(Ranks(np.zeros(0), np.zeros(0), 0))
    _, queries = different(identities[real, 0])
    _, items = different(identities[real, 1])
    right = np.bincount(np.unique(np.stack([queries, items], axis=1), axis=0)[:, 0])[queries]
    kinds, rows = np.unique(right, return_counts=True)
    each = [_chance_of(int(kind), int(items.max()) + 1) for kind in kinds]
    return {metric: float(np.average([one[metric] for one in each], weights=rows)) for metric in each[0]}


def _chance_of(right: int, items: int) -> dict[str, float]:
    """For one query with so many right ones among the items."""
    places = np.arange(items)
    # share of the orders that have no right item up to a place, from none to the last
    left = np.clip((items - right - places) / (items - places), 0, 1)
    missed = np.concatenate([[1.0], np.cumprod(left)])
    recall = {f"recall_at_{cut}": float(1 - missed[min(cut, items)]) for cut in CUTS}
    worth = np.cumsum(1 / np.log2(np.arange(2, DEPTH + 2)))
    gain = right / items * worth[min(items, DEPTH) - 1] / worth[min(right, DEPTH) - 1]
    return {**recall, "mrr": float((-np.diff(missed) / (places + 1)).sum()), "ndcg_at_10": float(gain)}


def nearest(scores: Floats, count: int) -> Integers:
    """`(N, G)` similarities → `(N, at most count)` positions, the highest first."""
    count = min(count, scores.shape[1])
    top = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(top, order, axis=1))


def _gain(scores: Floats, is_right: Bools) -> Floats:
    """nDCG of the first places (Järvelin and Kekäläinen 2002) where an item is right or wrong."""
    hits = np.take_along_axis(is_right, nearest(scores, DEPTH), axis=1)
    worth = 1 / np.log2(np.arange(2, DEPTH + 2))
    best = np.cumsum(worth)[np.minimum(is_right.sum(axis=1), DEPTH) - 1]
    return np.asarray((hits * worth[: hits.shape[1]]).sum(axis=1) / best)


def retrieval_metrics(found: Mapping[str, Ranks], rows: Integers) -> dict[str, float]:
    """Means over the rows that seek.

    Args:
        found: direction, such as `image_to_caption` → what every row finds.
        rows: positions of the rows that seek; they may repeat.

    Returns:
        recall_at_1, recall_at_5, recall_at_10: share of rows with a right item among the first; mrr: mean of
        1 / place of the first right one; ndcg_at_10. Each is the mean over the directions, and then stands
        for every direction as `<metric>_<direction>`. NaN where no row counts.
    """
    return joined(
        {name: _means(Ranks(one.first[rows], one.gain[rows], one.items)) for name, one in found.items()}
    )


def joined(apart: Mapping[str, dict[str, float]]) -> dict[str, float]:
    """Metrics of every direction → their means, then each as `<metric>_<direction>`."""
    metrics = next(iter(apart.values()))
    together = {metric: float(np.mean([one[metric] for one in apart.values()])) for metric in metrics}
    return together | {f"{key}_{name}": value for name, one in apart.items() for key, value in one.items()}


def _means(found: Ranks) -> dict[str, float]:
    known = np.isfinite(found.first)
    if not known.any():
        return dict.fromkeys([*(f"recall_at_{cut}" for cut in CUTS), "mrr", "ndcg_at_10"], math.nan)
    first, gain = found.first[known], found.gain[known]
    recall = {f"recall_at_{cut}": float((first <= cut).mean()) for cut in CUTS}
    return {**recall, "mrr": float((1 / first).mean()), "ndcg_at_10": float(gain.mean())}
