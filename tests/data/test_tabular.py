"""Numbers, dates, categories and sets of them, against values computed by hand."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from sensorium.data.column import Profile
from sensorium.data.tabular import (
    CategoriesColumn,
    CategoriesConfig,
    CategoryColumn,
    CategoryConfig,
    NumberColumn,
    NumberConfig,
    days,
    label_of,
    number,
)
from sensorium.errors import CellError


def numbers(cells: Sequence[Any], **fields: Any) -> NumberColumn:
    column = NumberColumn(NumberConfig(**fields))
    column.fit(cells)
    return column


def category(cells: Sequence[Any], **fields: Any) -> CategoryColumn:
    column = CategoryColumn(CategoryConfig(**fields))
    column.fit(cells)
    return column


def categories(cells: Sequence[Any], **fields: Any) -> CategoriesColumn:
    column = CategoriesColumn(CategoriesConfig(**fields))
    column.fit(cells)
    return column


def seen(values: Sequence[Any], kind: str, media: str = "") -> Profile:
    distinct = len({repr(value) for value in values})
    return Profile("x", kind, values, len(values), distinct, media)


# --- numbers ---------------------------------------------------------------------------------------


def test_robust_scale_by_hand() -> None:
    column = numbers([1, 2, 3, 4, 100])
    assert column.centre == pytest.approx(3)
    assert column.spread == pytest.approx((4 - 2) / 1.349)
    assert column.decode(5)[0] == pytest.approx((5 - 3) * 1.349 / 2)
    assert column.decode(100)[0] == 10.0  # clipped
    assert column.decode(-1000)[0] == -10.0
    assert numbers([1, 2, 3, 4, 100], clip=None).decode(100)[0] == pytest.approx(97 * 1.349 / 2)


def test_standard_scale_by_hand() -> None:
    column = numbers([2, 4, 4, 4, 5, 5, 7, 9], scale="standard")
    assert (column.centre, column.spread) == (pytest.approx(5), pytest.approx(2))
    assert column.decode("9").tolist() == [2.0]
    assert column.decode(9).dtype == np.float32


def test_quantile_scale_by_hand() -> None:
    column = numbers([0, 1, 2, 3, 1000], scale="quantile")
    # Ranks of quartiles; between 2 and 3 lies 0.625, whose score is 0.3186. Beyond the ends: the ends.
    scaled = [float(column.decode(value)[0]) for value in (1, 2, 2.5, 3)]
    assert scaled == pytest.approx([-0.6745, 0, 0.3186, 0.6745], abs=1e-4)
    assert column.decode(1000) == column.decode(1e9) == -column.decode(-5)
    assert column.unscale(np.array([[-0.6745, 0.3186]])) == pytest.approx(np.array([[1, 2.5]]), abs=1e-3)
    repeated = numbers([0, 0, 0, 1, 2], scale="quantile")  # 0 is the ranks 0 to 0.5: their middle is 0.25
    assert repeated.decode(0)[0] == pytest.approx(-0.6745, abs=1e-4)
    assert numbers([7, 7], scale="quantile").decode(7)[0] == 0
    assert numbers([7], scale="quantile").decode(9)[0] == 0


def test_quantiles_are_saved_with_the_column() -> None:
    column = numbers([0, 1, 2, 3, 1000], scale="quantile")
    again = NumberColumn(column.config)
    again.load_state(json.loads(json.dumps(column.state())))
    assert again.decode(2.5) == column.decode(2.5)


@given(some.lists(some.floats(-1e300, 1e300), min_size=1))
def test_quantile_scale_keeps_the_order(values: list[float]) -> None:
    column = numbers(values, scale="quantile")
    scaled = [float(column.decode(value)[0]) for value in sorted(values)]
    assert np.isfinite(scaled).all()
    assert (np.diff(scaled) >= 0).all()


def test_no_scale() -> None:
    column = numbers([5, 6], scale="none", clip=None)
    assert (column.centre, column.spread) == (0.0, 1.0)
    assert column.decode(123.5).tolist() == [123.5]


def test_spread_falls_back_to_deviation_then_one() -> None:
    mostly_zero = numbers([0, 0, 0, 0, 0, 0, 0, 10])
    assert mostly_zero.centre == 0
    assert mostly_zero.spread == pytest.approx(np.std([0] * 7 + [10]))
    for scale in ("robust", "standard"):
        constant = numbers([0.1, 0.1, 0.1], scale=scale)
        assert constant.spread == 1.0
        assert constant.decode(0.1)[0] == pytest.approx(0)
        assert numbers([], scale=scale).spread == 1.0
        assert numbers([0, 0], scale=scale).spread == 1.0


@given(some.lists(some.floats(-1e300, 1e300), min_size=1), some.sampled_from(["robust", "standard"]))
def test_scaling_is_finite_and_undone(values: list[float], scale: str) -> None:
    column = numbers(values, scale=scale)
    assert np.isfinite(column.centre)
    assert np.isfinite(column.spread)
    assert column.spread > 0
    for value in values:
        scaled = column.decode(value)
        assert scaled.shape == (1,)
        assert abs(scaled[0]) <= 10
        if abs(scaled[0]) < 10:
            tolerance = 1e-5 * (abs(column.centre) + 10 * column.spread) + 1e-300
            assert column.unscale(scaled)[0] == pytest.approx(value, rel=1e-5, abs=tolerance)


def test_unscale_shape_and_type() -> None:
    column = numbers([0, 10, 20], scale="standard")
    back = column.unscale(np.zeros((2, 3), dtype=np.float32))
    assert back.dtype == np.float64
    assert back.tolist() == [[pytest.approx(10)] * 3] * 2


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,037", 1037), ("-1,000", -1000), ("1,234,567.5", 1234567.5), ("12%", 0.12), (" 12 % ", 0.12)],
)
def test_numbers_with_commas_and_shares_in_percent(text: str, value: float) -> None:
    assert number(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["0,037", "1,03", "1,0370", "1,2,3", "%", "-%", ",", "1,037,"])
def test_commas_that_part_no_thousands(text: str) -> None:
    with pytest.raises(CellError, match="not a number"):
        number(text)


def test_numbers_written_in_other_ways() -> None:
    column = numbers([], scale="none")
    for cell, value in (
        (" 1.5 ", 1.5),
        ("-3e2", -10),
        (True, 1),
        (False, 0),
        ("２", 2),
        (Decimal("2.5"), 2.5),
    ):
        assert column.decode(cell).tolist() == [value]


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        ("abc", "not a number"),
        ("", "not a number"),
        ("1,5", "not a number"),
        ("1_000", "not a number"),
        ([1], "not a number"),
        (b"1", "not a number"),
        ({"a": 1}, "not a number"),
        (float("inf"), "not finite"),
        ("-inf", "not finite"),
        ("nan", "not finite"),
        (10**400, "too large"),
        (datetime.date(2020, 1, 1), "a date where a number is wanted"),
    ],
)
def test_cells_that_are_no_number(cell: Any, cause: str) -> None:
    with pytest.raises(CellError, match=cause) as raised:
        numbers([]).decode(cell)
    assert raised.value.advice
    assert numbers([cell, 1, 3], scale="standard").centre == 2  # fit leaves it to decode


def test_too_large_for_a_float32() -> None:
    with pytest.raises(CellError, match="too large"):
        numbers([], clip=None).decode(1e39)


def test_dates() -> None:
    column = numbers([datetime.date(1970, 1, 1), "1970-01-11"], date=True, scale="none", clip=None)
    assert column.decode("1970-01-02T12:00:00").tolist() == [1.5]
    assert column.decode(datetime.datetime(1969, 12, 31, 18)).tolist() == [-0.25]
    assert column.decode("1970-01-02T02:00:00+02:00").tolist() == [1.0]
    zone = datetime.timezone(datetime.timedelta(hours=-12))
    assert column.decode(datetime.datetime(1970, 1, 1, 12, tzinfo=zone)).tolist() == [1.0]
    assert days("2024-05-31") == 19874
    assert numbers(["1970-01-01", "1970-01-11"], date=True, scale="standard").centre == 5
    for wrong in (5, "yesterday", "2024-02-30", None, b"2024-01-01"):
        with pytest.raises(CellError, match="not a date"):
            column.decode(wrong)


def test_days_keep_milliseconds() -> None:
    one = days("2024-05-31T12:00:00.001") - days("2024-05-31T12:00:00")
    assert one * 86_400_000 == pytest.approx(1, rel=1e-2)


def test_number_collate_and_state() -> None:
    column = numbers([1, 2, 3])
    batch = column.collate([column.decode(2), None])
    assert batch.values.dtype == np.float32
    assert batch.values.tolist() == [[0.0], [0.0]]
    assert batch.mask.tolist() == [[True], [False]]
    assert column.collate([None]).values.shape == (1, 1)
    assert column.collate([]).values.shape == (0, 1)
    other = NumberColumn(NumberConfig())
    other.load_state(json.loads(json.dumps(column.state())))
    assert (other.centre, other.spread) == (column.centre, column.spread)


def test_number_recognise() -> None:
    recognise = NumberColumn.recognise
    assert recognise(seen([0.5, 1.5, 2.5], "float")) == ("numbers with 3 different values", {})
    assert recognise(seen(list(range(100)), "integer")) is not None
    assert recognise(seen([float(n) for n in range(100)], "float")) is not None
    assert recognise(seen(["1.5", "2", "-3"], "string")) is not None
    assert recognise(seen([1, 2, 3] * 40, "integer")) is None
    assert recognise(seen([1.0, 2.0] * 40, "float")) is None
    assert recognise(seen([True, False], "boolean")) is None
    assert recognise(seen(["1", "x"], "string")) is None
    assert recognise(seen([], "float")) is None
    assert recognise(seen([1.5], "float", "image")) is None
    assert recognise(seen([datetime.date(2020, 1, 1)], "date")).options == {"date": True}
    assert recognise(seen(["2020-01-01", "2020-01-02T10:00:00Z"], "string")).options == {"date": True}
    assert recognise(seen([str(20200101 + n) for n in range(9)], "string")).options == {}


# --- category --------------------------------------------------------------------------------------


def test_codes_by_frequency_then_name() -> None:
    column = category(["b", "红", "a", "b", "红", "红"])
    assert column.labels == ["红", "b", "a"]
    assert column.counts == [3, 2, 1]
    assert column.size == 4
    assert [column.decode(cell).tolist() for cell in ("红", "b", "a", "new")] == [[1], [2], [3], [0]]
    assert column.decode("a").dtype == np.int64
    assert [column.label(code) for code in range(4)] == ["(other)", "红", "b", "a"]
    assert category(["d", "c", "b"]).labels == ["b", "c", "d"]


def test_rare_and_many() -> None:
    cells = ["a"] * 3 + ["b"] * 2 + ["c"]
    assert category(cells, min_count=2).labels == ["a", "b"]
    assert category(cells, min_count=2).decode("c").tolist() == [0]
    assert category(cells, max_categories=1).labels == ["a"]
    assert category(cells, max_categories=1).size == 2
    assert category([]).size == 1


def test_labels_of_values() -> None:
    assert label_of(3) == label_of(3.0) == label_of("3") == "3"
    assert label_of(2.5) == "2.5"
    assert label_of(True) == label_of("True") == label_of("TRUE") == "true"
    assert label_of(False) == label_of("False") == "false"
    assert label_of(datetime.date(2024, 5, 31)) == "2024-05-31"
    assert label_of("Tree ") == "Tree "
    assert label_of(Decimal("1.50")) == "1.50"
    assert label_of(1e300) == "1e+300"
    column = category([1, 1, 2])
    assert column.decode(1.0).tolist() == column.decode("1").tolist() == [1]
    for cell in (b"a", ["a"], {"a": 1}, None):
        with pytest.raises(CellError, match="where a label is wanted"):
            column.decode(cell)
    assert category([b"a", "x"]).labels == ["x"]


def test_category_collate_and_state() -> None:
    column = category(["a", "b", "b"])
    batch = column.collate([column.decode("a"), None, column.decode("?")])
    assert batch.values.dtype == np.int64
    assert batch.values.tolist() == [[2], [0], [0]]
    assert batch.mask.tolist() == [[True], [False], [True]]
    other = CategoryColumn(CategoryConfig())
    other.load_state(json.loads(json.dumps(column.state())))
    assert (other.labels, other.counts, other.size) == (["b", "a"], [2, 1], 3)
    assert other.decode("a").tolist() == [2]


@pytest.mark.parametrize(
    ("cells", "kind", "classes"),
    [
        ([3, 3, -1], "integer", [3, -1]),
        ([2**63, 2**63, 1], "integer", [2**63, 1]),
        ([True, False, False], "boolean", [False, True]),
        ([0.5, 0.5, 2.0], "float", [0.5, 2.0]),
        ([1, 1, 0.5], "float", [1.0, 0.5]),
        (["3", "3", "x"], "text", ["3", "x"]),
        ([3, 3, "x"], "text", ["3", "x"]),
        ([True, True, 1], "text", ["true", "1"]),
        ([datetime.date(2024, 5, 31)], "text", ["2024-05-31"]),
        ([3, 3, b"no label"], "integer", [3]),
        ([], "text", []),
    ],
)
def test_labels_in_the_type_that_the_cells_had(cells: list[Any], kind: str, classes: list[Any]) -> None:
    column = category(cells)
    other = CategoryColumn(CategoryConfig())
    other.load_state(json.loads(json.dumps(column.state())))
    for one in (column, other):
        assert one.kind == kind
        assert one.classes.tolist() == classes
        assert [type(label) for label in one.classes.tolist()] == [type(label) for label in classes]
        assert one.labels == [label_of(label) for label in classes]


def test_models_of_before_the_kind_was_kept_have_labels_of_text() -> None:
    column = CategoryColumn(CategoryConfig())
    column.load_state({"labels": ["1", "0"], "counts": [2, 1]})
    assert column.classes.tolist() == ["1", "0"]


@given(some.lists(some.text(max_size=2) | some.integers(0, 5) | some.booleans(), min_size=1))
def test_every_training_label_has_its_own_code(cells: list[Any]) -> None:
    column = category(cells)
    codes = [int(column.decode(cell)[0]) for cell in cells]
    assert [column.label(code) for code in codes] == [label_of(cell) for cell in cells]
    assert set(codes) == set(range(1, column.size))
    assert sum(column.counts) == len(cells)


def test_category_recognise() -> None:
    recognise = CategoryColumn.recognise
    assert "3 different" in recognise(seen(["a", "b", "c"], "string")).reason
    assert recognise(seen([True, False], "boolean")).reason == "true or false"
    few = recognise(seen([1, 2, 3] * 10, "integer"))
    assert "only 3 different" in few.reason
    assert "type: number" in few.reason
    assert recognise(seen(["0", "1"] * 10, "string")) is not None
    assert recognise(seen(list(range(30)), "integer")) is None
    assert recognise(seen([0.5, 1.5], "float")) is None
    assert recognise(seen(["a"], "string", "image")) is None
    assert recognise(seen([], "string")) is None


# --- categories ------------------------------------------------------------------------------------


def test_lists_and_texts_with_separators() -> None:
    lists = categories([["a", "b"], ["b"], [], ["b", None]])
    assert lists.labels == ["b", "a"]
    assert lists.counts == [3, 1]
    assert lists.rows == 4
    assert lists.size == 3
    assert lists.decode(["a", "z"]).tolist() == [1, 0, 1]
    assert lists.decode([]).tolist() == [0, 0, 0]
    assert lists.decode(["a", "a"]).dtype == np.uint8
    for separator in "|;,":
        column = categories([f"红{separator} b", "b", f"{separator}"])
        assert column.labels == ["b", "红"]
        assert column.decode(f"b {separator}红").tolist() == [0, 1, 1]
    assert categories(["a, b|c", "d|e"]).labels == ["a, b", "c", "d", "e"]
    assert categories(["a/b", "b"], separator="/").labels == ["b", "a"]
    assert categories(["a b"]).labels == ["a b"]
    assert categories([["x", "x"]]).counts == [1]


def test_rare_labels_of_a_set_are_index_zero() -> None:
    column = categories([["a", "b"], ["a"]], min_count=2)
    assert column.labels == ["a"]
    assert column.decode(["a", "b"]).tolist() == [1, 1]
    assert [column.label(code) for code in (0, 1)] == ["(other)", "a"]


def test_categories_collate_state_and_errors() -> None:
    column = categories(["a|b", "b"])
    batch = column.collate([column.decode("a"), None])
    assert batch.values.dtype == np.float32
    assert batch.values.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert batch.mask.tolist() == [[True], [False]]
    assert column.collate([None]).values.shape == (1, 3)
    other = CategoriesColumn(CategoriesConfig())
    other.load_state(json.loads(json.dumps(column.state())))
    assert other.decode("b|a").tolist() == [0, 1, 1]
    assert (other.labels, other.counts, other.rows) == (["b", "a"], [2, 1], 2)
    with pytest.raises(CellError, match="where a label is wanted"):
        column.decode([{"a": 1}])
    assert categories([b"x", ["a"]]).rows == 1
    with pytest.raises(ValidationError):
        CategoriesConfig(separator="")


def test_categories_recognise() -> None:
    recognise = CategoriesColumn.recognise
    assert recognise(seen([["a"], [], ["b", None]], "list")).options == {}
    assert recognise(seen([[1.5], [2]], "list")) is None
    assert recognise(seen(["drama|comedy", "comedy", "drama|war"] * 4, "string")).options == {
        "separator": "|"
    }
    assert recognise(seen(["red, blue", "blue", "red"] * 4, "string")).options == {"separator": ","}
    assert recognise(seen(["Hello, world", "Well, who knows", "Yes, I do"], "string")) is None
    assert recognise(seen(["a", "b"], "string")) is None
    assert recognise(seen([1, 2], "integer")) is None
    assert recognise(seen([], "list")) is None


def test_the_helpers_say_what_is_wrong() -> None:
    with pytest.raises(CellError) as raised:
        number("private text")
    assert "private" not in raised.value.cause + raised.value.advice


@pytest.mark.parametrize("text", ["1970-01-11", "1970/1/11", "1970.01.11", "11.1.1970", "1970年1月11日"])
def test_dates_as_they_are_written(text: str) -> None:
    assert days(text) == 10.0


@pytest.mark.parametrize("text", ["1/11/1970", "11/1/1970", "19700111x", "1970年13月1日"])
def test_dates_that_mean_two_things_or_none_are_refused(text: str) -> None:
    with pytest.raises(CellError, match="not a date"):
        days(text)


def test_lists_written_as_json() -> None:
    column = CategoriesColumn(CategoriesConfig())
    column.fit(['["a", "b"]', '["a"]', "[]"])

    assert column.labels == ["a", "b"]
    assert column.decode('["b", "a"]').tolist() == [0, 1, 1]
    assert column.decode("[]").tolist() == [0, 0, 0]
