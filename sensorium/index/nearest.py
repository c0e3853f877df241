"""Nearest vectors of one input: exactly, or from a part of the cells of an inverted file.

The inverted file (Sivic & Zisserman 2003; in faiss: Johnson et al. 2017, arXiv:1702.08734) was chosen by
benchmarks/search.py: at the same recall it answers about as fast as graphs do and is built several times
faster; rows can be taken out of it; and searched whole it is exact, so that a filter which leaves few rows
starves no search.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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


class Quality(NamedTuple):
    """How good an approximate search is.

    Attributes:
        recall: share of the 10 nearest that are found without a filter, by the kind of queries that finds
            least of them, such as captions among pictures; 1 where the search is exact.
        queries: vectors of rows with which it was measured, each without its own row; 0 where it is exact.
        probes: cells of the inverted file that a search looks into; 0 where it is exact.
        cells: of the inverted file; 0 where the search is exact.
    """

    recall: float
    queries: int
    probes: int
    cells: int


EXACT = Quality(1.0, 0, 0, 0)


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
        total: rows of the index, those without a vector too.
        quality: of `index`.
    """

    def __init__(self, index: Any, total: int, quality: Quality) -> None:
        self._index = index
        self._total = total
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
        return self._search(queries, min(k, max(1, len(self))), allowed, self._probes(allowed))

    def _probes(self, allowed: Allowed | None) -> int:
        """As many cells more as rows are filtered out; all of them where few rows are left.

        Filters by chance lose nothing so; one that keeps a side of the space finds about 0.01 less.
        """
        probes, cells = self.quality.probes, self.quality.cells
        if allowed is None or not cells:
            return probes
        if allowed.count < FILTERED_EXACT_BELOW:
            return cells
        return min(cells, -(-probes * self._total // allowed.count))

    def _search(self, queries: Array, k: int, allowed: Allowed | None, probes: int) -> tuple[Array, Array]:
        faiss = require("faiss", "search")
        chosen = {"sel": allowed.selector} if allowed is not None else {}
        if not self.quality.cells:
            parameters = faiss.SearchParameters(**chosen) if chosen else None
            scores, positions = self._index.search(queries, k, params=parameters)
            return scores, positions
        parameters = faiss.SearchParametersIVF(nprobe=probes, **chosen)
        scores, positions = self._index.search(queries, k, params=parameters)
        wanted = k if allowed is None else min(k, allowed.count)
        if probes < self.quality.cells and wanted and positions[:, wanted - 1].min() < 0:
            short = np.flatnonzero(positions[:, wanted - 1] < 0)
            scores[short], positions[short] = self._search(queries[short], k, allowed, self.quality.cells)
        return scores, positions


def exact(vectors: Array, positions: Array, total: int) -> Nearest:
    """Compares every vector.

    Args:
        vectors: `(n, E)` floating point, of unit length.
        positions: `(n,)` int64, the rows that have them.
        total: rows of the index.
    """
    faiss = require("faiss", "search")
    index = faiss.IndexIDMap(faiss.IndexFlatIP(vectors.shape[1]))
    index.add_with_ids(unit(vectors), positions.astype(np.int64))
    return Nearest(index, total, EXACT)


def unit(vectors: Array) -> Array:
    """Vectors `(n, E)` in float32, whose length float16 had changed: equal ones have cosine 1 again."""
    exact_length = vectors.astype(np.float32)
    exact_length /= np.linalg.norm(exact_length, axis=1, keepdims=True)
    return exact_length
