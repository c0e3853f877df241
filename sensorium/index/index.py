"""An index: made from a table and a model, kept in a folder, searched in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from sensorium.data.table import Table, nearest_name
from sensorium.errors import SensoriumError
from sensorium.index.changes import condition_of, keeper_of, read_rows, refuse_known_keys
from sensorium.index.embedder import Embedder, ModelEmbedder, require_same_model
from sensorium.index.manifest import Manifest
from sensorium.index.media import FOLDER as MEDIA_FOLDER
from sensorium.index.media import drop_copies
from sensorium.index.query import parse_part
from sensorium.index.results import Results
from sensorium.index.rows import NUMBER, records
from sensorium.index.search import Request, answer, check_request
from sensorium.index.storage import DIGEST, Storage, is_remote, open_storage, stored_name
from sensorium.index.view import View
from sensorium.predict import load

MODEL = "model"
"""The folder of the model's copy, inside the index's own."""

Words = str | Path | Sequence[str | Path] | None
"""One thing to look for or several, each with a weight if it ends in one: "a red bird^0.5"."""


class Index:
    """An index that was opened. It stays at the version that it read until `refresh`.

    Made by `build` and `open_index`.

    Attributes:
        place: its folder, or URI.
        view: the version that is read.
    """

    def __init__(
        self, place: str, storage: Storage, embedder: Embedder | None, say: Callable[[str], None]
    ) -> None:
        self.place = place
        self._storage = storage
        self._embedder = embedder
        self._say = say
        self.view = View(storage, self.folder, say)

    def __len__(self) -> int:
        return len(self.view)

    @property
    def folder(self) -> Path | None:
        """None on an object store."""
        return None if is_remote(self.place) else Path(self.place)

    @property
    def manifest(self) -> Manifest:
        """What the index says of itself."""
        return self._storage.manifest

    @property
    def version(self) -> int:
        """The version that is read; every change makes a new one."""
        return self.view.version

    def search(
        self,
        text: Words = None,
        *,
        image: Words = None,
        audio: Words = None,
        video: Words = None,
        row: Words = None,
        minus: Words = None,
        where: str | None = None,
        k: int = 10,
        mode: str = "vector",
        inputs: Sequence[str] | None = None,
    ) -> Results:
        """The rows most like what is given, all of it together.

        Args:
            text: to look for.
            image: path of a picture.
            audio: path of a sound.
            video: path of a film.
            row: key of a row, whose like is looked for; of several key columns, with commas between.
            minus: a text to look away from.
            where: a condition in SQL over the fields, such as "price > 10 AND category = 'animals'".
            k: rows.
            mode: "vector"; "text", which looks for the words in the table's texts (BM25); or "hybrid", both,
                joined by reciprocal-rank fusion.
            inputs: those whose vectors are searched; default: all.

        Raises:
            SensoriumError: when the query, the filter or a file cannot be used.
        """
        given = {"text": text, "image": image, "audio": audio, "video": video, "row": row}
        parts = [parse_part(kind, one) for kind, words in given.items() for one in _listed(words)]
        parts += [parse_part("text", one, sign=-1.0) for one in _listed(minus)]
        return self.ask(Request(parts, where, k, mode, self.known_inputs(inputs)))

    def ask(self, request: Request) -> Results:
        """`search`, of a request that was put together elsewhere."""
        check_request(request)
        return answer(request, self.view, self.embedder, self.folder)

    def known_inputs(self, names: Sequence[str] | None) -> list[str]:
        """These inputs; all where none are named.

        Raises:
            SensoriumError: when there is none of a name.
        """
        known = list(self.manifest.inputs)
        for name in names or ():
            if name not in known:
                near = nearest_name(name, known)
                advice = f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"
                raise SensoriumError(f"{self.place} has no input {name!r}: {advice}")
        return list(names or known)

    def add(self, data: Any, media_root: str | Path | None = None, keep_media: bool = False) -> int:
        """Adds rows, all of them in one new version or none.

        Args:
            data: whatever `read_table` reads, with every field of the index.
            media_root: the folder that media paths start from.
            keep_media: copies the media into the index.

        Returns:
            How many rows were added.

        Raises:
            SensoriumError: when a field is missing, a key is there already, or nothing can be written.

        Warns:
            UserWarning: naming columns that the index does not keep.
        """
        self.refresh()
        table = read_rows(data, media_root, self.manifest)
        refuse_known_keys(table, self.view)
        return self._write(table, keep_media, self._storage.add)

    def update(self, data: Any, media_root: str | Path | None = None, keep_media: bool = False) -> int:
        """Adds rows, each in the place of the one with its key if there is one; else as `add`.

        Returns:
            How many rows were written.
        """
        self.refresh()
        table = read_rows(data, media_root, self.manifest)
        table.require(self.manifest.key)
        return self._write(table, keep_media, self._storage.replace)

    def delete(self, keys: Sequence[Any] = (), where: str | None = None) -> int:
        """Deletes rows, all of them in one new version.

        Args:
            keys: of rows; of several key columns tuples, or texts with commas between.
            where: a condition in SQL; the rows for which it holds are deleted too.

        Returns:
            How many rows were deleted.

        Raises:
            SensoriumError: when there is no row of a key, or the condition cannot be understood.
        """
        self.refresh()
        deleted = self._storage.delete(condition_of(keys, where, self.view))
        self.refresh()
        return deleted

    def compact(self, keep_hours: float = 1.0) -> None:
        """Joins small files, renews the full-text index, and drops old versions and media that no row needs.

        Args:
            keep_hours: versions younger than this stay, for those who still read them.
        """
        self.refresh()
        self._storage.compact(keep_hours)
        self.refresh()
        if self.folder is not None:
            names = [DIGEST + name for name in self.manifest.media]
            table = self._storage.read(names)
            needed = {one for name in names for one in table.column(stored_name(name)).to_pylist()}
            drop_copies(self.folder / MEDIA_FOLDER, needed - {None})

    def refresh(self) -> None:
        """Reads the newest version from here on."""
        self._storage = open_storage(self.place)
        if self._storage.version != self.view.version:
            self.view = View(self._storage, self.folder, self._say)

    def prepare(self) -> None:
        """Makes ready what a search would make at its first use, and keeps it for whoever opens the index."""
        for name in self.manifest.inputs:
            self.view.nearest(name)

    def embedder(self) -> Embedder:
        """The model, loaded at first use.

        Raises:
            SensoriumError: when it is gone, or another than the index was built with.
        """
        if self._embedder is None:
            homes = [self.folder / MODEL] if self.folder is not None else []
            homes += [Path(self.manifest.model_folder)] if self.manifest.model_folder else []
            there = [home for home in homes if home.is_dir()]
            if not there:
                raise SensoriumError(f"{self.place}: the index's model is gone; give it with --model")
            embedder = ModelEmbedder(load(there[0]))
            require_same_model(embedder, self.manifest, self.place)
            self._embedder = embedder
        return self._embedder

    def _write(
        self, table: Table, keep_media: bool, write: Callable[[Iterator[pa.RecordBatch]], None]
    ) -> int:
        keeper = keeper_of(table, self.embedder(), self.folder, keep_media)
        first = (
            1 + max((key[0] for key in self.view.keys), default=-1) if self.manifest.key == [NUMBER] else 0
        )
        write(records(table, self.embedder(), self.manifest, self._storage.schema, keeper, first))
        self.refresh()
        return len(table)


def _listed(words: Words) -> list[str]:
    if words is None:
        return []
    return [str(words)] if isinstance(words, str | Path) else [str(one) for one in words]
