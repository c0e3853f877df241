"""Answers that stand in a text: read with the tokens of the input that they are found in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile, Recognised
from sensorium.data.text import TextColumn


class AnswerColumn(Column):
    """A part of a text of the same row, in the tokens of the input that holds the text.

    `decode` gives int32 (L,) token ids, `collate` values (B, L) int64 and mask (B, L), as `TextColumn` does.
    Nothing is fitted: the vocabulary is the input's.

    Attributes:
        source: the column of the input, set before any cell is read.
    """

    Config: ClassVar[type[ColumnConfig]] = ColumnConfig
    source: TextColumn

    def __init__(self, config: ColumnConfig) -> None:
        self.config = config

    @classmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        """Never: an answer is asked for by its decoder."""
        return None

    def fit(self, cells: Iterable[Any]) -> None:
        """Nothing is learned here."""

    def decode(self, cell: Any) -> Array:
        return self.source.decode(cell)

    def collate(self, cells: Sequence[Array | None]) -> Cells:
        return self.source.collate(cells)

    def text(self, ids: Iterable[int]) -> str:
        """Token ids → text; see `TextColumn.text`."""
        return self.source.text(ids)

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """The input's column holds it all."""
