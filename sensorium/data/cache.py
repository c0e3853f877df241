"""Decoded media and features kept on disk, so that a second run starts without decoding or encoding."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from sensorium.data.column import Array
from sensorium.data.compact import CompactMap, key_of
from sensorium.data.segment import PLACE_BYTES, STORED_AS, Line, Place, Segment, SegmentWriter, index_files

REFRESH_SECONDS = 2.0
"""How often, at most, what other processes have added is looked up."""

_NOWHERE = b"\xff" * PLACE_BYTES  # of an array that was damaged


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
        self._places = CompactMap(PLACE_BYTES)
        self._spare: dict[int, list[Place]] = {}  # where an array is kept more than once
        self._sources = CompactMap(0)
        self._segments: dict[str, Segment] = {}
        self._numbered: list[Segment] = []
        self._writer: SegmentWriter | None = None
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
        if array.dtype.name not in STORED_AS:
            raise ValueError(f"the cache keeps {', '.join(STORED_AS)}, not {array.dtype.name}")
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

    def _own_writer(self) -> SegmentWriter:
        """The segment of this process; a forked child starts its own, as a segment has one writer."""
        if self._writer is None or self._writer.process != os.getpid():
            self._writer = SegmentWriter(self.folder)
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
        for path in index_files(self.folder):
            if path.stem != own:
                segment = self._segment(path.stem)
                for offset, line in segment.new_lines():
                    self._add(segment, offset, line)

    def _segment(self, name: str) -> Segment:
        if name not in self._segments:
            self._segments[name] = Segment(self.folder / f"{name}.data", len(self._numbered))
            self._numbered.append(self._segments[name])
        return self._segments[name]

    def _add(self, segment: Segment, offset: int, line: Line) -> None:
        place, place_key = Place(segment.number, offset, False), key_of(line.digest, line.key)
        if self._place(place_key) is None:
            self._places.put(place_key, place.encode())
        else:
            self._spare.setdefault(place_key, []).append(place)
        self.cached_bytes += line.size
        if self._sources.get(key_of(line.digest)) is None:
            self._sources.put(key_of(line.digest), b"")
            self.source_bytes += line.source_bytes

    def _place(self, place_key: int) -> Place | None:
        record = self._places.get(place_key)
        return None if record is None or record == _NOWHERE else Place.decode(record)

    def _check_off(self, place_key: int, place: Place) -> None:
        """Notes that the checksum was compared, so that it is not at the next time."""
        if not place.checked:
            with self._lock:
                self._places.put(place_key, place._replace(checked=True).encode())

    def _drop(self, place_key: int, place: Place) -> Place | None:
        """Forgets a damaged array, so that it is put again; the next place, where there is one."""
        with self._lock:
            if self._place(place_key) == place:
                spare = self._spare.get(place_key)
                self._places.put(place_key, spare.pop(0).encode() if spare else _NOWHERE)
            if not self._damaged:
                self._damaged = True
                self.notes.append(f"some of what is cached in {self.folder} is damaged and is made again")
            return self._place(place_key)
