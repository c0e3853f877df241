"""Many cells at once: what Arrow and numpy do in one call where Python would look at every cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def numbers_of(cells: pa.ChunkedArray) -> npt.NDArray[np.float64] | None:
    """`(B,)` float64, NaN where missing; None where the cells are neither integers nor floats."""
    if not (pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type)):
        return None
    return np.asarray(cells.to_numpy(), dtype=np.float64)


def distinct_of(cells: pa.ChunkedArray) -> tuple[list[Any], npt.NDArray[np.int64]] | None:
    """The different values, and of every cell its place among them; None for cells that are no labels.

    Returns:
        D values as Python objects, and `(B,)` int64: 0..D-1, or D where the cell is missing. NaN and null are
        values as well where the column holds them as such.
    """
    kind = cells.type
    if not (pa.types.is_dictionary(kind) or any(is_one(kind) for is_one in _LABELS)):
        return None
    coded = cells.combine_chunks()
    coded = coded if pa.types.is_dictionary(kind) else coded.dictionary_encode()
    values = coded.dictionary.to_pylist()
    return values, _filled(coded.indices.cast(pa.int64()), len(values))


def _filled(places: pa.Array, missing: int) -> npt.NDArray[np.int64]:
    """int64 as numpy, `missing` where null; fill_null and to_numpy import pandas where that is installed."""
    if not len(places):
        return np.zeros(0, dtype=np.int64)
    here = slice(places.offset, places.offset + len(places))
    validity, content = places.buffers()
    numbers = np.frombuffer(content, dtype=np.int64)[here]
    if validity is None:
        return numbers
    valid = np.unpackbits(np.frombuffer(validity, dtype=np.uint8), bitorder="little")[here]
    return np.where(valid, numbers, missing)


_LABELS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_boolean,
)
