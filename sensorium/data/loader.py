"""From rows of a table to numpy batches: decoded ahead in threads, in a fixed order, in bounded memory."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sensorium.data.cache import Cache
from sensorium.data.column import Array, Cells, Column
from sensorium.data.feature_table import FeatureTable
from sensorium.data.kept import ROWS_OF_A_BLOCK, KeptCells, KeptTexts, new_kept
from sensorium.data.media import Media, Source
from sensorium.data.table import Table
from sensorium.data.text import TextColumn
from sensorium.data.turns import Turns
from sensorium.errors import CellError, SensoriumError, one_line

Rows = npt.NDArray[np.int64]

_FITTED_AT_ONCE = 1024  # cells; texts and labels, never media


class BoundColumn(NamedTuple):
    """A column of the recipe, and the table column that it reads.

    Attributes:
        source: the table column; of a similarity, which has none of its own, the name of the output.
        column: reads its cells.
        between: of a similarity the inputs whose cells are compared; else empty.
    """

    source: str
    column: Column
    between: tuple[BoundColumn, ...] = ()

    @property
    def sources(self) -> list[str]:
        """The table columns that it reads."""
        return [part.source for part in self.between] or [self.source]


class DecodedBatch(NamedTuple):
    """Rows decoded.

    Attributes:
        rows: `(B,)` int64 positions in the table, in the order asked for.
        inputs: input name → cells.
        targets: output name → cells.
    """

    rows: Rows
    inputs: dict[str, Cells]
    targets: dict[str, Cells]


class BadCell(NamedTuple):
    """A cell that could not be read. It was treated as missing; no other row's cell stands in for it."""

    row: int
    key: str
    column: str
    file: str
    cause: str
    advice: str

    def line(self) -> str:
        """One line for the user."""
        place = f"row {self.row}{f' ({self.key})' if self.key else ''}, column {self.column}"
        file = f", file {self.file}" if self.file else ""
        return one_line(f"{place}{file}: {self.cause}{f'; {self.advice}' if self.advice else ''}")


@dataclass
class Quarantine:
    """Every cell that could not be read, once each, in the order of rows."""

    _cells: dict[tuple[int, str], BadCell] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, cell: BadCell) -> None:
        """Notes a cell; noting it again changes nothing."""
        with self._lock:
            self._cells.setdefault((cell.row, cell.column), cell)

    def cells(self) -> list[BadCell]:
        """Sorted by row, then column."""
        with self._lock:
            return [self._cells[place] for place in sorted(self._cells)]

    def __len__(self) -> int:
        return len(self._cells)


