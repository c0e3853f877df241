"""What cells and rows hold, as short keys: equal content has equal keys, in whatever file it lies."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sensorium.data.blocks import distinct_of
from sensorium.data.column import Profile
from sensorium.data.compact import key_of
from sensorium.data.infer import useless
from sensorium.data.media import Media, Source, sniff
from sensorium.data.table import Table, TableColumn
from sensorium.data.text import TextColumn
from sensorium.errors import CellError

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint8]

_LOOKED_AT = 200  # cells that say whether a column of strings holds paths of media
HASH_BYTES = 16
_ROWS_AT_ONCE = 8192
_TEXTS_AT_ONCE = 1024
_CELLS_AT_ONCE = 64  # they may be pictures
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
        whole = np.zeros((len(self.present), HASH_BYTES), dtype=np.uint8)
        for start in range(0, len(whole), _ROWS_AT_ONCE):
            block = np.concatenate([keys[start : start + _ROWS_AT_ONCE] for keys in self._waiting], axis=1)
            cells, width = block.tobytes(), block.shape[1]
            digests = [hash_of(cells[at : at + width]) for at in range(0, len(cells), width)]
            whole[start : start + len(digests)] = _as_keys(digests)
        return whole


def codes_of(keys: Keys) -> Rows:
    """`(rows,)`, one number for all rows of one key: its place among the different keys, sorted as bytes."""
    rows, width = keys.shape
    padded = np.zeros((rows, -(-width // 8) * 8), dtype=np.uint8)
    padded[:, :width] = keys
    words = padded.view(">u8").astype(np.uint64)
    order = np.lexsort(words.T[::-1])
    apart = np.any(words[order[1:]] != words[order[:-1]], axis=1)
    codes = np.zeros(rows, dtype=np.int64)
    codes[order[1:]] = np.cumsum(apart)
    return codes


def contents_of(table: Table, seen: Profile, wanted: Flags, media: Media | None) -> Contents:
    """The contents of a column in the rows wanted; without `media`, paths are compared as written."""
    cells, kind = table.column(seen.name), table.schema.field(seen.name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if seen.kind in ("integer", "boolean", "float") and not pa.types.is_decimal(kind):
        return _number_contents(cells, kind, wanted)
    if media is not None and _holds_media(seen):
        return _media_contents(cells, wanted, media)
    keys = _no_keys(len(cells))
    start = 0
    for block in cells.blocks(_TEXTS_AT_ONCE if seen.kind in ("string", "dictionary") else _CELLS_AT_ONCE):
        keys[start : start + len(block)] = _block_keys(block)
        start += len(block)
    keys[~wanted] = 0
    return Contents(keys, keys[:, 0] == 1, np.zeros_like(wanted))


def _block_keys(block: pa.ChunkedArray) -> Keys:
    """Keys of some cells; a label that comes many times is hashed once."""
    distinct = distinct_of(block)
    values, codes = distinct or (block.to_pylist(), np.arange(len(block)))
    hashed = [None if cell is None else hash_of(_normalised(cell)) for cell in values]
    keys = _no_keys(len(hashed) + 1)  # the last stands for what is missing
    there = np.array([one is not None for one in hashed], dtype=np.bool_)
    keys[:-1][there, 0] = 1
    keys[:-1][there, 1:] = _as_keys([one for one in hashed if one is not None])
    return keys[codes]


def _number_contents(cells: TableColumn, kind: pa.DataType, wanted: Flags) -> Contents:
    dtype: type[np.generic] = np.float64 if pa.types.is_floating(kind) else np.int64
    dtype = np.uint64 if pa.types.is_unsigned_integer(kind) else dtype
    keys = np.zeros((len(cells), 9), dtype=np.uint8)
    start = 0
    for block in cells.blocks(_ROWS_AT_ONCE):
        values = block.cast(kind)  # out of a dictionary
        present = values.is_valid().to_numpy()
        numbers = values.cast(pa.from_numpy_dtype(dtype)).fill_null(0).to_numpy().astype(dtype)
        present = present & (numbers == numbers)
        present &= wanted[start : start + len(block)]
        numbers = np.where(present, numbers, dtype(0)) + dtype(0)  # -0.0 + 0.0 is 0.0
        keys[start : start + len(block), 0] = present
        keys[start : start + len(block), 1:] = numbers.view(np.uint8).reshape(len(block), 8)
        start += len(block)
    present = keys[:, 0] == 1
    return Contents(keys, present, np.zeros_like(present))


def _media_contents(cells: TableColumn, wanted: Flags, media: Media) -> Contents:
    """Digests of contents; of a file whose size no other file has, the size alone stands for it."""
    keys = _no_keys(len(cells))
    unreadable = np.zeros(len(cells), dtype=np.bool_)
    sizes = np.full(len(cells), -1, dtype=np.int64)
    files = np.zeros(len(cells), dtype=np.uint64)  # 64 bits of the path of a file, 0 for bytes
    for row, cell in _asked(cells, wanted):
        try:
            source = media.source(cell)
            sizes[row] = source.size()
            if isinstance(source.content, bytes):
                _set_key(keys, row, _digest(source))
            else:
                files[row] = key_of(str(source.content)) | 1
        except CellError:
            unreadable[row] = True
    alone = (files > 0) & ~_of_several(sizes, files)
    for row in np.flatnonzero(alone).tolist():
        _set_key(keys, row, hash_of(f"the one file of {sizes[row]} bytes".encode()))
    compared = (files > 0) & ~alone
    for row, cell in _asked(cells, compared):
        try:
            _set_key(keys, row, _digest(media.source(cell)))
        except CellError:
            unreadable[row] = True
    return Contents(keys, keys[:, 0] == 1, unreadable)


def _asked(cells: TableColumn, wanted: Flags) -> Iterator[tuple[int, Any]]:
    """Row and cell, in order, where a cell is wanted and there."""
    for row, (cell, asked) in enumerate(zip(cells, wanted.tolist(), strict=True)):
        if asked and cell is not None:
            yield row, cell


def _of_several(sizes: Rows, files: npt.NDArray[np.uint64]) -> Flags:
    """`(rows,)` bool, True where two rows of one size have different files, or bytes."""
    order = np.lexsort((files, sizes))
    same_size = sizes[order[1:]] == sizes[order[:-1]]
    differ = same_size & (files[order[1:]] != files[order[:-1]])
    group = np.concatenate([[0], np.cumsum(~same_size)])
    several = np.zeros(len(sizes), dtype=np.bool_)
    several[order] = (np.bincount(group[1:], weights=differ, minlength=len(sizes)) > 0)[group]
    return several


def _no_keys(rows: int) -> Keys:
    """Keys that begin with 1 where there is something to compare: nowhere yet."""
    return np.zeros((rows, 1 + HASH_BYTES), dtype=np.uint8)


def _set_key(keys: Keys, row: int, hashed: bytes) -> None:
    keys[row, 0], keys[row, 1:] = 1, _as_keys([hashed])[0]


def _as_keys(hashes: Sequence[bytes]) -> Keys:
    return np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), HASH_BYTES)


def _normalised(cell: Any) -> bytes:
    if isinstance(cell, bytes):
        return cell
    if not isinstance(cell, str):
        return repr(cell).encode(errors="replace")
    return " ".join(unicodedata.normalize("NFKC", cell).casefold().split()).encode(errors="replace")


def _digest(source: Source) -> bytes:
    return bytes.fromhex(source.digest())[:HASH_BYTES]


def hash_of(content: bytes) -> bytes:
    """BLAKE2b, 16 bytes."""
    return hashlib.blake2b(content, digest_size=HASH_BYTES).digest()


def _is_media(cell: str) -> bool:
    return cell[:5].lower() == "data:" or ("\n" not in cell and bool(sniff(b"", cell)))


def flags_of(table: Table, rows: Rows) -> Flags:
    """`(rows of the table,)` bool, True for the rows named."""
    flags = np.zeros(len(table), dtype=np.bool_)
    flags[rows] = True
    return flags
