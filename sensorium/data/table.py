"""Tables of rows, whatever they came from: files, folders, shards and dataframes, all as Arrow."""

from __future__ import annotations

import difflib
import glob
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sensorium.data import formats
from sensorium.data.scratch import Scratch
from sensorium.errors import TableError

_BLOCK = 64  # rows turned into Python at once while iterating: a block of pictures stays small
_NEAR = 4  # times as many cells may lie between the first and the last of some that are copied at once
_DIGEST_BLOCK = 8192  # rows hashed at once; part of what a digest means


def read_table(source: Any, media_root: str | Path | None = None) -> Table:
    """Reads a table from a file, a folder, shards or a dataframe.

    Args:
        source: a path (CSV, TSV, Parquet, JSONL, a folder of such shards, a folder with metadata.csv,
            metadata.jsonl or metadata.parquet, a Lance dataset, WebDataset tars), a glob of paths, a sequence
            of paths (shards, in the order given), a dict of lists, a list of dicts, a pyarrow Table, or any
            dataframe that has `__arrow_c_stream__` (pandas, Polars, DuckDB, Datasets, ...).
        media_root: the folder that relative paths of media start from; default: the folder of the table's
            file, none for dataframes and tars.

    Raises:
        TableError: when the table cannot be read; the message names the file and the line.
        MissingPackage: when a Lance dataset is read and pylance is not installed.
    """
    root = Path(media_root) if media_root is not None else None
    if isinstance(source, Table):
        return source if root is None else source.with_media_root(root)
    if isinstance(source, str | os.PathLike):
        return _from_path(os.fspath(source), root)
    if _is_sequence_of_paths(source):
        files = [Path(os.fspath(one)) for one in source]
        if not any(map(_exists, files)):
            raise TableError(
                f"{str(files[0])[:200]} does not exist: a list of texts names the files of a table; "
                "give values as a dict of lists, {column: [value, ...]}"
            )
        return _from_files(files, root, f"{len(source)} files")
    return Table(formats.read_dataframe(source), root, "the dataframe")


class TableColumn(Sequence[Any]):
    """The cells of one column as Python objects (None = missing), converted only when they are asked for."""

    def __init__(self, cells: pa.ChunkedArray, rows: npt.NDArray[np.int64] | None, scratch: Scratch) -> None:
        self._cells = cells
        self._rows = rows
        self._scratch = scratch

    def __len__(self) -> int:
        return len(self._cells) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, row: int) -> Any: ...

    @overload
    def __getitem__(self, row: slice) -> list[Any]: ...

    def __getitem__(self, row: int | slice) -> Any:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        position = row + len(self) if row < 0 else row
        if not 0 <= position < len(self):
            raise IndexError(f"row {row} of a table of {len(self)} rows")
        if self._rows is not None:
            position = int(self._rows[position])
        self._scratch.touch(1)
        return _present(self._cells[position].as_py())

    def __iter__(self) -> Iterator[Any]:
        for block in self.blocks(_DIGEST_BLOCK if _fixed_width(self._cells.type) else _BLOCK):
            yield from map(_present, block.to_pylist())

    def blocks(self, size: int) -> Iterator[pa.ChunkedArray]:
        """The cells as Arrow, `size` at a time, fewer at the end; NaN is left as it is."""
        for start in range(0, len(self), size):
            yield self.block(start, size)

    def block(self, start: int, size: int) -> pa.ChunkedArray:
        """Some cells as Arrow, from a position on; fewer at the end."""
        self._scratch.touch(size)
        if self._rows is None:
            return self._cells.slice(start, size)
        rows = self._rows[start : start + size]
        first, last = (int(rows.min()), int(rows.max())) if len(rows) else (0, -1)
        near = last - first < _NEAR * size  # else Arrow would copy cells that nobody asked for
        if near or _fixed_width(self._cells.type):
            return self._cells.slice(first, last - first + 1).take(_indices(rows - first))
        cells = [self._cells[int(row)].as_py() for row in rows]
        return pa.chunked_array([pa.array(cells, self._cells.type)])


