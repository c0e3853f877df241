"""An index made anew, or opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sensorium.data.table import read_table
from sensorium.errors import SensoriumError
from sensorium.index.changes import keeper_of, warn_of_left_out
from sensorium.index.embedder import Embedder, ModelEmbedder, require_same_model
from sensorium.index.index import MODEL, Index
from sensorium.index.media import FOLDER as MEDIA_FOLDER
from sensorium.index.rows import check_keys, describe, records
from sensorium.index.storage import DATASET, create_storage, is_remote, open_storage
from sensorium.predict import Predictor, load


def build_index(
    place: str | Path,
    model: str | Path | Predictor | Embedder,
    data: Any,
    *,
    key: Sequence[str] | None = None,
    media_root: str | Path | None = None,
    keep_media: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Index:
    """Makes an index of a table: it is there when all its rows are.

    Args:
        place: a new folder, or the URI of an object store such as s3://bucket/name.
        model: whose vectors are searched; the index keeps a copy in its folder.
        data: whatever `read_table` reads.
        key: columns that name a row; default: the recipe's key; without one rows are numbered.
        media_root: the folder that media paths start from; default: the table's own.
        keep_media: copies the media into the index, so that it can be moved without them.
        say: takes a line where something lasts.

    Raises:
        SensoriumError: when there is something else at the place, or the table cannot be indexed.

    Warns:
        UserWarning: naming columns that are not kept.
    """
    place = str(place)
    embedder = _as_embedder(model)
    table = read_table(data, media_root)
    _refuse_what_is_there(place)
    manifest, schema = describe(table, embedder, embedder.key if key is None else key)
    check_keys(table, manifest.key)
    warn_of_left_out(table, manifest)
    folder = None if is_remote(place) else Path(place)
    if folder is not None:
        embedder.save(folder / MODEL)
    keeper = keeper_of(table, embedder, folder, keep_media)
    storage = create_storage(
        place, schema, manifest, records(table, embedder, manifest, schema, keeper, first=0)
    )
    return Index(place, storage, embedder, say)


def open_index(
    place: str | Path,
    model: str | Path | Predictor | Embedder | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> Index:
    """Opens the newest version of an index.

    Args:
        place: its folder, or URI.
        model: the one that it was built with; default: the index's copy of it.
        say: takes a line where something lasts.

    Raises:
        SensoriumError: when there is no index, it is of a newer format, or of another model.
    """
    storage = open_storage(str(place))
    embedder = None if model is None else _as_embedder(model)
    if embedder is not None:
        require_same_model(embedder, storage.manifest, str(place))
    return Index(str(place), storage, embedder, say)


def _as_embedder(model: str | Path | Predictor | Embedder) -> Embedder:
    if isinstance(model, str | Path):
        model = load(model)
    return ModelEmbedder(model) if isinstance(model, Predictor) else model


def _refuse_what_is_there(place: str) -> None:
    """An index, or a folder that holds anything but what a build that was stopped has left."""
    folder = Path(place)
    if is_remote(place) or not folder.exists():
        return
    if not folder.is_dir():
        raise SensoriumError(f"{place} is a file; give a folder for the index")
    if {one.name for one in folder.iterdir()} - {DATASET, MODEL, MEDIA_FOLDER}:
        raise SensoriumError(
            f"{place} is not empty; --update changes an index, and a new one needs a new folder"
        )
    try:
        open_storage(place)
    except SensoriumError:
        return
    raise SensoriumError(
        f"{place} is an index already: --update adds rows and replaces those of the same key"
    )
