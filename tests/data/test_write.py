"""Predictions on their way out: whole files or none, in three formats."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from sensorium.data.table import read_table
from sensorium.data.write import ENDINGS, check_writable, write_parts, write_table
from sensorium.errors import TableError

TABLE = pa.table(
    {
        "键": ["a", 'b "x", y', None],
        "number": [1.5, None, -3.0],
        "whole": [1, 2, 3],
        "lists": [["x", "y"], [], None],
        "yes": [True, False, None],
    }
)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_is_read_again(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    write_table(TABLE, path)
    table = read_table(path)
    assert list(table.column("键")) == ["a", 'b "x", y', None]
    assert [None if cell is None else float(cell) for cell in table.column("number")] == [1.5, None, -3.0]
    lists = list(table.column("lists"))
    assert [json.loads(cell) if isinstance(cell, str) else cell for cell in lists] == [["x", "y"], [], None]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_rows_and_columns_without_a_type(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    write_table(pa.table({"a": pa.array([], pa.string()), "b": pa.array([], pa.null())}), path)
    assert path.exists()
    write_table(pa.table({"a": ["x"], "b": pa.array([None], pa.null())}), path)
    assert list(read_table(path).column("a")) == ["x"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_parts_are_one_table(tmp_path: Path, ending: str) -> None:
    write_table(TABLE, tmp_path / f"whole{ending}")
    assert write_parts([TABLE.slice(0, 2), TABLE.slice(2)], tmp_path / f"parts{ending}") == 3
    whole, parts = (read_table(tmp_path / f"{name}{ending}") for name in ("whole", "parts"))
    assert whole.digest() == parts.digest()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_part_that_fails_leaves_no_file(tmp_path: Path, ending: str) -> None:
    def parts() -> Iterator[pa.Table]:
        yield TABLE
        raise TableError("row 7 cannot be read")

    with pytest.raises(TableError, match="row 7"):
        write_parts(parts(), tmp_path / f"out{ending}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_keys_of_every_kind(tmp_path: Path, ending: str) -> None:
    """A key may be a date, a time, a decimal, bytes or a struct."""
    table = pa.table(
        {
            "day": [datetime.date(2024, 1, 2)],
            "moment": [datetime.datetime(2024, 1, 2, 3, 4, 5)],
            "price": [Decimal("1.50")],
            "bytes": [b"\x00\xff"],
            "struct": [{"a": 1, "b": None}],
            "lists": [[datetime.date(2024, 1, 2)]],
            "large": pa.array([[1]], pa.large_list(pa.int64())),
            "fixed": pa.array([[1, 2]], pa.list_(pa.int64(), 2)),
        }
    )
    path = tmp_path / f"out{ending}"
    write_table(table, path)
    assert len(read_table(path)) == 1


def test_not_a_number_is_null_in_json(tmp_path: Path) -> None:
    """JSON has no NaN, and no infinity."""
    write_table(pa.table({"a": [1.0, float("nan"), float("inf")]}), tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line, parse_constant=pytest.fail)["a"] for line in lines] == [1.0, None, None]


def test_lines_of_text_stay_one_row(tmp_path: Path) -> None:
    write_table(pa.table({"a": ["one\ntwo", "three\u2028four"]}), tmp_path / "out.jsonl")
    assert len((tmp_path / "out.jsonl").read_bytes().strip().split(b"\n")) == 2
    write_table(pa.table({"a": ["one\ntwo"]}), tmp_path / "out.csv")
    assert pyarrow.csv.read_csv(
        tmp_path / "out.csv", parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
    )["a"].to_pylist() == ["one\ntwo"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("out.xlsx", r"cannot write \.xlsx; known: \.parquet, \.csv, \.jsonl"),
        ("out", "cannot write a file without ending"),
        ("nowhere/out.csv", "there is no folder"),
        ("taken.csv", "cannot be written"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "taken.csv").mkdir()
    with pytest.raises(TableError, match=said):
        write_table(TABLE, tmp_path / name)
    with pytest.raises(TableError, match=said):  # and before any work is done
        check_writable(tmp_path / name)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["taken.csv"]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.parquet"
    write_table(TABLE, path)
    before = path.read_bytes()

    def full(writer: pq.ParquetWriter, table: pa.Table) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(TableError, match="No space left on device"):
        write_table(TABLE, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["out.parquet"]
