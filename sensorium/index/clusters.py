"""Groups of rows that lie together, found by k-means."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.errors import SensoriumError, require
from sensorium.index.nearest import unit
from sensorium.index.view import View
from sensorium.inference import sample

TRIED = (3, 4, 6, 8, 12, 16, 24, 32)
"""How many clusters are tried where the number is not given."""
MOST_FITTED = 20_000
"""Rows that centres are fitted on; the others join the nearest centre."""
MOST_COMPARED = 2_000
"""Rows on which numbers of clusters are compared."""
_BLOCK = 65_536


class Clusters(NamedTuple):
    """Rows in groups, the largest group first.

    Attributes:
        positions: `(n,)` of the rows that have a vector, in their order.
        vectors: `(n, E)` float32 of unit length, by which they were put together.
        groups: `(n,)` int64, the number of each row's cluster, from 0.
        centres: `(N, E)` float32, the mean vector of each cluster.
        silhouette: mean over rows of how much nearer a row is to its own cluster than to the next, from -1
            to 1 (Rousseeuw 1987); measured on `MOST_COMPARED` rows at most; NaN for one cluster.
    """

    positions: Array
    vectors: Array
    groups: Array
    centres: Array
    silhouette: float

    def quality(self) -> float | None:
        """The silhouette; None where it is not defined."""
        return self.silhouette if np.isfinite(self.silhouette) else None

    def members(self, group: int) -> Array:
        """Places in `positions` of a cluster's rows, the most central first."""
        own = np.flatnonzero(self.groups == group)
        return own[np.argsort(-(self.vectors[own] @ self.centres[group]), kind="stable")]


def cluster(view: View, inputs: Sequence[str], number: int | None) -> Clusters:
    """Puts rows together by spherical k-means (Dhillon & Modha 2001), the same way every time.

    Args:
        view: the version that is looked at.
        inputs: whose vectors count, joined end to end, of which a row may lack some.
        number: of clusters, fewer where fewer rows differ; None: the one of `TRIED` with the largest
            silhouette.

    Raises:
        SensoriumError: when there are not so many rows.
    """
    vectors, positions = joined_vectors(view, inputs)
    if number is not None and not 1 <= number <= len(positions):
        raise SensoriumError(
            f"{number} clusters cannot be made of {len(positions)} rows with {' or '.join(inputs)}: "
            f"ask for 1 to {len(positions)}"
        )
    if number is not None:
        return _clusters(vectors, positions, number)
    tried = [one for one in TRIED if one < len(positions)]
    if not tried:
        raise SensoriumError(
            f"{len(positions)} rows are too few to choose a number of clusters: give the number"
        )
    return max((_clusters(vectors, positions, one) for one in tried), key=lambda one: one.silhouette)


def joined_vectors(view: View, inputs: Sequence[str]) -> tuple[Array, Array]:
    """`(n, E)` float32 unit vectors of the rows that have one of the inputs, and their positions `(n,)`."""
    parts = []
    for name in inputs:
        vectors, there = view.vectors(name)
        part = np.zeros((len(view), view.storage.manifest.inputs[name].dim), np.float32)
        part[there] = vectors
        parts.append(part)
    joined = np.concatenate(parts, axis=1)
    positions = np.flatnonzero(joined.any(axis=1))
    return unit(joined[positions]), positions


def _clusters(vectors: Array, positions: Array, number: int) -> Clusters:
    kinds = require("sklearn.cluster", "train")
    fitted = sample(np.arange(len(vectors)), MOST_FITTED)
    with warnings.catch_warnings():
        # of rows that are equal there may be fewer kinds than clusters: the empty ones are left out below
        warnings.simplefilter("ignore", require("sklearn.exceptions", "train").ConvergenceWarning)
        model = kinds.KMeans(number, n_init=10, random_state=0).fit(vectors[fitted])
    starts = range(0, len(vectors), _BLOCK)
    found = np.concatenate([model.predict(vectors[start : start + _BLOCK]) for start in starts])
    sizes = np.bincount(found, minlength=number)
    order = np.argsort(-sizes, kind="stable")
    groups = np.argsort(order)[found]
    order = order[: np.count_nonzero(sizes)]
    centres = model.cluster_centers_[order].astype(np.float32)
    return Clusters(positions, vectors, groups, centres, _silhouette(vectors, groups))


def _silhouette(vectors: Array, groups: Array) -> float:
    compared = sample(np.arange(len(vectors)), MOST_COMPARED)
    if not 2 <= len(np.unique(groups[compared])) < len(compared):
        return float("nan")
    metrics = require("sklearn.metrics", "train")
    return float(metrics.silhouette_score(vectors[compared], groups[compared], metric="cosine"))
