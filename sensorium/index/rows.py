"""A table's rows as an index keeps them: key, fields, media references and vectors of a row in one record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sensorium.data.column import Array
from sensorium.data.table import Table
from sensorium.errors import TableError
from sensorium.index.embedder import Embedder, checked
from sensorium.index.manifest import IndexedInput, Manifest
from sensorium.index.media import Keeper
from sensorium.index.storage import DIGEST, MEDIA_ROOT, VECTOR, stored_name

MEDIA = ("image", "audio", "video")
NUMBER = "row"
"""The key of rows that have none: numbers from 0, in the order in which rows were added."""
_ROWS_AT_ONCE = 4096


def describe(table: Table, embedder: Embedder, key: Sequence[str]) -> tuple[Manifest, pa.Schema]:
    """What an index of a table is, and the schema of its rows.

    Args:
        table: its columns become fields, but for bytes that are no media of the model.
        embedder: the model.
        key: columns that name a row; none: the rows are numbered.

    Raises:
        TableError: when a key or all inputs are missing, or a name is the index's own.
    """
    table.require(key)
    inputs = embedder.inputs
    media = {one.column: one.type for one in inputs.values() if one.type in MEDIA}
    fields = [name for name in table.names if name in media or _storable(table.schema.field(name).type)]
    if not key:
        if NUMBER in table.names:
            raise TableError(f"{table.source} has a column {NUMBER!r}: name the key of its rows with --key")
        fields = [NUMBER, *fields]
    own = [name for name in fields if name.startswith((VECTOR, DIGEST)) or name == MEDIA_ROOT]
    if own:
        raise TableError(f"{table.source}: an index has a column {own[0]!r} of its own: rename the table's")
    manifest = Manifest(
        model=embedder.digest,
        model_folder=str(embedder.folder.resolve()) if embedder.folder else "",
        inputs=_with_dims(table, embedder),
        key=list(key) or [NUMBER],
        fields=fields,
        media={name: kind for name, kind in media.items() if name in table.names},
    )
    return manifest, _schema(table, manifest)


def records(
    table: Table, embedder: Embedder, manifest: Manifest, schema: pa.Schema, keeper: Keeper, first: int
) -> Iterator[pa.RecordBatch]:
    """The rows, a few thousand at a time.

    Args:
        table: with all fields of the index.
        embedder: the model.
        manifest: of the index.
        schema: of its rows.
        keeper: of the table's media.
        first: number of the first row, where rows are numbered and the table does not say.

    Raises:
        SensoriumError: when cells are of another type than the index's, or the model fails.
    """
    root = str(table.media_root.resolve()) if table.media_root is not None else None
    for start in range(0, len(table), _ROWS_AT_ONCE):
        part = table.take(np.arange(start, min(start + _ROWS_AT_ONCE, len(table))))
        vectors = checked(embedder.embed(part), len(part))
        columns: dict[str, pa.Array] = {MEDIA_ROOT: pa.array([root] * len(part), pa.string())}
        for name in manifest.fields:
            kind = schema.field(stored_name(name)).type
            if name in manifest.media:
                references = [keeper.refer(cell) for cell in part.column(name)]
                columns[stored_name(name)] = pa.array([one.path for one in references], pa.string())
                digests = [one.digest for one in references]
                columns[stored_name(DIGEST + name)] = pa.array(digests, pa.string())
            elif name == NUMBER and name not in part.names:
                numbers = np.arange(first + start, first + start + len(part))
                columns[stored_name(name)] = pa.array(numbers)
            else:
                columns[stored_name(name)] = _field(part, name, kind)
        for name in manifest.inputs:
            columns[stored_name(VECTOR + name)] = _vectors(vectors[name])
        yield pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)


def check_keys(table: Table, key: Sequence[str]) -> None:
    """Every row needs a key, and one of its own.

    Raises:
        TableError: naming the first row without, or the two that share one.
    """
    if key == [NUMBER] and NUMBER not in table.names:
        return
    seen: dict[tuple[Any, ...], int] = {}
    for row, values in enumerate(zip(*(table.column(name) for name in key), strict=True)):
        if None in values:
            raise TableError(f"{table.source}, row {row}: the key ({', '.join(key)}) is missing")
        if values in seen:
            shown = key_text(values)[:60]
            raise TableError(
                f"{table.source}, row {row}: the key {shown!r} ({', '.join(key)}) is that of row "
                f"{seen[values]} too; keys name one row each"
            )
        seen[values] = row


def key_text(values: Sequence[Any]) -> str:
    """A key as one text: its values, with commas between."""
    return ",".join(map(str, values))


def left_out(table: Table, manifest: Manifest) -> list[str]:
    """The table's columns that the index does not keep."""
    return [name for name in table.names if name not in manifest.fields]


def _with_dims(table: Table, embedder: Embedder) -> dict[str, IndexedInput]:
    sources = [one.column for one in embedder.inputs.values()]
    if not set(sources) & set(table.names):
        raise TableError(f"{table.source}: has none of the model's input columns ({', '.join(sources)})")
    first = checked(embedder.embed(table.head(1)), min(1, len(table)))
    return {
        name: IndexedInput(type=one.type, column=one.column, space=one.space, dim=first[name].shape[1])
        for name, one in embedder.inputs.items()
    }


def _schema(table: Table, manifest: Manifest) -> pa.Schema:
    columns = []
    for name in manifest.fields:
        if name in manifest.media:
            columns += [(name, pa.string()), (DIGEST + name, pa.string())]
        else:
            columns.append((name, pa.int64() if name not in table.names else _kind(table, name)))
    columns.append((MEDIA_ROOT, pa.string()))
    columns += [(VECTOR + name, pa.list_(pa.float16(), one.dim)) for name, one in manifest.inputs.items()]
    return pa.schema([(stored_name(name), kind) for name, kind in columns])


def _storable(kind: pa.DataType) -> bool:
    """Whether cells of a type are fields: all but bytes and what holds them."""
    return "binary" not in str(kind)


def _kind(table: Table, name: str) -> pa.DataType:
    kind = table.schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_null(kind) else kind


def _field(part: Table, name: str, kind: pa.DataType) -> pa.Array:
    cells = part.column(name).block(0, len(part)).combine_chunks()
    if pa.types.is_floating(cells.type):
        cells = pc.if_else(pc.is_nan(cells), pa.scalar(None, cells.type), cells)
    if cells.type == kind:
        return cells
    try:
        return cells.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        held = str(cells.type).removeprefix("large_")
        raise TableError(
            f"{part.source}, column {name!r}: holds {held}, and the index {kind}: give such cells"
        ) from None


def _vectors(array: Array) -> pa.Array:
    flat = pa.array(array.astype(np.float16).ravel(), pa.float16())
    return pa.FixedSizeListArray.from_arrays(flat, array.shape[1], mask=pa.array(~array.any(axis=1)))
