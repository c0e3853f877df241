"""What the columns of a table are, guessed from their cells, each with a reason that the user can check."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from sensorium.data.column import Column, Profile
from sensorium.data.media import sniff
from sensorium.data.table import Table
from sensorium.data.tabular import (
    CategoriesColumn,
    NumberColumn,
    has_few_values,
    is_whole,
    label_of,
    number,
)
from sensorium.errors import CellError

_MEDIA_CELLS = 16  # cells of files and bytes looked at: enough to see a format, few enough to be cheap
_HEAD_BYTES = 512
_PARTS = frozenset({"train", "training", "validation", "valid", "val", "dev", "test", "testing"})
_IDENTIFIER_NAME = re.compile(
    r"(?i)^$|(^|[_ .-])(id|uuid|guid|key|index|idx)$|Id$|ID$|编号$|序号$|^Unnamed: \d+$"
)
_LONG_DIGITS = 10  # whole numbers this long that hardly repeat are telephone or order numbers


class Inferred(NamedTuple):
    """What a table column is taken for.

    Attributes:
        type: a type that a recipe can name, "split" for a column that says which part a row is in, "key"
            for one that names its row, or "ignored".
        reason: why, in words for the user.
        options: fields that go with the type in the recipe.
    """

    type: str
    reason: str
    options: dict[str, Any]


def infer(table: Table, columns: Mapping[str, type[Column]], sample: int = 2000) -> dict[str, Inferred]:
    """Guesses the type of every table column.

    Args:
        table: any number of rows.
        columns: type → class, such as `sensorium.data.COLUMNS`; asked in this order, but "category", which
            takes every short text, last.
        sample: cells looked at in each column, spread evenly over the table.

    Returns:
        Column name → what it is taken for, in the table's order.
    """
    return {name: infer_column(profile(table, name, sample), columns) for name in table.names}


def infer_column(seen: Profile, columns: Mapping[str, type[Column]]) -> Inferred:
    """Guesses the type of one column from its profile."""
    no_input = useless(seen)
    if no_input is not None:
        return no_input
    for kind in sorted(columns, key=lambda one: one == "category"):
        recognised = columns[kind].recognise(seen)
        if recognised is not None:
            return Inferred(kind, recognised.reason, dict(recognised.options))
    return Inferred("ignored", f"cells of Arrow type {seen.kind} fit no type of column", {})


def guess_task(seen: Profile) -> Inferred:
    """The type of output for a target: "categories", "category" or "number"."""
    labels = CategoriesColumn.recognise(seen)
    if labels is not None:
        return Inferred("categories", labels.reason, dict(labels.options))
    if is_whole(seen) and has_few_values(seen):
        return Inferred("category", f"whole numbers with only {seen.distinct} different values", {})
    amount = NumberColumn.recognise(seen)
    if amount is not None:
        return Inferred("number", amount.reason, dict(amount.options))
    return Inferred("category", f"{seen.distinct} different labels", {})


def profile(table: Table, name: str, sample: int = 2000) -> Profile:
    """Looks at up to `sample` present cells (16 where cells are bytes), spread evenly over the table."""
    cells = table.column(name)
    kind = kind_of(table.schema.field(name).type)
    wanted = _MEDIA_CELLS if kind in ("binary", "struct") else sample
    values = [cells[row] for row in _spread(len(cells), wanted)]
    values = [value for value in values if value is not None]
    if not values:  # nearly empty columns: the first cells that are there
        values = _first_present(cells, wanted)
    if kind == "float":  # infinite cells are broken ones, and say nothing of the others
        values = [value for value in values if math.isfinite(value)] or values
    return Profile(name, kind, values, len(table), _distinct(values), _media(values))


def kind_of(kind: pa.DataType) -> str:
    """An Arrow type in the words of `Profile.kind`."""
    if pa.types.is_dictionary(kind):
        inner = kind_of(kind.value_type)
        return "dictionary" if inner == "string" else inner
    for word, matches in _KINDS:
        if any(match(kind) for match in matches):
            return word
    return "other"


_KINDS = (
    ("string", (pa.types.is_string, pa.types.is_large_string)),
    ("binary", (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)),
    ("boolean", (pa.types.is_boolean,)),
    ("integer", (pa.types.is_integer,)),
    ("float", (pa.types.is_floating, pa.types.is_decimal)),
    ("timestamp", (pa.types.is_timestamp,)),
    ("date", (pa.types.is_date,)),
    ("list", (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)),
    ("struct", (pa.types.is_struct,)),
)


def useless(seen: Profile) -> Inferred | None:
    """Says why a column is no input: empty, constant, the split or an identifier; None if it may be one."""
    if not seen.values:
        return Inferred("ignored", "every cell is missing", {})
    if seen.media:
        return None
    if _is_split(seen):
        return Inferred("split", "it says which part of the data each row belongs to", {})
    if seen.distinct == 1 and len(seen.values) > 1:
        return Inferred("ignored", f"all of the {len(seen.values)} values looked at are the same", {})
    if seen.distinct == len(seen.values) and len(seen.values) >= 5 and _is_identifier(seen):
        return Inferred(
            "key",
            "looks like an identifier: every value is different; to use it, name it under inputs",
            {},
        )
    if is_whole(seen) and _are_long(seen):
        return Inferred(
            "ignored",
            "looks like an identifier: long numbers that hardly repeat; to use it, name it under inputs",
            {},
        )
    return None


def _is_split(seen: Profile) -> bool:
    if seen.name.casefold() not in ("split", "fold", "partition", "subset") or seen.kind not in (
        "string",
        "dictionary",
    ):
        return False
    return {str(value).strip().casefold() for value in seen.values} <= _PARTS


def _is_identifier(seen: Profile) -> bool:
    """For values that are all different: is the column a name of its row, and no measurement?"""
    if is_whole(seen):
        if seen.kind == "string" and any(str(value).startswith("0") for value in seen.values):
            return True
        return bool(_IDENTIFIER_NAME.search(seen.name)) or _counts_rows(seen)
    if seen.kind not in ("string", "dictionary") or NumberColumn.recognise(seen) is not None:
        return False
    if CategoriesColumn.recognise(seen) is not None:
        return False
    # Scripts without spaces between words: a text there is one long "word", and no identifier.
    return not any(
        re.search(r"\s|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0eff]", value)
        for value in seen.values
    )


def _counts_rows(seen: Profile) -> bool:
    """True for 0, 1, 2, … or any other numbers that grow from row to row by about one."""
    numbers = [number(value) for value in seen.values]
    rising = all(before < after for before, after in pairwise(numbers))
    return rising and numbers[-1] - numbers[0] <= 2 * seen.rows


def _are_long(seen: Profile) -> bool:
    digits = min(len(str(abs(int(number(value))))) for value in seen.values)
    return digits >= _LONG_DIGITS and seen.distinct > len(seen.values) / 2 and len(seen.values) >= 5


def _media(values: Sequence[Any]) -> str:
    """The media type that the first cells agree on, "" when they do not."""
    kinds = {_media_of(value) for value in values[:_MEDIA_CELLS]}
    return kinds.pop() if len(kinds) == 1 else ""


def _media_of(value: Any) -> str:
    if isinstance(value, bytes):
        return sniff(value[:_HEAD_BYTES], "")
    if isinstance(value, Mapping) and ("bytes" in value or "path" in value):
        content, path = value.get("bytes"), value.get("path")
        head = content[:_HEAD_BYTES] if isinstance(content, bytes) else b""
        return sniff(head, path if isinstance(path, str) else "")
    if not isinstance(value, str):
        return ""
    if value[:5].lower() == "data:":
        kind = value[5:].partition("/")[0].lower()
        return kind if kind in ("image", "audio", "video") else ""
    return "" if "\n" in value else sniff(b"", value)


def _spread(rows: int, count: int) -> Iterable[int]:
    if rows <= count:
        return range(rows)
    return (int(row) for row in np.linspace(0, rows - 1, count).astype(np.int64))


def _first_present(cells: Iterable[Any], count: int) -> list[Any]:
    found: list[Any] = []
    for cell in cells:
        if cell is not None:
            found.append(cell)
            if len(found) == count:
                break
    return found


def _distinct(values: Sequence[Any]) -> int:
    try:
        return len({value if isinstance(value, bytes) else label_of(value) for value in values})
    except CellError:
        return 0
