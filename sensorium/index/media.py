"""The way back from a row to its original files: paths under a root, and copies that the index keeps."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sensorium.data.media import Limits, Media, Source, file_format
from sensorium.errors import CellError, SensoriumError

FOLDER = "media"
"""Of kept copies, inside the index: one file for each content, named by its digest."""


class Reference(NamedTuple):
    """Where a media cell's content is.

    Attributes:
        path: as the table writes it, under the row's media root; None where the cell is bytes.
        digest: BLAKE2b of the content; None where only the path is known.
    """

    path: str | None
    digest: str | None


class Keeper:
    """Refers to media cells, and copies their content where that is asked for.

    Args:
        root: the folder that paths start from.
        limits: what may be read.
        folder: of the copies; None: none are made.
    """

    def __init__(self, root: Path | None, limits: Limits, folder: Path | None) -> None:
        self._media = Media(root, limits)
        self._folder = folder

    def refer(self, cell: Any) -> Reference:
        """A cell → where its content is; what cannot be read has no digest, and no vector either."""
        if cell is None:
            return Reference(None, None)
        path = _path_of(cell)
        if path is not None and self._folder is None:
            return Reference(path, None)
        try:
            source = self._media.source(cell)
            digest = source.digest()
            if self._folder is not None:
                keep_copy(source, digest, self._folder)
        except CellError:
            return Reference(path, None)
        return Reference(path, digest)


def keep_copy(source: Source, digest: str, folder: Path) -> None:
    """Copies a content under its digest, so that a copy is whole or not there.

    Raises:
        SensoriumError: when it cannot be written.
    """
    if (folder / digest).exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as file:
            file.write(source.read())
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(folder / digest)
    except OSError as error:
        raise SensoriumError(f"{folder}: a copy cannot be written ({error.strerror})") from None


def drop_copies(folder: Path, needed: Iterable[str]) -> None:
    """Deletes the copies that no row needs."""
    kept = set(needed)
    if folder.is_dir():
        for copy in folder.iterdir():
            if copy.name not in kept:
                copy.unlink(missing_ok=True)


def locate(path: str | None, digest: str | None, root: str | None, folder: Path | None) -> Path | None:
    """The file of a reference: the kept copy, else the original; None where neither is there.

    Args:
        path: under the root.
        digest: of the content.
        root: the row's media root.
        folder: of the index's copies; None for an index without a folder.
    """
    if digest and folder is not None and (folder / digest).is_file():
        return folder / digest
    if path is None or root is None:
        return None
    try:
        content = Media(Path(root)).source(path).content
    except CellError:
        return None
    return content if isinstance(content, Path) else None


def export(file: Path, folder: Path, name: str) -> Path:
    """Copies a file into a folder under a name of its own, with the ending that its content asks for.

    Raises:
        SensoriumError: when it cannot be written.
    """
    ending = file.suffix or ENDINGS.get(file_format(file.open("rb").read(512))[0], "")
    target = folder / f"{name}{ending}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    except OSError as error:
        raise SensoriumError(f"{target}: cannot be written ({error.strerror})") from None
    return target


ENDINGS = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "GIF": ".gif",
    "WebP": ".webp",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "WAV": ".wav",
    "FLAC": ".flac",
    "Ogg": ".ogg",
    "MP3": ".mp3",
    "M4A": ".m4a",
    "MP4": ".mp4",
    "WebM": ".webm",
}
"""By the format that `file_format` finds: of copies, which have no name of their own."""


def _path_of(cell: Any) -> str | None:
    """The path that a cell holds, if it is one."""
    if isinstance(cell, dict):
        return _path_of(cell.get("path")) if not cell.get("bytes") else None
    return cell if isinstance(cell, str) and cell[:5].lower() != "data:" else None
