"""Numbers, dates, categories and sets of categories."""

from __future__ import annotations

import datetime
import json
import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from sensorium.data.blocks import distinct_of, numbers_of
from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile, Recognised
from sensorium.data.ranks import normal_scores, rank_quantiles, value_of_score
from sensorium.errors import CellError

_YEAR_FIRST = re.compile(r"^(\d{4})[/.年](\d{1,2})[/.月](\d{1,2})日?")
_DAY_FIRST = re.compile(r"^(\d{1,2})\.(\d{1,2})\.(\d{4})")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_EPOCH = datetime.date(1970, 1, 1)
_SEPARATORS = ("|", ";", ",")
_NORMAL_IQR = 1.349  # the interquartile range of a normal distribution with standard deviation 1
OTHER = "(other)"


class NumberConfig(ColumnConfig):
    """What a recipe may say about a number."""

    scale: Literal["standard", "robust", "quantile", "none"] = Field(
        "robust",
        description="standard: mean and deviation; robust: median and quartiles; quantile: by rank, as a "
        "normal distribution; none: as it is",
    )
    clip: float | None = Field(10.0, gt=0, description="largest size of a scaled value; null: no limit")
    date: bool = Field(False, description="cells are dates, read as days since 1970-01-01")


class NumberColumn(Column):
    """One number a row.

    `decode` gives float32 (1,), scaled; `collate` gives values (B, 1) float32 (0 where missing) and mask
    (B, 1) bool. Numbers may be written as text, 1,037 and 12% (0.12) too; booleans are 0 and 1. With
    `date: true`, dates and times (Arrow or ISO 8601 text; without a zone taken as UTC) are days since
    1970-01-01 before they are scaled.
    """

    Config: ClassVar[type[NumberConfig]] = NumberConfig

    def __init__(self, config: NumberConfig) -> None:
        self.config = config
        self.centre = 0.0
        self.spread = 1.0
        self.quantiles: Array | None = None
        self.median: float | None = None  # of the training rows; older saved models lack it

    @classmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        if profile.media or not profile.values:
            return None
        if profile.kind in ("date", "timestamp") or _all_dates(profile):
            return Recognised("dates", {"date": True})
        numbers = [_number_or_none(value) for value in profile.values]
        if profile.kind == "boolean" or any(number is None for number in numbers):
            return None
        if is_whole(profile) and has_few_values(profile):
            return None
        return Recognised(f"numbers with {profile.distinct} different values", {})

    def fit(self, cells: Iterable[Any]) -> None:
        """Learns the median, and centre and spread or quantiles.

        Cells that are no numbers are `decode`'s to report.
        """
        values = array("d")
        for cell in cells:
            try:
                values.append(self._number(cell))
            except CellError:
                continue
        self._learn(np.frombuffer(values))

    def fit_blocks(self, blocks: Iterable[pa.ChunkedArray]) -> None:
        blocks = iter(blocks)
        first = next(blocks, None)
        if first is None or self.config.date or numbers_of(first) is None:
            super().fit_blocks(blocks if first is None else chain([first], blocks))
            return
        values = np.concatenate([numbers_of(block) for block in chain([first], blocks)])
        self._learn(values[np.isfinite(values)])

    def decode_block(self, cells: pa.ChunkedArray) -> Cells | None:
        numbers = None if self.config.date else numbers_of(cells)
        if numbers is None or np.isinf(numbers).any():
            return None
        mask = ~np.isnan(numbers)
        scaled = np.zeros(len(numbers))
        scaled[mask] = self._scaled(numbers[mask])
        if self.config.clip is not None:
            scaled = np.clip(scaled, -self.config.clip, self.config.clip)
        if np.abs(scaled).max(initial=0.0) > np.finfo(np.float32).max:
            return None
        return Cells(scaled.astype(np.float32)[:, None], mask[:, None])

    def _learn(self, values: Array) -> None:
        if len(values):
            self.median, _ = _centre_and_spread(values, "robust")
        if len(values) and self.config.scale == "quantile":
            self.quantiles = rank_quantiles(values)
        elif len(values) and self.config.scale != "none":
            self.centre, self.spread = _centre_and_spread(values, self.config.scale)

    def _scaled(self, values: Array) -> Array:
        if self.quantiles is None:
            return (values - self.centre) / self.spread
        return normal_scores(values, self.quantiles)

    def decode(self, cell: Any) -> Array:
        scaled = float(self._scaled(np.array([self._number(cell)]))[0])
        if self.config.clip is not None:
            scaled = min(max(scaled, -self.config.clip), self.config.clip)
        if abs(scaled) > float(np.finfo(np.float32).max):
            raise CellError("the number is too large", "scale or clip the column")
        return np.array([scaled], dtype=np.float32)

    def collate(self, cells: Sequence[Array | None]) -> Cells:
        return _stacked(cells, 1, np.dtype(np.float32))

    def unscale(self, values: Array) -> Array:
        """Scaled values, any shape → the table's units, float64."""
        if self.quantiles is not None:
            return value_of_score(np.asarray(values), self.quantiles)
        return np.asarray(values, dtype=np.float64) * self.spread + self.centre

    def state(self) -> dict[str, Any]:
        quantiles = {} if self.quantiles is None else {"quantiles": self.quantiles.tolist()}
        return {"centre": self.centre, "spread": self.spread, "median": self.median, **quantiles}

    def load_state(self, state: dict[str, Any]) -> None:
        self.centre, self.spread = float(state["centre"]), float(state["spread"])
        self.quantiles = np.array(state["quantiles"]) if "quantiles" in state else None
        self.median = state.get("median")

    def _number(self, cell: Any) -> float:
        return days(cell) if self.config.date else number(cell)


