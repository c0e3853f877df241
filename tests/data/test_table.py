"""Tables from every format, written for real and read back; and every failure with what it says."""

from __future__ import annotations

import datetime
import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as some

from sensorium.data.table import Table, read_table
from sensorium.errors import TableError

ROWS = {
    "名称": ["红色的气球", "蓝色的鸟", None, 'Grüße, "you"\nthere'],
    "price in €": [1.5, None, 3.0, -4.25],
    "count.all": [1, 2, 3, None],
    "good": [True, False, None, True],
}


def cells(table: Table) -> dict[str, list[Any]]:
    return {name: list(table.column(name)) for name in table.names}


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def write_csv(path: Path, separator: str = ",", encoding: str = "utf-8") -> Path:
    import csv

    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, delimiter=separator)
        writer.writerow(ROWS)
        writer.writerows(zip(*ROWS.values(), strict=True))
    return path


def write_json_lines(path: Path) -> Path:
    rows = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]
    return write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


# --- the same rows from every format ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "separator", "encoding"),
    [("a.csv", ",", "utf-8"), ("a.csv", ",", "utf-8-sig"), ("a.tsv", "\t", "utf-8"), ("A.CSV", ",", "utf-8")],
)
def test_delimited(tmp_path: Path, name: str, separator: str, encoding: str) -> None:
    table = read_table(write_csv(tmp_path / name, separator, encoding))
    assert cells(table) == ROWS
    assert table.media_root == tmp_path
    assert len(table) == 4


