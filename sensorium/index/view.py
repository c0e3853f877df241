"""One version of an index, as far as it was read: keys, addresses, and vectors ready to be searched."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from sensorium.data.column import Array
from sensorium.errors import SensoriumError
from sensorium.index.approximate import FOLDER, held, prepare
from sensorium.index.nearest import EXACT_BELOW, Allowed, Nearest, exact
from sensorium.index.recall import QUERIES, Vectors
from sensorium.index.rows import key_text
from sensorium.index.storage import VECTOR, Storage, stored_name

_REMEMBERED_CONDITIONS = 32


class View:
    """What searches of one version share. A row's position in it means nothing in another.

    Args:
        storage: at the version to be read; it must stay there.
        folder: of the index, where what only saves time is kept; None on an object store.
        say: takes a line where something lasts.
    """

    def __init__(self, storage: Storage, folder: Path | None, say: Callable[[str], None]) -> None:
        self.storage = storage
        self.version = storage.version
        self._folder = folder
        self._say = say
        self._nearest: dict[str, Nearest | None] = {}
        self._allowed: dict[str, Allowed] = {}
        self._keys = storage.read(storage.manifest.key)
        self.addresses: Array = self._keys.column("_rowaddr").to_numpy().astype(np.int64)

    def __len__(self) -> int:
        return len(self.addresses)

    @cached_property
    def keys(self) -> list[tuple[Any, ...]]:
        """Of every position."""
        names = [stored_name(name) for name in self.storage.manifest.key]
        return list(zip(*(self._keys.column(name).to_pylist() for name in names), strict=True))

    def position(self, key: str) -> int:
        """Where the row of a key is.

        Args:
            key: as text; the values of several columns with commas between.

        Raises:
            SensoriumError: when there is none.
        """
        if key not in self._positions_by_key:
            columns = ", ".join(self.storage.manifest.key)
            raise SensoriumError(f"{self.storage.place} has no row of the key {key[:60]!r} ({columns})")
        return self._positions_by_key[key]

    def nearest(self, name: str) -> Nearest | None:
        """The vectors of an input, ready to be searched; None where no row has one."""
        if name not in self._nearest:
            self._nearest[name] = self._prepare(name)
        return self._nearest[name]

    def neighbours(
        self, name: str, vectors: Array, k: int, where: str | None = None
    ) -> tuple[list[list[tuple[Any, ...]]], Array]:
        """Keys of the rows whose vectors are most alike, for programs that have vectors of their own.

        Args:
            name: input whose vectors are searched.
            vectors: `(Q, E)` float32, of unit length.
            k: rows for each.
            where: a condition in SQL; it is looked up once and remembered.

        Returns:
            For each vector up to k keys, the nearest first, and cosines `(Q, k)`; -inf where there are fewer.
        """
        nearest = self.nearest(name)
        if nearest is None:
            return [[] for _ in vectors], np.full((len(vectors), k), -np.inf, np.float32)
        scores, positions = nearest.search(vectors, k, self.allowed(where) if where is not None else None)
        keys = self.keys
        found = [[keys[one] for one in row if one >= 0] for row in positions.tolist()]
        scores[positions < 0] = -np.inf
        return found, scores

    def allowed(self, condition: str) -> Allowed:
        """The rows for which a condition in SQL holds.

        Raises:
            SensoriumError: when it cannot be understood.
        """
        if condition not in self._allowed:
            if len(self._allowed) >= _REMEMBERED_CONDITIONS:
                self._allowed.pop(next(iter(self._allowed)))
            mask = np.zeros(len(self), np.bool_)
            mask[self.positions(self.storage.addresses(condition))] = True
            self._allowed[condition] = Allowed(mask)
        return self._allowed[condition]

    def positions(self, addresses: Array) -> Array:
        """Of rows by their address."""
        order, ordered = self._by_address
        return order[np.searchsorted(ordered, addresses)]

    def vectors(self, name: str) -> tuple[Array, Array]:
        """The vectors `(n, E)` float16 of an input, and the positions `(n,)` of the rows that have them."""
        column = self.storage.read([VECTOR + name]).column(stored_name(VECTOR + name))
        cells = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        there = np.flatnonzero(~np.asarray(cells.is_null()))
        flat = cells.flatten().to_numpy(zero_copy_only=False)  # without those that are missing
        return flat.reshape(len(there), self.storage.manifest.inputs[name].dim), there

    @cached_property
    def _by_address(self) -> tuple[Array, Array]:
        order = np.argsort(self.addresses)
        return order, self.addresses[order]

    @cached_property
    def _positions_by_key(self) -> dict[str, int]:
        return {key_text(key): position for position, key in enumerate(self.keys)}

    def _prepare(self, name: str) -> Nearest | None:
        if self.storage.count(VECTOR + name) >= EXACT_BELOW:
            folder = self._folder / FOLDER / quote(stored_name(name), safe="") if self._folder else None
            return prepare(
                lambda: Vectors(*self.vectors(name)),
                lambda: self._queries(self.storage.manifest.inputs[name].space),
                self.addresses,
                folder,
                self.version,
                self._say,
            )
        vectors, positions = self.vectors(name)
        return exact(vectors, positions) if len(positions) else None

    def _queries(self, space: str) -> list[Vectors]:
        """Some rows' vectors of every input of a space, to measure a search with."""
        positions = held(self.addresses, QUERIES)
        names = [VECTOR + name for name in self.storage.manifest.spaces[space]]
        found = []
        for cells in self.storage.take(positions, names).values():
            there = [place for place, cell in enumerate(cells) if cell is not None]
            if there:
                vectors = np.array([cells[place] for place in there], np.float32)
                found.append(Vectors(vectors, positions[there]))
        return found
