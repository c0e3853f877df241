"""Splits are partitions that keep their promises; duplicates across them are found and counted."""

from __future__ import annotations

import datetime
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import ValidationError

from sensorium.data.duplicates import DuplicateReport, duplicates
from sensorium.data.media import Media, Source
from sensorium.data.split import SplitConfig, split
from sensorium.data.table import Table, read_table
from sensorium.data.units import PARTS
from sensorium.errors import CellError, TableError
from sensorium.prepare import bind_columns, split_table
from sensorium.recipe import parse_recipe

NO_MEDIA = Media(None)


def divide(
    columns: dict[str, list[Any]],
    stratify_by: str | None = None,
    inputs: list[str] | None = None,
    **fields: Any,
) -> dict[str, list[int]]:
    parts = split(read_table(columns), SplitConfig(**fields), stratify_by, inputs)
    assert list(parts) == list(PARTS)
    assert all(rows.dtype == np.int64 for rows in parts.values())
    return {part: rows.tolist() for part, rows in parts.items()}


def sizes(parts: dict[str, list[int]]) -> tuple[int, ...]:
    return tuple(len(parts[part]) for part in PARTS)


def assert_partition(parts: dict[str, list[int]], rows: int) -> None:
    assert sorted(row for part in parts.values() for row in part) == list(range(rows))
    assert all(part == sorted(part) for part in parts.values())


# --- drawn at random -------------------------------------------------------------------------------


def test_default_shares() -> None:
    parts = divide({"a": list(range(1000))})
    assert_partition(parts, 1000)
    assert sizes(parts) == (800, 100, 100)


@settings(max_examples=60, deadline=None)
@given(
    values=some.lists(some.integers(0, 3) | some.none(), min_size=3, max_size=60),
    validation=some.sampled_from([0.0, 0.1, 0.3, 0.45]),
    test=some.sampled_from([0.0, 0.1, 0.25, 0.5]),
    seed=some.integers(0, 3),
    stratified=some.booleans(),
)
def test_a_split_is_a_partition_of_the_wanted_sizes(
    values: list[int | None], validation: float, test: float, seed: int, stratified: bool
) -> None:
    columns = {"a": values, "b": list(range(len(values)))}
    wanted = [max(1, round(len(values) * share)) if share else 0 for share in (validation, test)]
    if sum(wanted) >= len(values):
        return
    fields = {"validation": validation, "test": test, "seed": seed}
    parts = divide(columns, "a" if stratified else None, **fields)
    assert_partition(parts, len(values))
    assert sizes(parts) == (len(values) - sum(wanted), *wanted)
    assert divide(columns, "a" if stratified else None, **fields) == parts


@settings(max_examples=40, deadline=None)
@given(
    groups=some.lists(some.sampled_from("abcdefgh"), min_size=20, max_size=60).filter(
        lambda all: len(set(all)) > 3
    ),
    labels=some.data(),
    seed=some.integers(0, 3),
)
def test_groups_are_never_on_two_sides(groups: list[str], labels: some.DataObject, seed: int) -> None:
    rows = len(groups)
    label = labels.draw(some.lists(some.sampled_from("xyz"), min_size=rows, max_size=rows))
    parts = divide({"user": groups, "label": label}, "label", group="user", seed=seed)
    assert_partition(parts, rows)
    sides = [{groups[row] for row in parts[part]} for part in PARTS]
    assert sum(map(len, sides)) == len(set().union(*sides))
    assert all(sides)


def test_group_sizes_come_near_the_shares() -> None:
    generator = np.random.default_rng(0)
    users = [f"u{user}" for user in range(200) for _ in range(int(generator.integers(1, 12)))]
    parts = divide({"user": users, "row": list(range(len(users)))}, group="user")
    for part in ("validation", "test"):
        assert abs(len(parts[part]) - 0.1 * len(users)) < 6


def test_rows_without_a_group_stand_alone() -> None:
    parts = divide({"user": [None] * 30, "row": list(range(30))}, group="user")
    assert sizes(parts) == (24, 3, 3)


def test_another_seed_another_split_the_same_seed_the_same() -> None:
    columns = {"a": list(range(100))}
    assert divide(columns, seed=1) == divide(columns, seed=1)
    assert divide(columns, seed=1) != divide(columns, seed=2)


