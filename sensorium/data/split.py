"""Which rows are learned from, which choose the model, and which judge it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from sensorium.config import Config
from sensorium.data.contents import (
    HASH_BYTES,
    Rows,
    WholeRows,
    codes_of,
    contents_of,
    flags_of,
    hash_of,
    is_content,
)
from sensorium.data.infer import profile
from sensorium.data.table import Table
from sensorium.data.tabular import days, label_of, number
from sensorium.data.units import PARTS, Units, cut_latest, draw_parts
from sensorium.errors import CellError, TableError

_PART_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_BINS = 10  # a number is stratified in tenths


class SplitConfig(Config):
    """How rows are divided."""

    column: str | None = Field(None, description="table column that says train, validation or test")
    validation: float = Field(0.1, ge=0, lt=1, description="share of rows for validation")
    test: float = Field(0.1, ge=0, lt=1, description="share of rows for the test")
    stratify: str | None = Field(
        None, description="column whose values keep their share on every side; default: the target"
    )
    group: str | None = Field(None, description="column whose equal values stay on one side")
    time: str | None = Field(None, description="column of times: the latest rows validate and test")
    seed: int = Field(0, ge=0, description="another seed, another division")

    @model_validator(mode="after")
    def _fits_together(self) -> SplitConfig:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together leave nothing to train on")
        if self.time and (self.group or self.stratify):
            raise ValueError("time cannot go with group or stratify: the latest rows are what they are")
        return self


def split(
    table: Table,
    config: SplitConfig,
    stratify_by: str | None = None,
    inputs: Iterable[str] | None = None,
) -> dict[str, Rows]:
    """Divides the rows of a table.

    Rows of one group stay on one side, and without a group so do rows that hold a text or media and agree
    in every input, numbers and categories too (except with `time`). The result depends on the seed and on
    what the rows hold, not on their order, but for rows that agree in everything.

    Args:
        table: the rows.
        config: how to divide them.
        stratify_by: the column to stratify by when the recipe names none, usually the target; left out
            where it cannot apply.
        inputs: the table columns of the inputs; default: all but those that say the part or the stratum.

    Returns:
        "train", "validation" and "test" → positions `(n,)` int64, ascending. Every row is in one of them.

    Raises:
        TableError: when a column is missing or the rows cannot be divided so.
    """
    named = [config.column, config.stratify, config.group, config.time]
    asides = (config.column, config.stratify, stratify_by)
    sources = [name for name in table.names if name not in asides] if inputs is None else list(inputs)
    table.require([name for name in [*named, stratify_by, *sources] if name is not None])
    stratify = config.stratify or (None if config.time else stratify_by)
    if config.column is None:
        everything = np.arange(len(table), dtype=np.int64)
        wanted = {"test": config.test, "validation": config.validation}
        return _divide(table, everything, config, wanted, stratify, sources)
    parts = _given_parts(table, config.column)
    if not len(parts["train"]):
        raise TableError(f"column {config.column!r} of {table.source} has no row of value 'train'")
    if not len(parts["validation"]) and config.validation:
        wanted = {"validation": config.validation}
        drawn = _divide(table, parts["train"], config, wanted, stratify, sources)
        parts = {"train": drawn["train"], "validation": drawn["validation"], "test": parts["test"]}
    if config.group:
        _check_groups(table, parts, config.group)
    return parts


def _given_parts(table: Table, column: str) -> dict[str, Rows]:
    parts: dict[str, list[int]] = {part: [] for part in PARTS}
    unknown: dict[str, int] = {}
    for row, cell in enumerate(table.column(column)):
        text = "" if cell is None else str(cell).strip()
        if text.casefold() in _PART_OF:
            parts[_PART_OF[text.casefold()]].append(row)
        else:
            unknown.setdefault(text, row)
    if unknown:
        shown = ", ".join(f"{text[:40]!r} (row {row})" for text, row in list(unknown.items())[:5])
        raise TableError(
            f"column {column!r} of {table.source} says which part a row is in, but holds {shown}; "
            "use train, validation (val, valid, dev) and test"
        )
    return {part: np.array(rows, dtype=np.int64) for part, rows in parts.items()}


def _check_groups(table: Table, parts: Mapping[str, Rows], column: str) -> None:
    cells = table.column(column)
    seen: dict[str, tuple[str, int]] = {}
    for part in PARTS:
        for row in parts[part].tolist():
            if cells[row] is None:
                continue
            before, first = seen.setdefault(repr(cells[row]), (part, row))
            if before != part:
                raise TableError(
                    f"column {column!r} of {table.source}: one group is in {before} (row {first}) and in "
                    f"{part} (row {row}), against the recipe; "
                    "correct the split column or leave group out"
                )


def _divide(
    table: Table,
    rows: Rows,
    config: SplitConfig,
    shares: Mapping[str, float],
    stratify: str | None,
    inputs: Sequence[str],
) -> dict[str, Rows]:
    """Draws the wanted parts out of `rows`; what is left is for training."""
    counts = {part: max(1, round(len(rows) * share)) for part, share in shares.items() if share}
    if len(rows) <= sum(counts.values()):
        raise TableError(
            f"{table.source}: rows to divide {len(rows)}, too few for training and {' and '.join(counts)}: "
            "give more rows, or set data.split.validation or data.split.test to 0"
        )
    if config.time:
        moments = _by_time(table, rows, config.time)
        parts = cut_latest(moments, counts)
        if not len(parts["train"]):
            raise TableError(
                f"column {config.time!r} of {table.source} has {len(moments)} different times, "
                f"too few for training and {' and '.join(counts)}"
            )
        return parts
    units = _units(table, rows, config, stratify, inputs)
    if len(units) <= len(counts):
        what = f"groups in column {config.group!r}" if config.group else "different rows"
        raise TableError(
            f"{table.source} has {len(units)} {what}, too few for training and {' and '.join(counts)}"
        )
    return draw_parts(units, counts)


def _units(
    table: Table, rows: Rows, config: SplitConfig, stratify: str | None, inputs: Sequence[str]
) -> Units:
    """Rows that stay together, in an order that their content and the seed decide."""
    hashes = np.zeros((len(rows), HASH_BYTES), dtype=np.uint8)
    together = _equal_rows(table, rows, inputs)
    if config.group:
        together = _groups(table, rows, together, config.group)
    for index, key in enumerate(together):
        hashes[index] = np.frombuffer(hash_of(b"%d %b" % (config.seed, key)), dtype=np.uint8)
    codes = codes_of(hashes)
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes))])
    if not stratify:
        return Units(rows[order], starts, np.zeros(len(starts) - 1, dtype=np.int64), [""])
    strata, names = _strata(table if len(rows) == len(table) else table.take(rows), stratify)
    return Units(rows[order], starts, _most_frequent(strata[order], starts, names), names)


def _most_frequent(strata: Rows, starts: Rows, names: Sequence[str]) -> Rows:
    """The stratum of every unit: that of most of its rows, of several the first by name."""
    found = strata[starts[:-1]]
    for unit in np.flatnonzero(np.diff(starts) > 1).tolist():
        inside = Counter(strata[starts[unit] : starts[unit + 1]].tolist())
        found[unit] = min(inside, key=lambda one: (-inside[one], names[one]))
    return found


def _groups(table: Table, rows: Rows, together: Iterable[bytes], column: str) -> Iterator[bytes]:
    """Of every row the key of its group; a row without a group stands for itself and its equals."""
    groups = table.column(column)
    for row, key in zip(rows.tolist(), together, strict=True):
        group = groups[row]
        yield key if group is None else b"group " + repr(group).encode(errors="replace")


def _equal_rows(table: Table, rows: Rows, inputs: Sequence[str]) -> Iterator[bytes]:
    """Of every row the key of its inputs; rows without any text or media get a key of their own.

    Few numbers and categories agree in many rows by chance alone: such rows are not the same thing twice.
    """
    wanted = flags_of(table, rows)
    whole = WholeRows(len(table))
    tied = np.zeros_like(wanted)
    named = set(inputs)
    for name in (one for one in table.names if one in named):
        seen = profile(table, name)
        content = contents_of(table, seen, wanted, None)
        whole.add(content)
        if is_content(seen):
            tied |= content.present
    keys = whole.keys()
    if not tied[rows].all():
        for name in (one for one in table.names if one not in named):
            whole.add(contents_of(table, profile(table, name), wanted, None))
        keys = np.where(tied[:, None], keys, whole.keys())
    keys, tied = keys[rows], tied[rows]
    for key, alone, before in zip(keys, ~tied, _met_before(codes_of(keys)).tolist(), strict=True):
        yield key.tobytes() + b"%d" % before if alone else key.tobytes()


def _met_before(codes: Rows) -> Rows:
    """How many of the rows before each have the same code."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    before = np.zeros_like(codes)
    before[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return before


def _strata(table: Table, column: str) -> tuple[Rows, list[str]]:
    """Of every row its stratum, and their names: labels, or for a number with many values its tenth."""
    codes: dict[str, int] = {}
    tenths = _tenths(table, column)
    strata = np.zeros(len(table), dtype=np.int64)
    for row, (value, tenth) in enumerate(zip(table.column(column), tenths.tolist(), strict=True)):
        name = "missing" if value is None else f"label {_text(value)}" if tenth < 0 else f"tenth {tenth}"
        strata[row] = codes.setdefault(name, len(codes))
    return strata, list(codes)


def _tenths(table: Table, column: str) -> Rows:
    """Of every row the tenth that its number falls in; -1 where it is none, or the column has few values."""
    values = np.full(len(table), np.nan)
    different: set[float] = set()
    for row, value in enumerate(table.column(column)):
        if isinstance(value, int | float):
            values[row] = value
            if len(different) <= 2 * _BINS:
                different.add(value)
    tenths = np.full(len(table), -1, dtype=np.int64)
    if len(different) > 2 * _BINS:
        numbers = ~np.isnan(values)
        edges = np.quantile(values[numbers], np.linspace(0, 1, _BINS + 1)[1:-1])
        tenths[numbers] = np.searchsorted(edges, values[numbers], side="right")
    return tenths


def _text(value: Any) -> str:
    try:
        return label_of(value)
    except CellError:
        return repr(value)


def _by_time(table: Table, rows: Rows, column: str) -> Units:
    """From the earliest to the latest, the rows of one time together."""
    cells = table.column(column)
    moments = np.zeros(len(rows))
    for index, row in enumerate(rows.tolist()):
        cell = cells[row]
        if cell is None:
            raise TableError(f"column {column!r} of {table.source} has no time in row {row}")
        moments[index] = _moment(table, column, row, cell)
    order = np.argsort(moments, kind="stable")
    later = np.flatnonzero(np.diff(moments[order])) + 1
    starts = np.concatenate([[0], later, [len(rows)]])
    return Units(rows[order], starts, np.zeros(len(starts) - 1, dtype=np.int64), [""])


def _moment(table: Table, column: str, row: int, cell: Any) -> float:
    for read in (number, days):
        try:
            return read(cell)
        except CellError:
            continue
    raise TableError(f"column {column!r} of {table.source}, row {row}: neither a date nor a number")