class Table:
    """Rows and named columns. A row's position is its identity: nothing here ever reorders rows.

    Cells may be read from several threads at once. `take` and `head` share the data and copy no cell.

    Args:
        arrow: the data.
        media_root: the folder that relative paths of media start from, if there is one.
        source: what to call the table in messages.
        scratch: what the data are mapped from, if they are not in memory.

    Attributes:
        notes: what the user should be told of how the table is held, one line each.

    Raises:
        TableError: when two columns have the same name.
    """

    def __init__(
        self,
        arrow: pa.Table,
        media_root: Path | None = None,
        source: str = "the table",
        scratch: Scratch | None = None,
    ) -> None:
        self._data = _readable_types(arrow)
        self._rows: npt.NDArray[np.int64] | None = None
        self._positions = {name: index for index, name in enumerate(self._data.column_names)}
        self._scratch = scratch or Scratch()
        self.media_root = media_root
        self.source = source
        self.notes = self._scratch.notes
        if len(self._positions) < self._data.num_columns:
            names = self._data.column_names
            repeated = next(name for name in names if names.count(name) > 1)
            raise TableError(f"{source} has two columns named {repeated!r}: rename one of them")

    def __len__(self) -> int:
        return int(self._data.num_rows) if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        return f"Table({self.source}: {len(self)} rows, columns {', '.join(self.names)})"

    @property
    def names(self) -> list[str]:
        """The columns' names, in order."""
        return list(self._positions)

    @property
    def schema(self) -> pa.Schema:
        """The columns' names and Arrow types."""
        return self._data.schema

    @property
    def arrow(self) -> pa.Table:
        """The rows as an Arrow table. After `take` this copies them."""
        return self._data if self._rows is None else self._data.take(_indices(self._rows))

    def column(self, name: str) -> TableColumn:
        """The cells of a column, lazily. Raises TableError when there is no such column."""
        self.require([name])
        return TableColumn(self._data.column(self._positions[name]), self._rows, self._scratch)

    def cell(self, column: str, row: int) -> Any | None:
        """One cell as a Python object; None when it is missing (a null, or NaN in a column of floats)."""
        return self.column(column)[row]

    def take(self, rows: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Table:
        """The rows at these positions, in this order; positions may repeat. Copies no cell.

        Raises:
            IndexError: when a position is negative or not below the number of rows.
        """
        positions = np.asarray(rows, dtype=np.int64).reshape(-1)
        if len(positions) and not (positions.min() >= 0 and positions.max() < len(self)):
            raise IndexError(f"a row position is not in 0..{len(self) - 1}")
        taken = self._like(self._data)
        taken._rows = positions if self._rows is None else self._rows[positions]
        return taken

    def head(self, count: int) -> Table:
        """The first rows, at most `count`."""
        return self.take(np.arange(min(count, len(self))))

    def with_media_root(self, media_root: Path | None) -> Table:
        """The same rows, with media looked for in another folder."""
        moved = self._like(self._data)
        moved._rows, moved.media_root = self._rows, media_root
        return moved

    def require(self, names: Sequence[str]) -> None:
        """Raises TableError, naming the nearest name that exists, when a column is not there."""
        for name in names:
            if name not in self._positions:
                near = nearest_name(name, self.names)
                advice = f"did you mean {near!r}?" if near else f"it has {_listed(self.names)}"
                if len(self.names) == 1 and name in re.split(r"[;\t|]", self.names[0]):
                    advice = (
                        f"its only column is {self.names[0]!r}; separate the cells with commas (.csv) "
                        "or tabs (.tsv)"
                    )
                raise TableError(f"{self.source} has no column {name!r}: {advice}")

    def digest(self) -> str:
        """A hash (32 hex digits, BLAKE2b) of the names, types and cells, read in blocks.

        The same rows give the same digest however they are cut into chunks or shards, and whether they
        were taken out of a larger table or not.
        """
        total = hashlib.blake2b(digest_size=16)
        total.update(len(self).to_bytes(8, "little"))
        for name, field in zip(self.names, self._data.schema, strict=True):
            _update(total, name.encode())
            _update(total, str(field.type).removeprefix("large_").encode())
            cells = self.column(name)
            if _fixed_width(field.type):
                for block in cells.blocks(_DIGEST_BLOCK):
                    _hash_numbers(total, block)
            else:
                for block in cells.blocks(_BLOCK):
                    for cell in block.to_pylist():
                        _update(total, *_as_bytes(cell))
        return total.hexdigest()

    def _like(self, data: pa.Table) -> Table:
        other = Table.__new__(Table)
        other._data, other._rows, other._positions = data, self._rows, self._positions
        other.media_root, other.source = self.media_root, self.source
        other._scratch, other.notes = self._scratch, self.notes
        return other


def files_of(source: str | os.PathLike[str]) -> list[Path]:
    """The files that a path, a folder or a glob of `read_table` stands for; a Lance dataset is one.

    Raises:
        TableError: when there are none.
    """
    text = os.fspath(source)
    path = Path(text)
    if re.match(r"[a-z][a-z0-9+]+:/", text):
        raise TableError(f"{text[:100]}: URLs are not fetched; bring the file here first, and name its path")
    there = _exists(path)
    if not there and any(mark in text for mark in "*?["):
        found = sorted(Path(one) for one in glob.glob(text, recursive=True))  # noqa: PTH207 - absolute patterns
        if not found:
            raise TableError(f"no file matches {text}")
        return found
    if not there:
        raise TableError(f"{text[:200]} does not exist")
    if path.is_dir() and path.suffix.lower() != ".lance":
        return formats.files_of_folder(path)
    return [path]


def _from_path(text: str, root: Path | None) -> Table:
    path, files = Path(text), files_of(text)
    if files == [path] and path.suffix.lower() == ".lance":
        return Table(formats.read_lance(path), root or path.parent, text)
    if _exists(path) and path.is_dir():
        return _from_files(files, root or path, text)
    return _from_files(files, root, text)


def _from_files(files: Sequence[Path], root: Path | None, source: str) -> Table:
    for file in files:
        if not file.is_file():
            raise TableError(f"{file} is not a file" if file.exists() else f"{file} does not exist")
    scratch = Scratch()
    data, has_media_inside = formats.read_files(files, scratch)
    if not data.num_rows:
        raise TableError(f"{source} has columns ({_listed(data.column_names)}) but no rows")
    return Table(data, root if has_media_inside else root or files[0].parent, source, scratch)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a name that is too long for any file
        return False


def _is_sequence_of_paths(source: Any) -> bool:
    if not isinstance(source, list | tuple) or not source:
        return False
    return all(isinstance(one, str | os.PathLike) for one in source)


def _present(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


def _readable_types(arrow: pa.Table) -> pa.Table:
    """Types that Arrow cannot take or turn into Python everywhere become their nearest plain type."""
    for index, field in enumerate(arrow.schema):
        plain = _plain_type(field.type)
        if plain != field.type:
            column = arrow.column(index).cast(plain, safe=False)  # nanoseconds are cut to microseconds
            arrow = arrow.set_column(index, pa.field(field.name, plain), column)
    return arrow


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    return pa.time64("us") if pa.types.is_time64(kind) else kind


def _fixed_width(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _hash_numbers(total: hashlib.blake2b, cells: pa.ChunkedArray) -> None:
    total.update(np.packbits(cells.is_null().to_numpy()).tobytes())
    empty = pa.scalar(0, pa.int8()).cast(cells.type)
    total.update(cells.fill_null(empty).to_numpy().tobytes())


def _as_bytes(cell: Any) -> tuple[bytes, bytes]:
    if cell is None:
        return b"n", b""
    if isinstance(cell, bytes):
        return b"b", cell
    if isinstance(cell, str):
        return b"s", cell.encode()
    if isinstance(cell, Mapping) and isinstance(cell.get("bytes"), bytes):
        return repr({**cell, "bytes": len(cell["bytes"])}).encode(), cell["bytes"]
    return b"o", repr(cell).encode()


def _update(total: hashlib.blake2b, *parts: bytes) -> None:
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)


def nearest_name(name: str, names: Sequence[str]) -> str | None:
    """The name most like another, whatever the case of letters; None where none is near."""
    folded = {one.casefold(): one for one in reversed(names)}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:12])
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown


def _indices(rows: npt.NDArray[np.int64]) -> pa.Array:
    """Positions as Arrow, without `pa.array`, which imports pandas wherever that is installed."""
    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])
