"""From rows to batches: in order, in bounded memory, with bad cells marked and named."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.audio import AudioColumn
from sensorium.data.cache import Cache
from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile, Recognised
from sensorium.data.image import ImageColumn
from sensorium.data.kept import KeptTexts
from sensorium.data.loader import (
    BadCell,
    BoundColumn,
    Loader,
    Quarantine,
    fit_columns,
    plan_batches,
    row_lengths,
)
from sensorium.data.media import Media
from sensorium.data.table import Table, read_table
from sensorium.data.tabular import CategoriesColumn, CategoryColumn, NumberColumn
from sensorium.data.text import TextColumn
from sensorium.errors import CellError, SensoriumError
from tests import made


class Slow(Column):
    """Numbers that take their time, to be sure that order does not come from speed; odd ones may fail."""

    Config = ColumnConfig

    def __init__(self) -> None:
        self.running = self.most = self.decoded = 0
        self.lock = threading.Lock()
        self.fails: set[int] = set()
        self.gate: threading.Event | None = None

    @classmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        return None

    def decode(self, cell: Any) -> Array:
        if self.gate is not None:
            assert self.gate.wait(10)
        with self.lock:
            self.decoded += 1
        if cell in self.fails:
            raise CellError("the number is out of order", "give another")
        return np.array([cell], dtype=np.float32)

    def collate(self, cells: Sequence[Array | None]) -> Cells:
        mask = np.array([[cell is not None] for cell in cells], dtype=np.bool_).reshape(len(cells), 1)
        values = [np.zeros(1, np.float32) if cell is None else cell for cell in cells]
        return Cells(np.stack(values), mask)


def loader_of(count: int, **options: Any) -> tuple[Loader, Slow]:
    table = read_table({"n": list(range(count)), "id": [f"r{row}" for row in range(count)]})
    column = Slow()
    return Loader(table, {"number": BoundColumn("n", column)}, {}, Media(None), **options), column


def values_of(batches: Iterator[Any]) -> list[float]:
    return [float(value) for batch in batches for value in batch.inputs["number"].values[:, 0]]


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_batches_come_in_the_order_of_the_plan(threads: int) -> None:
    loader, _ = loader_of(50, threads=threads)
    plan = plan_batches(np.arange(50), 3, generator=np.random.default_rng(0))
    batches = list(loader.batches(plan))
    assert [batch.rows.tolist() for batch in batches] == [rows.tolist() for rows in plan]
    assert values_of(iter(batches)) == [float(row) for rows in plan for row in rows]


@pytest.mark.parametrize("threads", [1, 3])
def test_little_is_decoded_ahead(threads: int) -> None:
    """However long the plan, no more than threads + 2 batches are held; a plan may be endless."""
    loader, column = loader_of(10, threads=threads)
    asked = 0

    def plan() -> Iterator[Any]:
        nonlocal asked
        while True:
            asked += 1
            yield np.array([0])

    batches = loader.batches(plan())
    for taken in range(1, 6):
        next(batches)
        assert asked <= taken + threads + 1
    batches.close()
    assert column.decoded <= asked


def test_giving_up_leaves_no_thread_behind() -> None:
    loader, column = loader_of(40, threads=2)
    before = threading.active_count()
    batches = loader.batches(np.arange(40).reshape(-1, 1))
    next(batches)
    batches.close()
    assert threading.active_count() == before
    assert column.decoded < 40


def test_a_bad_cell_is_marked_and_its_neighbours_are_not() -> None:
    loader, column = loader_of(9, key=["id", "nothing"])
    column.fails = {4, 7}
    (batch,) = loader.batches([np.arange(9)])
    assert batch.inputs["number"].mask[:, 0].tolist() == [row not in (4, 7) for row in range(9)]
    assert values_of(iter([batch])) == [0, 1, 2, 3, 0, 5, 6, 0, 8]
    list(loader.batches([np.arange(9)]))  # seen again, noted once
    assert loader.quarantine.cells() == [
        BadCell(row, f"id=r{row}", "n", "", "the number is out of order", "give another") for row in (4, 7)
    ]
    assert (
        loader.quarantine.cells()[0].line()
        == "row 4 (id=r4), column n: the number is out of order; give another"
    )


def test_raising_names_the_cell() -> None:
    loader, column = loader_of(9, on_error="raise", threads=2)
    column.fails = {4}
    with pytest.raises(SensoriumError, match=r"the dataframe: row 4, column n: the number is out of order"):
        list(loader.batches(np.arange(9).reshape(3, 3)))


def test_quarantine_is_in_the_order_of_rows() -> None:
    quarantine = Quarantine()
    for row, column in [(5, "b"), (1, "z"), (5, "a"), (1, "z")]:
        quarantine.add(BadCell(row, "", column, "", "cause", ""))
    assert [(cell.row, cell.column) for cell in quarantine.cells()] == [(1, "z"), (5, "a"), (5, "b")]
    assert len(quarantine) == 3


def test_a_line_names_the_file() -> None:
    assert (
        BadCell(3, "", "picture", "a/b.png", "it is torn", "").line()
        == "row 3, column picture, file a/b.png: it is torn"
    )


def test_a_table_without_the_column() -> None:
    loader, column = loader_of(3)
    other = Loader(read_table({"else": [1, 2, 3]}), loader.inputs, {}, Media(None))
    cells = other.batch(np.arange(3)).inputs["number"]
    assert cells.values.shape == (3, 1)
    assert not cells.mask.any()
    assert column.decoded == 0


def pictures(folder: Path) -> Table:
    (folder / "a.png").write_bytes(made.picture(0))
    (folder / "torn.png").write_bytes(made.picture(1)[:50])
    cells = ["a.png", "torn.png", "missing.png", "../a.png", None, "a.png"]
    return read_table({"picture": cells}, folder)


def test_media_are_decoded_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pictures(tmp_path)
    decoded = []
    original = ImageColumn.decode

    def count(self: ImageColumn, source: Any) -> Array:
        decoded.append(source.name)
        return original(self, source)

    monkeypatch.setattr(ImageColumn, "decode", count)
    results = []
    for _ in range(2):
        cache = Cache(tmp_path / "cache")
        column = BoundColumn("picture", ImageColumn(ImageColumn.Config(size=8)))
        loader = Loader(table, {"picture": column}, {}, Media(tmp_path), cache)
        results.append(loader.batch(np.arange(6)).inputs["picture"])
        assert [cell.row for cell in loader.quarantine.cells()] == [1, 2, 3]
        assert {cell.file for cell in loader.quarantine.cells()} == {"torn.png", "missing.png", "../a.png"}
        cache.close()
    assert decoded == ["a.png", "torn.png", "torn.png"]
    np.testing.assert_array_equal(results[0].values, results[1].values)
    assert results[0].mask[:, 0].tolist() == [True, False, False, False, False, True]
    np.testing.assert_array_equal(results[0].values[0], results[0].values[5])


def test_two_inputs_may_read_one_column(tmp_path: Path) -> None:
    """The same bytes as a picture and as a sound: what one cannot read, the other may."""
    table = read_table({"file": [made.picture(0), made.sound(0)]})
    inputs = {
        "seen": BoundColumn("file", ImageColumn(ImageColumn.Config(size=8))),
        "heard": BoundColumn("file", AudioColumn(AudioColumn.Config(seconds=0.1))),
    }
    loader = Loader(table, inputs, {}, Media(None), Cache(tmp_path))
    for _ in range(2):  # the second time from the cache
        batch = loader.batch(np.arange(2))
        assert batch.inputs["seen"].mask.any(axis=1).tolist() == [True, False]
        assert batch.inputs["heard"].mask.any(axis=1).tolist() == [False, True]


def test_columns_are_fitted_on_the_training_rows_alone() -> None:
    table = read_table({"n": [1.0, None, 3.0, 1000.0], "t": ["a a", "b b", None, "c c"]})
    number = BoundColumn("n", NumberColumn(NumberColumn.Config(scale="standard")))
    text = BoundColumn("t", TextColumn(TextColumn.Config(tokenizer="word", min_count=1)))
    fit_columns(table, np.arange(3), [number, text])
    assert number.column.centre == 2.0
    assert "c" not in text.column.text(text.column.decode("a b c"))


@given(
    rows=st.lists(st.integers(0, 10_000), unique=True, max_size=60),
    size=st.integers(1, 9),
    seed=st.none() | st.integers(0, 5),
    with_lengths=st.booleans(),
)
def test_a_plan_holds_every_row_once(
    rows: list[int], size: int, seed: int | None, with_lengths: bool
) -> None:
    positions = np.array(rows, dtype=np.int64)
    generator = None if seed is None else np.random.default_rng(seed)
    lengths = positions % 7 if with_lengths else None
    plan = plan_batches(positions, size, lengths, generator)
    assert sorted(row for batch in plan for row in batch.tolist()) == sorted(rows)
    assert all(1 <= len(batch) <= size for batch in plan)
    assert sum(len(batch) < size for batch in plan) <= 1
    if seed is None and lengths is None:
        assert [row for batch in plan for row in batch.tolist()] == rows


KEPT: dict[str, tuple[Column, list[Any]]] = {
    "number": (NumberColumn(NumberColumn.Config(scale="none")), [1.0, "many", None, 4.0]),
    "category": (CategoryColumn(CategoryColumn.Config()), ["a", b"?", None, "b"]),
    "categories": (CategoriesColumn(CategoriesColumn.Config()), ["a|b", b"?", None, "b"]),
    "text": (TextColumn(TextColumn.Config(tokenizer="character")), ["abc", b"\xff", None, "b"]),
}


class Cellwise:
    """A table of one column whose cells may be of different types, which says how often each is read."""

    names: ClassVar[list[str]] = ["c"]
    source = "the table"

    def __init__(self, cells: list[Any]) -> None:
        self.cells, self.read = cells, [0] * len(cells)

    def __len__(self) -> int:
        return len(self.cells)

    def cell(self, column: str, row: int) -> Any:
        self.read[row] += 1
        return self.cells[row]


@pytest.mark.parametrize("kind", KEPT)
def test_what_is_no_media_is_decoded_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    column, cells = KEPT[kind]
    column.fit([cells[0], cells[3]])
    if kind == "text":
        cells = [cells[0], 5j, *cells[2:]]
    bound = {"input": BoundColumn("c", column)}
    rows = np.array([3, 0, 1, 2, 0])
    table: Any = Cellwise(cells)
    loader = Loader(table, bound, {}, Media(None))
    with monkeypatch.context() as patch:
        patch.setattr("sensorium.data.kept.MOST_KEPT", 0)
        plain = Loader(table, bound, {}, Media(None)).batch(rows).inputs["input"]
    table.read = [0] * 4
    for epoch in range(3):
        one = loader.batch(rows[:2]).inputs["input"]
        whole = loader.batch(rows).inputs["input"]
        np.testing.assert_array_equal(whole.values, plain.values)
        np.testing.assert_array_equal(whole.mask, plain.mask)
        assert whole.values.dtype == plain.values.dtype
        np.testing.assert_array_equal(one.mask, plain.mask[:2])
        assert [cell.row for cell in loader.quarantine.cells()] == [1]
        if not epoch:
            first = list(table.read)
    assert (table.read[0], table.read[3]) == (first[0], first[3])
    assert whole.mask.any(axis=1).tolist() == [True, True, False, False, True]
    whole.values[:] = 7  # a batch is its taker's own
    np.testing.assert_array_equal(loader.batch(rows).inputs["input"].values, plain.values)


def test_raising_goes_on_raising_where_cells_are_kept() -> None:
    table = read_table({"n": ["1", "many"]})
    inputs = {"n": BoundColumn("n", NumberColumn(NumberColumn.Config()))}
    loader = Loader(table, inputs, {}, Media(None), on_error="raise")
    for _ in range(2):
        with pytest.raises(SensoriumError, match="row 1, column n: not a number"):
            loader.batch(np.arange(2))


def test_kept_cells_are_the_same_in_many_threads() -> None:
    table = read_table({"n": [float(row) for row in range(500)], "t": [f"{row}" for row in range(500)]})
    text = TextColumn(TextColumn.Config(tokenizer="character"))
    text.fit(table.column("t"))
    number = NumberColumn(NumberColumn.Config(scale="none", clip=None))
    inputs = {"n": BoundColumn("n", number), "t": BoundColumn("t", text)}
    loader = Loader(table, inputs, {}, Media(None), threads=8)
    generator = np.random.default_rng(0)
    for batch in loader.batches([generator.integers(0, 500, 20) for _ in range(200)]):
        assert batch.inputs["n"].values[:, 0].tolist() == batch.rows.tolist()
        assert [text.text(ids) for ids in batch.inputs["t"].values] == [str(row) for row in batch.rows]


def test_no_more_texts_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensorium.data.kept.MOST_KEPT", 100)
    kept = KeptTexts(10)
    for row in range(10):
        kept.put(row, np.full(10, row, dtype=np.int32))
    found = {row: text.tolist() for row in range(10) if (text := kept.get(row)) is not None}
    assert found == {row: [row] * 10 for row in range(3)}


def test_texts_are_decoded_anew_where_none_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("SENSORIUM_CACHE", str(tmp_path / "file"))
    kept = KeptTexts(1)
    kept.put(0, np.ones(3, dtype=np.int32))
    assert kept.get(0) is None


def test_a_plan_of_no_rows() -> None:
    for lengths in (None, np.zeros(0, dtype=np.int64)):
        assert plan_batches(np.zeros(0, dtype=np.int64), 4, lengths, np.random.default_rng(0)) == []


def test_equal_lengths_share_a_batch() -> None:
    lengths = np.arange(64) % 8
    for batch in plan_batches(np.arange(64), 8, lengths, np.random.default_rng(1)):
        assert len(set(lengths[batch].tolist())) == 1


def test_buckets_keep_the_order_of_batches_random() -> None:
    lengths = np.arange(64)
    first = [
        int(lengths[batch].mean())
        for batch in plan_batches(np.arange(64), 8, lengths, np.random.default_rng(1))
    ]
    assert first != sorted(first)


def test_lengths_of_rows() -> None:
    table = read_table({"t": ["abc", None, "z"], "s": [b"12345", b"1", None], "n": [1, 2, 3]})
    text, sound = (
        BoundColumn("t", TextColumn(TextColumn.Config())),
        BoundColumn("s", AudioColumn(AudioColumn.Config())),
    )
    number = BoundColumn("n", NumberColumn(NumberColumn.Config()))
    lengths = row_lengths(table, np.array([2, 0, 1]), [text, sound, number])
    assert lengths is not None
    assert lengths.tolist() == [1, 8, 1]
    assert row_lengths(table, np.arange(3), [number]) is None


def test_lengths_of_sounds_are_those_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "a-long-name.wav").write_bytes(b"1234567")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret.wav").write_bytes(b"1234567")
    sound = BoundColumn("s", AudioColumn(AudioColumn.Config()))
    paths = read_table({"s": ["a-long-name.wav", "nothing.wav", "../secret.wav", None]}, tmp_path)
    lengths = row_lengths(paths, np.arange(4), [sound])
    assert lengths is not None
    assert lengths.tolist() == [7, 0, 0, 0]
    structs = read_table({"s": [{"bytes": b"123", "path": "x"}, {"bytes": None, "path": "a-long-name.wav"}]})
    for media, expected in ((Media(tmp_path), [3, 7]), (None, [3, 0])):
        lengths = row_lengths(structs, np.arange(2), [sound], media)
        assert lengths is not None
        assert lengths.tolist() == expected


def test_threads_decode_while_the_first_batch_waits() -> None:
    """Several batches are under way at once: the second is decoded while the first is held up."""
    loader, column = loader_of(4, threads=2)
    column.gate = threading.Event()
    seen: list[float] = []
    taker = threading.Thread(
        target=lambda: seen.extend(values_of(loader.batches(np.arange(4).reshape(4, 1))))
    )
    taker.start()
    deadline = time.monotonic() + 10
    while sum(thread.name.startswith("decode") for thread in threading.enumerate()) < 2:
        assert time.monotonic() < deadline
    column.gate.set()
    taker.join(10)
    assert seen == [0, 1, 2, 3]
