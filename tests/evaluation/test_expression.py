"""Conditions: what they mean, and that nothing else is understood."""

from __future__ import annotations

import pytest

from sensorium.errors import SensoriumError
from sensorium.evaluation.expression import MOST_CHARACTERS, parse_condition

ROW = {"price": 12.5, "stock": 0, "name": "A red bird", "shop": None, "价格": 3, "a.b": "x", "sold": True}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("price > 10", True),
        ("10 < price <= 12.5", True),
        ("10 < price < 12", False),
        ("price / 2 == 6.25 and stock * 5 == 0", True),
        ("price / stock > 0", False),  # a division by zero is no number
        ("-price < 0", True),
        ("'red' in name", True),
        ("name not in ['A red bird', 'x']", False),
        ("length(name) == 10", True),
        ("length(price) == 4", False),
        ("missing(shop)", True),
        ("shop == 'x'", False),
        ("shop != 'x'", False),  # nothing is known of a missing cell
        ("not shop == 'x'", True),
        ("price > 'ten'", False),
        ("'ten' in price", False),
        ("价格 == 3", True),
        ("column('a.b') == 'x'", True),
        ("sold", True),
        ("price", False),  # a number is no condition
        ("stock == 0 or shop == 'x'", True),
        ("name + name == 'x'", False),
    ],
)
def test_a_condition(text: str, holds: bool) -> None:
    assert parse_condition(text, list(ROW)).holds(ROW) is holds


def test_the_columns_that_it_looks_at() -> None:
    assert parse_condition("price > 1 and column('a.b') in ['x']", list(ROW)).columns == ["a.b", "price"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prise > 10", "there is no column 'prise': did you mean 'price'?"),
        ("__import__('os').system('x')", "is not known"),
        ("name.upper() == 'X'", "is not known"),
        ("[x for x in name]", "is not known"),
        ("price ** 9", "is not known"),
        ("shop is None", "missing(x)"),
        ("shop == None", "missing(x)"),
        ("price >", "cannot be understood"),
        ("length(name, 2) > 1", "is not known"),
        ("upper(name) == 'X'", "one of column, length, missing"),
        ("~stock", "is not known"),
        ("1 and " * MOST_CHARACTERS + "1", "too long"),
        ("(" * 400 + "1" + ")" * 400, "cannot be understood"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(SensoriumError, match="condition") as caught:
        parse_condition(text, list(ROW))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
