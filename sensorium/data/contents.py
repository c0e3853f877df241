"""What cells and rows hold, as short keys: equal content has equal keys, in whatever file it lies."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sensorium.data.column import Profile
from sensorium.data.infer import useless
from sensorium.data.media import Media, Source, sniff
from sensorium.data.table import Table, TableColumn
from sensorium.data.text import TextColumn
from sensorium.errors import CellError

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint8]

_LOOKED_AT = 200  # cells that say whether a column of strings holds paths of media
_HASH_BYTES = 16
_ROWS_AT_ONCE = 8192
_COLUMNS_AT_ONCE = 32  # hashed together: a table of thousands of columns needs no more memory


def is_content(seen: Profile) -> bool:
    """True for columns of texts and media; equal numbers and categories in two rows mean nothing."""
    if _holds_media(seen):
        return True
    return useless(seen) is None and TextColumn.recognise(seen) is not None


def _holds_media(seen: Profile) -> bool:
    """Whether cells are contents or paths of media, as far as the ones looked at tell."""
    if seen.media or seen.kind in ("binary", "struct"):
        return True
    if seen.kind not in ("string", "dictionary"):
        return False
    apart = 1 + len(seen.values) // _LOOKED_AT
    looked_at = [value for value in seen.values[::apart] if isinstance(value, str)]
    return 2 * sum(map(_is_media, looked_at)) > len(looked_at)


class Contents(NamedTuple):
    """What the cells of a column hold, comparable at a glance.

    Attributes:
        keys: `(rows, width)`, the same for the same content; zeros where there is nothing to compare.
        present: `(rows,)`, whether a cell was there, asked for and readable.
        unreadable: `(rows,)`, whether a cell was there and could not be read.
    """

    keys: Keys
    present: Flags
    unreadable: Flags


class WholeRows:
    """Keys of whole rows, taken in column by column; columns of one table always in the same order."""

    def __init__(self, count: int) -> None:
        self.present = np.zeros(count, dtype=np.bool_)  # in any column
        self.unreadable = np.zeros(count, dtype=np.bool_)  # in any column
        self._waiting = [np.zeros((count, 1), dtype=np.uint8)]

    def add(self, content: Contents) -> None:
        """Takes in one more column."""
        self.present |= content.present
        self.unreadable |= content.unreadable
        self._waiting.append(content.keys)
        if len(self._waiting) > _COLUMNS_AT_ONCE:
            self._waiting = [self.keys()]

    def keys(self) -> Keys:
        """`(rows, 16)`, the same for rows that agree in every column so far."""
        digests = []
        for start in range(0, len(self.present), _ROWS_AT_ONCE):
            block = np.concatenate([keys[start : start + _ROWS_AT_ONCE] for keys in self._waiting], axis=1)
            cells, width = block.tobytes(), block.shape[1]
            digests += [hash_of(cells[at : at + width]) for at in range(0, len(cells), width)]
        return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), _HASH_BYTES)


def contents_of(table: Table, seen: Profile, wanted: Flags, media: Media | None) -> Contents:
    """The contents of a column in the rows wanted; without `media`, paths are compared as written."""
    cells, kind = table.column(seen.name), table.schema.field(seen.name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if seen.kind in ("integer", "boolean", "float") and not pa.types.is_decimal(kind):
        return _number_contents(cells, kind, wanted)
    if media is not None and _holds_media(seen):
        return _media_contents(cells, wanted, media)
    keys = [b""] * len(cells)
    for row, cell in _asked(cells, wanted):
        keys[row] = hash_of(_normalised(cell))
    return _found(keys, np.zeros(len(keys), dtype=np.bool_))


def _number_contents(cells: TableColumn, kind: pa.DataType, wanted: Flags) -> Contents:
    dtype: type[np.generic] = np.float64 if pa.types.is_floating(kind) else np.int64
    dtype = np.uint64 if pa.types.is_unsigned_integer(kind) else dtype
    values = list(cells)
    present = np.array([value is not None for value in values], dtype=np.bool_) & wanted
    numbers = np.array([0 if value is None else value for value in values], dtype=dtype)
    numbers[~present] = 0
    bits = (numbers + dtype(0)).view(np.uint8).reshape(len(values), 8)  # -0.0 + 0.0 is 0.0
    keys = np.concatenate([present[:, None].astype(np.uint8), bits], axis=1)
    return Contents(keys, present, np.zeros_like(present))


def _media_contents(cells: TableColumn, wanted: Flags, media: Media) -> Contents:
    """Digests of contents; of a file whose size no other file has, the size alone stands for it."""
    keys = [b""] * len(cells)
    unreadable = np.zeros(len(cells), dtype=np.bool_)
    sizes: dict[int, int] = {}  # row of a file → its size
    owner: dict[int, Path | None] = {}  # size → the one file that has it, None when several do
    for row, cell in _asked(cells, wanted):
        try:
            source = media.source(cell)
            size = source.size()
            if isinstance(source.content, bytes):
                keys[row] = _digest(source)
                owner[size] = None
            else:
                sizes[row] = size
                owner[size] = source.content if owner.get(size, source.content) == source.content else None
        except CellError:
            unreadable[row] = True
    compared = np.zeros_like(wanted)
    for row, size in sizes.items():
        compared[row] = owner[size] is None
        keys[row] = b"" if compared[row] else hash_of(f"the one file of {size} bytes".encode())
    for row, cell in _asked(cells, compared):
        try:
            keys[row] = _digest(media.source(cell))
        except CellError:
            unreadable[row] = True
    return _found(keys, unreadable)


def _asked(cells: TableColumn, wanted: Flags) -> Iterator[tuple[int, Any]]:
    """Row and cell, in order, where a cell is wanted and there."""
    for row, (cell, asked) in enumerate(zip(cells, wanted.tolist(), strict=True)):
        if asked and cell is not None:
            yield row, cell


def _found(hashes: Sequence[bytes], unreadable: Flags) -> Contents:
    """Contents from a hash a row, b"" where there is none."""
    nothing = bytes(1 + _HASH_BYTES)
    joined = b"".join(b"\1" + one if one else nothing for one in hashes)
    keys = np.frombuffer(joined, dtype=np.uint8).reshape(len(hashes), len(nothing))
    return Contents(keys, keys[:, 0] == 1, unreadable)


def _normalised(cell: Any) -> bytes:
    if isinstance(cell, bytes):
        return cell
    if not isinstance(cell, str):
        return repr(cell).encode(errors="replace")
    return " ".join(unicodedata.normalize("NFKC", cell).casefold().split()).encode(errors="replace")


def _digest(source: Source) -> bytes:
    return bytes.fromhex(source.digest())[:_HASH_BYTES]


def hash_of(content: bytes) -> bytes:
    """BLAKE2b, 16 bytes."""
    return hashlib.blake2b(content, digest_size=_HASH_BYTES).digest()


def _is_media(cell: str) -> bool:
    return cell[:5].lower() == "data:" or ("\n" not in cell and bool(sniff(b"", cell)))


def flags_of(table: Table, rows: Rows) -> Flags:
    """`(rows of the table,)` bool, True for the rows named."""
    flags = np.zeros(len(table), dtype=np.bool_)
    flags[rows] = True
    return flags
