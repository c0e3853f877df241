"""Large tables: the same cells as from memory, and no memory for them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from sensorium.data import delimited, formats
from sensorium.data.table import read_table
from sensorium.errors import TableError

ROWS = {
    "text": ["one\ntwo", None, "红色", "", "five", 'si"x'],
    "number": [1.5, float("nan"), None, -2.0, 0.0, 1e9],
    "whole": [1, 2, None, 4, 5, 6],
    "day": ["2024-01-02"] * 6,
    "bytes": [b"\x00", None, b"", b"\xff" * 9, b"5", b"6"],
    "list": [["a"], [], None, ["b", "c"], ["d"], ["e"]],
    "label": pa.array(["x", "y", None, "x", "x", "z"]).dictionary_encode(),
}


@pytest.fixture(autouse=True)
def folder_of_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SENSORIUM_CACHE", str(folder))
    return folder


def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (delimited, formats):
        monkeypatch.setattr(module, "IN_MEMORY", 0)
    monkeypatch.setattr(formats, "BATCH_BYTES", 100)


def write(folder: Path) -> list[Path]:
    table = pa.table(ROWS)
    pyarrow.parquet.write_table(table, folder / "t.parquet", row_group_size=4)
    with (folder / "t.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["text", "number", "whole", "day"])
        lines.writerows(
            zip(*(table[name].to_pylist() for name in ("text", "number", "whole", "day")), strict=True)
        )
    return [folder / "t.parquet", folder / "t.csv"]


def test_a_large_table_is_the_same_table(
    tmp_path: Path, folder_of_scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write(tmp_path)
    small = [read_table(file) for file in files]
    assert not folder_of_scratch.exists()
    everything_is_large(monkeypatch)
    for file, before in zip(files, small, strict=True):
        large = read_table(file)
        assert large.schema == before.schema
        assert large.digest() == before.digest()
        assert large.take([5, 0, 0]).digest() == before.take([5, 0, 0]).digest()
        assert large.notes == []
        for name in large.names:
            assert list(large.column(name)) == list(before.column(name))
    assert list(folder_of_scratch.iterdir()) == []  # the files have no names


def test_a_table_outlives_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything_is_large(monkeypatch)
    for file in write(tmp_path):
        table = read_table(file)
        file.write_bytes(b"another")
        assert table.cell("text", 2) == "红色"


def test_a_disk_that_cannot_take_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything_is_large(monkeypatch)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("SENSORIUM_CACHE", str(tmp_path / "file"))
    for file in write(tmp_path):
        table = read_table(file)
        assert table.cell("text", 2) == "红色"
        (note,) = table.notes
        assert note.startswith(
            f"the table is held in memory: {tmp_path / 'file'} cannot take it (File exists)"
        )


def test_a_wrong_line_is_named_in_large_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything_is_large(monkeypatch)
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(TableError, match="line 3: 1 cells where line 1 names 2 columns"):
        read_table(tmp_path / "a.csv")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(TableError, match="cannot be read as Parquet"):
        read_table(tmp_path / "a.parquet")


def test_a_row_longer_than_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything_is_large(monkeypatch)
    (tmp_path / "a.csv").write_text("a,b\n1,y\n3," + "x" * 9_000_000 + "\n5,y\n")
    (tmp_path / "b.csv").write_text("a,b\n3," + "x" * 9_000_000 + "\n" + "5,y\n" * 1_000_000)
    for name, row in (("a.csv", 1), ("b.csv", 0)):
        table = read_table(tmp_path / name)
        assert [table.cell("b", row), table.cell("b", 2)] == ["x" * 9_000_000, "y"]
        assert table.notes == []


def test_reading_and_hashing_a_large_table_takes_no_memory_for_its_rows(tmp_path: Path) -> None:
    words = np.random.default_rng(0).integers(0, 10**9, (4000, 64)).astype(str)
    part = pa.table({"text": [" ".join(row) for row in words], "row": np.arange(4000)})
    with pyarrow.parquet.ParquetWriter(tmp_path / "t.parquet", part.schema) as writer:
        for _ in range(16):  # 41 MB
            writer.write_table(part)
    before = pa.total_allocated_bytes()
    table = read_table(tmp_path / "t.parquet")
    assert table.arrow.nbytes > 40_000_000
    assert sum(len(text) for text in table.column("text")) > 40_000_000
    assert pa.total_allocated_bytes() - before < 1_000_000
