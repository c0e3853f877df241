"""Checksums of files of weights, each file read once; and what else is found out of weights once."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sensorium.folders import default_folder


def file_digest(path: Path) -> str:
    """The sha256 of a file, remembered in the cache folder under its path, size and time of change.

    Raises:
        OSError: when the file cannot be read.
    """
    path = path.resolve()
    status = path.stat()

    return remembered(f"{path}\n{status.st_size}\n{status.st_mtime_ns}", lambda: sha256_of(path))


def sha256_of(path: Path) -> str:
    """The sha256 of a file as it is now, hexadecimal.

    Raises:
        OSError: when the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered(name: str, find: Callable[[], str]) -> str:
    """A text that takes time to find, remembered in the cache folder.

    Args:
        name: of everything that decides the text.
        find: finds it, where it is not remembered.
    """
    kept = default_folder() / "weights" / "digests" / hashlib.sha256(os.fsencode(name)).hexdigest()
    with suppress(OSError):
        if text := kept.read_text(encoding="utf-8"):  # a power cut may have left an empty file
            return text
    text = find()
    with suppress(OSError):  # a cache that cannot be written costs time at the next start, no more
        write_whole(kept, text)
    return text


def write_whole(path: Path, text: str) -> None:
    """Writes beside the place and moves over, so that other processes see all of the text or none.

    Raises:
        OSError: when it cannot be written; nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