class Loader:
    """Decodes rows of one table. Cells that are no media are decoded once (see `sensorium.data.kept`).

    Args:
        table: the rows.
        inputs: input name → bound, fitted column.
        targets: output name → bound, fitted column; empty when predicting.
        media: finds the files that cells name.
        cache: where decoded media are kept, or None.
        on_error: "mark" treats an unreadable cell as missing and notes it; "raise" stops.
        key: columns that name a row in messages.
        threads: decoding threads; default one per core, at most 8.

    Attributes:
        features: input name → features that are served in place of its cells; see `sensorium.features`. They
            must hold every row that is asked for.
        unread: inputs of which no cell is read; they count as missing in every row.
    """

    def __init__(
        self,
        table: Table,
        inputs: dict[str, BoundColumn],
        targets: dict[str, BoundColumn],
        media: Media,
        cache: Cache | None = None,
        on_error: Literal["mark", "raise"] = "mark",
        key: Sequence[str] = (),
        threads: int | None = None,
    ) -> None:
        self.table = table
        self.inputs = inputs
        self.targets = targets
        self.media = media
        self.cache = cache
        self.on_error = on_error
        self.key = [name for name in key if name in table.names]
        self.threads = threads or min(8, os.cpu_count() or 1)
        self.quarantine = Quarantine()
        self.features: dict[str, FeatureTable] = {}
        self.unread: frozenset[str] = frozenset()
        self._kept: dict[tuple[str, int], KeptCells | KeptTexts | None] = {}

    def batches(self, plan: Iterable[Rows]) -> Iterator[DecodedBatch]:
        """Batches in the order of `plan`, decoded ahead; at most `threads + 2` batches are held.

        Raises:
            SensoriumError: at the first unreadable cell, where `on_error` is "raise".
        """
        waiting: deque[Future[DecodedBatch]] = deque()
        turns = Turns(self.threads)
        with ThreadPoolExecutor(self.threads, thread_name_prefix="decode") as pool:
            try:
                for rows in plan:
                    waiting.append(pool.submit(turns.take, partial(self.batch, rows)))
                    if len(waiting) > self.threads + 1:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def batch(self, rows: Rows) -> DecodedBatch:
        """Decodes some rows."""
        rows = np.asarray(rows, dtype=np.int64)
        return DecodedBatch(
            rows=rows,
            inputs={name: self._input(name, rows) for name in self.inputs},
            targets={name: self._cells(bound, rows) for name, bound in self.targets.items()},
        )

    def row_key(self, row: int) -> str:
        """The row's key in words, such as `id=7`."""
        return ", ".join(f"{name}={str(self.table.cell(name, row))[:100]}" for name in self.key)

    def _input(self, name: str, rows: Rows) -> Cells:
        if name in self.unread:
            return self.inputs[name].column.collate([None] * len(rows))
        features = self.features.get(name)
        return self._cells(self.inputs[name], rows) if features is None else features.take(rows)

    def _cells(self, bound: BoundColumn, rows: Rows) -> Cells:
        column = bound.column
        if not set(bound.sources) & set(self.table.names):
            return column.collate([None] * len(rows))
        place = (bound.source, id(column))
        if place not in self._kept:
            self._kept.setdefault(place, new_kept(column, len(self.table)))
        kept = self._kept[place]
        if isinstance(kept, KeptTexts):
            return column.collate([self._decode_text(bound, int(row), kept) for row in rows])
        if kept is None:
            return column.collate([self.decode(bound, int(row)) for row in rows])
        unread = kept.unread(rows)
        if len(unread) and len(self.table) > ROWS_OF_A_BLOCK and not bound.between:
            self._decode_blocks(bound, kept, unread)
            unread = kept.unread(rows)
        if len(unread):
            kept.put(unread, column.collate([self.decode(bound, int(row)) for row in unread]))
        return kept.take(rows)

    def _decode_blocks(self, bound: BoundColumn, kept: KeptCells, rows: Rows) -> None:
        """Decodes the blocks around some rows whole, where the column can: the others will be asked for."""
        cells = self.table.column(bound.source)
        for block in kept.untried(rows):
            start = block * ROWS_OF_A_BLOCK
            decoded = bound.column.decode_block(cells.block(start, ROWS_OF_A_BLOCK))
            if decoded is not None:
                kept.put(np.arange(start, start + len(decoded.mask)), decoded)

    def _decode_text(self, bound: BoundColumn, row: int, kept: KeptTexts) -> Array | None:
        text = kept.get(row)
        if text is None:
            text = self.decode(bound, row)
            if text is not None:
                kept.put(row, text)
        return text

    def decode(self, bound: BoundColumn, row: int) -> Array | None:
        """One cell; None where it is missing, or unreadable and marked so.

        Raises:
            SensoriumError: when it is unreadable, where `on_error` is "raise".
        """
        if bound.between:
            return bound.column.decode([self._content(part, row) for part in bound.between])
        cell = self.table.cell(bound.source, row)
        if cell is None:
            return None
        source: Source | None = None
        try:
            if not bound.column.media:
                return bound.column.decode(cell)
            source = self.media.source(cell)
            return self._decode_media(bound.column, source)
        except CellError as error:
            file = source.name if source else _file_name(bound.column, cell)
            bad = BadCell(row, self.row_key(row), bound.source, file, error.cause, error.advice)
        if self.on_error == "raise":
            raise SensoriumError(
                f"{self.table.source}: {bad.line()} (data.on_error: mark goes on without it)"
            )
        self.quarantine.add(bad)
        return None

    def _content(self, bound: BoundColumn, row: int) -> bytes | None:
        """What tells a cell of an input from others; None where it is missing, or its file is not there."""
        cell = self.table.cell(bound.source, row) if bound.source in self.table.names else None
        if cell is None or cell != cell:
            return None
        if not bound.column.media:
            return str(cell).encode("utf-8", "replace")
        try:
            return self.media.source(cell).digest().encode()
        except CellError:  # the input itself, read beside this, says so
            return None

    def _decode_media(self, column: Column, source: Source) -> Array:
        if self.cache is None:
            return column.decode(source)
        digest, key = source.digest(), column.cache_key()
        found = self.cache.get(digest, key)
        if found is None:
            found = column.decode(source)
            self.cache.put(digest, key, found, source.size())
        return found


