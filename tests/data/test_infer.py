"""What columns are taken for, in tables such as people bring."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensorium.data import COLUMNS
from sensorium.data.column import Column, Profile, Recognised
from sensorium.data.infer import Inferred, guess_task, infer, kind_of, profile, useless
from sensorium.data.table import Table, read_table

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
WAV = b"RIFF\0\0\0\0WAVEfmt " + bytes(20)
WORDS = ["red", "green", "blue", "black", "white", "gold", "small", "large", "round", "old"]


def one(values: Any, name: str = "x") -> Inferred:
    return infer(read_table({name: values}), COLUMNS)[name]


def test_numbers_with_commas_and_shares_in_percent() -> None:
    assert one([f"{1 + row // 3},{row * 37 % 1000:03}" for row in range(60)]).type == "number"
    assert one([f"{row * 7 % 101}%" for row in range(60)]).type == "number"
    assert one([f"{row * 7},000" for row in range(1, 60)], "order_id").type == "key"


def test_a_table_as_people_bring_it(tmp_path: Path) -> None:
    rows = ["row_id,image,caption,说明,price,rating,when,member,tags,kind,split"]
    for row in range(60):
        rows.append(
            f"r{row:03},pictures/{row}.JPG,a {WORDS[row % 10]} bird on {row} roofs,"
            f"第{row}只蓝色的鸟在唱歌,{row * 1.5},"
            f"{row % 5 + 1},2024-01-{row % 28 + 1:02},{'true' if row % 3 else 'false'},"
            f"{WORDS[row % 4]}|{WORDS[row % 3]},{WORDS[row % 7]},{('train', 'val', 'test')[row % 3]}"
        )
    (tmp_path / "a.csv").write_text("\n".join(rows), encoding="utf-8")
    found = infer(read_table(tmp_path / "a.csv"), COLUMNS)
    assert {name: guess.type for name, guess in found.items()} == {
        "row_id": "key",
        "image": "image",
        "caption": "text",
        "说明": "text",
        "price": "number",
        "rating": "category",
        "when": "number",
        "member": "category",
        "tags": "categories",
        "kind": "category",
        "split": "split",
    }
    assert found["row_id"].reason.startswith("looks like an identifier: every value is different")
    assert found["when"].options == {"date": True}
    assert found["tags"].options == {"separator": "|"}
    assert "only 5 different values" in found["rating"].reason
    assert "type: number" in found["rating"].reason
    assert all(guess.reason for guess in found.values())


def test_options_fit_the_configurations() -> None:
    for values in (["2024-01-01", "2024-01-02"], ["a|b", "b"] * 5, WORDS, [1, 2] * 9, ["a b c", "d e f"]):
        guess = one(values)
        if guess.type in COLUMNS:
            COLUMNS[guess.type].Config.model_validate(guess.options)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("", list(range(50))),  # what pandas writes without a name for its index
        ("n", list(range(100, 150))),
        ("customer_id", [7, 3, 900, 12, 5, 44]),
        ("编号", [7, 3, 900, 12, 5, 44]),
        ("userId", ["b1f0", "c2a9", "d3d3", "e41a", "f5cc"]),
        ("code", ["007", "010", "023", "031", "044"]),
        ("digest", [f"{n:064x}" for n in range(1, 9)]),
        ("telephone", [4930123456700 + n % 40 for n in range(50)]),
    ],
)
def test_identifiers(name: str, values: list[Any]) -> None:
    guess = one(values, name)
    assert guess.type == ("ignored" if "hardly repeat" in guess.reason else "key")
    assert guess.reason.startswith("looks like an identifier")
    assert "name it under inputs" in guess.reason


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([120, 3400, 560, 99, 870, 12], "number"),  # all different, but neither rising nor named as an id
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "number"),
        ([float(n % 97) for n in range(300)], "number"),
        ([1.0, 2.0, None] * 20, "category"),  # whole numbers that pandas made floats of
        (["1.5", "2.5", "7"], "number"),
        ([True, False, None], "category"),
        ([datetime.datetime(2024, 1, day) for day in range(1, 9)], "number"),
        ([["a"], ["a", "b"]], "categories"),
        (["这是一部好电影", "故事很慢", "音乐真好听", "不推荐看", "值得一看的书"], "text"),
        (WORDS[:4], "category"),
        ([PNG, None, PNG + b"1"], "image"),
        ([{"bytes": WAV, "path": None}, {"bytes": None, "path": "b.wav"}], "audio"),
        (["data:image/png;base64,AA==", "data:image/png;base64,BB=="], "image"),
        (["a.mp4", "b.mp4"], "video"),
        (["a.png", "b.wav"], "category"),
        ([b"??", b"!!"], "ignored"),
        ([{"a": 1}, {"a": 2}], "ignored"),
        ([None, None], "ignored"),
        (["same"] * 9, "ignored"),
        (["one"], "category"),
        ([5.0], "category"),
    ],
)
def test_types(values: list[Any], kind: str) -> None:
    assert one(values).type == kind


def test_reasons_of_ignored_columns() -> None:
    assert one([None, None]).reason == "every cell is missing"
    assert one(["same"] * 9).reason == "all of the 9 values looked at are the same"
    assert "struct" in one([{"a": 1}, {"a": 2}]).reason
    assert one(["train", "dev"], "Split") == Inferred("split", one(["train"], "split").reason, {})
    assert one(["train", "left"], "split").type == "category"
    assert one([1, 2] * 5, "split").type == "category"


def test_category_is_asked_last_and_own_types_are_asked() -> None:
    class Greedy(COLUMNS["category"]):  # type: ignore[name-defined, misc]
        @classmethod
        def recognise(cls, seen: Profile) -> Recognised | None:
            return Recognised("mine", {"label": 1})

    columns: dict[str, type[Column]] = {"category": COLUMNS["category"], "own": Greedy}
    assert infer(read_table({"x": ["a", "b"]}), columns)["x"] == Inferred("own", "mine", {"label": 1})


def test_profile() -> None:
    table = read_table({"x": [None if row % 2 else row for row in range(100)]})
    seen = profile(table, "x", sample=10)
    assert (seen.name, seen.kind, seen.rows, seen.media) == ("x", "integer", 100, "")
    assert seen.values[0] == 0
    assert len(seen.values) <= 10
    assert all(value is not None for value in seen.values)
    late = profile(read_table({"x": [None] * 5000 + ["a", "b"] + [None] * 5000}), "x", sample=10)
    assert list(late.values) == ["a", "b"]
    assert late.distinct == 2
    many = profile(read_table({"x": [PNG] * 100}), "x")
    assert len(many.values) == 16
    assert profile(read_table({"x": [["a"], ["b"]]}), "x").distinct == 0
    assert profile(read_table({"x": [1, 1.0, 2]}), "x").distinct == 2


@pytest.mark.parametrize("infinite", ["inf", "-inf", "Infinity", "-Inf"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_infinite_cells_leave_a_column_of_numbers(tmp_path: Path, infinite: str, ending: str) -> None:
    numbers = [number + 0.5 for number in range(75)] + [float(infinite)] * 5
    if ending == "csv":
        texts = [*map(str, numbers[:75]), *[infinite] * 5]
        (tmp_path / "table.csv").write_text("\n".join(["x", *texts]))
    else:
        pq.write_table(pa.table({"x": numbers}), tmp_path / "table.parquet")
    table = read_table(tmp_path / f"table.{ending}")
    assert list(table.column("x")) == numbers
    assert infer(table, COLUMNS)["x"].type == "number"
    assert len(profile(table, "x").values) == 75


def test_infinite_cells_leave_whole_numbers_whole() -> None:
    """Eleven-digit numbers that do not come back are identifiers, and two values that do are classes."""
    assert one([1e10 + 7 * number for number in range(50)] + [float("inf")]).type == "ignored"
    assert guess_task(profile(read_table({"x": [0.0, 1.0] * 20 + [float("inf")]}), "x")).type == "category"


def test_words_beside_infinity_stay_words(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("x\n" + "Infinity\nNissan\n" * 20)
    assert list(read_table(tmp_path / "table.csv").column("x"))[:2] == ["Infinity", "Nissan"]


def test_useless_says_nothing_of_inputs() -> None:
    assert useless(profile(read_table({"x": ["a b", "c d", "e f"]}), "x")) is None


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (pa.string(), "string"),
        (pa.large_string(), "string"),
        (pa.binary(), "binary"),
        (pa.binary(4), "binary"),
        (pa.uint8(), "integer"),
        (pa.float16(), "float"),
        (pa.decimal128(5, 2), "float"),
        (pa.bool_(), "boolean"),
        (pa.timestamp("us", "UTC"), "timestamp"),
        (pa.date64(), "date"),
        (pa.list_(pa.string()), "list"),
        (pa.struct([("a", pa.int8())]), "struct"),
        (pa.dictionary(pa.int8(), pa.string()), "dictionary"),
        (pa.dictionary(pa.int8(), pa.int32()), "integer"),
        (pa.duration("s"), "other"),
        (pa.null(), "other"),
    ],
)
def test_arrow_types_in_words(kind: pa.DataType, word: str) -> None:
    assert kind_of(kind) == word


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["cat", "dog", "cat"], "category"),
        ([f"class {n}" for n in range(50)], "category"),
        ([0, 1] * 5, "category"),
        ([True, False], "category"),
        ([1, 2, 3, 4, 5] * 10, "category"),
        (list(range(50)), "number"),
        ([0.5, 1.5], "number"),
        (["0.5", "1.5"], "number"),
        ([["a"], ["b", "a"]], "categories"),
        (["a|b", "b", "a"] * 9, "categories"),
        (["2024-01-01", "2024-02-01"], "number"),
    ],
)
def test_task_of_a_target(values: list[Any], task: str) -> None:
    guess = guess_task(profile(read_table({"y": values}), "y"))
    assert guess.type == task
    assert guess.reason


def test_dictionary_columns() -> None:
    table = Table(pa.table({"x": pa.array(["a", "b", "a"]).dictionary_encode()}))
    assert infer(table, COLUMNS)["x"].type == "category"
