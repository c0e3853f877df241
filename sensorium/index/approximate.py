"""An inverted file over one input's vectors: made, brought up to date, and kept beside the rows.

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
from sensorium.index.nearest import Nearest, Quality, cell_ids
from sensorium.index.recall import QUERIES, Vectors, measured
from sensorium.training.run import write_atomically

FOLDER = "approximate"
"""Inside the index's own; may be deleted, and is then made again."""
_ABOUT = "about.json"
_MIXING = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio (Knuth): spreads numbers that follow each other
_SAMPLED = 40  # vectors for each cell, from which k-means learns where the cells are
_BLOCK = 16_384
_REBUILT_ABOVE = 0.3  # share of vectors that are new; the cells were learned without them


def prepare(
    read: Callable[[], Vectors],
    ask: Callable[[], list[Vectors]],
    addresses: Array,
    folder: Path | None,
    version: int,
    say: Callable[[str], None],
) -> Nearest:
    """An inverted file of one input's vectors, from what is kept as far as that goes, and kept in turn.

    Args:
        read: gives the vectors, in float16; called only where the kept file is not of this version.
        ask: gives queries of each kind that there will be, to measure the search with; called likewise.
        addresses: `(N,)` int64 of Lance, of every row.
        folder: of the kept file; None: nothing is kept.
        version: of the index.
        say: takes a line where this lasts.
    """
    kept = _load(folder)
    if kept is not None and kept.version == version:
        _rename(kept.index, addresses)
        return Nearest(kept.index, kept.quality)
    rows = read()
    own = addresses[rows.positions]
    index = _brought_up_to_date(kept.index, rows.vectors, own) if kept is not None else None
    if index is None:
        say(f"building an approximate index of {len(own):,} vectors")
        index = _built(rows.vectors, own)
    file = _write(index, folder)
    _rename(index, addresses)
    quality = measured(index, ask(), rows, len(addresses))
    if file is not None:
        _announce(file, version, quality)
    return Nearest(index, quality)


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
    held = np.concatenate(cell_ids(index))
    gone = np.setdiff1d(held, addresses)
    new = np.flatnonzero(~np.isin(addresses, held))
    if len(new) > _REBUILT_ABOVE * len(addresses):
        return None
    if len(gone):
        index.remove_ids(faiss.IDSelectorBatch(gone))
    _add(index, vectors[new], addresses[new])
    return index


def _rename(index: Any, addresses: Array) -> None:
    """Puts positions in the place of addresses."""
    order = np.argsort(addresses)
    ordered = addresses[order]
    for ids in cell_ids(index):
        ids[:] = order[np.searchsorted(ordered, ids)]


class _Kept(NamedTuple):
    """An inverted file as it is kept, its ids addresses."""

    index: Any
    version: int
    quality: Quality


def _load(folder: Path | None) -> _Kept | None:
    """What is kept; None where nothing whole is."""
    faiss = require("faiss", "search")
    if folder is None or not (folder / _ABOUT).exists():
        return None
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        index = faiss.read_index(str(folder / about["file"]))
        return _Kept(index, about["version"], Quality(**about["quality"]))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):  # cut short: it is made again
        return None


def _write(index: Any, folder: Path | None) -> Path | None:
    """Writes the file under a new name; None where it cannot be kept."""
    faiss = require("faiss", "search")
    if folder is None:
        return None
    file = folder / f"{secrets.token_hex(4)}.faiss"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        faiss.write_index(index, str(file))
    except (OSError, RuntimeError):  # a full disk, or one that is read alone: what is kept only saves time
        file.unlink(missing_ok=True)
        return None
    return file


def _announce(file: Path, version: int, quality: Quality) -> None:
    """Writes the JSON that names a file, so that both fit at any moment, and deletes the files before it."""
    about = {"file": file.name, "version": version, "quality": quality._asdict()}
    try:
        write_atomically(file.parent / _ABOUT, json.dumps(about))
    except OSError:
        file.unlink(missing_ok=True)
        return
    for old in file.parent.glob("*.faiss"):
        if old != file:
            old.unlink(missing_ok=True)
