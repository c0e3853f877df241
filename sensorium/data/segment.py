"""Segments, the files of a cache: arrays that one process appends, with a line in an index for each."""

from __future__ import annotations

import json
import math
import os
import struct
import uuid
import weakref
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from sensorium.data.column import Array

DTYPES: Mapping[str, np.dtype[np.generic]] = MappingProxyType(
    {"uint8": np.dtype("u1"), "int16": np.dtype("<i2"), "bfloat16": np.dtype("<u2")}
)
"""What may be kept: pictures and frames are uint8, sound is int16, features are bfloat16, as its bits."""

STORED_AS: Mapping[str, str] = MappingProxyType({"uint8": "uint8", "int16": "int16", "uint16": "bfloat16"})
"""What numpy calls an array → its entry in `DTYPES`; numpy knows no bfloat16."""

ALIGNMENT = 64
"""Every array starts at a multiple of this many bytes."""

_PLACE = struct.Struct("<IQ?")
PLACE_BYTES = _PLACE.size
"""Of a place as a record."""

_LINE_BYTES = 512  # a line is seldom longer
_BLOCK_BYTES = 1 << 20


class Segment:
    """A segment as read, here and there: mapped, an epoch would bring all of it into memory."""

    def __init__(self, path: Path, number: int) -> None:
        self.number = number
        self._data, self._index = path, path.with_suffix(".index")
        self._read = 0

    def new_lines(self) -> Iterator[tuple[int, Line]]:
        """Offset and line of those that were added since the last call; half a line waits for its rest."""
        with _opened(self._index) as file:
            for text in _lines(file, self._read):
                offset, self._read = self._read, self._read + len(text)
                line = Line.decode(self._data.stem, text)
                if line is not None:
                    yield offset, line

    @contextmanager
    def opened(self) -> Iterator[OpenSegment]:
        """For reading arrays; closed afterwards, as there may be many segments."""
        with _opened(self._index) as index, _opened(self._data) as data:
            yield OpenSegment(self._data.stem, index, data)


class OpenSegment(NamedTuple):
    """A segment's two files, as descriptors; -1 for one that cannot be read."""

    name: str
    index_file: int
    data_file: int

    def array(self, place: Place, digest: str, key: str) -> Array | None:
        """The array at a place, read-only; None where it is damaged, or of another content or settings."""
        text = next(_lines(self.index_file, place.offset), None)
        line = None if text is None else Line.decode(self.name, text)
        if line is None or (line.digest, line.key) != (digest, key):
            return None
        content = _read_at(self.data_file, line.offset, line.size)
        if len(content) < line.size or not (place.checked or zlib.crc32(content) == line.checksum):
            return None
        return np.frombuffer(content, DTYPES[line.dtype]).reshape(line.shape)


class SegmentWriter:
    """The segment that one process appends to."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.process = os.getpid()
        self.name = uuid.uuid4().hex
        with ExitStack() as opened:
            self._data = opened.enter_context((folder / f"{self.name}.data").open("xb", buffering=0))
            self._index = opened.enter_context((folder / f"{self.name}.index").open("xb", buffering=0))
            # A cache that nobody closes is closed when it is collected.
            self.close = weakref.finalize(self, opened.pop_all().close)
        self._end = 0

    def append(self, digest: str, key: str, array: Array, source_bytes: int) -> tuple[int, Line]:
        """Writes an array, then the line that makes it known, which is returned with its offset."""
        dtype = STORED_AS[array.dtype.name]
        content = np.ascontiguousarray(array, DTYPES[dtype]).tobytes()
        padding = bytes(-len(content) % ALIGNMENT)
        line = Line(
            self.name,
            digest,
            key,
            dtype,
            array.shape,
            self._end,
            zlib.crc32(content),
            source_bytes,
        )
        _write(self._data, content + padding)
        self._end += len(content) + len(padding)
        offset = self._index.tell()
        _write(self._index, line.encode())
        return offset, line

    def flush(self) -> None:
        """Brings the segment onto the disk."""
        os.fsync(self._data.fileno())
        os.fsync(self._index.fileno())


class Place(NamedTuple):
    """Where a line stands that says where an array is.

    Attributes:
        segment: its number in this process.
        offset: of the line in the segment's index.
        checked: whether the array's checksum was compared; it is when the array is first read.
    """

    segment: int
    offset: int
    checked: bool

    def encode(self) -> bytes:
        """The place as a record."""
        return _PLACE.pack(*self)

    @classmethod
    def decode(cls, record: bytes) -> Place:
        """Takes back what `encode` wrote."""
        return cls(*_PLACE.unpack(record))


class Line(NamedTuple):
    """One line of an index: where an array is and what it is of."""

    segment: str
    digest: str
    key: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    checksum: int
    source_bytes: int

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize

    def encode(self) -> bytes:
        """The line as written: a checksum of the rest, then JSON; the segment is the file's own name."""
        text = json.dumps(self[1:]).encode()
        return b"%08x %s\n" % (zlib.crc32(text), text)

    @classmethod
    def decode(cls, segment: str, line: bytes) -> Line | None:
        """Takes back what `encode` wrote; None for anything else."""
        checksum, _, text = line.rstrip(b"\n").partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            return None
        try:
            digest, key, dtype, shape, offset, data_checksum, source_bytes = json.loads(text)
        except ValueError:
            return None
        if dtype not in DTYPES:  # a later version's
            return None
        return cls(segment, digest, key, dtype, tuple(shape), offset, data_checksum, source_bytes)


def _write(file: FileIO, content: bytes) -> None:
    """Writes all of it; an unbuffered file may take less at a time, as on a disk that is nearly full."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file's descriptor; -1 where it cannot be opened."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield -1
        return
    try:
        yield file
    finally:
        os.close(file)


def _read_at(file: int, offset: int, size: int) -> bytes:
    """Bytes of a file; fewer at its end, none where it cannot be read."""
    try:
        return os.pread(file, size, offset)
    except OSError:
        return b""


def _lines(file: int, offset: int) -> Iterator[bytes]:
    """Whole lines of a file from an offset on."""
    rest, size = b"", _LINE_BYTES
    while block := _read_at(file, offset + len(rest), size):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            offset += len(line) + 1
            yield line + b"\n"
        size = _BLOCK_BYTES


def index_files(folder: Path) -> list[Path]:
    """The indexes of all segments in a folder, in the order of their names."""
    try:
        return sorted(folder.glob("*.index"))
    except OSError:
        return []
