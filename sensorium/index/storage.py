"""The rows of an index: one Lance dataset, whose versions make every change whole or not there at all.

A row holds its key, its fields, its media references and its vectors, so that they cannot come apart. A
reader keeps the version that it opened. Lance: https://lancedb.github.io/lance/format.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sensorium.data.column import Array
from sensorium.data.table import nearest_name
from sensorium.errors import SensoriumError, require
from sensorium.index.manifest import METADATA_KEY, Manifest, parse_manifest

DATASET = "rows.lance"
VECTOR = "vector:"
"""Before an input's name: the column of its vectors, float16, of unit length; null where it is missing."""
DIGEST = "digest:"
"""Before a media column's name: the digest of the content, where its cell is no path or a copy is kept."""
MEDIA_ROOT = "media:root"
"""The folder that the row's media paths start from."""


class Storage:
    """A version of the dataset, and the changes that make the next.

    Args:
        place: a folder, or the URI of an object store such as s3://bucket/name.
        dataset: as Lance opened it.
        manifest: of the index.
    """

    def __init__(self, place: str, dataset: Any, manifest: Manifest) -> None:
        self.place = place
        self.manifest = manifest
        self._dataset = dataset

    def __len__(self) -> int:
        return int(self._dataset.count_rows())

    @property
    def version(self) -> int:
        """The version that is read."""
        return int(self._dataset.version)

    @property
    def schema(self) -> pa.Schema:
        """Of the rows."""
        return self._dataset.schema

    def read(self, columns: list[str]) -> pa.Table:
        """Columns of all rows, in the order of positions, with `_rowaddr`, which names a row's content."""
        return self._dataset.to_table(columns=[stored_name(one) for one in columns], with_row_address=True)

    def take(self, positions: Array, columns: list[str]) -> dict[str, list[Any]]:
        """Columns of some rows, by their position, as Python objects."""
        stored = [stored_name(name) for name in columns]
        try:
            taken = self._dataset.take(positions.tolist(), columns=stored)
        except OSError as error:
            raise SensoriumError(
                f"{self.place}: version {self.version} cannot be read ({_first_line(error)}); "
                "open the index again for the newest"
            ) from None
        return {name: taken.column(one).to_pylist() for name, one in zip(columns, stored, strict=True)}

    def count(self, column: str) -> int:
        """Rows in which a column is not missing."""
        return int(self._dataset.count_rows(f"{quoted(column)} IS NOT NULL"))

    def addresses(self, condition: str) -> Array:
        """`_rowaddr` of the rows for which a condition in SQL holds.

        Raises:
            SensoriumError: when the condition cannot be understood, or names a column that there is not.
        """
        try:
            found = self._dataset.to_table(columns=[], filter=condition, with_row_address=True)
        except (ValueError, OSError) as error:
            raise SensoriumError(self._condition_words(condition, str(error))) from None
        return _addresses(found)

    def match(self, text: str, limit: int, condition: str | None) -> tuple[Array, Array]:
        """Full text: `_rowaddr` and BM25 scores of the rows that hold words of a text, the best first.

        Raises:
            SensoriumError: when the index has no column of texts.
        """
        columns = [name for name in self.text_columns() if self._full_text_indexed(name)]
        if not columns:
            raise SensoriumError(f"{self.place} has no text to look for words in; use --mode vector")
        query = require("lance.query", "search").MultiMatchQuery(
            text, [stored_name(name) for name in columns]
        )
        if condition is not None:
            self.addresses(condition)  # so that what is wrong with it is said as elsewhere
        found = self._dataset.to_table(
            columns=["_score"], full_text_query=query, filter=condition, prefilter=True, limit=limit,
            with_row_address=True,
        )  # fmt: skip
        return _addresses(found), found.column("_score").to_numpy()

    def add(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Adds rows whose keys are new, in one version.

        Raises:
            SensoriumError: when the index has a row of the same key; nothing is added then.
        """
        merge = self._merge().when_matched_fail().when_not_matched_insert_all()
        self._write(merge.execute, batches)

    def replace(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Adds rows, each in place of the one with the same key if there is one, in one version."""
        merge = self._merge().when_matched_update_all().when_not_matched_insert_all()
        self._write(merge.execute, batches)

    def delete(self, condition: str) -> int:
        """Deletes the rows for which a condition in SQL holds, and says how many."""
        self.addresses(condition)
        before = len(self)
        self._dataset.delete(condition)
        return before - len(self)

    def compact(self, keep_hours: float) -> None:
        """Joins small files, renews the full-text index, and drops old versions and what they held.

        Args:
            keep_hours: versions younger than this stay; a reader of an older one must `refresh`.
        """
        self._dataset.optimize.compact_files()
        self._dataset.optimize.optimize_indices()
        self.index_texts()
        self._dataset.cleanup_old_versions(older_than=timedelta(hours=keep_hours))

    def index_texts(self) -> None:
        """Makes the full-text indexes that are missing. ICU finds the words of Chinese, too."""
        for name in self.text_columns():
            if not self._full_text_indexed(name) and len(self):
                self._dataset.create_scalar_index(stored_name(name), "INVERTED", base_tokenizer="icu")

    def text_columns(self) -> list[str]:
        """The fields whose words can be looked for: all of text that are neither key nor media."""
        manifest = self.manifest
        return [
            name
            for name in manifest.fields
            if name not in manifest.media and name not in manifest.key
            and pa.types.is_string(self.schema.field(stored_name(name)).type)
        ]  # fmt: skip

    def _full_text_indexed(self, name: str) -> bool:
        indexes = self._dataset.describe_indices()
        return any(stored_name(name) in one.field_names for one in indexes)

    def _merge(self) -> Any:
        return self._dataset.merge_insert([stored_name(name) for name in self.manifest.key])

    def _write(self, write: Any, batches: Iterable[pa.RecordBatch]) -> None:
        carried = _Carried(batches)
        try:
            write(pa.RecordBatchReader.from_batches(self.schema, iter(carried)))
        except (ValueError, OSError) as error:
            carried.raise_own()
            if "found matching row" in str(error):
                raise SensoriumError(
                    f"{self.place} has a row of the same key already; --update replaces it"
                ) from None
            raise SensoriumError(f"{self.place}: cannot be written ({_first_line(error)})") from None

    def _condition_words(self, condition: str, said: str) -> str:
        shown = condition[:80]
        unknown = re.search(r"No field named \"?([^\".]+)", said)
        if unknown:
            names = self.manifest.fields
            near = nearest_name(unknown[1], names)
            advice = f"did you mean {near!r}?" if near else f"there are {', '.join(names)}"
            return f"the condition {shown!r}: there is no column {unknown[1]!r}: {advice}"
        reason = _REASON.search(said)
        cause = next((one for one in reason.groups() if one), "") if reason else _first_line(said)[:160]
        return (
            f"the condition {shown!r} cannot be understood: {cause}; "
            "write SQL, such as category = 'animals' AND price > 10"
        )


_REASON = re.compile(r"sql parser error: ([^)]*)|(Received literal .*?type '\w+')|(Invalid function '\w+')")
"""In what Lance says of a condition: what its user can understand."""


class _Carried:
    """Batches on their way through Lance, which would hide what their making raises."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self._raised: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches
        except BaseException as error:
            self._raised = error
            raise

    def raise_own(self) -> None:
        """Raises what the making of a batch raised, as it was."""
        if self._raised is not None:
            raise self._raised from None


def create_storage(
    place: str, schema: pa.Schema, manifest: Manifest, batches: Iterable[pa.RecordBatch]
) -> Storage:
    """A new dataset, which is there when all its rows are.

    Raises:
        SensoriumError: when it cannot be written.
    """
    lance = require("lance", "search")
    schema = schema.with_metadata({METADATA_KEY: manifest.model_dump_json().encode()})
    carried = _Carried(batch.replace_schema_metadata(schema.metadata) for batch in batches)
    try:
        dataset = lance.write_dataset(
            pa.RecordBatchReader.from_batches(schema, iter(carried)), _uri(place), mode="create"
        )
    except (ValueError, OSError) as error:
        carried.raise_own()
        raise SensoriumError(f"{place}: cannot be written ({_first_line(error)})") from None
    storage = Storage(place, dataset, manifest)
    storage.index_texts()
    return storage


def open_storage(place: str) -> Storage:
    """The newest version of an index's dataset.

    Raises:
        SensoriumError: when there is none, it is no index, or of a newer format.
    """
    dataset = _open(place)
    return Storage(place, dataset, _manifest(dataset, place))


def is_remote(place: str) -> bool:
    """Whether a place is the URI of an object store."""
    return re.match(r"[a-z][a-z0-9+]+://", place) is not None


def stored_name(name: str) -> str:
    """A column's name as the dataset's: Lance reads a dot as the way into a struct."""
    return name.replace("%", "%25").replace(".", "%2E").replace("`", "%60")


def quoted(name: str) -> str:
    """A column in a condition in SQL."""
    return f"`{stored_name(name)}`"


def _open(place: str) -> Any:
    lance = require("lance", "search")
    if not is_remote(place) and not Path(place).is_dir():
        raise SensoriumError(f"{place}: there is no such folder; `sensorium index` makes an index")
    try:
        return lance.dataset(_uri(place))
    except (ValueError, OSError) as error:
        if "not found" in str(error):
            raise SensoriumError(
                f"{place} is not an index of sensorium: it holds no {DATASET}; `sensorium index` makes one"
            ) from None
        raise SensoriumError(f"{place}: the index cannot be read ({_first_line(error)})") from None


def _manifest(dataset: Any, place: str) -> Manifest:
    return parse_manifest((dataset.schema.metadata or {}).get(METADATA_KEY), place)


def _uri(place: str) -> str:
    return f"{place.rstrip('/')}/{DATASET}" if is_remote(place) else str(Path(place) / DATASET)


def _addresses(rows: pa.Table) -> Array:
    addresses: Array = rows.column("_rowaddr").to_numpy().astype(np.int64)
    return addresses


def _first_line(error: object) -> str:
    """What Lance says, without the place in its own source."""
    line = (str(error).splitlines() or [""])[0]
    return re.sub(r", /\S+\.rs:\d+:\d+$", "", line)[:200]
