"""CSV and TSV: every cell is text, and what else it may be is decided here.

A column is boolean, integer, float or ISO 8601 date only if all of its cells are; the empty cell is missing;
words such as NA or null are missing, and inf is infinite, only in a column of numbers (they may be names
elsewhere); whole numbers with leading zeros, a plus sign or more than 18 digits stay text, because they are
identifiers.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from sensorium.data.scratch import IN_MEMORY, Batches, RowTooLong, Scratch
from sensorium.errors import TableError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BLOCK = 1 << 24  # bytes that Arrow takes at once; no row may be longer
_SMALL_BLOCK = 1 << 20  # the same for large files, of which several blocks are held at once
_DATE = r"\d{4}-\d{2}-\d{2}"
_SAYS_MISSING = "^(NA|N/A|n/a|#N/A|NaN|nan|NULL|null|None|none|-)$"
# The first pattern that all cells of a column match gives its type.
_CSV_TYPES: tuple[tuple[str, pa.DataType], ...] = (
    (r"^(?i:true|false)$", pa.bool_()),
    (r"^(0|-?[1-9][0-9]{0,17})$", pa.int64()),
    (
        r"^-?(((0|[1-9][0-9]{0,17})(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?|(?i:inf|infinity))$",
        pa.float64(),
    ),
    (rf"^{_DATE}$", pa.date32()),
    (rf"^{_DATE}[ T]\d{{2}}:\d{{2}}(:\d{{2}}(\.\d{{1,6}})?)?$", pa.timestamp("us")),
    (
        rf"^{_DATE}[ T]\d{{2}}:\d{{2}}(:\d{{2}}(\.\d{{1,6}})?)?(Z|[+-]\d{{2}}:?\d{{2}})$",
        pa.timestamp("us", "UTC"),
    ),
)


def read_delimited(path: Path) -> pa.Table:
    """CSV or TSV, UTF-8 with or without a byte order mark → columns of text, empty cells null."""
    options = _options(path, _BLOCK)
    try:
        return pyarrow.csv.read_csv(path, **options)
    except pa.ArrowInvalid as error:
        if not _check_rows(path, DELIMITERS[path.suffix.lower()]):  # Arrow wants a line end after the names
            names = options["read_options"].column_names
            return pa.table({name: pa.array([], pa.large_string()) for name in names})
        raise _wrong_line(path, error) from error


def read_delimited_in_parts(path: Path) -> Batches | None:
    """A large file in parts, like `read_delimited`; None for a small one."""
    if path.stat().st_size <= IN_MEMORY:
        return None
    options = _options(path, _SMALL_BLOCK)
    schema = pa.schema([(name, pa.large_string()) for name in options["read_options"].column_names])
    return Batches(schema, _parts(path, options))


def _parts(path: Path, options: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    try:
        yield from pyarrow.csv.open_csv(path, **options)
    except pa.ArrowInvalid as error:
        if "straddling" in str(error):
            raise RowTooLong from error
        raise _wrong_line(path, error) from error


def _options(path: Path, block_size: int) -> dict[str, Any]:
    delimiter = DELIMITERS[path.suffix.lower()]
    names = _header(path, delimiter)
    if _has_quotes(path):  # Arrow reads past a quote that is never closed, and the rows behind it are lost
        _check_rows(path, delimiter)
    return {
        "read_options": pyarrow.csv.ReadOptions(
            column_names=names, skip_rows_after_names=1, block_size=block_size
        ),
        "parse_options": pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        "convert_options": pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.large_string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    }


def _wrong_line(path: Path, error: pa.ArrowInvalid) -> TableError:
    """What is wrong with a file that Arrow refuses, with the line where that can be said."""
    _check_rows(path, DELIMITERS[path.suffix.lower()])
    if "straddl" in str(error):
        return TableError(
            f"{path}: a row has more than {_BLOCK >> 20} MB; keep large content in files, and name "
            "their paths"
        )
    return TableError(f"{path} cannot be read: {str(error)[:60]}")


def _has_quotes(path: Path) -> bool:
    with path.open("rb") as stream:
        return any(b'"' in block for block in iter(lambda: stream.read(1 << 20), b""))


def _check_rows(path: Path, delimiter: str) -> int:
    """The rows below the names. Raises TableError with the line that is wrong."""
    return sum(1 for _ in _delimited_rows(path, delimiter)) - 1


def infer_types(table: pa.Table, scratch: Scratch) -> pa.Table:
    """Columns of text → booleans, integers, floats and dates where every cell is one.

    Args:
        table: as `read_delimited` gives it.
        scratch: what the table may be mapped from.
    """
    columns = [_typed(table.column(index), scratch) for index in range(table.num_columns)]
    return pa.table(columns, names=table.column_names)


def _typed(cells: pa.ChunkedArray, scratch: Scratch) -> pa.ChunkedArray:
    for pattern, kind in _CSV_TYPES:
        numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if not _all_match(cells, pattern, numeric, scratch):
            continue
        typed = pc.if_else(_says_missing(cells), None, cells) if numeric else cells
        try:
            return (pc.utf8_lower(typed) if pa.types.is_boolean(kind) else typed).cast(kind)
        except pa.ArrowInvalid:  # such as the 30th of February: the cells stay text
            return cells
    return cells


def _all_match(cells: pa.ChunkedArray, pattern: str, numeric: bool, scratch: Scratch) -> bool:
    """Whether there are cells and all match; chunk by chunk, so that no long column is copied."""
    some = False
    for chunk in cells.chunks:
        scratch.touch(len(chunk))
        wanted = chunk.drop_null()
        if numeric:
            wanted = wanted.filter(pc.invert(_says_missing(wanted)))
        if len(wanted) and not pc.all(pc.match_substring_regex(wanted, pattern)).as_py():
            return False
        some = some or len(wanted) > 0
    return some


def _says_missing(cells: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.match_substring_regex(cells, _SAYS_MISSING)


def _header(path: Path, delimiter: str) -> list[str]:
    names = next(_delimited_rows(path, delimiter), None)
    if names is None:
        raise TableError(f"{path} is empty: its first line must name the columns")
    for name in names:
        if names.count(name) > 1:
            raise TableError(f"{path}, line 1: two columns are named {name!r}; rename one of them")
    return names


def _delimited_rows(path: Path, delimiter: str) -> Iterator[list[str]]:
    """Rows as Python's csv reads them; raises TableError with the line that is wrong."""
    csv.field_size_limit(2**31 - 1)  # a cell may hold a picture in base64
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        reader = csv.reader(_checked_lines(lines, path), delimiter=delimiter, strict=True)
        width, before = 0, 0
        try:
            for row in reader:
                if row and width and len(row) != width:
                    raise TableError(
                        f"{path}, line {before + 1}: {len(row)} cells where line 1 names {width} columns; "
                        "put cells with separators or line breaks in double quotes"
                    )
                width, before = width or len(row), reader.line_num
                if row:
                    yield row
        except csv.Error as error:
            raise TableError(
                f"{path}, line {before + 1}: a quoted cell is not closed, or holds a quote that is "
                f"not doubled ({error})"
            ) from error


def _checked_lines(lines: Iterator[str], path: Path) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if not line.isascii() and any("\ud800" <= character <= "\udfff" for character in line):
            raise TableError(f"{path}, line {number}: the text is not UTF-8; save the file as UTF-8")
        yield line