def test_json_lines(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.ndjson"):
        assert cells(read_table(write_json_lines(tmp_path / name))) == ROWS


def test_parquet_file_and_folder_of_shards_sorted_by_name(tmp_path: Path) -> None:
    arrow = pa.table(ROWS)
    pyarrow.parquet.write_table(arrow.slice(0, 1), tmp_path / "part-0.parquet")
    pyarrow.parquet.write_table(arrow.slice(3), tmp_path / "part-2.parquet")
    pyarrow.parquet.write_table(arrow.slice(1, 2), tmp_path / "part-1.parquet")
    (tmp_path / "README.md").write_text("about")
    assert cells(read_table(tmp_path)) == ROWS
    assert cells(read_table(str(tmp_path / "*.parquet"))) == ROWS
    assert cells(read_table(tmp_path / "part-0.parquet")) == {name: one[:1] for name, one in ROWS.items()}
    shards = [tmp_path / "part-2.parquet", str(tmp_path / "part-0.parquet")]
    assert list(read_table(shards).column("count.all")) == [None, 1]
    assert read_table(tmp_path).digest() == read_table(arrow).digest()


def test_lance(tmp_path: Path) -> None:
    lance = pytest.importorskip("lance")
    rows = {name.replace(".", " "): column for name, column in ROWS.items()}  # Lance allows no dots
    lance.write_dataset(pa.table(rows), str(tmp_path / "rows.lance"))
    table = read_table(tmp_path / "rows.lance")
    assert cells(table) == rows
    assert table.media_root == tmp_path
    (tmp_path / "empty.lance").mkdir()
    with pytest.raises(TableError, match=r"empty\.lance cannot be read as a Lance dataset"):
        read_table(tmp_path / "empty.lance")


def test_dataframes() -> None:
    duckdb = pytest.importorskip("duckdb")
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    arrow = pa.table(ROWS)
    frame = pandas.DataFrame(ROWS, index=[5, 6, 7, 8])
    assert cells(read_table(frame)) == ROWS
    assert cells(read_table(polars.DataFrame(ROWS))) == ROWS
    assert cells(read_table(duckdb.sql("select * from arrow"))) == ROWS
    assert cells(read_table(arrow)) == ROWS
    assert cells(read_table(arrow.to_reader())) == ROWS
    assert cells(read_table(ROWS)) == ROWS
    assert cells(read_table(arrow.to_pylist())) == ROWS
    assert read_table(ROWS).media_root is None
    assert read_table(ROWS, media_root="here").media_root == Path("here")
    assert read_table(read_table(ROWS), media_root="here").media_root == Path("here")


def test_datasets_keeps_the_order_of_a_shuffled_dataset() -> None:
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_dict({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    assert cells(read_table(dataset)) == {"a": [1, 2, 3], "b": ["x", "y", "z"]}
    assert cells(read_table(dataset.select([2, 0]))) == {"a": [3, 1], "b": ["z", "x"]}
    with pytest.raises(TableError, match="a DatasetDict cannot be read as a table"):
        read_table(datasets.DatasetDict({"train": dataset}))


def test_pandas_categories_times_and_arrays() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "kind": pandas.Categorical(["a", "b", None]),
            "when": pandas.to_datetime(["2024-05-31 12:00:00.123456789", None, "1969-12-31 00:00:00.0"]),
            3: [[1, 2], [], None],
        }
    )
    table = read_table(frame)
    assert table.names == ["kind", "when", "3"]
    assert list(table.column("kind")) == ["a", "b", None]
    assert table.cell("when", 0) == datetime.datetime(2024, 5, 31, 12, 0, 0, 123456)
    assert type(table.cell("when", 0)) is datetime.datetime
    assert table.cell("when", 1) is None
    assert list(table.column("3")) == [[1, 2], [], None]
    assert cells(read_table({"a": np.arange(6).reshape(3, 2)})) == {"a": [[0, 1], [2, 3], [4, 5]]}


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_folder_with_metadata(tmp_path: Path, name: str) -> None:
    columns = {"file_name": ["a.png", "deep/b.png"], "voice_file_name": ["a.wav", None], "label": ["x", "y"]}
    if name.endswith("csv"):
        write(tmp_path / name, "file_name,voice_file_name,label\na.png,a.wav,x\ndeep/b.png,,y\n")
    elif name.endswith("jsonl"):
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        write(tmp_path / name, "\n".join(map(json.dumps, rows)))
    else:
        pyarrow.parquet.write_table(pa.table(columns), tmp_path / name)
    (tmp_path / "other.csv").write_text("not,this\n1,2\n")
    table = read_table(tmp_path)
    assert cells(table) == columns
    assert table.media_root == tmp_path


def test_webdataset(tmp_path: Path) -> None:
    first = {
        "train/000.png": b"\x89PNG one",
        "train/000.cls": b"3\n",
        "train/000.json": json.dumps({"width": 5, "cls": "clash", "字": "红"}).encode(),
        "train/.hidden": b"x",
        "train/001.PNG": b"\x89PNG two",
        "train/001.txt": "蓝色的鸟".encode(),
    }
    pack(tmp_path / "0.tar", first)
    pack(tmp_path / "1.tar", {"../../etc/passwd.seg.png": b"three", "../../etc/passwd.json": b"{}"})
    table = read_table(str(tmp_path / "*.tar"))
    assert cells(table) == {
        "__key__": ["train/000", "train/001", "../../etc/passwd"],
        "png": [b"\x89PNG one", b"\x89PNG two", None],
        "cls": ["3", None, None],
        "txt": [None, "蓝色的鸟", None],
        "width": [5, None, None],
        "json.cls": ["clash", None, None],
        "字": ["红", None, None],
        "seg.png": [None, None, b"three"],
    }
    assert table.media_root is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.tar", "1.tar"]


def test_csv_types(tmp_path: Path) -> None:
    text = (
        "id,phone,whole,float,mixed,date,time,zoned,bool,country,wrong date,big,word number\n"
        "007,+49301234567,-5,1e3,1,2024-02-29,2024-02-29 10:00,2024-02-29T10:00:00Z,TRUE,NA,2024-02-30,"
        "12345678901234567890,NA\n"
        "010,+49307654321,0,.5,2.5,1969-12-31,1969-12-31T23:59:59.5,2024-02-29T10:00:00+02:00,False,DE,"
        "2024-01-01,1,4\n"
    )
    table = read_table(write(tmp_path / "a.csv", text))
    utc = datetime.UTC
    assert cells(table) == {
        "id": ["007", "010"],
        "phone": ["+49301234567", "+49307654321"],
        "whole": [-5, 0],
        "float": [1000.0, 0.5],
        "mixed": [1.0, 2.5],
        "date": [datetime.date(2024, 2, 29), datetime.date(1969, 12, 31)],
        "time": [datetime.datetime(2024, 2, 29, 10), datetime.datetime(1969, 12, 31, 23, 59, 59, 500000)],
        "zoned": [
            datetime.datetime(2024, 2, 29, 10, tzinfo=utc),
            datetime.datetime(2024, 2, 29, 8, tzinfo=utc),
        ],
        "bool": [True, False],
        "country": ["NA", "DE"],
        "wrong date": ["2024-02-30", "2024-01-01"],
        "big": ["12345678901234567890", "1"],
        "word number": [None, 4],
    }


def test_csv_shards_get_one_type(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x\n1\n2\n")
    write(tmp_path / "b.csv", "x\nthree\n")
    assert cells(read_table(tmp_path)) == {"x": ["1", "2", "three"]}


def test_csv_keeps_every_row(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", 'a,b\r\n1,"x\r\ny"\r\n\r\n,\r\n3,"say ""hi"""\n4,5" pipe'))
    assert cells(table) == {"a": [1, None, 3, 4], "b": ["x\r\ny", None, 'say "hi"', '5" pipe']}


def test_json_lines_with_gaps_blank_lines_and_not_a_number(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", '\ufeff{"a": 1}\n\n{"b": [1, "x"], "a": NaN}\n'.replace('[1, "x"]', '["x"]')
    )
    assert cells(read_table(path)) == {"a": [1, None], "b": [None, ["x"]]}


# --- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", r"a\.csv is empty"),
        ("a.csv", b"\xef\xbb\xbf", r"a\.csv is empty"),
        ("a.csv", b"a,b\n", r"has columns \('a', 'b'\) but no rows"),
        ("a.csv", b"a,b,a\n1,2,3\n", r"a\.csv, line 1: two columns are named 'a'"),
        ("a.csv", b'a,b\n"x\ny",2\n\n1,2,3\n', r"a\.csv, line 5: 3 cells where line 1 names 2 columns"),
        ("a.csv", b"a,b\n1,2\n1\n", r"a\.csv, line 3: 1 cells where line 1 names 2 columns"),
        ("a.csv", b"a,b\n1,2\n1,\xff\n", r"a\.csv, line 3: the text is not UTF-8"),
        ("a.csv", "名,b\n1,红\n".encode("gbk"), r"a\.csv, line 1: the text is not UTF-8"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), r"a\.csv, line 1: the text is not UTF-8"),
        ("a.csv", b'a,b\n1,"never closed\n2,3\n', r"a\.csv, line 2: a quoted cell"),
        ("a.csv", b'a,b\n1,x\n1,"never closed\n2,"3\n', r"a\.csv, line 3: a quoted cell"),
        ("a.tsv", b"a\tb\n1,2\n", r"a\.tsv, line 2: 1 cells where line 1 names 2 columns"),
        ("a.jsonl", b"", r"a\.jsonl is empty"),
        ("a.jsonl", b'{"a": 1}\n\n{"a": 1\n', r"a\.jsonl, line 3: not JSON"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', r"a\.jsonl, line 2: a JSON list where an object"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', r"a\.jsonl, line 2: the text is not UTF-8"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl, line 1: the JSON is nested too deeply"),
        (
            "a.jsonl",
            b'{"a": 1}\n\n{"a": 2.5}\n{"a": "secret"}\n',
            r"a\.jsonl, column 'a' mixes values of several types \(first at line 4\)",
        ),
        (
            "a.jsonl",
            b'{"a": 1e400, "b": 99999999999999999999}\n',
            r"column 'b' holds a whole number of more than",
        ),
        ("a.jsonl", b'{"a": "\\ud800"}\n', r"column 'a'"),
        ("a.parquet", b"PAR1 no", r"a\.parquet cannot be read as Parquet"),
        ("a.tar", b"no tar at all", r"a\.tar cannot be read as a tar"),
        ("a.xlsx", b"x", r"a\.xlsx ends in \.xlsx: known are \.csv, \.tsv, \.parquet, \.jsonl"),
        ("table", b"x", r"table ends in nothing: known are"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=message) as raised:
        read_table(tmp_path / name)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"nothing\.csv does not exist"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(TableError, match=r"no file matches .*\*\.tar"):
        read_table(str(tmp_path / "*.tar"))
    with pytest.raises(TableError, match=r"holds no metadata\.csv, metadata\.jsonl or metadata\.parquet"):
        read_table(tmp_path)
    with pytest.raises(TableError, match="does not exist"):
        read_table([tmp_path / "a.csv", tmp_path / "b.csv"])
    write(tmp_path / "a.csv", "a\n1\n")
    write(tmp_path / "a.jsonl", '{"a": 1}\n')
    with pytest.raises(TableError, match=r"several formats \(\.csv, \.jsonl\)"):
        read_table(tmp_path)
    with pytest.raises(TableError, match=r"different formats: \.csv, \.jsonl"):
        read_table([tmp_path / "a.csv", tmp_path / "a.jsonl"])
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TableError, match=r"folder\.csv is not a file"):
        read_table([tmp_path / "folder.csv"])


def test_shards_that_do_not_fit(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"a": [1]}), tmp_path / "0.parquet")
    pyarrow.parquet.write_table(pa.table({"a": ["x"]}), tmp_path / "1.parquet")
    with pytest.raises(TableError, match=r"1\.parquet: column 'a' is string, in 0\.parquet it is int64"):
        read_table(tmp_path)


def test_parquet_with_a_column_twice(tmp_path: Path) -> None:
    arrow = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    pyarrow.parquet.write_table(arrow, tmp_path / "a.parquet")
    with pytest.raises(TableError, match=r"a\.parquet has two columns named 'a'"):
        read_table(tmp_path / "a.parquet")


def test_bad_tars(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", {"0.txt": b"\xff"})
    with pytest.raises(TableError, match=r"a\.tar, 0\.txt: the text is not UTF-8"):
        read_table(path)
    pack(path, {"0.json": b"[]"})
    with pytest.raises(TableError, match=r"a\.tar, 0\.json: a JSON list where"):
        read_table(path)
    pack(path, {"README": b"only"})
    with pytest.raises(TableError, match=r"a\.tar holds no file"):
        read_table(path)
    path.write_bytes(pack(path, {"0.png": b"x" * 5000}).read_bytes()[:3000])
    with pytest.raises(TableError, match=r"a\.tar cannot be read as a tar: unexpected end of data"):
        read_table(path)
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("0.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(TableError, match=r"0\.txt: not a plain file"):
        read_table(path)
    with tarfile.open(path, "w") as archive:
        for content in (b"1", b"2"):
            info = tarfile.TarInfo("0.txt")
            info.size = 1
            archive.addfile(info, io.BytesIO(content))
    with pytest.raises(TableError, match=r"0\.txt: the row has two files with this ending"):
        read_table(path)
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("0.txt")
        info.size = 70 * 1024**2
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(TableError, match=r"0\.txt: 73400320 bytes is more than is read"):
        read_table(path)


def test_bad_dataframes() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(TableError, match=r"column 'b' mixes values of several types .first at row 2"):
        read_table(pandas.DataFrame({"a": [1, 2, 3], "b": ["x", None, 5]}))
    with pytest.raises(TableError, match="two columns named 'a'"):
        read_table(pandas.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(TableError, match=r"different lengths: \{'a': 1, 'b': 2\}"):
        read_table({"a": [1], "b": [1, 2]})
    for other in (5, [], [1, 2], None, object()):
        with pytest.raises(TableError, match="cannot be read as a table"):
            read_table(other)


# --- the table itself ------------------------------------------------------------------------------


def test_missing_cells() -> None:
    table = read_table({"a": [1.0, float("nan"), None], "b": ["", None, "x"]})
    assert list(table.column("a")) == [1.0, None, None]
    assert list(table.column("b")) == ["", None, "x"]  # the empty text is missing in CSV alone
    assert table.take([1]).cell("a", 0) is None


def test_require_names_the_nearest_column() -> None:
    table = read_table({"caption": ["a"], "图片": ["b"], "Price": [1]})
    table.require(["caption", "图片"])
    with pytest.raises(TableError, match=r"no column 'captoin': did you mean 'caption'\?"):
        table.require(["captoin"])
    with pytest.raises(TableError, match=r"no column 'price': did you mean 'Price'\?"):
        table.column("price")
    with pytest.raises(TableError, match="no column 'zzz': it has 'caption', '图片', 'Price'"):
        table.cell("zzz", 0)
    wide = read_table({f"{letter}{letter}": [1] for letter in "abcdefghijklmnop"})
    with pytest.raises(TableError, match="and 4 more"):
        wide.require(["???"])


def test_positions_outside_the_table() -> None:
    table = read_table({"a": [1, 2, 3]})
    assert table.cell("a", -1) == 3
    assert table.column("a")[1:] == [2, 3]
    for row in (3, -4):
        with pytest.raises(IndexError):
            table.cell("a", row)
    for rows in ([3], [-1]):
        with pytest.raises(IndexError):
            table.take(rows)


def test_head_and_empty_take() -> None:
    table = read_table({"a": [1, 2, 3]})
    assert list(table.head(2).column("a")) == [1, 2]
    assert len(table.head(9)) == 3
    assert len(table.take([])) == 0
    assert list(table.take([]).column("a")) == []
    assert table.take([]).digest() != table.digest()
    assert "3 rows" in repr(table)


def test_take_keeps_source_and_root_and_composes() -> None:
    table = Table(pa.table({"a": [10, 11, 12, 13]}), Path("root"), "name")
    twice = table.take([3, 1, 0]).take(np.array([1, 1, 2]))
    assert list(twice.column("a")) == [11, 11, 10]
    assert twice.arrow.column("a").to_pylist() == [11, 11, 10]
    assert (twice.media_root, twice.source) == (Path("root"), "name")
    assert twice.with_media_root(None).media_root is None
    assert twice.media_root == Path("root")


@given(some.data())
def test_take_is_row_identity(data: some.DataObject) -> None:
    values = data.draw(
        some.lists(some.none() | some.text() | some.binary().map(repr), min_size=1, max_size=20)
    )
    chunks = pa.chunked_array([pa.array([value], pa.string()) for value in values])
    table = Table(pa.table({"字 .a": chunks}))
    rows = data.draw(some.lists(some.integers(0, len(values) - 1), max_size=30))
    taken = table.take(rows)
    assert list(taken.column("字 .a")) == [values[row] for row in rows]
    assert [taken.cell("字 .a", place) for place in range(len(rows))] == [values[row] for row in rows]
    same = Table(pa.table({"字 .a": pa.array([values[row] for row in rows], pa.large_string())}))
    assert taken.digest() == same.digest()


@pytest.mark.parametrize(
    "column",
    [
        [1, None, 3],
        [1.5, None, 2.5],
        [True, None, False],
        ["a", None, "b"],
        [b"a", None, b"b"],
        [["a"], None, []],
        [{"bytes": b"a", "path": "p"}, None, {"bytes": b"b", "path": "p"}],
        [datetime.date(2020, 1, 1), None, datetime.date(2020, 1, 2)],
    ],
)
def test_digest_sees_every_change(column: list[Any]) -> None:
    table = read_table({"a": column})
    arrow = table.arrow
    chunks = pa.concat_tables([arrow.slice(0, 1), arrow.slice(1)])
    assert Table(chunks).digest() == table.digest()
    assert table.take([0, 1, 2]).digest() == table.digest()
    assert table.take([2, 1, 0]).digest() != table.digest()
    assert table.take([0, 1]).digest() != table.digest()
    assert table.take([1, 0, 2]).digest() != table.digest()
    assert Table(arrow.rename_columns(["b"])).digest() != table.digest()


def test_digest_is_the_same_on_every_day() -> None:
    assert read_table({"a": ["x", None]}).digest() == read_table({"a": ["x", None]}).digest()
    assert read_table({"a": ["ab", "c"]}).digest() != read_table({"a": ["a", "bc"]}).digest()
    assert read_table({"a": [0]}).digest() != read_table({"a": pa.array([None], pa.int64())}).digest()


def test_cells_from_several_threads() -> None:
    table = read_table({"a": [str(number) for number in range(500)]}).take(np.arange(499, -1, -1))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda row: table.cell("a", row), range(500)))
    assert found == [str(499 - row) for row in range(500)]


def test_iteration_crosses_blocks() -> None:
    values = list(range(150))
    assert list(read_table({"a": values}).column("a")) == values


def test_types_of_other_libraries_become_plain() -> None:
    columns = {
        "a": pa.array(["x"], pa.string_view()),
        "b": pa.array([b"x"], pa.binary_view()),
        "c": pa.array([1_000_000_001], pa.timestamp("ns")),
        "d": pa.array([1_000_000_001], pa.duration("ns")),
        "e": pa.array([1_000_000_001], pa.time64("ns")),
        "f": pa.array([1], pa.float16()),
    }
    table = Table(pa.table(columns))
    second = datetime.timedelta(seconds=1)
    row = {name: table.cell(name, 0) for name in table.names}
    assert row == {
        "a": "x",
        "b": b"x",
        "c": datetime.datetime(1970, 1, 1, 0, 0, 1),
        "d": second,
        "e": datetime.time(0, 0, 1),
        "f": 1.0,
    }
    assert table.take([0]).digest() == table.digest()


def test_rows_far_apart_are_read_one_by_one() -> None:
    words = [f"word {row}" for row in range(200_000)]
    table = read_table({"words": words, "tags": [[str(row)] for row in range(200_000)]})
    taken = table.take([199_999, 0, 100_000])
    assert list(taken.column("words")) == ["word 199999", "word 0", "word 100000"]
    assert list(taken.column("tags")) == [["199999"], ["0"], ["100000"]]
