"""Decoded cells that are no media, kept: an epoch decodes them, the next ones only look them up."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref

import numpy as np
import numpy.typing as npt

from sensorium.data.cache import default_folder
from sensorium.data.column import Array, Cells, Column
from sensorium.data.identity import IdentityColumn
from sensorium.data.tabular import CategoriesColumn, CategoryColumn, NumberColumn
from sensorium.data.text import TextColumn

Rows = npt.NDArray[np.int64]

MOST_KEPT = 256 * 1024**2
"""Bytes of decoded cells that are kept of one column; texts beyond, and larger columns, are decoded anew."""
ROWS_OF_A_BLOCK = 8192
"""Rows that are decoded together in tables of more."""


def new_kept(column: Column, rows: int) -> KeptCells | KeptTexts | None:
    """Where a column's decoded cells are kept; None where they are not."""
    if isinstance(column, TextColumn):
        return KeptTexts(rows)
    if not isinstance(column, NumberColumn | CategoryColumn | CategoriesColumn | IdentityColumn):
        return None
    one = column.collate([None])
    return KeptCells(rows, one) if rows * one.values.nbytes <= MOST_KEPT else None


class KeptCells:
    """The cells of a column of fixed width, read once. Two threads may read one twice, and write the same."""

    def __init__(self, rows: int, one: Cells) -> None:
        self._read = np.zeros(rows, dtype=np.bool_)
        self._tried = np.zeros(rows // ROWS_OF_A_BLOCK + 1, dtype=np.bool_)
        self._values = np.zeros((rows, *one.values.shape[1:]), dtype=one.values.dtype)
        self._mask = np.zeros((rows, *one.mask.shape[1:]), dtype=np.bool_)

    def unread(self, rows: Rows) -> Rows:
        """Those of the rows that were not read yet."""
        return rows[~self._read[rows]]

    def untried(self, rows: Rows) -> list[int]:
        """The blocks of these rows that were not asked for yet; they are from now on."""
        blocks = np.unique(rows // ROWS_OF_A_BLOCK)
        blocks = blocks[~self._tried[blocks]]
        self._tried[blocks] = True
        found: list[int] = blocks.tolist()
        return found

    def put(self, rows: Rows, cells: Cells) -> None:
        """Keeps the cells of these rows, the missing ones too."""
        self._values[rows], self._mask[rows] = cells
        self._read[rows] = True  # last: other threads take what is marked as read

    def take(self, rows: Rows) -> Cells:
        """The cells of rows that were put, in the order asked for."""
        return Cells(self._values[rows], self._mask[rows])


class KeptTexts:
    """The texts of a column, read once, as far as there is room: in a file without a name.

    Where no file can be written, texts are decoded anew.
    """

    def __init__(self, rows: int) -> None:
        self._places = np.zeros((rows, 2), dtype=np.int64)  # where the text of a row begins and ends
        self._end = 0
        self._file: int | None = None
        self._room = MOST_KEPT
        self._lock = threading.Lock()

    def get(self, row: int) -> Array | None:
        """A text that was put, int32, read-only; None where it was not, or there was no room."""
        begin, end = self._places[row].tolist()
        if end <= begin or self._file is None:
            return None
        return np.frombuffer(os.pread(self._file, end - begin, begin), dtype=np.int32)

    def put(self, row: int, text: Array) -> None:
        """Keeps a text while there is room."""
        content = text.astype(np.int32, copy=False).tobytes()
        with self._lock:
            if self._end >= self._room or self._places[row, 1] or not content:
                return
            try:
                if self._file is None:
                    self._file = self._open()
                if os.pwrite(self._file, content, self._end) < len(content):
                    self._room = 0
                    return
            except OSError:
                self._room = 0
                return
            begin, self._end = self._end, self._end + len(content)
            # The end last: other threads read what has one.
            self._places[row, 0], self._places[row, 1] = begin, self._end

    def _open(self) -> int:
        folder = default_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            number = os.dup(file.fileno())
        weakref.finalize(self, os.close, number)
        return number