def _file_name(column: Column, cell: Any) -> str:
    """What to call a media cell whose file could not even be found."""
    return cell[:200] if column.media and isinstance(cell, str) and not cell.startswith("data:") else ""


def fit_columns(table: Table, rows: Rows, columns: Iterable[BoundColumn]) -> None:
    """Fits every column on the training rows alone. Cells that cannot be read are left out by the column."""
    training = table.take(rows)
    for bound in columns:
        if not bound.column.media and not bound.between:
            bound.column.fit_blocks(training.column(bound.source).blocks(_FITTED_AT_ONCE))


def plan_batches(
    rows: Rows,
    batch_size: int,
    lengths: npt.NDArray[np.int64] | None = None,
    generator: np.random.Generator | None = None,
) -> list[Rows]:
    """Cuts rows into batches.

    Args:
        rows: positions in the table.
        batch_size: rows of a batch; the last may be smaller.
        lengths: a length for every entry of `rows`; rows of similar length then share a batch, within
            windows of 50 batches, so that little is spent on padding and order stays nearly random.
        generator: shuffles rows and batches; None keeps the order given.

    Returns:
        Batches of positions; every row in exactly one of them.
    """
    order = np.arange(len(rows)) if generator is None else generator.permutation(len(rows))
    if lengths is not None:
        window = 50 * batch_size
        parts = [order[start : start + window] for start in range(0, len(order), window)]
        order = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts] or [order])
    batches = [rows[order[start : start + batch_size]] for start in range(0, len(order), batch_size)]
    if generator is not None and lengths is not None:
        batches = [batches[index] for index in generator.permutation(len(batches))]
    return batches


def row_lengths(
    table: Table, rows: Rows, columns: Iterable[BoundColumn], media: Media | None = None
) -> npt.NDArray[np.int64] | None:
    """A cheap length of every row: characters of its texts plus bytes of its sounds; None without either.

    Args:
        table: the rows.
        rows: positions in the table.
        columns: those of other types are passed over.
        media: finds the files that cells name; default: under the table's media root. What cannot be
            read has length 0.
    """
    from sensorium.data.audio import AudioColumn

    media = media or Media(table.media_root)
    lengths = np.zeros(len(rows), dtype=np.int64)
    found = False
    for bound in columns:
        if isinstance(bound.column, TextColumn | AudioColumn) and bound.source in table.names:
            found = True
            cells = (table.cell(bound.source, int(row)) for row in rows)
            measured = (
                _bytes_of(cell, media) if bound.column.media else _characters_of(cell) for cell in cells
            )
            lengths += np.fromiter(measured, np.int64, len(rows))
    return lengths if found else None


def _characters_of(cell: Any) -> int:
    return len(cell) if isinstance(cell, str | bytes) else 0


def _bytes_of(cell: Any, media: Media) -> int:
    if cell is None:
        return 0
    try:
        return media.source(cell).size()
    except CellError:
        return 0
