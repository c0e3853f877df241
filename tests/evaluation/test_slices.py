"""Rows cut into groups."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sensorium.data.table import read_table
from sensorium.errors import SensoriumError
from sensorium.evaluation import evaluate
from sensorium.evaluation.metrics import Interval
from sensorium.evaluation.report import as_html
from sensorium.evaluation.slices import (
    FEWEST_MARKED,
    MOST_GROUPS,
    Group,
    Slice,
    _differs,
    cut,
    note,
    sentences,
)
from tests.evaluation.test_evaluate import ROWS as MADE
from tests.evaluation.test_evaluate import make

ROWS = np.arange(8)
TABLE = read_table(
    {
        "shop": ["a", "b", "a", None, "a", "b", "c", "a"],
        "price": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, None, 8.0],
    }
)


def test_by_value_and_by_condition() -> None:
    assert cut(TABLE, ROWS, "shop") == ["a", "b", "a", "missing", "a", "b", "c", "a"]
    assert cut(TABLE, ROWS[[6, 0]], "shop") == ["c", "a"]
    assert cut(TABLE, ROWS[:3], "price >= 2") == ["does not hold", "holds", "holds"]


def test_many_numbers_are_cut_into_quarters() -> None:
    table = read_table({"x": [*map(float, range(100)), None]})
    groups = cut(table, np.arange(101), "x")
    assert groups[0] == "0.000 to 24.75"
    assert groups[24] == groups[0] != groups[25]
    assert groups[99] == "74.25 to 99.00"
    assert groups[100] == "missing"
    assert [groups.count(one) for one in sorted(set(groups))] == [25, 25, 25, 25, 1]


def test_rare_values_share_a_group() -> None:
    words = ["often"] * 5 + [f"word {one}" for one in range(40)]
    groups = cut(read_table({"x": words}), np.arange(45), "x")
    assert len(set(groups)) == MOST_GROUPS
    assert "30 other values" in groups


def test_floats_that_name_a_group_are_rounded() -> None:
    table = read_table({"x": [0.1 + 0.2, 0.5, 1.0]})
    assert cut(table, np.arange(3), "x") == ["0.3", "0.5", "1"]


def test_a_group_of_few_rows_is_not_marked() -> None:
    found = evaluate(make(), read_table(MADE), studies=("slices",), slices=["size"])
    groups = found.studies["slices"][0].groups
    assert all(group.rows < FEWEST_MARKED for group in groups)
    assert {differs for group in groups for _, differs in group.scores.values()} == {""}
    assert "fewer than 5 rows gets none" in as_html(found)


def test_what_is_neither_column_nor_condition() -> None:
    with pytest.raises(SensoriumError, match="there is no column 'shopp': did you mean 'shop'"):
        cut(TABLE, ROWS, "shopp")


def interval(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 10, 500, "bootstrap")


def test_a_group_differs_where_its_whole_interval_does() -> None:
    whole = interval(0.5, 0.7)
    assert _differs(interval(0.61, 0.9), whole, "max") == "better"
    assert _differs(interval(0.61, 0.9), whole, "min") == "worse"
    assert _differs(interval(0.1, 0.59), whole, "max") == "worse"
    assert _differs(interval(0.59, 0.9), whole, "max") == ""
    assert _differs(Interval(0.9, math.nan, math.nan, 1, 0, "none"), whole, "max") == ""


def test_what_was_asked_for_is_always_told() -> None:
    def told(text: str) -> str:
        return note(TABLE, ROWS, text, cut(TABLE, ROWS, text))

    assert told("price > 100") == "holds for 0 of 8 rows"
    assert told("price < 100 or missing(price)") == "holds for all 8 rows"
    assert told("shop") == "4 groups"
    assert told("shop > 3") == "holds for 0 of 8 rows; 'shop' is text, 3 is a number, which are never alike"
    assert told("price in ['a', 'b']").endswith(
        "'price' is a number, ['a', 'b'] is text, which are never alike"
    )
    one = {"x": ["same"] * 3}
    assert note(read_table(one), np.arange(3), "x", ["same"] * 3) == "all 3 rows are in one group"


def test_a_slice_of_one_group_is_shown_and_said() -> None:
    found = evaluate(make(), read_table(MADE), studies=("slices",), slices=["size > 1000000"])
    (one,) = found.studies["slices"]
    assert [(group.name, group.rows) for group in one.groups] == [("does not hold", 6)]
    assert "size > 1000000: holds for 0 of 6 rows." in str(found)
    assert "<p>holds for 0 of 6 rows</p>" in as_html(found)


def test_the_worse_groups_are_said() -> None:
    groups = [
        Group("red", 10, {"kind": (interval(0.1, 0.3), "worse")}),
        Group("blue", 20, {"kind": (interval(0.7, 0.9), "better")}),
    ]
    assert sentences([Slice("colour", groups)]) == [
        "colour: red (10 rows) is worse for kind: 0.200 (0.100 to 0.300)."
    ]
