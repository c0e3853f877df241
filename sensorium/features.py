"""Features of frozen encoders, computed once: every distinct cell passes through its backbone one time."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sensorium.batch import Raw
from sensorium.data.cache import Cache
from sensorium.data.column import Array
from sensorium.data.feature_table import FeatureTable, FeatureWriter
from sensorium.data.loader import BoundColumn, Loader, Rows
from sensorium.data.text import as_text
from sensorium.encoders.pretrained.frozen import with_features
from sensorium.errors import CellError
from sensorium.folders import default_folder
from sensorium.model import Model
from sensorium.recipe import Recipe

TEXTS_AT_ONCE, MEDIA_AT_ONCE = 4096, 64
"""Cells that are decoded, sorted by length and encoded together."""
CELLS_READ_AT_ONCE = 65_536
"""Cells whose features are looked up in the cache together, and read in the order in which they lie there."""
TOKENS_A_BATCH, VALUES_A_BATCH = 1024, 5_000_000
"""Numbers, padding included, that pass the backbone at a time: ids of texts; pixels and samples of media.

So few ids that states between layers are small, and the allocator has memory for them that is mapped already:
MiniLM passes 6 % more texts than with 4096."""
SECONDS_BETWEEN_LINES = 10.0
"""How often it is said how far the work is."""

Say = Callable[[str], None]


def use_features(
    model: Model,
    loader: Loader,
    rows: Rows,
    say: Say,
    device: torch.device | None = None,
    known: Cache | None = None,
) -> None:
    """Has a loader serve features in place of the cells of every input whose encoder is frozen.

    Features that the loader's cache holds are read from it; the others are computed, and kept there as they
    come, so that what is interrupted goes on where it stopped.

    Args:
        model: has the encoders.
        loader: of the table. Cells that cannot be read go to its quarantine.
        rows: positions in the table that the loader will be asked for.
        say: takes one line for the user.
        device: where backbones run; default: the CPU.
        known: looked up where the loader has no cache; nothing is added to it.

    Raises:
        SensoriumError: at the first unreadable cell, where the loader's `on_error` is "raise".
    """
    for name, bound in loader.inputs.items():
        encoder = model.encoder(name)
        if getattr(encoder, "frozen", False) and bound.source in loader.table.names:
            extraction = Extraction(name, encoder, loader, say, device or torch.device("cpu"), known)
            loader.features[name] = extraction.table(rows)


def known_features(recipe: Recipe) -> Cache | None:
    """Where training keeps features by default; None where the recipe has them kept elsewhere or not at all.

    For a saved model, which can come from anyone, features are read there and never added: its weights may
    be others than those of the checkpoint that it names.
    """
    return Cache(default_folder()) if recipe.data.cache is True else None


class Distinct(NamedTuple):
    """The different contents of a column.

    Attributes:
        first: `(cells,)` int64, a row that has each.
        digests: `(cells,)` of 40 bytes each, hexadecimal digits.
        of_row: `(rows of the table,)` int64, the cell of each row; -1 where it has none.
    """

    first: Rows
    digests: npt.NDArray[np.bytes_]
    of_row: Rows


class Extraction:
    """Computes the features of one input.

    Args:
        name: of the input.
        encoder: a frozen one: it has `dim`, `features` and `feature_key`, and `feature_dim` where its
            features are of another width than its tokens.
        loader: see `use_features`.
        say: takes one line for the user.
        device: where the backbone runs.
        known: see `use_features`.
    """

    def __init__(
        self,
        name: str,
        encoder: Any,
        loader: Loader,
        say: Say,
        device: torch.device,
        known: Cache | None = None,
    ) -> None:
        self.name, self.encoder, self.say, self.device = name, encoder, say, device
        self.bound = loader.inputs[name]
        self.cache = loader.cache
        self.known = known if loader.cache is None else loader.cache
        self.key = encoder.feature_key()
        # Without its cache, as decoded media are needed no more once their features are known.
        self.loader = Loader(
            loader.table, {name: self.bound}, {}, loader.media, None, loader.on_error, loader.key
        )
        self.loader.quarantine = loader.quarantine

    def table(self, rows: Rows) -> FeatureTable:
        """The features of some rows."""
        began = said = time.monotonic()
        distinct = find_distinct(self.loader, self.bound, rows)
        total = len(distinct.first)
        writer = FeatureWriter(total, getattr(self.encoder, "feature_dim", self.encoder.dim))
        missing = self._read(distinct, writer)
        done = total - len(missing)
        if len(missing):
            self.encoder.to(self.device)
        for cells, decoded in self._decoded(distinct.first, missing):
            self._refuse_unreadable(distinct, cells, decoded)
            for batch in batches_by_length(decoded, self._budget):
                self._compute(cells[batch], [decoded[one] for one in batch], distinct, writer)
            done += len(cells)
            if done < total and time.monotonic() - said > SECONDS_BETWEEN_LINES:
                self.say(f"features of {self.name}: {done:,} of {total:,} cells")
                said = time.monotonic()
        for note in [*writer.notes, *self._refused()]:
            self.say(note)
        self.say(
            f"features of {self.name}: {total:,} different cells, {len(missing):,} computed and "
            f"{total - len(missing):,} from the cache, {time.monotonic() - began:.1f} s"
        )
        return writer.table(distinct.of_row)

    def _refused(self) -> Iterator[str]:
        """A line where the backbone was not held in bfloat16, as it would have answered otherwise."""
        lowered = getattr(self.encoder, "lowered", None)
        if lowered is not None and not lowered.kept:
            column: Any = self.bound.column
            yield lowered.line(column.checkpoint.name)

    @property
    def _budget(self) -> int:
        return VALUES_A_BATCH if self.bound.column.media else TOKENS_A_BATCH

    def _read(self, distinct: Distinct, writer: FeatureWriter) -> Rows:
        """Puts what the cache holds; returns the cells that it lacks."""
        if self.known is None:
            return np.arange(len(distinct.first))
        lacking = np.ones(len(distinct.first), dtype=bool)
        for start in range(0, len(lacking), CELLS_READ_AT_ONCE):
            digests = [digest.decode() for digest in distinct.digests[start : start + CELLS_READ_AT_ONCE]]
            for place, features in self.known.get_many(digests, self.key):
                writer.put(start + place, features)
                lacking[start + place] = False
        return np.flatnonzero(lacking)

    def _decoded(self, first: Rows, cells: Rows) -> Iterator[tuple[Rows, list[Array | None]]]:
        """Cells in blocks, decoded by threads, one block ahead."""
        size = MEDIA_AT_ONCE if self.bound.column.media else TEXTS_AT_ONCE
        waiting: deque[tuple[Rows, list[Future[Array | None]]]] = deque()
        with ThreadPoolExecutor(self.loader.threads, thread_name_prefix="decode") as pool:
            try:
                for start in range(0, len(cells), size):
                    block = cells[start : start + size]
                    futures = [pool.submit(self.loader.decode, self.bound, int(row)) for row in first[block]]
                    waiting.append((block, futures))
                    if len(waiting) > 1:
                        yield _results(*waiting.popleft())
                while waiting:
                    yield _results(*waiting.popleft())
            finally:
                for _, futures in waiting:
                    for future in futures:
                        future.cancel()

    def _refuse_unreadable(self, distinct: Distinct, cells: Rows, decoded: list[Array | None]) -> None:
        """Has every row of a content that cannot be read noted, not only the first."""
        unreadable = cells[[array is None for array in decoded]]
        if len(unreadable):
            for row in np.flatnonzero(np.isin(distinct.of_row, unreadable)):
                self.loader.decode(self.bound, int(row))

    def _compute(
        self, cells: Rows, decoded: Sequence[Array | None], distinct: Distinct, writer: FeatureWriter
    ) -> None:
        """Encodes one batch, and keeps what comes out."""
        values, mask = self.bound.column.collate(decoded)
        raw = Raw(torch.from_numpy(values).to(self.device), torch.from_numpy(mask).to(self.device))
        with torch.no_grad():
            features = with_features(self.encoder, raw)
            bits = features.values.bfloat16().view(torch.uint16).cpu().numpy()
        real = features.mask.cpu().numpy()
        for place, cell in enumerate(cells.tolist()):
            own = bits[place][real[place]]
            writer.put(cell, own)
            if self.cache is not None:
                # Their own size stands for that of the source: what is computed is worth its room.
                self.cache.put(distinct.digests[cell].decode(), self.key, own, own.nbytes)


def find_distinct(loader: Loader, bound: BoundColumn, rows: Rows) -> Distinct:
    """The different contents that some rows of a column have; cells that cannot be read are noted."""
    digests = np.zeros(len(rows), dtype="S40")
    for place, row in enumerate(rows.tolist()):
        if loader.table.cell(bound.source, row) is None:
            continue
        try:
            digests[place] = content_digest(loader, bound, row)
        except CellError:
            loader.decode(bound, row)  # notes it, or stops
    rows = rows[digests != b""]
    different, first, cells = np.unique(digests[digests != b""], return_index=True, return_inverse=True)
    order = np.argsort(first)  # in the order of the rows, as media lie on the disk
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    of_row = np.full(len(loader.table), -1, dtype=np.int64)
    of_row[rows] = rank[cells]
    return Distinct(rows[first[order]], different[order], of_row)


def content_digest(loader: Loader, bound: BoundColumn, row: int) -> str:
    """A digest of what a cell holds: of a file's bytes, or of a text.

    Raises:
        CellError: when the cell cannot be read.
    """
    cell = loader.table.cell(bound.source, row)
    if bound.column.media:
        return loader.media.source(cell).digest()
    return hashlib.blake2b(as_text(cell).encode(), digest_size=20).hexdigest()


def batches_by_length(decoded: Sequence[Array | None], budget: int) -> Iterator[npt.NDArray[np.int64]]:
    """Places of arrays, those of similar size together; None and empty ones are left out.

    Args:
        decoded: arrays of any shape.
        budget: numbers of a batch at most, padding included; a larger array is a batch by itself.
    """
    sizes = np.array([0 if array is None else array.size for array in decoded])
    order = np.argsort(sizes, kind="stable")
    order = order[sizes[order] > 0]
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - start) * sizes[order[end]] > budget:
            yield order[start:end]
            start = end


def _results(cells: Rows, futures: list[Future[Array | None]]) -> tuple[Rows, list[Array | None]]:
    return cells, [future.result() for future in futures]
