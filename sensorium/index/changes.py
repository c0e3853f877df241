"""Rows that come into an index, and the naming of those that leave it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sensorium.data.table import Table, read_table
from sensorium.errors import SensoriumError
from sensorium.index.embedder import Embedder
from sensorium.index.manifest import Manifest
from sensorium.index.media import FOLDER, Keeper
from sensorium.index.rows import NUMBER, check_keys, key_text, left_out
from sensorium.index.storage import quoted
from sensorium.index.view import View


def read_rows(data: Any, media_root: str | Path | None, manifest: Manifest) -> Table:
    """A table with all that an index keeps of its rows.

    Args:
        data: whatever `read_table` reads.
        media_root: the folder that media paths start from; None: the table's own.
        manifest: of the index.

    Raises:
        SensoriumError: when a field is missing, or a key is missing or that of two rows.
    """
    table = read_table(data, media_root)
    table.require([name for name in manifest.fields if name != NUMBER or manifest.key != [NUMBER]])
    warn_of_left_out(table, manifest)
    check_keys(table, manifest.key)
    return table


def refuse_known_keys(table: Table, view: View) -> None:
    """New rows need new keys; rows that are numbered get theirs.

    Raises:
        SensoriumError: naming the first row whose key the index has.
    """
    key, place = view.storage.manifest.key, view.storage.place
    if key == [NUMBER] and NUMBER not in table.names:
        return
    known = {key_text(one) for one in view.keys}
    for row, values in enumerate(zip(*(table.column(name) for name in key), strict=True)):
        if key_text(values) in known:
            raise SensoriumError(
                f"{table.source}, row {row}: {place} has a row of the key {key_text(values)[:60]!r} "
                "already; --update replaces it"
            )


def condition_of(keys: Sequence[Any], where: str | None, view: View) -> str:
    """In SQL: the rows of these keys, and those for which a condition holds.

    Args:
        keys: of several key columns tuples, or texts with commas between.
        where: a condition in SQL.
        view: the version that the keys are looked up in.

    Raises:
        SensoriumError: when there is no row of a key, or neither keys nor a condition are given.
    """
    conditions = [f"({where})"] if where else []
    for key in keys:
        known = view.keys[view.position(key_text(key) if isinstance(key, tuple) else str(key))]
        named = zip(view.storage.manifest.key, known, strict=True)
        conditions.append(f"({' AND '.join(f'{quoted(name)} = {_literal(one)}' for name, one in named)})")
    if not conditions:
        raise SensoriumError("nothing to delete: give keys, or a condition")
    return " OR ".join(conditions)


def keeper_of(table: Table, embedder: Embedder, folder: Path | None, keep_media: bool) -> Keeper:
    """What refers to a table's media, and copies them where that is asked for.

    Raises:
        SensoriumError: when copies are asked for where there is no folder.
    """
    if keep_media and folder is None:
        raise SensoriumError("copies of media are kept in a folder alone, not on an object store")
    copies = folder / FOLDER if keep_media and folder is not None else None
    return Keeper(table.media_root, embedder.limits, copies)


def warn_of_left_out(table: Table, manifest: Manifest) -> None:
    """Warns of columns that the index does not keep, at the line that called what called this."""
    names = left_out(table, manifest)
    if names:
        listed = ", ".join(map(repr, names[:5])) + (", …" if len(names) > 5 else "")
        words = f"{table.source}: the index does not keep {listed}"
        warnings.warn(words, UserWarning, stacklevel=4)


def _literal(value: Any) -> str:
    """A value in SQL."""
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"timestamp '{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"date '{value.isoformat()}'"
    return "'" + str(value).replace("'", "''") + "'"
