"""An inverted file over one input's vectors: made, brought up to date, measured, and kept beside the rows.

On disk its ids are row addresses of Lance, which are never given to another content: what a file holds for an
address is right for ever, so a later version only takes out what is gone and adds what is new.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.errors import require
from sensorium.index.nearest import NEIGHBOURS, RECALL, Nearest, Quality, unit
from sensorium.training.run import write_atomically

FOLDER = "approximate"
"""Inside the index's own; may be deleted, and is then made again."""
FIRST_PROBES = 8
QUERIES = 1000
"""Of each kind. With 300 the recall of one draw was 0.01 off that of another."""
_ABOUT = "about.json"
_MIXING = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio (Knuth): spreads numbers that follow each other
_EQUAL = 1e-6  # cosines that differ by less are the same: the order of a sum in float32 changes that much
_SURE = 3  # standard errors of the mean over queries, by which the recall asked for is passed
_SAMPLED = 40  # vectors for each cell, from which k-means learns where the cells are
_BLOCK = 16_384
_REBUILT_ABOVE = 0.3  # share of vectors that are new; the cells were learned without them


class Queries(NamedTuple):
    """Rows of the index as queries: a picture's neighbours among captions are not those of another caption.

    Attributes:
        vectors: `(Q, E)` float32 of one input of the space, of unit length.
        addresses: `(Q,)` int64, of their rows.
    """

    vectors: Array
    addresses: Array


def prepare(
    read: Callable[[], tuple[Array, Array]],
    ask: Callable[[], list[Queries]],
    addresses: Array,
    folder: Path | None,
    version: int,
    say: Callable[[str], None],
) -> Nearest:
    """An inverted file of one input's vectors, from what is kept as far as that goes, and kept in turn.

    Args:
        read: gives the vectors `(n, E)` float16, of unit length, and the positions `(n,)` int64 of their
            rows; called only where the kept file is not of this version.
        ask: gives queries of each kind that there will be, to measure the search with; called likewise.
        addresses: `(N,)` int64 of Lance, of every row.
        folder: of the kept file; None: nothing is kept.
        version: of the index.
        say: takes a line where this lasts.
    """
    kept = _load(folder)
    if kept is not None and kept[1]["version"] == version:
        index, quality = kept[0], Quality(*kept[1]["quality"])
    else:
        vectors, positions = read()
        own = addresses[positions]
        index = _brought_up_to_date(kept[0], vectors, own) if kept else None
        if index is None:
            say(f"building an approximate index of {len(vectors):,} vectors")
            index = _built(vectors, own)
        quality = _measured(index, ask(), vectors, own)
        _save(index, {"version": version, "quality": list(quality)}, folder)
    _rename(index, addresses)
    return Nearest(index, len(addresses), quality)


def held(addresses: Array, count: int) -> Array:
    """Places of rows that are queries, and that no cells are learned from: a cell lies too well for its own.

    In a later version they are the same, as far as they are still there, or among the new.

    Args:
        addresses: `(n,)` int64 of Lance.
        count: how many.
    """
    mixed = addresses.astype(np.uint64) * np.uint64(_MIXING)
    return np.sort(np.argsort(mixed, kind="stable")[:count])


def _built(vectors: Array, addresses: Array) -> Any:
    """Cells by k-means over a sample; 4 √n of them, as faiss advises for up to a million vectors."""
    faiss = require("faiss", "search")
    dim, cells = vectors.shape[1], int(4 * math.sqrt(len(vectors)))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dim), dim, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    known = np.setdiff1d(np.arange(len(vectors)), held(addresses, 2 * QUERIES))
    rows = np.random.default_rng(0).choice(known, min(len(known), _SAMPLED * cells), replace=False)
    rows.sort()
    index.train(vectors[rows].astype(np.float32))
    _add(index, vectors, addresses)
    return index


def _add(index: Any, vectors: Array, addresses: Array) -> None:
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        index.add_with_ids(vectors[part].astype(np.float32), addresses[part])


def _brought_up_to_date(index: Any, vectors: Array, addresses: Array) -> Any | None:
    """Takes out what is gone and adds what is new; None where so much is new that cells must be learned."""
    faiss = require("faiss", "search")
    held = np.concatenate(_ids(index))
    gone = np.setdiff1d(held, addresses)
    new = np.flatnonzero(~np.isin(addresses, held))
    if len(new) > _REBUILT_ABOVE * len(addresses):
        return None
    if len(gone):
        index.remove_ids(faiss.IDSelectorBatch(gone))
    _add(index, vectors[new], addresses[new])
    return index


