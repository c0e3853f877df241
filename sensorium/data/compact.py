"""A table of short records by key that takes tens of bytes a record, where a dict takes hundreds."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

_NEW = 4096  # records that wait in a dict, at least, until they are sorted in


class CompactMap:
    """Records of one width in bytes, by 64-bit keys, in sorted arrays. Not for several threads at once.

    Args:
        width: bytes of every record.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._keys: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        self._records: npt.NDArray[np.uint8] = np.zeros((0, width), dtype=np.uint8)
        self._new: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._keys) + sum(self._position(key) is None for key in self._new)

    def get(self, key: int) -> bytes | None:
        """The record of a key; None where there is none."""
        record = self._new.get(key)
        if record is not None:
            return record
        position = self._position(key)
        return None if position is None else self._records[position].tobytes()

    def put(self, key: int, record: bytes) -> None:
        """Keeps a record, in place of the one that the key has."""
        position = self._position(key)
        if position is not None:
            self._records[position] = np.frombuffer(record, dtype=np.uint8)
            return
        self._new[key] = record
        if len(self._new) >= max(_NEW, len(self._keys) // 8):
            self._sort_in()

    def _position(self, key: int) -> int | None:
        position = int(np.searchsorted(self._keys, np.uint64(key)))
        return position if position < len(self._keys) and self._keys[position] == key else None

    def _sort_in(self) -> None:
        ordered = sorted(self._new)
        keys = np.array(ordered, dtype=np.uint64)
        records = np.frombuffer(bytearray().join(self._new[key] for key in ordered), dtype=np.uint8)
        positions = np.searchsorted(self._keys, keys)
        self._new = {}
        self._keys = np.insert(self._keys, positions, keys)
        self._records = np.insert(self._records, positions, records.reshape(len(keys), self._width), axis=0)


def key_of(*parts: object) -> int:
    """64 bits of the BLAKE2b of some values, written out."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")
