"""What is looked for: texts, files and rows with weights, brought to one vector in each space."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sensorium.data import COLUMNS
from sensorium.data.column import Array
from sensorium.data.media import Limits, Source
from sensorium.data.table import read_table
from sensorium.errors import CellError, SensoriumError
from sensorium.index.embedder import Embedder, checked
from sensorium.index.manifest import Manifest
from sensorium.index.rows import MEDIA
from sensorium.index.storage import VECTOR
from sensorium.index.view import View

KINDS = ("text", *MEDIA, "row")
_WEIGHTED = re.compile(r"(?P<content>.*)\^(?P<weight>\d*\.?\d+)", re.DOTALL)
_LEAST_LENGTH = 1e-3  # of a sum of unit vectors that still points somewhere


class Part(NamedTuple):
    """One thing that is looked for.

    Attributes:
        kind: one of `KINDS`.
        content: the text, the file's path, or the row's key.
        weight: how much it counts beside the others; below zero: looked away from.
    """

    kind: str
    content: str
    weight: float = 1.0


def parse_part(kind: str, written: str, sign: float = 1.0) -> Part:
    """A part as it is written, with a weight after a caret as in Lucene's queries: `a red bird^0.5`.

    Args:
        kind: one of `KINDS`.
        written: the content, with or without a weight.
        sign: -1 for what is looked away from.

    Raises:
        SensoriumError: when it is empty or its weight is 0.
    """
    found = _WEIGHTED.fullmatch(written)
    content, weight = (found["content"], float(found["weight"])) if found else (written, 1.0)
    if not content.strip():
        raise SensoriumError(f"the {kind} that is looked for is empty")
    if not weight or not math.isfinite(weight):
        raise SensoriumError(f"the weight of {written[:60]!r} is {weight:g}: give one above 0")
    return Part(kind, content, sign * weight)


def query_vectors(
    parts: Sequence[Part],
    embedder: Callable[[], Embedder],
    manifest: Manifest,
    view: View,
    inputs: Sequence[str],
) -> dict[str, Array]:
    """Space → a vector `(E,)` of unit length: the weighted sum of the parts that have one there.

    Args:
        parts: what is looked for.
        embedder: gives the index's model; called where there is something to embed.
        manifest: of the index.
        view: of the rows, which parts may name.
        inputs: those whose vectors are searched.

    Raises:
        SensoriumError: when the model has no input for a part, a file cannot be read, or nothing is left.
    """
    if not any(part.weight > 0 for part in parts):
        raise SensoriumError("there is nothing to look for: give a text, --image, --audio, --video or --row")
    spaces = {manifest.inputs[name].space for name in inputs}
    sums: dict[str, Array] = {}
    towards: set[str] = set()
    for part in parts:
        found = {
            space: one for space, one in _embedded(part, embedder, manifest, view).items() if space in spaces
        }
        if not found:
            raise SensoriumError(
                f"the {part.kind} cannot be compared with {', '.join(inputs)}: they share no space; "
                "an output of type similarity between the inputs makes them comparable"
            )
        for space, vector in found.items():
            sums[space] = sums.get(space, 0) + part.weight * vector
            towards |= {space} if part.weight > 0 else set()
    vectors = {space: sums[space] for space in sums if space in towards}
    lengths = {space: float(np.linalg.norm(vector)) for space, vector in vectors.items()}
    if not vectors or min(lengths.values()) < _LEAST_LENGTH:
        raise SensoriumError("what is looked for and what is not cancel each other out: change the weights")
    return {space: (vector / lengths[space]).astype(np.float32) for space, vector in vectors.items()}


def _embedded(
    part: Part, embedder: Callable[[], Embedder], manifest: Manifest, view: View
) -> dict[str, Array]:
    """Space → the vector of one part."""
    if part.kind == "row":
        return _of_row(part.content, manifest, view)
    inputs: dict[str, str] = {}
    for name, one in manifest.inputs.items():
        if one.type == part.kind:
            inputs.setdefault(one.space, name)  # of several captions, the first reads the query
    if not inputs:
        known = ", ".join(f"{name} ({one.type})" for name, one in manifest.inputs.items())
        raise SensoriumError(f"the index has no input of type {part.kind}, to ask with; it has {known}")
    cell: str | bytes = part.content if part.kind == "text" else _content(part.content)
    found = {}
    for space, name in inputs.items():
        table = read_table({manifest.inputs[name].column: [cell]})
        vector = checked(embedder().embed(table), 1)[name][0]
        if not vector.any():
            raise SensoriumError(_unusable(part, cell, embedder().limits))
        found[space] = vector
    return found


def _of_row(key: str, manifest: Manifest, view: View) -> dict[str, Array]:
    """Space → the mean of a row's vectors there."""
    position = view.position(key)
    columns = [VECTOR + name for name in manifest.inputs]
    cells = view.storage.take(np.array([position]), columns)
    found: dict[str, Array] = {}
    for name, one in manifest.inputs.items():
        vector = cells[VECTOR + name][0]
        if vector is not None:
            found[one.space] = found.get(one.space, 0) + np.asarray(vector, np.float32)
    lengths = {space: float(np.linalg.norm(vector)) for space, vector in found.items()}
    found = {
        space: vector / lengths[space] for space, vector in found.items() if lengths[space] > _LEAST_LENGTH
    }
    if not found:
        raise SensoriumError(f"the row {key[:60]!r} has no vector, so nothing is like it")
    return found


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "no path"
        raise SensoriumError(f"{path[:200]}: cannot be read ({cause})") from None


def _unusable(part: Part, cell: str | bytes, limits: Limits) -> str:
    """Why a part has no vector."""
    shown = repr(part.content[:60]) if part.kind == "text" else part.content[:200]
    if isinstance(cell, bytes):
        kind = COLUMNS[part.kind]
        try:
            kind(kind.Config()).decode(Source(cell, part.content, limits))  # type: ignore[call-arg]
        except CellError as error:
            return f"{shown}: cannot be read as {part.kind}: {error.cause}"
    return f"{shown} gives no vector: the model knows nothing of it"
