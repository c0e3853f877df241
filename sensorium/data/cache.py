"""Decoded media and features kept on disk, so that a second run starts without decoding or encoding."""

from __future__ import annotations

import json
import math
import os
import struct
import threading
import time
import uuid
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from io import FileIO
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.data.compact import CompactMap, key_of

DTYPES: Mapping[str, np.dtype[np.generic]] = MappingProxyType(
    {"uint8": np.dtype("u1"), "int16": np.dtype("<i2"), "bfloat16": np.dtype("<u2")}
)
"""What may be kept: pictures and frames are uint8, sound is int16, features are bfloat16, as its bits."""

_NAMES: Mapping[str, str] = MappingProxyType({"uint8": "uint8", "int16": "int16", "uint16": "bfloat16"})
"""What numpy calls an array → its entry in `DTYPES`; numpy knows no bfloat16."""

ALIGNMENT = 64
"""Every array starts at a multiple of this many bytes."""

REFRESH_SECONDS = 2.0
"""How often, at most, what other processes have added is looked up."""

_PLACE = struct.Struct("<IQ?")
_NOWHERE = b"\xff" * _PLACE.size  # of an array that was damaged
_LINE_BYTES = 512  # a line is seldom longer
_BLOCK_BYTES = 1 << 20


class Cache:
    """Arrays by content digest and settings, in a folder that processes and threads share.

    The folder holds segments. A segment is written by one process alone, and only ever appended to:
    `<name>.data` holds the arrays, `<name>.index` one line an array, written after it, with checksums of
    the line and of the array. So a process killed at any moment leaves at worst bytes that no line names,
    or half a line, which is not read. Whatever is damaged counts as absent and is decoded again.

    When nothing can be written (a full disk, a folder that is read-only) the cache goes on reading, writes
    no more and says so once in `notes`; it never raises.

    Args:
        folder: where the segments are; made when missing.

    Attributes:
        cached_bytes: size of all arrays kept in the folder, as far as known.
        source_bytes: size of the files they were decoded from, each counted once.
        added_bytes: what this object itself put there.
        added_source_bytes: size of the files behind that.
        notes: what the user should be told, one line each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cached_bytes = 0
        self.source_bytes = 0
        self.added_bytes = 0
        self.added_source_bytes = 0
        self.notes: list[str] = []
        self._lock = threading.RLock()
        self._places = CompactMap(_PLACE.size)
        self._spare: dict[int, list[_Place]] = {}  # where an array is kept more than once
        self._sources = CompactMap(0)
        self._segments: dict[str, _Segment] = {}
        self._numbered: list[_Segment] = []
        self._writer: _Writer | None = None
        self._writable = True
        self._damaged = False
        self._refreshed = -math.inf
        self._refresh()

    def get(self, digest: str, key: str) -> Array | None:
        """The array kept for a content and settings; None where there is none that is whole.

        Args:
            digest: of the source's content.
            key: the settings that it was decoded with.

        Returns:
            A read-only array, uint8, int16 or, of features, uint16: see `sensorium.data.bfloat16`.
        """
        place_key = key_of(digest, key)
        with self._lock:
            if self._place(place_key) is None:
                self._refresh()
            place = self._place(place_key)
        while place is not None:
            with self._numbered[place.segment].opened() as segment:
                array = segment.array(place, digest, key)
            if array is not None:
                self._check_off(place_key, place)
                return array
            place = self._drop(place_key, place)
        return None

    def get_many(self, digests: Sequence[str], key: str) -> Iterator[tuple[int, Array]]:
        """What `get` gives for many contents, in half its time, as files are opened once.

        Args:
            digests: of the sources' contents.
            key: the settings that they were decoded with.

        Yields:
            Position among `digests`, and the array, in the order in which they lie on the disk; nothing for
            those of which no whole array is kept.
        """
        place_keys = [key_of(digest, key) for digest in digests]
        with self._lock:
            self._refresh()
            places = [self._place(place_key) for place_key in place_keys]
        kept = sorted((place, position) for position, place in enumerate(places) if place is not None)
        for number, ones in groupby(kept, key=lambda one: one[0].segment):
            with self._numbered[number].opened() as segment:
                for place, position in ones:
                    array = segment.array(place, digests[position], key)
                    if array is None:  # damaged, but it may be kept at another place too
                        array = self.get(digests[position], key)
                    else:
                        self._check_off(place_keys[position], place)
                    if array is not None:
                        yield position, array

    def put(self, digest: str, key: str, array: Array, source_bytes: int) -> None:
        """Keeps an array; does nothing where one is kept already or nothing can be written.

        Args:
            digest: of the source's content.
            key: the settings that it was decoded with.
            array: uint8, int16, or uint16 with the bits of bfloat16.
            source_bytes: size of the source.
        """
        if array.dtype.name not in _NAMES:
            raise ValueError(f"the cache keeps {', '.join(_NAMES)}, not {array.dtype.name}")
        with self._lock:
            if not self._writable or self._place(key_of(digest, key)) is not None:
                return
            try:
                offset, line = self._own_writer().append(digest, key, array, source_bytes)
            except OSError as error:
                self._stop_writing(error)
                return
            self.added_bytes += line.size
            self.added_source_bytes += 0 if self._sources.get(key_of(digest)) is not None else source_bytes
            self._add(self._segment(line.segment), offset, line)

    def flush(self) -> None:
        """Asks the system to bring what was put onto the disk; without it only a power cut loses entries."""
        with self._lock:
            try:
                if self._writer is not None:
                    self._writer.flush()
            except OSError as error:
                self._stop_writing(error)

    def close(self) -> None:
        """Ends writing. Arrays that were given out stay valid."""
        with self._lock:
            self.flush()
            if self._writer is not None:
                self._writer.close()
            self._writer = None

    def _own_writer(self) -> _Writer:
        """The segment of this process; a forked child starts its own, as a segment has one writer."""
        if self._writer is None or self._writer.process != os.getpid():
            self._writer = _Writer(self.folder)
        return self._writer

    def _stop_writing(self, error: OSError) -> None:
        self._writable = False
        self.notes.append(
            f"nothing more is cached in {self.folder}: {error.strerror or error}; free space there or choose "
            "another folder (every run decodes, and computes features, again until then)"
        )

    def _refresh(self) -> None:
        """Reads the index lines that were added since the last look."""
        now = time.monotonic()
        if now - self._refreshed < REFRESH_SECONDS:
            return
        self._refreshed = now
        own = self._writer.name if self._writer is not None else ""
        for path in _index_files(self.folder):
            if path.stem != own:
                segment = self._segment(path.stem)
                for offset, line in segment.new_lines():
                    self._add(segment, offset, line)

    def _segment(self, name: str) -> _Segment:
        if name not in self._segments:
            self._segments[name] = _Segment(self.folder / f"{name}.data", len(self._numbered))
            self._numbered.append(self._segments[name])
        return self._segments[name]

    def _add(self, segment: _Segment, offset: int, line: _Line) -> None:
        place, place_key = _Place(segment.number, offset, False), key_of(line.digest, line.key)
        if self._place(place_key) is None:
            self._places.put(place_key, place.encode())
        else:
            self._spare.setdefault(place_key, []).append(place)
        self.cached_bytes += line.size
        if self._sources.get(key_of(line.digest)) is None:
            self._sources.put(key_of(line.digest), b"")
            self.source_bytes += line.source_bytes

    def _place(self, place_key: int) -> _Place | None:
        record = self._places.get(place_key)
        return None if record is None or record == _NOWHERE else _Place.decode(record)

    def _check_off(self, place_key: int, place: _Place) -> None:
        """Notes that the checksum was compared, so that it is not at the next time."""
        if not place.checked:
            with self._lock:
                self._places.put(place_key, place._replace(checked=True).encode())

    def _drop(self, place_key: int, place: _Place) -> _Place | None:
        """Forgets a damaged array, so that it is put again; the next place, where there is one."""
        with self._lock:
            if self._place(place_key) == place:
                spare = self._spare.get(place_key)
                self._places.put(place_key, spare.pop(0).encode() if spare else _NOWHERE)
            if not self._damaged:
                self._damaged = True
                self.notes.append(f"some of what is cached in {self.folder} is damaged and is made again")
            return self._place(place_key)


class _Place(NamedTuple):
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
    def decode(cls, record: bytes) -> _Place:
        """Takes back what `encode` wrote."""
        return cls(*_PLACE.unpack(record))


class _Line(NamedTuple):
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
    def decode(cls, segment: str, line: bytes) -> _Line | None:
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


class _Segment:
    """A segment as read, here and there: mapped, an epoch would bring all of it into memory."""

    def __init__(self, path: Path, number: int) -> None:
        self.number = number
        self._data, self._index = path, path.with_suffix(".index")
        self._read = 0

    def new_lines(self) -> Iterator[tuple[int, _Line]]:
        """Offset and line of those that were added since the last call; half a line waits for its rest."""
        with _opened(self._index) as file:
            for text in _lines(file, self._read):
                offset, self._read = self._read, self._read + len(text)
                line = _Line.decode(self._data.stem, text)
                if line is not None:
                    yield offset, line

    @contextmanager
    def opened(self) -> Iterator[_OpenSegment]:
        """For reading arrays; closed afterwards, as there may be many segments."""
        with _opened(self._index) as index, _opened(self._data) as data:
            yield _OpenSegment(self._data.stem, index, data)


class _OpenSegment(NamedTuple):
    """A segment's two files, as descriptors; -1 for one that cannot be read."""

    name: str
    index_file: int
    data_file: int

    def array(self, place: _Place, digest: str, key: str) -> Array | None:
        """The array at a place, read-only; None where it is damaged, or of another content or settings."""
        text = next(_lines(self.index_file, place.offset), None)
        line = None if text is None else _Line.decode(self.name, text)
        if line is None or (line.digest, line.key) != (digest, key):
            return None
        content = _read_at(self.data_file, line.offset, line.size)
        if len(content) < line.size or not (place.checked or zlib.crc32(content) == line.checksum):
            return None
        return np.frombuffer(content, DTYPES[line.dtype]).reshape(line.shape)


class _Writer:
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

    def append(self, digest: str, key: str, array: Array, source_bytes: int) -> tuple[int, _Line]:
        """Writes an array, then the line that makes it known, which is returned with its offset."""
        dtype = _NAMES[array.dtype.name]
        content = np.ascontiguousarray(array, DTYPES[dtype]).tobytes()
        padding = bytes(-len(content) % ALIGNMENT)
        line = _Line(
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


def _index_files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.index"))
    except OSError:
        return []
