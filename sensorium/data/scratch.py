"""Tables too large to be held in memory: written once to a file without a name, and mapped from there."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from sensorium.folders import default_folder

IN_MEMORY = 16 * 1024**2
"""Bytes of a table that is held in memory; larger ones are written to disk and mapped."""
BATCH_BYTES = 2 * 1024**2
"""Bytes, about, of the parts in which a large table is read."""
_CELLS = 128  # cells after which pages are given back: few, as the system maps 16 pages around each


class Batches(NamedTuple):
    """A table in parts.

    Attributes:
        schema: of all parts.
        parts: in order; each is read when it is asked for.
    """

    schema: pa.Schema
    parts: Iterator[pa.RecordBatch]


class RowTooLong(Exception):
    """A row does not fit the parts in which a file is read."""


class Scratch:
    """Files that vanish with the process, however it ends, and the tables that are mapped from them.

    The pages of a mapped file count as memory of the process once they were looked at. They are given back
    now and then; those that are looked at again come from the system's cache of files.

    Attributes:
        notes: what the user should be told, one line each.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._maps: list[mmap.mmap] = []
        self._touched = 0

    def keep(self, batches: Batches) -> pa.Table | None:
        """The table, mapped from the disk; None where a row is too long or, with a note, the disk full."""
        try:
            mapped = _written(batches)
        except RowTooLong:
            return None
        except OSError as error:
            self.notes.append(
                f"the table is held in memory: {default_folder()} cannot take it "
                f"({error.strerror or error}); free space there, or name another folder in SENSORIUM_CACHE"
            )
            return None
        pa.default_memory_pool().release_unused()  # what reading needed
        self._maps.append(mapped)
        table = pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()
        self.touch(_CELLS)
        return table

    def touch(self, cells: int) -> None:
        """Counts cells that were looked at, and gives pages back when they are many."""
        self._touched += cells
        if self._touched >= _CELLS:
            self._touched = 0
            for mapped in self._maps:
                mapped.madvise(mmap.MADV_DONTNEED)  # read-only pages of a file: nothing is lost


def _written(batches: Batches) -> mmap.mmap:
    folder = default_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        with pa.ipc.new_stream(file, batches.schema) as stream:
            for batch in batches.parts:
                stream.write_batch(batch)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