def _measured(index: Any, kinds: list[Queries], vectors: Array, addresses: Array) -> Quality:
    """Doubles the cells that are looked into until enough of the nearest are found, by queries of every kind.

    The nearest are those of the vectors in float32. Of each query, a row of the index, the row itself does
    not count. Of equal vectors any will do (Aumüller et al. 2018, arXiv:1807.05614).

    Queries differ: some find all, some half. So the recall asked for must be passed by three standard errors
    of the mean, or new queries would find less as often as not.
    """
    cells, probes = int(index.nlist), min(FIRST_PROBES, int(index.nlist))
    asked = sum(len(kind.addresses) for kind in kinds)
    nearest = Nearest(index, int(index.ntotal), Quality(1.0, asked, cells, cells))
    needed = [_tenth_cosines(kind, vectors, addresses) for kind in kinds]
    while True:
        nearest.quality = Quality(1.0, asked, probes, cells)
        shares = [
            (_found_cosines(nearest, kind, vectors, addresses) >= least[:, None] - _EQUAL).mean(axis=1)
            for kind, least in zip(kinds, needed, strict=True)
        ]
        surely = min(float(share.mean() - _SURE * share.std() / math.sqrt(len(share))) for share in shares)
        if surely >= RECALL or probes == cells:
            recall = min(float(share.mean()) for share in shares)
            return Quality(recall, asked, probes, cells)
        probes = min(cells, probes * 2)


def _tenth_cosines(kind: Queries, vectors: Array, addresses: Array) -> Array:
    """The cosine `(Q,)` of each row's tenth neighbour, in float32, comparing all vectors block by block."""
    faiss = require("faiss", "search")
    best = faiss.ResultHeap(len(kind.vectors), NEIGHBOURS + 1, keep_max=True)
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        scores, rows = faiss.knn(
            unit(kind.vectors), unit(vectors[part]), NEIGHBOURS + 1, metric=faiss.METRIC_INNER_PRODUCT
        )
        best.add_result(scores, addresses[part][rows])
    best.finalize()
    tenth: Array = _without_own(kind, best.D, best.I)[:, -1]
    return tenth


def _found_cosines(nearest: Nearest, kind: Queries, vectors: Array, addresses: Array) -> Array:
    """Of the rows that a search finds, the cosines `(Q, 10)` in float32."""
    scores, ids = nearest.search(kind.vectors, NEIGHBOURS + 1)
    chosen = np.argsort(np.where(ids == kind.addresses[:, None], -np.inf, scores), axis=1)[:, :0:-1]
    ids = np.take_along_axis(ids, chosen, axis=1)
    order = np.argsort(addresses)
    places = order[np.searchsorted(addresses, ids, sorter=order)]
    found = unit(vectors[places.ravel()]).reshape(*ids.shape, -1)
    cosines: Array = np.einsum("qe,qke->qk", unit(kind.vectors), found)
    return cosines


def _without_own(kind: Queries, scores: Array, ids: Array) -> Array:
    """The cosines `(Q, 10)` of each row's neighbours without the row itself."""
    scores = np.where(ids == kind.addresses[:, None], -np.inf, scores)
    return -np.sort(-scores, axis=1)[:, :NEIGHBOURS]


def _ids(index: Any) -> list[Array]:
    """The ids of each cell; arrays that can be written."""
    faiss = require("faiss", "search")
    lists = index.invlists
    sizes = [lists.list_size(cell) for cell in range(index.nlist)]
    return [
        faiss.rev_swig_ptr(lists.get_ids(cell), size) if size else np.empty(0, np.int64)
        for cell, size in enumerate(sizes)
    ]


def _rename(index: Any, addresses: Array) -> None:
    """Puts positions in the place of addresses."""
    order = np.argsort(addresses)
    ordered = addresses[order]
    for ids in _ids(index):
        ids[:] = order[np.searchsorted(ordered, ids)]


def _load(folder: Path | None) -> tuple[Any, dict[str, Any]] | None:
    """What is kept; None where nothing whole is."""
    faiss = require("faiss", "search")
    if folder is None or not (folder / _ABOUT).exists():
        return None
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        return faiss.read_index(str(folder / about["file"])), about
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):  # cut short: it is made again
        return None


def _save(index: Any, about: dict[str, Any], folder: Path | None) -> None:
    """Writes the file under a new name, and then the JSON that names it, so that both fit at any moment."""
    faiss = require("faiss", "search")
    if folder is None:
        return
    file = folder / f"{secrets.token_hex(4)}.faiss"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        faiss.write_index(index, str(file))
        write_atomically(folder / _ABOUT, json.dumps({**about, "file": file.name}))
    except (OSError, RuntimeError):  # a full disk, or one that is read alone: what is kept only saves time
        file.unlink(missing_ok=True)
        return
    for old in folder.glob("*.faiss"):
        if old != file:
            old.unlink(missing_ok=True)
