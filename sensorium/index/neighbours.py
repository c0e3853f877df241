"""Rows beside their neighbours: those that are nearly the same, and those that are far from all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.errors import SensoriumError
from sensorium.index.nearest import NEIGHBOURS, unit
from sensorium.index.view import View

_BLOCK = 1024
_MOST_ALIKE = 64  # neighbours that are looked at; larger groups are found through one another


class Group(NamedTuple):
    """Rows that are nearly the same in one input.

    Attributes:
        input: whose vectors are alike.
        positions: of the rows, in their order.
        least: the lowest cosine of the pairs that hold the group together.
        most: the highest.
    """

    input: str
    positions: list[int]
    least: float
    most: float


class Outlier(NamedTuple):
    """A row far from its neighbours.

    Attributes:
        input: by whose vectors.
        position: of the row.
        distance: mean of 1 - cosine to its nearest rows.
    """

    input: str
    position: int
    distance: float


def duplicates(view: View, inputs: Sequence[str], above: float) -> list[Group]:
    """Groups of rows of which each is at least so much like another of its group, the largest first.

    Args:
        view: the version that is looked at.
        inputs: each by itself.
        above: cosine, above 0 and at most 1.

    Raises:
        SensoriumError: when `above` is no such number.
    """
    if not 0 < above <= 1:
        raise SensoriumError(f"rows are duplicates above a cosine between 0 and 1, not {above:g}")
    groups = [group for name in inputs for group in _groups(view, name, above)]
    return sorted(groups, key=lambda group: (-len(group.positions), -group.least))


def outliers(view: View, inputs: Sequence[str], k: int) -> dict[str, list[Outlier]]:
    """Input → the rows with the largest mean distance to their 10 neighbours (Angiulli & Pizzuti 2002).

    Args:
        view: the version that is looked at.
        inputs: each by itself.
        k: rows of each.
    """
    found = {}
    for name in inputs:
        rows, distances = [], []
        for own, scores, _ in _neighbours(view, name, NEIGHBOURS):
            there = np.isfinite(scores)
            counted = there.sum(axis=1)
            means = np.where(there, 1 - scores, 0).sum(axis=1) / np.maximum(counted, 1)
            rows.append(own[counted > 0])
            distances.append(means[counted > 0])
        if rows:
            positions, means = np.concatenate(rows), np.concatenate(distances)
            order = np.argsort(-means, kind="stable")[:k]
            found[name] = [Outlier(name, int(positions[one]), float(means[one])) for one in order]
    return found


def _groups(view: View, name: str, above: float) -> Iterator[Group]:
    parent: dict[int, int] = {}
    pairs: list[tuple[int, int, float]] = []
    for own, scores, positions in _neighbours(view, name, _MOST_ALIKE):
        for place, column in zip(*np.nonzero(scores >= above - 1e-6), strict=True):
            one, other = int(own[place]), int(positions[place, column])
            pairs.append((one, other, float(scores[place, column])))
            parent[_root(parent, one)] = _root(parent, other)
    members: dict[int, set[int]] = {}
    scores_of: dict[int, list[float]] = {}
    for one, other, score in pairs:
        root = _root(parent, one)
        members.setdefault(root, set()).update((one, other))
        scores_of.setdefault(root, []).append(score)
    for root, rows in members.items():
        yield Group(name, sorted(rows), min(scores_of[root]), max(scores_of[root]))


def _root(parent: dict[int, int], item: int) -> int:
    """The one that stands for an item's group; the way there is made shorter (union-find)."""
    parent.setdefault(item, item)
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


def _neighbours(view: View, name: str, k: int) -> Iterator[tuple[Array, Array, Array]]:
    """Block by block: positions `(B,)`, and of each row its neighbours' cosines and positions `(B, k + 1)`.

    The row itself has the cosine -inf, and so has what is missing where there are fewer rows.
    """
    nearest = view.nearest(name)
    if nearest is None:
        return
    vectors, own = view.vectors(name)
    for start in range(0, len(own), _BLOCK):
        block = slice(start, start + _BLOCK)
        scores, positions = nearest.search(unit(vectors[block]), k + 1)
        hidden = (positions == own[block, None]) | (positions < 0)
        yield own[block], np.where(hidden, -np.inf, scores), positions
