"""A made model for the tests of the index: pictures and captions meet in a space of words."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from sensorium.data.column import Array
from sensorium.data.media import Limits, Media
from sensorium.data.table import Table
from sensorium.errors import CellError
from sensorium.index.embedder import EmbeddedInput

WORDS = ["red", "green", "blue", "round", "flat", "红色", "bird", "grass"]
DIM = len(WORDS)


def picture(red: int, green: int, blue: int) -> bytes:
    """A picture of one colour."""
    target = io.BytesIO()
    Image.new("RGB", (12, 12), (red, green, blue)).save(target, "PNG")
    return target.getvalue()


class Colours:
    """A caption's vector counts known words; a picture's holds red, green and blue at their places."""

    folder: Path | None = None
    limits = Limits()

    def __init__(self, key: list[str], digest: str = "c" * 64, shared: bool = True) -> None:
        self.key = key
        self.digest = digest
        self.inputs = {
            "image": EmbeddedInput("image", "photo", "similarity" if shared else "image"),
            "caption": EmbeddedInput("text", "words", "similarity" if shared else "caption"),
        }

    def embed(self, table: Table) -> dict[str, Array]:
        """Vectors of unit length, zero where there is nothing to see or no word that is known."""
        media = Media(table.media_root, self.limits)
        images = [colour(media, cell) for cell in cells(table, "photo")]
        captions = [counts(cell) for cell in cells(table, "words")]
        return {"image": unit(images), "caption": unit(captions)}

    def save(self, folder: Path) -> None:
        """Nothing that could be loaded again."""
        folder.mkdir(parents=True, exist_ok=True)


def cells(table: Table, name: str) -> list[Any]:
    return list(table.column(name)) if name in table.names else [None] * len(table)


def colour(media: Media, cell: Any) -> Array:
    vector = np.zeros(DIM, np.float32)
    if cell is not None:
        try:
            pixels = Image.open(io.BytesIO(media.source(cell).read()))
            vector[:3] = np.asarray(pixels, np.float32).mean(axis=(0, 1)) / 255
        except (CellError, UnidentifiedImageError):
            pass
    return vector


def counts(cell: Any) -> Array:
    words = str(cell or "").lower().split()
    return np.array([words.count(word) for word in WORDS], np.float32)


def unit(rows: list[Array]) -> Array:
    vectors = np.stack(rows)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
