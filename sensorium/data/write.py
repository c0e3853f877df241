"""Tables on their way out: Parquet, CSV and JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from sensorium.errors import TableError

ENDINGS = (".parquet", ".csv", ".jsonl")


def check_writable(path: Path) -> None:
    """Refuses, before any work is done, a path that could not be written in the end.

    Raises:
        TableError: when the ending is not known, or the folder is not there.
    """
    if path.suffix not in ENDINGS:
        raise TableError(
            f"{path}: cannot write {path.suffix or 'a file without ending'}; known: {', '.join(ENDINGS)}"
        )
    if not path.parent.is_dir():
        raise TableError(f"{path}: there is no folder {path.parent}")


def write_table(table: pa.Table, path: Path) -> None:
    """Writes a table so that a reader sees the old file or the new one, never a part.

    Lists become JSON text in a CSV, which has no lists.

    Raises:
        TableError: when the path cannot be written.
    """
    check_writable(path)
    beside = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".parquet":
            pyarrow.parquet.write_table(table, beside)
        elif path.suffix == ".csv":
            pyarrow.csv.write_csv(_lists_as_text(table), beside)
        else:
            with beside.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise TableError(f"{path}: cannot be written ({error.strerror})") from None


def _lists_as_text(table: pa.Table) -> pa.Table:
    for position, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            texts = [
                None if cell is None else json.dumps(cell, ensure_ascii=False)
                for cell in table[position].to_pylist()
            ]
            table = table.set_column(position, field.name, pa.array(texts, pa.string()))
    return table
