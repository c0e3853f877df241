"""Nearest vectors of one input: exactly, or from a part of the cells of an inverted file.

The inverted file (Sivic & Zisserman 2003; in faiss: Johnson et al. 2017, arXiv:1702.08734) was chosen by
benchmarks/search.py: at the same recall it answers about as fast as graphs do and is built several times
faster; rows can be taken out of it; and searched whole it is exact, so that a filter which leaves few rows
starves no search.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from sensorium.data.column import Array
from sensorium.errors import require

EXACT_BELOW = 50_000
"""Vectors. Fewer are compared one by one: at 50,000 x 384, 200 queries a CPU-second, together 2,300."""
FILTERED_EXACT_BELOW = 10_000
"""Rows that a filter leaves. Fewer are compared one by one, in an index of any size."""

NEIGHBOURS = 10
RECALL = 0.99
"""Asked of an approximate search for the 10 nearest; cells are added to it until this is surely reached."""

_PLANNED = 256  # queries whose cells are ordered at once: 4,000 cells take 30 MB
_RISE = 1.1  # numbers of cells are rounded up to its powers, so that queries of a like number pass together


class Quality(NamedTuple):
    """How good an approximate search is; see `sensorium.index.recall`.

    Attributes:
        recall: share of the 10 nearest that are found without a filter, by the kind of queries that finds
            least of them, such as captions among pictures; 1 where the search is exact.
        filtered: the same under filters that keep one side of the space, across the axis of most variance.
        queries: vectors of rows with which it was measured, each without its own row; 0 where it is exact.
        probes: cells of the inverted file that a search without a filter looks into; 0 where it is exact.
        matching: rows left by a filter that a search with one compares, at least; 0 where it is exact.
        cells: of the inverted file; 0 where the search is exact.
    """

    recall: float
    filtered: float
    queries: int
    probes: int
    matching: int
    cells: int


EXACT = Quality(1.0, 1.0, 0, 0, 0, 0)


class Allowed:
    """The rows that a filter leaves.

    Args:
        mask: `(N,)` bool over the positions of the index.
    """

    def __init__(self, mask: Array) -> None:
        self.mask = mask
        self.count = int(mask.sum())
        self._bits = np.packbits(mask, bitorder="little")
        self.selector = require("faiss", "search").IDSelectorBitmap(self._bits)


class Nearest:
    """The vectors of one input, ready to be searched; made by `exact` or by `approximate.prepare`.

    Args:
        index: of faiss, over inner products; its ids are positions of rows.
        quality: of `index`.
    """

    def __init__(self, index: Any, quality: Quality) -> None:
        self._index = index
        self._matching: WeakKeyDictionary[Allowed, Array] = WeakKeyDictionary()
        self.quality = quality

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: Array, k: int, allowed: Allowed | None = None) -> tuple[Array, Array]:
        """The rows whose vectors are most alike.

        Args:
            queries: `(Q, E)` float32, of unit length.
            k: rows for each query.
            allowed: the rows that may be found; None: all.

        Returns:
            Cosines `(Q, k)` float32 and positions `(Q, k)` int64, the best first; position -1 where there are
            fewer than k rows.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        k = min(k, max(1, len(self)))
        if not self.quality.cells:
            return self._compare(queries, k, allowed)
        if allowed is None:
            return self._look_around(queries, k)
        scores, positions = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        probes = self._probes(queries, k, allowed)
        for number in np.unique(probes):
            rows = np.flatnonzero(probes == number)
            scores[rows], positions[rows] = self._look_into(queries[rows], k, int(number), allowed)
        return scores, positions

    def _compare(self, queries: Array, k: int, allowed: Allowed | None) -> tuple[Array, Array]:
        """All vectors one by one."""
        faiss = require("faiss", "search")
        parameters = faiss.SearchParameters(sel=allowed.selector) if allowed is not None else None
        scores, positions = self._index.search(queries, k, params=parameters)
        return scores, positions

    def _look_around(self, queries: Array, k: int) -> tuple[Array, Array]:
        """Without a filter; where so many cells hold fewer than k rows, in all of them."""
        scores, positions = self._look_into(queries, k, self.quality.probes)
        short = np.flatnonzero(positions[:, -1] < 0)
        if len(short):
            scores[short], positions[short] = self._look_into(queries[short], k, self.quality.cells)
        return scores, positions

    def _look_into(
        self, queries: Array, k: int, probes: int, allowed: Allowed | None = None
    ) -> tuple[Array, Array]:
        faiss = require("faiss", "search")
        chosen = {"sel": allowed.selector} if allowed is not None else {}
        parameters = faiss.SearchParametersIVF(nprobe=probes, **chosen)
        scores, positions = self._index.search(queries, k, params=parameters)
        return scores, positions

    def _probes(self, queries: Array, k: int, allowed: Allowed) -> Array:
        """`(Q,)` int64: the cells nearest to each query that together hold enough of the rows that are left.

        A filter that goes along with the vectors leaves few rows near a query from its other side, and those
        far away lie less in the order of their cells. So a query that meets them in twice as many cells as by
        chance is compared with twice as many. All cells are looked into where few rows are left.
        """
        cells, enough = self.quality.cells, max(self.quality.matching, k)
        matching = self._matching_of(allowed)
        if allowed.count < FILTERED_EXACT_BELOW or matching.sum() <= enough:
            return np.full(len(queries), cells)
        by_chance = enough * cells / matching.sum()
        needed = np.empty(len(queries), np.int64)
        for start in range(0, len(queries), _PLANNED):
            some = slice(start, start + _PLANNED)
            nearest = np.argsort(-(queries[some] @ self._centres.T), axis=1)
            seen = matching[nearest].cumsum(axis=1)
            first = 1 + (seen < enough).sum(axis=1, keepdims=True)
            needed[some] = 1 + (seen < enough * np.maximum(first / by_chance, 1)).sum(axis=1)
        rounded = np.ceil(_RISE ** np.ceil(np.log(needed) / np.log(_RISE))).astype(np.int64)
        probes: Array = np.minimum(rounded, cells)
        return probes

    @cached_property
    def _centres(self) -> Array:
        """`(cells, E)` float32."""
        centres: Array = self._index.quantizer.reconstruct_n(0, self.quality.cells)
        return centres

    def _matching_of(self, allowed: Allowed) -> Array:
        """`(cells,)` int64: how many of the rows that are left each cell holds."""
        if allowed not in self._matching:
            counts = [np.count_nonzero(allowed.mask[ids]) for ids in cell_ids(self._index)]
            self._matching[allowed] = np.array(counts, np.int64)
        return self._matching[allowed]


def exact(vectors: Array, positions: Array) -> Nearest:
    """Compares every vector.

    Args:
        vectors: `(n, E)` floating point, of unit length.
        positions: `(n,)` int64, the rows that have them.
    """
    faiss = require("faiss", "search")
    index = faiss.IndexIDMap(faiss.IndexFlatIP(vectors.shape[1]))
    index.add_with_ids(unit(vectors), positions.astype(np.int64))
    return Nearest(index, EXACT)


def cell_ids(index: Any) -> list[Array]:
    """The ids in each cell of an inverted file of faiss; arrays that can be written."""
    faiss = require("faiss", "search")
    lists = index.invlists
    sizes = [lists.list_size(cell) for cell in range(index.nlist)]
    return [
        faiss.rev_swig_ptr(lists.get_ids(cell), size) if size else np.empty(0, np.int64)
        for cell, size in enumerate(sizes)
    ]


def unit(vectors: Array) -> Array:
    """Vectors `(n, E)` in float32, whose length float16 had changed: equal ones have cosine 1 again."""
    exact_length = vectors.astype(np.float32)
    exact_length /= np.linalg.norm(exact_length, axis=1, keepdims=True)
    return exact_length
