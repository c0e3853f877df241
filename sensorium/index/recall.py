"""The recall of an inverted file, measured with rows of the index as queries, without a filter and with one.

Of each query, a row of the index, the row itself does not count. The nearest are those of the vectors in
float32; of equal vectors any will do (Aumüller et al. 2018, arXiv:1807.05614).

Queries differ: some find all, some half. So the recall asked for must be passed by three standard errors of
the mean, or new queries would find less as often as not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.errors import require
from sensorium.index.nearest import NEIGHBOURS, RECALL, Allowed, Nearest, Quality, unit

QUERIES = 1000
"""Of each kind. With 300 the recall of one draw was 0.01 off that of another."""
FIRST_PROBES = 8

_EQUAL = 1e-6  # cosines that differ by less are the same: the order of a sum in float32 changes that much
_SURE = 3  # standard errors of the mean over queries, by which the recall asked for is passed
_MORE_MATCHING = 1.25
_BLOCK = 16_384


class Vectors(NamedTuple):
    """Vectors of one input, and whose they are.

    Attributes:
        vectors: `(n, E)` float16 or float32, of unit length.
        positions: `(n,)` int64 rising, of their rows.
    """

    vectors: Array
    positions: Array

    def only(self, part: slice) -> Vectors:
        """Some of them."""
        return Vectors(self.vectors[part], self.positions[part])


class Question(NamedTuple):
    """Queries of one kind, and what is right for them.

    Attributes:
        queries: Q vectors of one input of the space: a picture's neighbours among captions are not those of
            another caption.
        allowed: the rows that may be found; None: all.
        least: `(Q,)` the cosine of the tenth neighbour.
    """

    queries: Vectors
    allowed: Allowed | None
    least: Array


def measured(index: Any, kinds: list[Vectors], rows: Vectors, total: int) -> Quality:
    """Looks into more cells until enough of the nearest are found: without a filter, then with filters.

    Args:
        index: of faiss; its ids are positions.
        kinds: queries of every kind that there will be.
        rows: what the index holds.
        total: rows of the table, those without a vector too.
    """
    cells, asked = int(index.nlist), sum(len(kind.positions) for kind in kinds)
    nearest = Nearest(index, Quality(1.0, 1.0, asked, min(FIRST_PROBES, cells), 0, cells))
    questions = [_question(kind, rows, None) for kind in kinds]
    while not _surely(shares := _shares(nearest, questions, rows)) and nearest.quality.probes < cells:
        nearest.quality = nearest.quality._replace(probes=min(cells, 2 * nearest.quality.probes))
    nearest.quality = nearest.quality._replace(recall=_worst(shares))
    return _measured_with_filters(nearest, kinds, rows, total)


def _measured_with_filters(nearest: Nearest, kinds: list[Vectors], rows: Vectors, total: int) -> Quality:
    """Each side with half of the queries, on whichever side these are themselves."""
    every = len(rows.positions)
    without = math.ceil(every * nearest.quality.probes / nearest.quality.cells)
    nearest.quality = nearest.quality._replace(matching=without)
    questions = [
        _question(kind.only(slice(place, None, 2)), rows, side)
        for place, side in enumerate(_sides(rows, total))
        for kind in kinds
        if len(kind.positions) > place
    ]
    while not _surely(shares := _shares(nearest, questions, rows)) and nearest.quality.matching < every:
        more = math.ceil(_MORE_MATCHING * nearest.quality.matching)
        nearest.quality = nearest.quality._replace(matching=min(every, more))
    return nearest.quality._replace(filtered=_worst(shares))


def _sides(rows: Vectors, total: int) -> Iterator[Allowed]:
    """The halves of the rows along their first principal axis: no side goes along more with the vectors."""
    some = rows.vectors[:: math.ceil(len(rows.vectors) / _BLOCK)].astype(np.float32)
    axis = np.linalg.eigh(np.cov(some, rowvar=False))[1][:, -1].astype(np.float32)
    blocks = range(0, len(rows.vectors), _BLOCK)
    along = np.concatenate([rows.vectors[one : one + _BLOCK].astype(np.float32) @ axis for one in blocks])
    upper = along > np.median(along)
    for side in (upper, ~upper):
        mask = np.zeros(total, np.bool_)
        mask[rows.positions[side]] = True
        yield Allowed(mask)


def _question(queries: Vectors, rows: Vectors, allowed: Allowed | None) -> Question:
    """Compares all vectors, block by block, in float32."""
    faiss = require("faiss", "search")
    best = faiss.ResultHeap(len(queries.vectors), NEIGHBOURS + 1, keep_max=True)
    for start in range(0, len(rows.vectors), _BLOCK):
        block = rows.only(slice(start, start + _BLOCK))
        if allowed is not None:
            kept = allowed.mask[block.positions]
            block = Vectors(block.vectors[kept], block.positions[kept])
        if len(block.positions):
            scores, places = faiss.knn(
                unit(queries.vectors), unit(block.vectors), NEIGHBOURS + 1, metric=faiss.METRIC_INNER_PRODUCT
            )
            best.add_result(scores, block.positions[places])
    best.finalize()
    others = np.where(queries.positions[:, None] == best.I, -np.inf, best.D)
    return Question(queries, allowed, -np.sort(-others, axis=1)[:, NEIGHBOURS - 1])


def _shares(nearest: Nearest, questions: list[Question], rows: Vectors) -> list[Array]:
    """Of every question the share `(Q,)` of the nearest that each query finds."""
    return [
        (_found_cosines(nearest, question, rows) >= question.least[:, None] - _EQUAL).mean(axis=1)
        for question in questions
    ]


def _found_cosines(nearest: Nearest, question: Question, rows: Vectors) -> Array:
    """Of the rows that a search finds, the cosines `(Q, 10)` in float32."""
    queries = question.queries
    scores, found = nearest.search(queries.vectors, NEIGHBOURS + 1, question.allowed)
    own = np.where(queries.positions[:, None] == found, -np.inf, scores)
    found = np.take_along_axis(found, np.argsort(own, axis=1)[:, :0:-1], axis=1)
    places = np.searchsorted(rows.positions, found)
    vectors = unit(rows.vectors[places.ravel()]).reshape(*found.shape, -1)
    cosines: Array = np.einsum("qe,qke->qk", unit(queries.vectors), vectors)
    return cosines


def _surely(shares: list[Array]) -> bool:
    """Whether every kind of queries finds as much as is asked for."""
    return all(share.mean() - _SURE * share.std() / math.sqrt(len(share)) >= RECALL for share in shares)


def _worst(shares: list[Array]) -> float:
    return min(float(share.mean()) for share in shares)
