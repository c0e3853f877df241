"""Tables on their way out: Parquet, CSV and JSON lines."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from sensorium.errors import TableError

_NO_CSV = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)


def check_writable(path: Path) -> None:
    """Refuses, before any work is done, a path that could not be written in the end.

    Raises:
        TableError: when the ending is not known, or the folder is not there or read-only.
    """
    if path.suffix not in ENDINGS:
        raise TableError(
            f"{path}: cannot write {path.suffix or 'a file without ending'}; known: {', '.join(ENDINGS)}"
        )
    if not path.parent.is_dir():
        raise TableError(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise TableError(f"{path}: cannot be written (it is a folder)")
    if not os.access(path.parent, os.W_OK):
        raise TableError(f"{path}: cannot be written (the folder {path.parent} is read-only)")


def refuse_to_replace(files: Iterable[Path], path: Path) -> None:
    """Refuses a path that leads to one of the files that are read, by whatever name.

    Raises:
        TableError: naming the file.
    """
    if path.exists() and any(file.exists() and path.samefile(file) for file in files):
        raise TableError(f"{path}: the table is read from this file; write to another")


def write_table(table: pa.Table, path: Path) -> None:
    """Writes a whole table; see `write_parts`."""
    write_parts([table], path)


def write_parts(parts: Iterable[pa.Table], path: Path) -> int:
    """Writes a table part by part, so that a reader sees the old file or the new one, never a part of it.

    Lists and structs become JSON text in a CSV, which has none; bytes become Base64 in CSV and JSON.

    Args:
        parts: of one schema, one at least.
        path: its ending says the format.

    Returns:
        How many rows were written.

    Raises:
        TableError: when the path cannot be written.
    """
    check_writable(path)
    beside = path.with_name(f".{path.name}.part")
    try:
        rows = _WRITERS[path.suffix](iter(parts), beside)
        beside.replace(path)
    except OSError as error:
        raise TableError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        beside.unlink(missing_ok=True)
    return rows


def _write_parquet(parts: Iterator[pa.Table], path: Path) -> int:
    first = next(parts)
    rows = 0
    with pyarrow.parquet.ParquetWriter(path, first.schema) as writer:
        for part in chain([first], parts):
            writer.write_table(part)
            rows += part.num_rows
    return rows


def _write_csv(parts: Iterator[pa.Table], path: Path) -> int:
    first = _for_csv(next(parts))
    rows = 0
    with pyarrow.csv.CSVWriter(path, first.schema) as writer:
        for part in chain([first], map(_for_csv, parts)):
            writer.write_table(part)
            rows += part.num_rows
    return rows


def _write_json_lines(parts: Iterator[pa.Table], path: Path) -> int:
    rows = 0
    with path.open("w", encoding="utf-8") as file:
        for part in parts:
            file.writelines(_as_json(row) + "\n" for row in part.to_pylist())
            rows += part.num_rows
    return rows


_WRITERS: dict[str, Callable[[Iterator[pa.Table], Path], int]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
}
ENDINGS = tuple(_WRITERS)


def _for_csv(table: pa.Table) -> pa.Table:
    for position, field in enumerate(table.schema):
        if any(kind(field.type) for kind in _NO_CSV):
            texts = [_as_text(cell) for cell in table[position].to_pylist()]
            table = table.set_column(position, field.name, pa.array(texts, pa.string()))
    return table


def _as_text(cell: Any) -> str | None:
    plain = _json_types(cell)
    return plain if plain is None or isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _as_json(value: Any) -> str:
    return json.dumps(_json_types(value), ensure_ascii=False)


def _json_types(value: Any) -> Any:
    """What JSON has no word for as text; NaN and infinity, which it lacks too, as null."""
    if isinstance(value, Mapping):
        return {str(key): _json_types(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json_types(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if value is None or isinstance(value, str | int) else str(value)
