"""Which rows are learned from, which choose the model, and which judge it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from sensorium.config import Config
from sensorium.data.contents import Rows, WholeRows, contents_of, flags_of, hash_of, is_content
from sensorium.data.infer import profile
from sensorium.data.table import Table
from sensorium.data.tabular import days, label_of, number
from sensorium.errors import CellError, TableError

PARTS = ("train", "validation", "test")
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


class _Unit(NamedTuple):
    """Rows that stay together, with the stratum that they count for."""

    rows: list[int]
    stratum: str


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
        return _cut_latest(
            _by_time(table, rows, config.time), counts, f"column {config.time!r} of {table.source}"
        )
    units = _units(table, rows, config, stratify, inputs)
    if len(units) <= len(counts):
        what = f"groups in column {config.group!r}" if config.group else "different rows"
        raise TableError(
            f"{table.source} has {len(units)} {what}, too few for training and {' and '.join(counts)}"
        )
    parts: dict[str, list[_Unit]] = {}
    for part, count in counts.items():
        drawn = _draw(units, count, keep=len(counts) - len(parts))
        parts[part] = [units[index] for index in sorted(drawn)]
        units = [unit for index, unit in enumerate(units) if index not in drawn]
    return _positions({**parts, "train": units})


def _units(
    table: Table, rows: Rows, config: SplitConfig, stratify: str | None, inputs: Sequence[str]
) -> list[_Unit]:
    """Rows that stay together, in an order that their content and the seed decide."""
    strata = _strata(table, rows, stratify) if stratify else {}
    together = _equal_rows(table, rows, inputs)
    if config.group:
        together = _groups(table, together, config.group)
    members: dict[bytes, list[int]] = defaultdict(list)
    for row, key in together:
        members[hash_of(b"%d %b" % (config.seed, key))].append(row)
    units = []
    for key in sorted(members):
        inside = Counter(strata.get(row, "") for row in members[key])
        units.append(_Unit(members[key], min(inside, key=lambda one: (-inside[one], one))))
    return units


def _groups(table: Table, together: Iterable[tuple[int, bytes]], column: str) -> Iterator[tuple[int, bytes]]:
    """Row and key of its group; a row without a group stands for itself and its equals."""
    groups = list(table.column(column))
    for row, key in together:
        yield row, key if groups[row] is None else b"group " + repr(groups[row]).encode(errors="replace")


def _equal_rows(table: Table, rows: Rows, inputs: Sequence[str]) -> Iterator[tuple[int, bytes]]:
    """Row and key of its inputs; rows without any text or media get a key of their own.

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
    met: Counter[bytes] = Counter()
    for row in rows.tolist():
        key = keys[row].tobytes()
        yield row, key if tied[row] else key + b"%d" % met[key]
        met[key] += 1


def _strata(table: Table, rows: Rows, column: str) -> dict[int, str]:
    """Row → stratum: the label, or for a number with many values the tenth that it falls in."""
    cells = list(table.column(column))
    values = {row: cells[row] for row in rows.tolist()}
    labels = {row: "missing" if value is None else f"label {_text(value)}" for row, value in values.items()}
    numbers = {row: value for row, value in values.items() if isinstance(value, int | float)}
    if not numbers or len(set(numbers.values())) <= 2 * _BINS:
        return labels
    edges = np.quantile(
        np.array(list(numbers.values()), dtype=np.float64), np.linspace(0, 1, _BINS + 1)[1:-1]
    )
    tenths = np.searchsorted(edges, np.array(list(numbers.values()), dtype=np.float64), side="right")
    return labels | {row: f"tenth {tenth}" for row, tenth in zip(numbers, tenths.tolist(), strict=True)}


def _text(value: Any) -> str:
    try:
        return label_of(value)
    except CellError:
        return repr(value)


def _draw(units: Sequence[_Unit], count: int, keep: int) -> set[int]:
    """Chooses units of about `count` rows, each stratum in its share, leaving at least `keep` units."""
    strata: dict[str, list[int]] = defaultdict(list)
    for index, unit in enumerate(units):
        strata[unit.stratum].append(index)
    sizes = {name: sum(len(units[index].rows) for index in members) for name, members in strata.items()}
    # Of every stratum something stays behind to be learned, as long as the count can be had without it.
    kept = {name: min(len(units[index].rows) for index in members) for name, members in strata.items()}
    limits = {name: sizes[name] - kept[name] for name in sizes}
    limits = limits if sum(limits.values()) >= count else sizes
    wanted = _largest_remainder(sizes, count, limits)
    drawn: set[int] = set()
    owed = 0  # what large units took too little or too much is made up for in the next stratum
    for name in sorted(strata):
        owed += wanted[name]
        filled = 0
        for index in strata[name]:
            size = len(units[index].rows)
            nearer = 2 * size < 2 * owed + size
            if nearer and filled + size <= limits[name] and len(units) - len(drawn) > keep:
                drawn.add(index)
                filled += size
                owed -= size
    if not drawn:  # every unit is larger than what was wanted
        drawn.add(min(range(len(units)), key=lambda index: (len(units[index].rows), index)))
    return drawn


def _largest_remainder(sizes: Mapping[str, int], count: int, limits: Mapping[str, int]) -> dict[str, int]:
    """Shares of `count` proportional to the sizes, whole, within the limits (Hamilton's method)."""
    total = sum(sizes.values())
    exact = {name: size * count / total for name, size in sizes.items()}
    shares = {name: min(int(exact[name]), limits[name]) for name in sizes}
    order = sorted(sizes, key=lambda name: (int(exact[name]) - exact[name], name))
    while sum(shares.values()) < count:
        open_names = [name for name in order if shares[name] < limits[name]]
        for name in open_names[: count - sum(shares.values())]:
            shares[name] += 1
    return shares


def _by_time(table: Table, rows: Rows, column: str) -> list[_Unit]:
    """From the earliest to the latest, the rows of one time together."""
    cells = table.column(column)
    moments: dict[float, list[int]] = defaultdict(list)
    for row in rows.tolist():
        if cells[row] is None:
            raise TableError(f"column {column!r} of {table.source} has no time in row {row}")
        moments[_moment(table, column, row, cells[row])].append(row)
    return [_Unit(moments[moment], "") for moment in sorted(moments)]


def _moment(table: Table, column: str, row: int, cell: Any) -> float:
    for read in (number, days):
        try:
            return read(cell)
        except CellError:
            continue
    raise TableError(f"column {column!r} of {table.source}, row {row}: neither a date nor a number")


def _cut_latest(units: Sequence[_Unit], counts: Mapping[str, int], where: str) -> dict[str, Rows]:
    """Cuts between two times, where the parts come nearest to their counts."""
    left, parts = list(units), {}
    for part, count in counts.items():  # test first: it gets the latest
        taken: list[_Unit] = []
        size = 0
        while left and (not taken or size + len(left[-1].rows) / 2 <= count):
            taken.append(left.pop())
            size += len(taken[-1].rows)
        parts[part] = taken
    if not left:
        raise TableError(
            f"{where} has {len(units)} different times, too few for training and {' and '.join(counts)}"
        )
    return _positions({**parts, "train": left})


def _positions(parts: Mapping[str, Sequence[_Unit]]) -> dict[str, Rows]:
    return {
        part: np.array(sorted(row for unit in parts.get(part, ()) for row in unit.rows), dtype=np.int64)
        for part in PARTS
    }