class CategoryConfig(ColumnConfig):
    """What a recipe may say about a category."""

    min_count: int = Field(1, ge=1, description="labels seen in fewer training rows share code 0")
    max_categories: int = Field(10_000, ge=1, description="most labels kept; the rarest share code 0")


class CategoryColumn(Column):
    """One label a row.

    `decode` gives int64 (1,), a code; `collate` gives values (B, 1) int64 (0 where missing) and mask (B, 1)
    bool. Code 0 is a rare or unseen label, 1..C are `labels`, sorted by frequency, then by name. A label is
    the value as text: 3 and 3.0 are "3", true is "true".

    Attributes:
        labels: the C labels known.
        counts: how many training rows have each of them.
        kind: what the cells were: "integer", "boolean", "float" or "text" (which dates and mixtures are too).
        classes: `(C,)` the labels in that type: int64 (uint64 where they are too large for it), bool,
            float64 or text.
    """

    Config: ClassVar[type[CategoryConfig]] = CategoryConfig

    def __init__(self, config: CategoryConfig) -> None:
        self.config = config
        self._set([], [], "text")

    @property
    def size(self) -> int:
        """Number of codes: the labels and code 0."""
        return len(self.labels) + 1

    @classmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        if profile.media or not profile.values or not profile.distinct:
            return None
        if profile.kind == "boolean":
            return Recognised("true or false", {})
        if is_whole(profile):
            if not has_few_values(profile):
                return None
            return Recognised(
                f"whole numbers with only {profile.distinct} different values; if they are amounts, "
                "set type: number",
                {},
            )
        if profile.kind not in ("string", "dictionary"):
            return None
        return Recognised(f"short texts with {profile.distinct} different values", {})

    def fit(self, cells: Iterable[Any]) -> None:
        """Learns the labels; cells that cannot be one are left for `decode` to report."""
        counts: Counter[str] = Counter()
        types: set[type] = set()
        for cell in cells:
            try:
                counts[label_of(cell)] += 1
            except CellError:
                continue
            types.add(type(cell))
        self._learn(counts, types)

    def fit_blocks(self, blocks: Iterable[pa.ChunkedArray]) -> None:
        counts: Counter[str] = Counter()
        types: set[type] = set()
        for block in blocks:
            distinct = distinct_of(block)
            values, codes = distinct or (block.to_pylist(), np.arange(len(block)))
            for value, count in zip(values, np.bincount(codes, minlength=len(values)).tolist(), strict=False):
                try:
                    if count and value is not None and value == value:
                        counts[label_of(value)] += count
                        types.add(type(value))
                except CellError:
                    continue
        self._learn(counts, types)

    def decode_block(self, cells: pa.ChunkedArray) -> Cells | None:
        distinct = distinct_of(cells)
        if distinct is None:
            return None
        values, places = distinct
        there = np.array([value is not None and value == value for value in values] + [False])
        codes = [
            self._codes.get(label_of(value), 0) if known else 0
            for value, known in zip(values, there, strict=False)
        ]
        return Cells(np.array([*codes, 0], dtype=np.int64)[places][:, None], there[places][:, None])

    def _learn(self, counts: Counter[str], types: set[type]) -> None:
        labels = _frequent(counts, self.config.min_count)[: self.config.max_categories]
        self._set(labels, [counts[label] for label in labels], _kind_of(types))

    def decode(self, cell: Any) -> Array:
        return np.array([self._codes.get(label_of(cell), 0)], dtype=np.int64)

    def collate(self, cells: Sequence[Array | None]) -> Cells:
        return _stacked(cells, 1, np.dtype(np.int64))

    def label(self, code: int) -> str:
        """The label of a code; "(other)" for code 0."""
        return self.labels[code - 1] if code else OTHER

    def state(self) -> dict[str, Any]:
        return {"labels": list(self.labels), "counts": list(self.counts), "kind": self.kind}

    def load_state(self, state: dict[str, Any]) -> None:
        # models saved before the kind was kept gave their labels as text
        self._set(list(state["labels"]), list(state["counts"]), state.get("kind", "text"))

    def _set(self, labels: list[str], counts: list[int], kind: str) -> None:
        self.labels, self.counts, self.kind = labels, counts, kind
        self.classes = _in_kind(labels, kind)
        self._codes = {label: code for code, label in enumerate(labels, start=1)}


