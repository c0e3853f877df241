"""Vectors of a table's cells for others to use: the features of pretrained encoders, row for row."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import torch

from sensorium.data.cache import Cache
from sensorium.data.feature_table import FeatureTable
from sensorium.data.loader import BoundColumn, Loader
from sensorium.data.media import Media
from sensorium.data.table import Table, read_table
from sensorium.data.write import check_writable, write_parts
from sensorium.encoders import ENCODERS
from sensorium.errors import RecipeError, TableError, require
from sensorium.features import Extraction, Say
from sensorium.folders import default_folder
from sensorium.predict import load
from sensorium.prepare import bind_columns, open_cache
from sensorium.recipe import read_recipe

ROWS_A_PART = 8192
"""Rows of a table of vectors that are held and written at a time."""
_SHOWN = 20
"""Cells that could not be read which are named; of more, their number is said."""


class Embedder(NamedTuple):
    """What turns cells into vectors.

    Attributes:
        inputs: input name → the table column that it reads.
        encoders: input name → its frozen encoder.
        key: columns that name a row.
        cache: where features are kept, or None.
    """

    inputs: dict[str, BoundColumn]
    encoders: dict[str, Any]
    key: list[str]
    cache: Cache | None


def embed(
    source: str | Path,
    data: Any,
    *,
    inputs: Sequence[str] = (),
    column: str | None = None,
    type: str = "text",
    media_root: str | Path | None = None,
) -> pa.Table:
    """Vectors of every row of a table, in its order, through the cache of features.

    Args:
        source: a run folder or saved model, a recipe (.yaml), or the id or folder of pretrained weights.
        data: whatever `read_table` reads.
        inputs: names of the inputs wanted; default: every one with a frozen pretrained encoder.
        column: that is read, where `source` names weights.
        type: of that column, such as "text" or "image".
        media_root: the folder that media paths start from; default: the table's own.

    Returns:
        The key columns (or `row`, the position from 0), and for each input a column of its name: a list of D
        float32 numbers, the mean of the cell's tokens; null where the cell is missing or cannot be read.

    Raises:
        SensoriumError: naming what is wrong with the source, the inputs or the table.
    """
    embedder = open_embedder(source, inputs, column, type)
    return pa.concat_tables(embed_in_parts(embedder, read_table(data, media_root), say=lambda line: None))


def open_embedder(
    source: str | Path, inputs: Sequence[str] = (), column: str | None = None, kind: str = "text"
) -> Embedder:
    """What `embed` describes, before the table is read."""
    path = Path(source)
    if path.suffix in {".yaml", ".yml"}:
        embedder = _of_recipe(path)
    elif (path / "recipe.yaml").exists():  # beside a model or a run, and in no folder of weights
        embedder = _of_model(path)
    else:
        embedder = _of_weights(str(source), column, kind)
    frozen = {name: one for name, one in embedder.encoders.items() if getattr(one, "frozen", False)}
    if not frozen:
        raise RecipeError(f"{source}: no input has a frozen pretrained encoder, so there are no features")
    for name in inputs:
        if name not in frozen:
            near = difflib.get_close_matches(name, frozen, n=1)
            advice = f" (did you mean {near[0]!r}?)" if near else ""
            raise RecipeError(
                f"{source}: {name!r} is no input with a frozen pretrained encoder{advice}; there are: "
                f"{', '.join(frozen)}"
            )
    return embedder._replace(encoders={name: frozen[name] for name in inputs or frozen})


def embed_in_parts(embedder: Embedder, table: Table, say: Say) -> Iterator[pa.Table]:
    """`embed` a few thousand rows at a time.

    Raises:
        TableError: when the table lacks a column, a key column has the name of an input, or not one cell of a
            column can be read.
    """
    bound = {name: embedder.inputs[name] for name in embedder.encoders}
    table.require([one.source for one in bound.values()])
    key = [name for name in embedder.key if name in table.names]
    for name in key or ["row"]:
        if name in bound:
            raise TableError(f"{table.source}: {name!r} would be both a key and a vector; rename the input")
    loader = Loader(table, bound, {}, Media(table.media_root), embedder.cache, key=key)
    rows = np.arange(len(table), dtype=np.int64)
    features = {
        name: Extraction(name, encoder, loader, say, torch.device("cpu")).table(rows)
        for name, encoder in embedder.encoders.items()
    }
    _tell_unreadable(loader, features, say)
    for start in range(0, max(1, len(table)), ROWS_A_PART):
        part = rows[start : start + ROWS_A_PART]
        columns = _keys(table, key, part)
        yield pa.table(columns | {name: _vectors(own, part) for name, own in features.items()})


def _tell_unreadable(loader: Loader, features: dict[str, FeatureTable], say: Say) -> None:
    """Names cells that cannot be read; a column of which none can be is another than was meant."""
    cells = loader.quarantine.cells()
    for name, own in features.items():
        source = loader.inputs[name].source
        first = next((cell for cell in cells if cell.column == source), None)
        if first is not None and own.is_empty:
            raise TableError(f"{name}: no cell of column {source!r} can be read; the first: {first.line()}")
    for cell in cells[:_SHOWN]:
        say(f"unreadable: {cell.line()}")
    if len(cells) > _SHOWN:
        say(f"... and {len(cells) - _SHOWN:,} more cells that could not be read")


def write_embeddings(embedder: Embedder, table: Table, output: Path, say: Say) -> int:
    """Writes the vectors of a table: .parquet, .lance, .npy, or a folder of .npy files.

    numpy has no missing value: there a missing cell is a row of NaN. The keys lie beside as keys.csv.

    Returns:
        How many rows were written.

    Raises:
        TableError: when the output cannot be written; before anything is computed, as far as can be told.
    """
    _check_output(output, len(embedder.encoders))
    parts = embed_in_parts(embedder, table, say)
    try:
        return _WRITERS.get(output.suffix, _write_folder)(parts, output)
    except OSError as error:
        raise TableError(f"{output}: cannot be written ({error.strerror or error})") from None


def _of_recipe(path: Path) -> Embedder:
    recipe = read_recipe(path)
    inputs, _ = bind_columns(recipe)
    encoders = {
        name: ENCODERS[part.type][part.encoder.kind](part.encoder, inputs[name].column)
        for name, part in recipe.inputs.items()
        if part.encoder.kind == "pretrained"
    }
    return Embedder(inputs, encoders, recipe.data.key, open_cache(recipe.data, recipe.folder))


def _of_model(folder: Path) -> Embedder:
    """A model, which can come from anyone, may not say where features are kept."""
    predictor = load(folder)
    cache = None if predictor.recipe.data.cache is False else Cache(default_folder())
    encoders = {name: predictor.model.encoder(name) for name in predictor.inputs}
    return Embedder(predictor.inputs, encoders, predictor.recipe.data.key, cache)


def _of_weights(weights: str, column: str | None, kind: str) -> Embedder:
    known = [name for name, encoders in ENCODERS.items() if "pretrained" in encoders]
    if column is None:
        raise RecipeError(
            f"{weights} is no run, saved model or recipe.yaml; where it is the id or folder of weights, name "
            "the column to read too (--column)"
        )
    if kind not in known:
        raise RecipeError(f"no pretrained encoder reads the type {kind!r}; known: {', '.join(known)}")
    encoder: Any = ENCODERS[kind]["pretrained"]
    reader = encoder.Column(encoder.Column.Config(column=column), weights, Path.cwd())
    made = encoder(encoder.Config(weights=weights), reader)
    return Embedder({column: BoundColumn(column, reader)}, {column: made}, [], Cache(default_folder()))


def _keys(table: Table, key: Sequence[str], rows: npt.NDArray[np.int64]) -> dict[str, pa.Array]:
    if not key:
        return {"row": pa.array(rows)}
    part = table.take(rows)
    return {name: pa.array(list(part.column(name)), type=table.schema.field(name).type) for name in key}


def _vectors(features: FeatureTable, rows: npt.NDArray[np.int64]) -> pa.Array:
    """The means over tokens, `(rows, D)` float32, null where there is no token."""
    values, mask = features.take(rows)
    counts = mask.sum(axis=1)
    means = values.sum(axis=1) / np.maximum(counts, 1)[:, None].astype(np.float32)
    missing = pa.array(counts == 0)
    return pa.FixedSizeListArray.from_arrays(pa.array(means.reshape(-1)), features.width, mask=missing)


def _check_output(output: Path, inputs: int) -> None:
    if output.suffix == ".parquet":
        check_writable(output)
    elif output.suffix not in {".lance", ".npy", ""}:
        raise TableError(
            f"{output}: cannot write {output.suffix}; known: .parquet, .lance, .npy, or a plain folder"
        )
    elif not output.parent.is_dir():
        raise TableError(f"{output}: there is no folder {output.parent}")
    elif output.suffix == ".npy" and inputs > 1:
        raise TableError(f"{output}: holds one input, and there are {inputs}; give a folder, or --input")
    if output.suffix == ".lance":
        require("lance", "lance")


def _write_lance(parts: Iterator[pa.Table], output: Path) -> int:
    lance = require("lance", "lance")
    rows, mode = 0, "overwrite" if output.exists() else "create"
    for part in parts:
        lance.write_dataset(part, str(output), mode=mode)
        rows, mode = rows + part.num_rows, "append"
    return rows


def _write_npy(parts: Iterator[pa.Table], output: Path) -> int:
    return _write_arrays(parts, lambda name: output, output.with_suffix(".keys.csv"))


def _write_folder(parts: Iterator[pa.Table], output: Path) -> int:
    output.mkdir(exist_ok=True)
    return _write_arrays(parts, lambda name: output / f"{name.replace('/', '_')}.npy", output / "keys.csv")


def _write_arrays(parts: Iterator[pa.Table], path_of: Callable[[str], Path], keys: Path) -> int:
    """One .npy file an input, and the keys as CSV."""
    table = pa.concat_tables(parts)
    vectors = [field.name for field in table.schema if pa.types.is_fixed_size_list(field.type)]
    for name in vectors:
        with path_of(name).open("wb") as file:
            np.save(file, _as_numpy(table[name]))
    pyarrow.csv.write_csv(table.drop_columns(vectors), keys)
    return int(table.num_rows)


def _as_numpy(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """`(N, D)` float32, NaN where null."""
    width = column.type.list_size
    array = column.combine_chunks()
    found = np.full((len(array), width), np.nan, dtype=np.float32)
    found[array.is_valid().to_numpy(zero_copy_only=False)] = array.flatten().to_numpy().reshape(-1, width)
    return found


_WRITERS: dict[str, Callable[[Iterator[pa.Table], Path], int]] = {
    ".parquet": write_parts,
    ".lance": _write_lance,
    ".npy": _write_npy,
}
