"""Which cells are the same: the target of a similarity, which has no column of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile


class IdentityColumn(Column):
    """One number for each of M inputs: equal cells of an input have equal numbers.

    `decode` takes the contents of a row's M cells, bytes, or None where one is missing, and gives int64
    (M,), the first 8 bytes of their BLAKE2b, 0 for a missing one; `collate` gives values (B, M) int64 and
    mask (B, M) bool. A row with fewer than two cells has nothing to compare: all of it is masked.

    Args:
        inputs: M, how many inputs are compared.
    """

    Config: ClassVar[type[ColumnConfig]] = ColumnConfig

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs

    @classmethod
    def recognise(cls, profile: Profile) -> None:
        """Never: no table column is of this type."""

    def decode(self, cell: Sequence[bytes | None]) -> Array:
        return np.array([0 if content is None else _number(content) for content in cell], dtype=np.int64)

    def collate(self, cells: Sequence[Array | None]) -> Cells:
        nothing = np.zeros(self.inputs, dtype=np.int64)
        values = np.stack([nothing if cell is None else cell for cell in cells])
        mask = values != 0
        return Cells(values, mask & (mask.sum(axis=1, keepdims=True) >= 2))


def _number(content: bytes) -> int:
    """Never 0, which stands for a missing cell."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True) or 1
