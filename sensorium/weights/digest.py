"""Checksums of files of weights, each file read once."""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path

from sensorium.folders import default_folder


def file_digest(path: Path) -> str:
    """The sha256 of a file, remembered in the cache folder under its path, size and time of change.

    Raises:
        OSError: when the file cannot be read.
    """
    kept = _kept(path)
    with suppress(OSError):
        return kept.read_text(encoding="ascii")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with suppress(OSError):  # a cache that cannot be written costs time at the next start, no more
        write_whole(kept, digest)
    return digest


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


def _kept(path: Path) -> Path:
    """Where the checksum of the file as it is now is remembered."""
    path = path.resolve()
    status = path.stat()
    identity = f"{path}\n{status.st_size}\n{status.st_mtime_ns}"
    name = hashlib.sha256(os.fsencode(identity)).hexdigest()
    return default_folder() / "weights" / "digests" / name
