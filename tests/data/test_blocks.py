"""Many cells at once: the same as one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sensorium.data.blocks import distinct_of, numbers_of
from sensorium.data.column import Column
from sensorium.data.kept import ROWS_OF_A_BLOCK
from sensorium.data.loader import BoundColumn, Loader, fit_columns
from sensorium.data.media import Media
from sensorium.data.table import Table, read_table
from sensorium.data.tabular import CategoryColumn, NumberColumn

CELLS: dict[str, Any] = {
    "float": pa.array([1.5, None, float("nan"), -4.0, 1.5]),
    "half": pa.array(np.array([1.5, 2, 3, 4, 5], dtype=np.float16)),
    "infinite": pa.array([1.0, float("inf"), 2.0, None, 3.0]),
    "huge": pa.array([1e300, -1e300, 1.0, None, 0.0]),
    "large": pa.array([2**62 + 1, 2**62 + 3, None, 0, 1]),
    "boolean": pa.array([True, None, False, True, True]),
    "text": pa.array(["b", "a", None, "b", "True"]),
    "written": pa.array(["1", "2.5", None, "x", "3"]),
    "coded": pa.array(["b", "a", None, "b", "c"]).dictionary_encode(),
    "list": pa.array([["a"], [], None, ["b"], ["c"]]),
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("kind", [NumberColumn, CategoryColumn])
def test_a_long_table_gives_what_its_cells_give(name: str, kind: type[Column]) -> None:
    table = read_table(pa.table({name: CELLS[name]})).take(np.arange(ROWS_OF_A_BLOCK + 99) % 5)
    column = kind(kind.Config(clip=None) if kind is NumberColumn else kind.Config())
    fit_columns(table, np.arange(len(table)), [BoundColumn(name, column)])
    alone = kind(column.config)  # type: ignore[attr-defined]
    alone.fit(cell for cell in table.column(name) if cell is not None)
    assert column.state() == alone.state()
    for rows in (np.array([0, 1, 2, 3, 4]), np.array([4, ROWS_OF_A_BLOCK + 7])):
        long, short = (new_loader(one, name, column) for one in (table, table.head(5)))
        found, expected = long.batch(rows).inputs["x"], short.batch(rows % 5).inputs["x"]
        np.testing.assert_array_equal(found.values, expected.values)
        np.testing.assert_array_equal(found.mask, expected.mask)
        assert found.values.dtype == expected.values.dtype
        bad = [{(cell.row % 5, cell.cause) for cell in loader.quarantine.cells()} for loader in (long, short)]
        assert bad[0] == bad[1]


def new_loader(table: Table, name: str, column: Column) -> Loader:
    return Loader(table, {"x": BoundColumn(name, column)}, {}, Media(None))


def test_by_hand() -> None:
    numbers = numbers_of(pa.chunked_array([pa.array([1, None, 3])]))
    assert numbers is not None
    np.testing.assert_array_equal(numbers, [1.0, np.nan, 3.0])
    assert numbers_of(pa.chunked_array([pa.array(["1"])])) is None
    distinct = distinct_of(pa.chunked_array([pa.array(["b", None]), pa.array(["a", "b"])]))
    assert distinct is not None
    assert (distinct[0], distinct[1].tolist()) == (["b", "a"], [0, 2, 1, 0])
    assert distinct_of(pa.chunked_array([pa.array([[1]])])) is None