class CategoriesConfig(ColumnConfig):
    """What a recipe may say about a set of categories."""

    separator: str | None = Field(
        None, min_length=1, description="what stands between labels in a text; null: of | ; , the most used"
    )
    min_count: int = Field(1, ge=1, description="labels seen in fewer training rows share code 0")


class CategoriesColumn(Column):
    """Any number of labels a row, as a list or as one text with separators.

    `decode` gives uint8 (C + 1,), 1 where the row has the label, index 0 for any rare or unseen label;
    `collate` gives values (B, C + 1) float32 (0 where missing) and mask (B, 1) bool. An empty list is a
    present cell without labels.

    Attributes:
        labels: the C labels known, sorted by frequency, then by name.
        counts: how many training rows have each of them.
        rows: how many training rows have the column.
    """

    Config: ClassVar[type[CategoriesConfig]] = CategoriesConfig

    def __init__(self, config: CategoriesConfig) -> None:
        self.config = config
        self.rows = 0
        self._separator = config.separator
        self._set([], [])

    @property
    def size(self) -> int:
        """Width of a row: the labels and index 0."""
        return len(self.labels) + 1

    @classmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        if profile.media or not profile.values:
            return None
        if profile.kind == "list":
            if all(_is_label_list(value) for value in profile.values):
                return Recognised("lists of labels", {})
            return None
        if profile.kind not in ("string", "dictionary"):
            return None
        if all(_is_label_list(_json_list(str(value))) for value in profile.values):
            return Recognised("lists of labels, written as JSON", {})
        if all(_number_or_none(value) is not None for value in profile.values):
            return None  # such as 1,037
        separator = next((one for one in _SEPARATORS if _separates_labels(profile.values, one)), None)
        if separator is None:
            return None
        return Recognised(f"labels separated by {separator!r}", {"separator": separator})

    def fit(self, cells: Iterable[Any]) -> None:
        """Learns the separator, unless it is set, and the labels."""
        counts: dict[str, Counter[str]] = {one: Counter() for one in self._candidates()}
        used: Counter[str] = Counter()
        self.rows = 0
        for cell in cells:
            used.update(one for one in counts if isinstance(cell, str) and one in cell)
            try:
                for separator, counter in counts.items():
                    counter.update(_labels_of(cell, separator))
            except CellError:
                continue
            self.rows += 1
        self._separator = max(counts, key=lambda one: used[one])  # the first of those used alike
        labels = _frequent(counts[self._separator], self.config.min_count)
        self._set(labels, [counts[self._separator][label] for label in labels])

    def decode(self, cell: Any) -> Array:
        row = np.zeros(self.size, dtype=np.uint8)
        for label in _labels_of(cell, self._separator or _SEPARATORS[0]):
            row[self._codes.get(label, 0)] = 1
        return row

    def collate(self, cells: Sequence[Array | None]) -> Cells:
        return _stacked(cells, self.size, np.dtype(np.float32))

    def label(self, code: int) -> str:
        """The label of an index; "(other)" for index 0."""
        return self.labels[code - 1] if code else OTHER

    def state(self) -> dict[str, Any]:
        return {
            "labels": list(self.labels),
            "counts": list(self.counts),
            "rows": self.rows,
            "separator": self._separator,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.rows, self._separator = int(state["rows"]), state["separator"]
        self._set(list(state["labels"]), list(state["counts"]))

    def _candidates(self) -> tuple[str, ...]:
        return _SEPARATORS if self.config.separator is None else (self.config.separator,)

    def _set(self, labels: list[str], counts: list[int]) -> None:
        self.labels, self.counts = labels, counts
        self._codes = {label: code for code, label in enumerate(labels, start=1)}


def number(cell: Any) -> float:
    """A finite number from a number, a boolean or text: 1037, 1,037 and 1.037e3 are the same, 12% is 0.12.

    Raises:
        CellError: when the cell is no number, or infinite.
    """
    if isinstance(cell, datetime.date):
        raise CellError("a date where a number is wanted", "set date: true for the column")
    if not isinstance(cell, str | int | float | Decimal) or (isinstance(cell, str) and "_" in cell):
        raise CellError("not a number", "give a number, or set another type for the column")
    try:
        value = _written(cell) if isinstance(cell, str) else float(cell)
    except (ValueError, OverflowError) as error:
        cause = "the number is too large" if isinstance(cell, int) else "not a number"
        raise CellError(cause, "give a number, or set another type for the column") from error
    if not math.isfinite(value):
        raise CellError("the number is not finite", "leave the cell empty if the value is not known")
    return value


def _written(text: str) -> float:
    plain = text.strip().removesuffix("%")
    if _THOUSANDS.fullmatch(plain):
        plain = plain.replace(",", "")
    return float(plain) / (100 if text.strip().endswith("%") else 1)


def days(cell: Any) -> float:
    """Days since 1970-01-01 of a date, a time (without a zone: UTC) or a date as text.

    Text is ISO 8601, 2024/5/31, 2024年5月31日 or 31.5.2024; 5/1/2024 means two days, and is refused.

    Raises:
        CellError: when the cell is no date.
    """
    moment = _moment(cell) if isinstance(cell, str) else cell
    if isinstance(moment, datetime.datetime):
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        past = zoned - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        return past / datetime.timedelta(days=1)
    if isinstance(moment, datetime.date):
        return float((moment - _EPOCH).days)
    raise CellError("not a date", "write dates like 2024-05-31 or 2024-05-31T12:00:00")


def label_of(cell: Any) -> str:
    """A value as a label: 3 and 3.0 → "3", True and "True" → "true", dates in ISO 8601.

    Raises:
        CellError: when the cell is bytes, a list or a struct.
    """
    if isinstance(cell, str):
        return cell.lower() if cell in ("True", "False", "TRUE", "FALSE") else cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    if isinstance(cell, int | float | Decimal):
        return str(cell)
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    raise CellError(
        f"a {type(cell).__name__} where a label is wanted", "give text, a number or true and false"
    )


def _kind_of(types: set[type]) -> str:
    """The type that all labels share, in a word."""
    if types == {bool}:
        return "boolean"
    if types == {int}:
        return "integer"
    return "float" if types and types <= {int, float} else "text"


def _in_kind(labels: Sequence[str], kind: str) -> Array:
    if kind == "boolean":
        return np.array([label == "true" for label in labels], dtype=np.bool_)
    if kind == "integer":
        numbers = [int(label) for label in labels]
        return np.array(numbers, dtype=np.uint64 if max(numbers, default=0) >= 2**63 else np.int64)
    return np.array(labels, dtype=np.float64 if kind == "float" else np.str_)


def is_whole(profile: Profile) -> bool:
    """True where the cells are integers, or floats or texts that are all whole (and none is a boolean)."""
    if profile.kind not in ("integer", "float", "string") or not profile.values:
        return False
    numbers = [_number_or_none(value) for value in profile.values]
    return all(one is not None and one.is_integer() for one in numbers)


def has_few_values(profile: Profile) -> bool:
    """True where values repeat as codes do: at most 20 different ones, each about five times or more."""
    return 0 < profile.distinct <= max(2, min(20, len(profile.values) // 5))


def _centre_and_spread(values: Array, scale: str) -> tuple[float, float]:
    size = float(np.abs(values).max()) or 1.0
    unit = values / size  # squares of large numbers would overflow
    deviation = float(unit.std())
    if scale == "standard":
        centre, spread = float(unit.mean()), deviation
    else:
        low, centre, high = (float(one) for one in np.quantile(unit, [0.25, 0.5, 0.75]))
        spread = (high - low) / _NORMAL_IQR
    rounding = 1e-12  # a spread below it is the rounding of equal numbers
    spread = spread if spread > rounding else deviation
    return centre * size, (spread * size if spread > rounding else 1.0)


def _frequent(counts: Counter[str], min_count: int) -> list[str]:
    kept = [(-count, label) for label, count in counts.items() if count >= min_count]
    return [label for _, label in sorted(kept)]


def _labels_of(cell: Any, separator: str) -> set[str]:
    listed = _json_list(cell) if isinstance(cell, str) else cell
    if isinstance(listed, list | tuple):
        return {label_of(one) for one in listed if one is not None}
    parts = (part.strip() for part in label_of(cell).split(separator))
    return {part for part in parts if part}


def _json_list(text: str) -> list[Any] | None:
    """A list written as JSON, as CSV files hold them; None for any other text."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        listed: list[Any] = json.loads(text)
    except ValueError:
        return None
    return listed


def _stacked(cells: Sequence[Array | None], width: int, kind: np.dtype[Any]) -> Cells:
    values = np.zeros((len(cells), width), dtype=kind)
    mask = np.zeros((len(cells), 1), dtype=np.bool_)
    for row, cell in enumerate(cells):
        if cell is not None:
            values[row], mask[row] = cell, True
    return Cells(values, mask)


def _moment(text: str) -> datetime.date | None:
    text = _DAY_FIRST.sub(r"\3-\2-\1", _YEAR_FIRST.sub(r"\1-\2-\3", text.strip()))
    text = re.sub(r"-(\d)(?=\D|$)", r"-0\1", text)
    for read in (datetime.date.fromisoformat, datetime.datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    return None


def _all_dates(profile: Profile) -> bool:
    texts = profile.values if profile.kind in ("string", "dictionary") else ()
    return bool(texts) and all(
        isinstance(text, str) and not text.strip().isdigit() and _moment(text) is not None for text in texts
    )


def _number_or_none(value: Any) -> float | None:
    try:
        return number(value)
    except CellError:
        return None


def _is_label_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str | None) for one in value)


def _separates_labels(texts: Sequence[Any], separator: str) -> bool:
    """True where the separator is in many cells and the parts between are short and come back."""
    cells = [str(text) for text in texts]
    if sum(separator in cell for cell in cells) < 0.3 * len(cells):
        return False
    parts = [part.strip() for cell in cells for part in cell.split(separator)]
    short = all(0 < len(part) <= 30 and len(part.split()) <= 3 for part in parts)
    return short and len(set(parts)) <= 0.5 * len(parts)
