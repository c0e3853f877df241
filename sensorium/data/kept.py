"""Decoded cells that are no media, kept in memory: an epoch decodes them, the next ones only look them up."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from sensorium.data.column import Array, Cells, Column
from sensorium.data.tabular import CategoriesColumn, CategoryColumn, NumberColumn
from sensorium.data.text import TextColumn

Rows = npt.NDArray[np.int64]

MOST_KEPT = 256 * 1024**2
"""Bytes of decoded cells that are kept of one column; texts beyond, and larger columns, are decoded anew."""
_OBJECT = 200  # bytes that one small array in a dict takes beside its values


def new_kept(column: Column, rows: int) -> KeptCells | KeptTexts | None:
    """Where a column's decoded cells are kept; None where they are not."""
    if isinstance(column, TextColumn):
        return KeptTexts()
    if not isinstance(column, NumberColumn | CategoryColumn | CategoriesColumn):
        return None
    one = column.collate([None])
    return KeptCells(rows, one) if rows * one.values.nbytes <= MOST_KEPT else None


class KeptCells:
    """The cells of a column of fixed width, read once. Two threads may read one twice, and write the same."""

    def __init__(self, rows: int, one: Cells) -> None:
        self._read = np.zeros(rows, dtype=np.bool_)
        self._values = np.zeros((rows, *one.values.shape[1:]), dtype=one.values.dtype)
        self._mask = np.zeros((rows, *one.mask.shape[1:]), dtype=np.bool_)

    def unread(self, rows: Rows) -> Rows:
        """Those of the rows that were not read yet."""
        return rows[~self._read[rows]]

    def put(self, rows: Rows, cells: Cells) -> None:
        """Keeps the cells of these rows, the missing ones too."""
        self._values[rows], self._mask[rows] = cells
        self._read[rows] = True  # last: other threads take what is marked as read

    def take(self, rows: Rows) -> Cells:
        """The cells of rows that were put, in the order asked for."""
        return Cells(self._values[rows], self._mask[rows])


class KeptTexts:
    """The texts of a column, read once, as far as memory is given for them."""

    def __init__(self) -> None:
        self._texts: dict[int, Array] = {}
        self._left = MOST_KEPT
        self._lock = threading.Lock()

    def get(self, row: int) -> Array | None:
        """A text that was put; None where it was not, or there was no room."""
        return self._texts.get(row)

    def put(self, row: int, text: Array) -> None:
        """Keeps a text while there is room."""
        with self._lock:
            if row not in self._texts and self._left > 0:
                self._left -= text.nbytes + _OBJECT
                self._texts[row] = text
