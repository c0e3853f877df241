"""The values of `--over`: a list such as `16,32,64`, or a range such as `16..64:16`."""

from __future__ import annotations

import re
from typing import Any

import yaml

from sensorium.errors import RecipeError

MOST_VALUES = 1000
"""Of a range: more is a slip of the pen."""

_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::(x?)({_NUMBER}))?")


def parse_values(text: str) -> list[Any]:
    """Reads values as a command line writes them.

    Args:
        text: YAML scalars with commas between them, `concat,late` or `[32, 64],[64, 128]`; or a range with
            both ends counted: `16..64:16` goes up by 16, `16..256:x2` is multiplied by 2, and whole numbers
            without a step go up by 1.

    Raises:
        RecipeError: when it is neither.
    """
    found = _RANGE.fullmatch(text.strip())
    return _range(*found.groups()) if found else _list(text)


def _list(text: str) -> list[Any]:
    try:
        values = yaml.safe_load(f"[{text}]")
    except yaml.YAMLError:
        raise RecipeError(f"--over: {text!r} is not a list of values, such as 16,32,64") from None
    if not values:
        raise RecipeError("--over: no value stands after the =, such as fusion.kind=concat,late")
    return list(values)


def _range(first: str, last: str, times: str | None, step: str | None) -> list[Any]:
    start, end, stride = _number(first), _number(last), _number(step or "1")
    whole = all(isinstance(number, int) for number in (start, end, stride))
    if step is None and not whole:
        raise RecipeError(f"--over: {first}..{last} needs a step, such as {first}..{last}:0.1 or :x10")
    if end < start or stride <= (1 if times else 0) or (times and start <= 0):
        raise RecipeError(f"--over: {first}..{last} does not go up; a range is LOW..HIGH:STEP or :xFACTOR")
    values: list[Any] = []
    while len(values) <= MOST_VALUES:
        number = len(values)
        value = start * stride**number if times else start + stride * number
        if value > end + 1e-12 * abs(end):
            return values
        values.append(value if whole else float(f"{value:.12g}"))
    raise RecipeError(f"--over: {first}..{last} has more than {MOST_VALUES:,} values")


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
