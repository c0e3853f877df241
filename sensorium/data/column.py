"""The contract of a column: what one type of data does on its way into a batch. Numpy only, never torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from sensorium.config import Config

Array = npt.NDArray[Any]


class Cells(NamedTuple):
    """Many cells of one column.

    Attributes:
        values: `(B, ...)`; shape, dtype and unit are stated in the docstring of the column's class.
        mask: `(B, L)` bool, True where real; a row of all False is a missing cell.
    """

    values: Array
    mask: npt.NDArray[np.bool_]


class Profile(NamedTuple):
    """What inference sees of one table column.

    Attributes:
        name: the column's name.
        kind: the Arrow type in words: "string", "binary", "integer", "float", "boolean", "timestamp",
            "date", "list", "struct", "dictionary" or "other".
        values: up to 2,000 present cells from across the table, as Python objects; of floats, finite ones.
        rows: rows of the table.
        distinct: distinct values among `values`; 0 where values cannot be hashed.
        media: for a column whose cells look like files or bytes: the media type ("image", "audio",
            "video") that the first cells' leading bytes or file endings say, else "".
    """

    name: str
    kind: str
    values: Sequence[Any]
    rows: int
    distinct: int
    media: str


class Recognised(NamedTuple):
    """A type recognised: why, in words for the user, and the options that go with it in the recipe."""

    reason: str
    options: dict[str, Any]


class ColumnConfig(Config):
    """What a recipe may say about any input or target column."""

    column: str | None = Field(None, description="table column read; default: the input's own name")


class Column(ABC):
    """One type of data. Fitted on the training rows, then decodes cells and collates them.

    `decode` runs in several threads at once and must not change the column.
    """

    Config: ClassVar[type[ColumnConfig]]
    media: ClassVar[bool] = False
    """True where cells are files: `decode` then gets a `sensorium.data.media.Source`, and what it
    returns (uint8 or int16) is kept in the cache under `cache_key`."""

    @classmethod
    @abstractmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        """Says whether a table column is of this type, and why."""

    def fit(self, cells: Iterable[Any]) -> None:  # noqa: B027 - most columns have nothing to learn
        """Learns what must be learned (a vocabulary, a mean) from the present cells of the training rows."""

    def fit_blocks(self, blocks: Iterable[pa.ChunkedArray]) -> None:
        """What `fit` does, from all cells of the training rows in blocks; quicker where it can be."""
        self.fit(cell for block in blocks for cell in block.to_pylist() if cell is not None and cell == cell)

    def decode_block(self, cells: pa.ChunkedArray) -> Cells | None:
        """What `decode` and `collate` give, for many cells at once; None where it must be one by one."""
        return None

    @abstractmethod
    def decode(self, cell: Any) -> Array:
        """One present cell → one array, compact enough to keep.

        Raises:
            CellError: when the cell cannot be read.
        """

    @abstractmethod
    def collate(self, cells: Sequence[Array | None]) -> Cells:
        """Decoded cells → one batch; None is a missing cell. All missing still gives the right shape."""

    def state(self) -> dict[str, Any]:
        """What `fit` learned, as JSON types."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Takes back what `state` gave."""

    def cache_key(self) -> str:
        """The settings that change what `decode` returns; media columns only."""
        return ""
