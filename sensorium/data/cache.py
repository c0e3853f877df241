"""Decoded media kept on disk, so that a second run starts without decoding."""

from __future__ import annotations

import json
import math
import mmap
import os
import threading
import time
import uuid
import weakref
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from sensorium.data.column import Array

DTYPES: Mapping[str, np.dtype[np.generic]] = MappingProxyType(
    {"uint8": np.dtype("u1"), "int16": np.dtype("<i2")}
)
"""What may be kept: pictures and frames are uint8, sound is int16."""

ALIGNMENT = 64
"""Every array starts at a multiple of this many bytes."""

REFRESH_SECONDS = 2.0
"""How often, at most, what other processes have added is looked up."""


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
        self._entries: dict[tuple[str, str], list[_Entry]] = {}
        self._sources: set[str] = set()
        self._segments: dict[str, _Segment] = {}
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
            A read-only array, uint8 or int16, that is mapped from the disk.
        """
        with self._lock:
            if (digest, key) not in self._entries:
                self._refresh()
            candidates = list(self._entries.get((digest, key), ()))
        for entry in candidates:
            array = entry.read()
            if array is not None:
                return array
            self._drop(digest, key, entry)
        return None

    def put(self, digest: str, key: str, array: Array, source_bytes: int) -> None:
        """Keeps an array; does nothing where one is kept already or nothing can be written.

        Args:
            digest: of the source's content.
            key: the settings that it was decoded with.
            array: uint8 or int16.
            source_bytes: size of the source.
        """
        if array.dtype.name not in DTYPES:
            raise ValueError(f"the cache keeps uint8 and int16, not {array.dtype.name}")
        with self._lock:
            if not self._writable or (digest, key) in self._entries:
                return
            try:
                line = self._own_writer().append(digest, key, array, source_bytes)
            except OSError as error:
                self._stop_writing(error)
                return
            self.added_bytes += line.size
            self.added_source_bytes += 0 if digest in self._sources else source_bytes
            self._add(line)

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
            f"decoded media are no longer cached in {self.folder}: {error.strerror or error}; "
            "free space there or choose another folder (every run decodes again until then)"
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
                segment = self._segments.setdefault(path.stem, _Segment(path.with_suffix(".data")))
                for line in segment.new_lines():
                    self._add(line)

    def _add(self, line: _Line) -> None:
        segment = self._segments.setdefault(line.segment, _Segment(self.folder / f"{line.segment}.data"))
        entry = _Entry(segment, line)
        self._entries.setdefault((line.digest, line.key), []).append(entry)
        self.cached_bytes += line.size
        if line.digest not in self._sources:
            self._sources.add(line.digest)
            self.source_bytes += line.source_bytes

    def _drop(self, digest: str, key: str, entry: _Entry) -> None:
        """Forgets a damaged entry, so that it is decoded and put again."""
        with self._lock:
            rest = [other for other in self._entries.get((digest, key), ()) if other is not entry]
            if rest:
                self._entries[digest, key] = rest
            else:
                self._entries.pop((digest, key), None)
            if not self._damaged:
                self._damaged = True
                self.notes.append(f"some cached media in {self.folder} are damaged and are decoded again")


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
    """A segment as read: its index so far, and its arrays mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._map: mmap.mmap | None = None
        self._lock = threading.Lock()

    def new_lines(self) -> Iterator[_Line]:
        """Whole lines that were added since the last call; half a line waits for its rest."""
        try:
            with self.path.with_suffix(".index").open("rb") as file:
                file.seek(self._read)
                content = file.read()
        except OSError:
            return
        for text in content.splitlines(keepends=True):
            if not text.endswith(b"\n"):
                return
            self._read += len(text)
            line = _Line.decode(self.path.stem, text)
            if line is not None:
                yield line

    def view(self, offset: int, size: int) -> memoryview | None:
        """Bytes of the data file; None where the file is gone or too short."""
        with self._lock:
            if self._map is None or len(self._map) < offset + size:
                self._map = self._mapped()
            if self._map is None or len(self._map) < offset + size:
                return None
            return memoryview(self._map)[offset : offset + size]

    def _mapped(self) -> mmap.mmap | None:
        try:
            with self.path.open("rb") as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # ValueError: the file is empty
            return None


class _Entry:
    """One array that is kept; its checksum is compared when it is first read."""

    __slots__ = ("_checked", "_line", "_segment")

    def __init__(self, segment: _Segment, line: _Line) -> None:
        self._segment = segment
        self._line = line
        self._checked = False

    def read(self) -> Array | None:
        """The array, read-only; None where it is damaged."""
        line = self._line
        content = self._segment.view(line.offset, line.size)
        if content is None:
            return None
        if not self._checked and zlib.crc32(content) != line.checksum:
            return None
        self._checked = True
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

    def append(self, digest: str, key: str, array: Array, source_bytes: int) -> _Line:
        """Writes an array, then the line that makes it known."""
        content = np.ascontiguousarray(array, DTYPES[array.dtype.name]).tobytes()
        padding = bytes(-len(content) % ALIGNMENT)
        line = _Line(
            self.name,
            digest,
            key,
            array.dtype.name,
            array.shape,
            self._end,
            zlib.crc32(content),
            source_bytes,
        )
        _write(self._data, content + padding)
        self._end += len(content) + len(padding)
        _write(self._index, line.encode())
        return line

    def flush(self) -> None:
        """Brings the segment onto the disk."""
        os.fsync(self._data.fileno())
        os.fsync(self._index.fileno())


def _write(file: FileIO, content: bytes) -> None:
    """Writes all of it; an unbuffered file may take less at a time, as on a disk that is nearly full."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _index_files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.index"))
    except OSError:
        return []
