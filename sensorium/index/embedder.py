"""What makes the vectors of an index: a trained model, or anything that keeps to the same protocol."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from sensorium.data.column import Array
from sensorium.data.media import Limits
from sensorium.data.table import Table
from sensorium.errors import SensoriumError
from sensorium.index.manifest import Manifest
from sensorium.predict import Predictor

SEARCHED = ("text", "image", "audio", "video")
"""Types of inputs that have vectors in an index; a category or a number is for its filters."""
SAVED = ("model.safetensors", "recipe.yaml", "columns.json")
"""The files of a saved model that decide its vectors."""


class EmbeddedInput(NamedTuple):
    """One input of a model.

    Attributes:
        type: such as "image".
        column: the table's column that it reads.
        space: vectors of the same space can be compared with each other.
    """

    type: str
    column: str
    space: str


class Embedder(Protocol):
    """Turns rows into vectors."""

    @property
    def inputs(self) -> dict[str, EmbeddedInput]:
        """Input → what it is, in the order of the recipe."""

    @property
    def key(self) -> list[str]:
        """Columns of the table that name a row; none: rows are numbered."""

    @property
    def limits(self) -> Limits:
        """What a media file may cost."""

    @property
    def digest(self) -> str:
        """Of all that decides the vectors, 64 hexadecimal digits."""

    @property
    def folder(self) -> Path | None:
        """Where the model is saved; None where it is nowhere."""

    def embed(self, table: Table) -> dict[str, Array]:
        """Input → `(N, E)` float32: a vector of unit length for each row, zero where the input is missing."""

    def save(self, folder: Path) -> None:
        """Copies the model, so that `sensorium.load` can read it there."""


class ModelEmbedder:
    """A trained model as an `Embedder`."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.folder: Path | None = predictor.folder
        self.key = list(dict.fromkeys(predictor.recipe.data.key))
        self.limits = predictor.recipe.data.limits
        self.digest = model_digest(predictor.folder)

    @property
    def inputs(self) -> dict[str, EmbeddedInput]:
        """Input → what it is, in the order of the recipe."""
        recipe = self.predictor.recipe
        compared: dict[str, str] = {}
        for output, config in recipe.outputs.items():
            if config.type == "similarity":
                for name in config.between:
                    compared.setdefault(name, output)
        spaces = compared or {name: name for name in recipe.inputs}
        return {
            name: EmbeddedInput(recipe.inputs[name].type, bound.source, spaces[name])
            for name, bound in self.predictor.inputs.items()
            if name in spaces and recipe.inputs[name].type in SEARCHED
        }

    def embed(self, table: Table) -> dict[str, Array]:
        """Input → `(N, E)` float32: a vector of unit length for each row, zero where the input is missing."""
        embedded = self.predictor.embed(table)
        return {name: embedded[name] for name in self.inputs}

    def save(self, folder: Path) -> None:
        """Copies the model, so that `sensorium.load` can read it there."""
        self.predictor.save(folder)


def model_digest(folder: Path) -> str:
    """SHA-256 of the weights, the recipe and the fitted columns of a saved model, 64 hexadecimal digits.

    Raises:
        SensoriumError: when a file cannot be read.
    """
    total = hashlib.sha256()
    for name in SAVED:
        try:
            with (folder / name).open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise SensoriumError(f"{folder / name}: cannot be read ({error.strerror})") from None
    return total.hexdigest()


def checked(vectors: dict[str, Array], rows: int) -> dict[str, Array]:
    """Vectors as an index keeps them: float32, of unit length or zero.

    Raises:
        SensoriumError: when an input has not one vector of finite numbers for each row.
    """
    found = {}
    for name, array in vectors.items():
        array = np.asarray(array, dtype=np.float32)
        if array.ndim != 2 or len(array) != rows or not np.isfinite(array).all():
            raise SensoriumError(f"the model gave no usable vectors for input {name!r}")
        lengths = np.linalg.norm(array, axis=1, keepdims=True)
        found[name] = np.divide(array, lengths, out=np.zeros_like(array), where=lengths > 1e-6)
    return found


def require_same_model(embedder: Embedder, manifest: Manifest, place: str) -> None:
    """An index is of one model.

    Raises:
        SensoriumError: when this is another.
    """
    if embedder.digest != manifest.model:
        raise SensoriumError(
            f"{place} is an index of another model ({manifest.model[:12]}, from "
            f"{manifest.model_folder or 'no folder'}) than this one ({embedder.digest[:12]}): "
            "give that model, or index the table anew with this one"
        )