@pytest.mark.parametrize("fields", [{}, {"group": "g"}, {"time": "t"}, {"stratify": "c"}])
def test_the_order_of_rows_does_not_matter(fields: dict[str, Any]) -> None:
    generator = np.random.default_rng(5)
    columns = {
        "t": list(range(200)),
        "g": [f"group {number}" for number in generator.integers(0, 40, 200)],
        "c": generator.choice(["红", "绿", "blue"], 200, p=[0.6, 0.3, 0.1]).tolist(),
        "text": [f"some words about {number}" for number in generator.integers(0, 150, 200)],
    }
    table = read_table(columns)
    order = generator.permutation(200)
    plain = split(table, SplitConfig(**fields), "c")
    moved = split(table.take(order), SplitConfig(**fields), "c")
    for part in PARTS:
        assert sorted(order[moved[part]].tolist()) == plain[part].tolist()


def test_equal_texts_stay_on_one_side() -> None:
    texts = [f"A bird on {number // 3} roofs" for number in range(300)]
    texts = [text.upper() if row % 2 else f" {text}  " for row, text in enumerate(texts)]
    columns = {"text": texts, "id": list(range(300)), "label": ["a", "b", "c"] * 100}
    parts = divide(columns, "label", ["text"])
    assert_partition(parts, 300)
    side = {row: part for part in PARTS for row in parts[part]}
    assert all(side[row] == side[row + 1] == side[row + 2] for row in range(0, 300, 3))
    assert abs(len(parts["test"]) - 30) <= 3
    assert abs(len(parts["validation"]) - 30) <= 3


def test_equal_numbers_and_categories_are_no_duplicates() -> None:
    parts = divide({"colour": ["red", "blue"] * 50, "label": ["a"] * 100})
    assert sizes(parts) == (80, 10, 10)


def cities() -> dict[str, list[Any]]:
    generator = np.random.default_rng(3)
    return {
        "city": [f"City of {number}" for number in generator.integers(0, 15, 1000)],
        "price": generator.normal(size=1000).tolist(),
        "y": generator.choice(["a", "b"], 1000).tolist(),
    }


def test_a_text_that_repeats_does_not_group_rows_of_other_numbers() -> None:
    columns = cities()
    for inputs in (["city", "price"], None):
        parts = divide(columns, "y", inputs)
        assert sizes(parts) == (800, 100, 100)
        assert {columns["city"][row] for row in parts["test"]} <= {
            columns["city"][row] for row in parts["train"]
        }


