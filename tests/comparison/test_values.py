"""The values of `--over`."""

from __future__ import annotations

from typing import Any

import pytest

from sensorium.comparison.values import parse_values
from sensorium.errors import RecipeError

VALUES: dict[str, list[Any]] = {
    "concat,late": ["concat", "late"],
    "16, 32": [16, 32],
    "true,null": [True, None],
    "[32, 64],[64, 128]": [[32, 64], [64, 128]],
    "{kind: sgd, lr: 0.1},adamw": [{"kind": "sgd", "lr": 0.1}, "adamw"],
    "图像,文字": ["图像", "文字"],
    "5": [5],
    "1..3": [1, 2, 3],
    "16..64:16": [16, 32, 48, 64],
    "16..70:16": [16, 32, 48, 64],
    "0.1..0.5:0.1": [0.1, 0.2, 0.3, 0.4, 0.5],
    "16..128:x2": [16, 32, 64, 128],
    "1e-4..1e-1:x10": [1e-4, 1e-3, 1e-2, 1e-1],
    "-2..2:2": [-2, 0, 2],
    "a..b": ["a..b"],
}


@pytest.mark.parametrize("text", VALUES)
def test_values_are_a_list_or_a_range(text: str) -> None:
    found = parse_values(text)
    assert found == VALUES[text]
    assert [type(one) for one in found] == [type(one) for one in VALUES[text]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no value"),
        ("[1,2", "not a list"),
        ("3..1", "does not go up"),
        ("1..9:0", "does not go up"),
        ("1..9:x1", "does not go up"),
        ("0..9:x2", "does not go up"),
        ("0.1..0.9", "needs a step, such as 0.1..0.9:0.1"),
        ("1..2000", "more than 1,000 values"),
    ],
)
def test_a_slip_is_named(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        parse_values(text)
