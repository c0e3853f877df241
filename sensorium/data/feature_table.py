"""Features of a table's cells, computed once: on disk in a file without a name, mapped into memory."""

from __future__ import annotations

import mmap
import tempfile
import weakref
from io import FileIO

import numpy as np
import numpy.typing as npt

from sensorium.data.bfloat16 import to_float32
from sensorium.data.column import Cells
from sensorium.folders import default_folder

Rows = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint16]


class FeatureTable:
    """What an encoder makes of the cells of one input, row by row; cells of the same content share theirs.

    Memory holds 8 bytes a row and 16 a distinct cell; the features themselves are on disk, as bfloat16.

    Args:
        cell_of_row: `(rows of the table,)` int64, the distinct cell that a row has, -1 where it has none.
        starts: `(cells,)` int64, the first token of each.
        lengths: `(cells,)` int64, how many tokens each has; 0 counts as missing.
        tokens: `(all tokens, D)` uint16, the bits of bfloat16.
    """

    def __init__(self, cell_of_row: Rows, starts: Rows, lengths: Rows, tokens: Bits) -> None:
        self._cell_of_row, self._starts, self._lengths, self._tokens = cell_of_row, starts, lengths, tokens

    @property
    def width(self) -> int:
        """D, numbers of a token."""
        return int(self._tokens.shape[1])

    @property
    def is_empty(self) -> bool:
        """Whether no row has a feature."""
        return not len(self._tokens)

    def take(self, rows: Rows) -> Cells:
        """Features of some rows: values `(B, L, D)` float32, zero in the padding, and mask `(B, L)`."""
        cells = self._cell_of_row[rows]
        lengths = np.where(cells < 0, 0, self._lengths[cells]) if len(self._lengths) else np.zeros_like(cells)
        places = np.arange(max(1, int(lengths.max(initial=0))))
        mask = places < lengths[:, None]
        values = np.zeros((*mask.shape, self.width), dtype=np.float32)
        if mask.any():
            tokens = self._starts[cells][:, None] + places
            values[mask] = to_float32(self._tokens[tokens[mask]])
        return Cells(values, mask)


class FeatureWriter:
    """Takes the features of distinct cells, in any order, and makes the table of them.

    Args:
        cells: how many distinct cells there are.
        width: D, numbers of a token.

    Attributes:
        notes: what the user should be told, one line each; where the disk is full, features are held in
            memory.
    """

    def __init__(self, cells: int, width: int) -> None:
        self.notes: list[str] = []
        self._width = width
        self._starts = np.zeros(cells, dtype=np.int64)
        self._lengths = np.zeros(cells, dtype=np.int64)
        self._tokens = 0
        self._file: FileIO | None = None
        self._held: list[Bits] = []

    def put(self, cell: int, features: Bits) -> None:
        """Keeps the features `(L, D)` of a cell, the bits of bfloat16."""
        self._starts[cell], self._lengths[cell] = self._tokens, len(features)
        self._tokens += len(features)
        if self.notes:
            self._held.append(features)
            return
        try:
            self._append(features.astype("<u2", copy=False).tobytes())
        except OSError as error:
            self._held.append(features)
            self.notes.append(
                f"features are held in memory: {default_folder()} cannot take them "
                f"({error.strerror or error}); free space there, or name another folder in SENSORIUM_CACHE"
            )

    def table(self, cell_of_row: Rows) -> FeatureTable:
        """The table of all that was put.

        Args:
            cell_of_row: see `FeatureTable`.
        """
        tokens = np.concatenate([self._mapped(), *self._held]) if self._held else self._mapped()
        return FeatureTable(cell_of_row, self._starts, self._lengths, tokens)

    def _append(self, content: bytes) -> None:
        if self._file is None:
            folder = default_folder()
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - mapped later
            weakref.finalize(self, self._file.close)  # where what fills it stops halfway
        rest = memoryview(content)
        while rest:  # on a disk that is nearly full, less is taken at a time
            rest = rest[self._file.write(rest) :]

    def _mapped(self) -> Bits:
        """The tokens in the file, without what a full disk took of the last."""
        tokens = self._tokens - sum(len(features) for features in self._held)
        if self._file is None or not tokens:
            return np.zeros((0, self._width), dtype=np.uint16)
        with self._file as file:
            mapped = mmap.mmap(file.fileno(), 2 * tokens * self._width, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, dtype="<u2").reshape(tokens, self._width)