@pytest.mark.parametrize("other", ["number", "category", "date"])
def test_rows_stay_together_when_every_input_agrees(other: str) -> None:
    values = {
        "number": [float(row // 2 % 7) for row in range(200)],
        "category": ["red" if row // 2 % 3 else "blue" for row in range(200)],
        "date": [datetime.date(2024, 1, 1 + row // 2 % 20) for row in range(200)],
    }[other]
    texts = [f"some words about {row // 4}" for row in range(200)]
    columns = {"text": texts, "other": values, "unused": list(range(200))}
    parts = divide(columns, inputs=["other", "text"])
    side = {row: part for part in PARTS for row in parts[part]}
    assert all(side[row] == side[row + 1] for row in range(0, 200, 2))
    apart = [row for row in range(0, 200, 4) if values[row] != values[row + 2]]
    assert any(side[row] != side[row + 2] for row in apart)
    assert divide(columns, inputs=["text", "other"]) == parts


def test_equal_numbers_that_are_written_otherwise() -> None:
    texts = ["one and the same words"] * 40 + [f"other words {row}" for row in range(60)]
    numbers = [0.0, -0.0, None, float("nan")] * 10 + [1.0] * 60
    parts = divide({"text": texts, "n": numbers, "row": list(range(100))}, inputs=["text", "n"])
    side = {row: part for part in PARTS for row in parts[part]}
    assert len({side[row] for row in range(40) if row % 4 < 2}) == 1
    assert len({side[row] for row in range(40) if row % 4 > 1}) == 1


def test_rows_without_any_input_are_tied_to_none() -> None:
    texts = [None] * 50 + [f"some words {row}" for row in range(50)]
    parts = divide({"text": texts, "y": ["a", "b"] * 50}, "y", ["text"])
    assert sizes(parts) == (80, 10, 10)
    assert len({part for part in PARTS if min(parts[part]) < 50}) == 3


def test_an_input_that_is_not_there() -> None:
    with pytest.raises(TableError, match=r"no column 'txt': did you mean 'text'\?"):
        divide({"text": ["a", "b", "c"]}, inputs=["txt"])


# --- stratified ------------------------------------------------------------------------------------


def test_largest_remainder_by_hand() -> None:
    labels = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    parts = divide({"label": labels, "row": list(range(100))}, "label", test=0.1, validation=0.0)
    assert Counter(labels[row] for row in parts["test"]) == {"a": 5, "b": 3, "c": 2}
    labels = ["a"] * 16 + ["b"] * 13 + ["c"] * 11  # of 40 rows, 6: exactly 2.4, 1.95, 1.65
    parts = divide({"label": labels, "row": list(range(40))}, test=0.15, validation=0.0, stratify="label")
    assert Counter(labels[row] for row in parts["test"]) == {"a": 2, "b": 2, "c": 2}


@settings(max_examples=40, deadline=None)
@given(some.lists(some.sampled_from("abcde"), min_size=20, max_size=120), some.integers(0, 5))
def test_every_class_keeps_its_share(labels: list[str], seed: int) -> None:
    parts = divide(
        {"label": labels, "row": list(range(len(labels)))}, "label", seed=seed, test=0.2, validation=0.0
    )
    total = len(parts["test"])
    found = Counter(labels[row] for row in parts["test"])
    for label, count in Counter(labels).items():
        assert abs(found[label] - count * total / len(labels)) < 2
        if count == 1:
            assert found[label] == 0  # a class of one row is learned from


def test_numbers_are_stratified_in_tenths() -> None:
    values = [float(value) for value in np.random.default_rng(0).permutation(1000)]
    parts = divide({"y": values, "row": list(range(1000))}, "y", test=0.1, validation=0.0)
    tenths = Counter(int(values[row] // 100) for row in parts["test"])
    assert tenths == dict.fromkeys(range(10), 10)


def test_a_target_that_is_different_in_every_row_is_no_obstacle() -> None:
    assert sizes(divide({"y": [f"label{n}" for n in range(50)]}, "y")) == (40, 5, 5)
    assert sizes(divide({"y": [["a"], ["b"], None, ["a", "b"]] * 10}, "y")) == (32, 4, 4)


# --- by time ---------------------------------------------------------------------------------------


def test_the_latest_rows_are_tested_on() -> None:
    days = [
        datetime.date(2024, 1, 1) + datetime.timedelta(days=offset)
        for offset in (5, 3, 9, 1, 7, 0, 2, 8, 4, 6)
    ]
    parts = divide({"day": days}, "day", time="day", validation=0.2, test=0.2)
    assert parts == {"train": [0, 1, 3, 5, 6, 8], "validation": [4, 9], "test": [2, 7]}
    written = [day.isoformat() for day in days]
    assert divide({"day": written}, time="day", validation=0.2, test=0.2) == parts
    assert divide({"day": [day.toordinal() for day in days]}, time="day", validation=0.2, test=0.2) == parts


def test_times_that_are_missing_or_none() -> None:
    with pytest.raises(TableError, match="column 'day' of the dataframe has no time in row 1"):
        divide({"day": ["2024-01-01", None, "2024-01-02", "2024-01-03"]}, time="day")
    with pytest.raises(TableError, match="column 'day' of the dataframe, row 1: neither a date nor a number"):
        divide({"day": ["2024-01-01", "soon", "2024-01-02", "2024-01-03"]}, time="day")


# --- given by a column -----------------------------------------------------------------------------


def test_given_parts_in_every_spelling() -> None:
    given_parts = ["train", "Training", " TRAIN ", "val", "valid", "dev", "Validation", "test", "testing"]
    parts = divide({"split": given_parts}, column="split")
    assert parts == {"train": [0, 1, 2], "validation": [3, 4, 5, 6], "test": [7, 8]}
    assert divide({"split": ["train", "val"]}, column="split")["test"] == []


def test_missing_validation_is_drawn_from_train() -> None:
    columns = {
        "split": ["train"] * 80 + ["test"] * 20,
        "label": ["a", "b"] * 50,
        "text": [f"text of {n}" for n in range(100)],
    }
    parts = divide(columns, "label", column="split")
    assert_partition(parts, 100)
    assert sizes(parts) == (72, 8, 20)
    assert parts["test"] == list(range(80, 100))
    assert Counter(columns["label"][row] for row in parts["validation"]) == {"a": 4, "b": 4}
    assert sizes(divide(columns, column="split", validation=0.0)) == (80, 0, 20)
    later = divide({**columns, "t": list(range(100))}, column="split", time="t")
    assert later["validation"] == list(range(72, 80))


def test_drawn_validation_keeps_groups_and_equal_texts_together() -> None:
    users = [f"u{row // 8}" for row in range(80)] + ["z"] * 20
    columns = {"split": ["train"] * 80 + ["test"] * 20, "user": users, "row": list(range(100))}
    parts = divide(columns, column="split", group="user")
    assert not {users[row] for row in parts["train"]} & {users[row] for row in parts["validation"]}
    assert len(parts["validation"]) == 8
    texts = [f"some words {row // 2}" for row in range(100)]
    parts = divide({**columns, "text": texts}, inputs=["text"], column="split")
    assert not {texts[row] for row in parts["train"]} & {texts[row] for row in parts["validation"]}


def test_given_parts_that_cannot_be() -> None:
    with pytest.raises(TableError, match=r"holds 'later' .row 1., '' .row 2.; use train, validation"):
        divide({"split": ["train", "later", None]}, column="split")
    with pytest.raises(TableError, match="column 'split' of the dataframe has no row of value 'train'"):
        divide({"split": ["test", "val"]}, column="split")
    with pytest.raises(TableError, match=r"one group is in train \(row 0\) and in test \(row 2\)"):
        divide({"split": ["train", "val", "test"], "user": ["a", "b", "a"]}, column="split", group="user")
    with pytest.raises(TableError, match=r"no column 'spilt': did you mean 'split'\?"):
        divide({"split": ["train"]}, column="spilt")


# --- small and impossible --------------------------------------------------------------------------


def test_tiny_tables() -> None:
    with pytest.raises(
        TableError, match=r"the dataframe: rows to divide 1, too few for training and test and validation"
    ):
        divide({"a": [1]})
    with pytest.raises(TableError, match="rows to divide 2, too few"):
        divide({"a": [1, 2]})
    assert sizes(divide({"a": [1, 2, 3]})) == (1, 1, 1)
    assert sizes(divide({"a": [1, 2]}, test=0.0)) == (1, 1, 0)
    assert sizes(divide({"a": [1]}, test=0.0, validation=0.0)) == (1, 0, 0)
    assert sizes(divide({"a": [1, 1, 1]})) == (1, 1, 1)
    with pytest.raises(TableError, match="2 groups in column 'g', too few"):
        divide({"g": ["a", "b"] * 10}, group="g")
    with pytest.raises(TableError, match="1 different rows, too few"):
        divide({"picture": ["same.png"] * 20, "y": list(range(20))}, inputs=["picture"])


def test_config() -> None:
    for wrong in (
        {"validation": 0.6, "test": 0.4},
        {"time": "t", "group": "g"},
        {"time": "t", "stratify": "s"},
        {"validation": -0.1},
        {"seed": -1},
        {"by": "x"},
    ):
        with pytest.raises(ValidationError):
            SplitConfig.model_validate(wrong)
    assert SplitConfig(time="t").time == "t"


# --- duplicates ------------------------------------------------------------------------------------


def at(*sides: list[int]) -> dict[str, Any]:
    return {part: np.array(rows, dtype=np.int64) for part, rows in zip(PARTS, sides, strict=True)}


def found(
    table: Table, parts: dict[str, Any], columns: list[str], media: Media = NO_MEDIA
) -> list[DuplicateReport]:
    return duplicates(table, parts, columns, media)


CAPTIONS = [
    "A red  balloon",
    "Ａ RED balloon",
    "a blue bird",
    "红色的气球在天上",
    "红色的气球在天上",
    "something else here",
]


def test_whole_rows_and_single_texts() -> None:
    table = read_table({"text": CAPTIONS, "size": [1, 1, 2, 3, 4, 3], "y": [0, 1, 0, 1, 0, 1]})
    parts = at([0, 2, 3], [5], [1, 4])
    assert found(table, parts, ["text", "size"]) == [
        DuplicateReport("", "train", "test", 1, [(0, 1)]),
        DuplicateReport("text", "train", "test", 2, [(0, 1), (3, 4)]),
    ]
    assert found(table, parts, ["text"]) == [DuplicateReport("", "train", "test", 2, [(0, 1), (3, 4)])]
    assert found(table, at([0, 1], [2, 3], [5]), ["text"]) == []
    assert found(table, parts, ["size"]) == [
        DuplicateReport("", "train", "test", 1, [(0, 1)]),
        DuplicateReport("", "train", "validation", 1, [(3, 5)]),
    ]


def test_every_pair_of_parts() -> None:
    table = read_table(
        {"text": ["one and the same", "one and the same", "one and the same", "a b c", "d e f"]}
    )
    reports = found(table, at([0, 3], [1, 4], [2]), ["text"])
    assert {(report.first, report.second): report.examples for report in reports} == {
        ("train", "test"): [(0, 2)],
        ("train", "validation"): [(0, 1)],
        ("validation", "test"): [(1, 2)],
    }


def test_media_by_content(tmp_path: Path) -> None:
    for name, content in (("a.png", b"one"), ("b.png", b"one"), ("c.png", b"two")):
        (tmp_path / name).write_bytes(content)
    table = read_table({"picture": ["a.png", "b.png", "c.png", "gone.png", "gone.png"], "n": [1, 2, 3, 4, 4]})
    parts = at([0, 2, 3], [], [1, 4])
    reports = found(table, parts, ["picture", "n"], Media(tmp_path))
    assert reports == [
        DuplicateReport("picture", "train", "test", 1, [(0, 1)])
    ]  # unreadable ones are not compared
    png = b"\x89PNG\r\n\x1a\n"
    inside = read_table({"picture": [png + b"1", png + b"1", png + b"2"], "n": [1, 1, 1]})
    assert len(found(inside, at([0], [2], [1]), ["picture", "n"])) == 2


def test_files_are_read_only_where_another_has_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {"a": b"four", "b": b"four", "c": b"nice", "d": b"longer"}
    for name, content in contents.items():
        (tmp_path / f"{name}.png").write_bytes(content)
    read: list[str] = []
    digest = Source.digest
    monkeypatch.setattr(Source, "digest", lambda source: read.append(source.name) or digest(source))
    names = ["a.png", "d.png", "b.png", "c.png", "d.png"]
    table = read_table({"picture": names, "n": [1, 2, 3, 4, 2]})
    reports = found(table, at([0, 1], [], [2, 3, 4]), ["picture", "n"], Media(tmp_path))
    assert reports == [
        DuplicateReport("", "train", "test", 1, [(1, 4)]),
        DuplicateReport("picture", "train", "test", 2, [(0, 2), (1, 4)]),
    ]
    assert sorted(set(read)) == ["a.png", "b.png", "c.png"]


def test_files_that_go_away_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"four")

    def gone(source: Source) -> str:
        raise CellError(f"{source.name} cannot be read", "bring it back")

    table = read_table({"picture": ["a.png", "b.png"], "n": [1, 1]})
    monkeypatch.setattr(Source, "digest", gone)
    assert found(table, at([0], [], [1]), ["picture", "n"], Media(tmp_path)) == []


def test_a_file_and_equal_bytes_are_the_same_media(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"four")
    cells = [{"bytes": None, "path": "a.png"}, {"bytes": b"four", "path": None}, {"bytes": b"nice"}]
    table = read_table({"picture": cells})
    assert found(table, at([0], [2], [1]), ["picture"], Media(tmp_path)) == [
        DuplicateReport("", "train", "test", 1, [(0, 1)])
    ]


def test_a_text_that_ends_like_a_file_is_a_text() -> None:
    texts = ["I lost photo.jpg", "I LOST photo.jpg", "a blue bird", "a red balloon", "something else"]
    assert found(read_table({"text": texts}), at([0, 2], [3], [1, 4]), ["text"]) == [
        DuplicateReport("", "train", "test", 1, [(0, 1)])
    ]


def test_every_type_of_column_is_compared() -> None:
    one = {
        "unsigned": pa.array([2**64 - 1, 2**64 - 1, 2**64 - 2, None], pa.uint64()),
        "small": pa.array([-1, -1, -1, None], pa.int8()),
        "float": pa.array([0.5, 0.5, 0.5, None], pa.float32()),
        "coded": pa.array([1.25, 1.25, 1.25, None], pa.float64()).dictionary_encode(),
        "decimal": pa.array([Decimal("1.10"), Decimal("1.10"), Decimal("1.10"), None]),
        "flag": pa.array([True, True, True, None]),
        "when": pa.array([datetime.date(2024, 1, 1)] * 3 + [None]),
        "several": pa.array([[1, 2], [1, 2], [1, 2], None]),
    }
    table = read_table(pa.table(one))
    assert found(table, at([0], [2], [1, 3]), list(one)) == [
        DuplicateReport("", "train", "test", 1, [(0, 1)])
    ]
    for name, other in (
        ("coded", pa.array([1.25, 1.5, 1.25, None])),
        ("small", pa.array([-1, -2, -1, None])),
    ):
        arrow = other.dictionary_encode() if name == "coded" else other
        changed = read_table(pa.table({**one, name: arrow}))
        assert found(changed, at([0], [2], [1, 3]), list(one)) == []


def test_more_columns_than_are_hashed_at_once() -> None:
    columns = {f"x{number}": [number, number, number] for number in range(100)}
    for name in ("x0", "x31", "x32", "x99"):
        table = read_table({**columns, name: [1, 1, 2]})
        assert found(table, at([0], [2], [1]), list(columns)) == [
            DuplicateReport("", "train", "test", 1, [(0, 1)])
        ]


def test_missing_cells_are_no_duplicates_by_themselves() -> None:
    table = read_table({"text": [None, None, "some words here", None], "n": [None, None, 1, 1]})
    assert found(table, at([0, 2], [], [1, 3]), ["text", "n"]) == []
    table = read_table({"text": ["some words here", None, "some words here", None], "n": [None, 2, None, 2]})
    both = DuplicateReport("", "train", "test", 2, [(0, 2), (1, 3)])
    assert found(table, at([0, 1], [], [2, 3]), ["text", "n"]) == [both]


def test_examples_are_few_and_the_line_says_it() -> None:
    table = read_table({"text": ["one and the same"] * 9 + ["another one of them"]})
    (report,) = found(table, at([0, 9], [], list(range(1, 9))), ["text"])
    assert (report.count, len(report.examples)) == (8, 5)
    assert report.line() == (
        "8 rows of test have the same inputs as a row of train "
        "(rows 0 and 1, 0 and 2, 0 and 3, 0 and 4, 0 and 5)"
    )
    assert "the same caption as" in DuplicateReport("caption", "train", "test", 1, [(0, 1)]).line()


def test_a_drawn_split_of_unlike_texts_has_no_duplicates() -> None:
    table = read_table({"text": [f"words of number {row % 90}" for row in range(200)], "y": [0, 1] * 100})
    assert found(table, split(table, SplitConfig(), "y"), ["text"]) == []


def test_a_recipe_ties_rows_by_its_inputs() -> None:
    columns = {**cities(), "words": [f"some words about {row // 2}" for row in range(1000)]}
    outputs = {"y": {"type": "category"}}
    inputs = {"place": {"type": "text", "column": "city"}, "words": {"type": "text"}}
    recipe = parse_recipe({"data": {"path": "none.csv"}, "inputs": inputs, "outputs": outputs})
    table = read_table(columns)
    parts = split_table(recipe, table, bind_columns(recipe)[1])
    expected = split(table, SplitConfig(), "y", ["city", "words"])
    assert {part: rows.tolist() for part, rows in parts.items()} == {
        part: rows.tolist() for part, rows in expected.items()
    }
    assert split(table, SplitConfig(), "y")["test"].tolist() != parts["test"].tolist()


def test_one_time_is_on_one_side() -> None:
    days = ["2020-01-01"] * 50 + ["2020-01-02"] * 30 + ["2020-01-03"] * 20
    parts = split(Table(pa.table({"day": days[::-1]})), SplitConfig(time="day", validation=0.25, test=0.15))

    assert {part: len(rows) for part, rows in parts.items()} == {"train": 50, "validation": 30, "test": 20}


def test_too_few_times_to_divide() -> None:
    with pytest.raises(
        TableError, match="'day' of the table has 2 different times, too few for training and"
    ):
        split(Table(pa.table({"day": ["2020-01-01", "2020-01-02"] * 50})), SplitConfig(time="day"))
