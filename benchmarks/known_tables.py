"""Made tables whose answer is known beforehand: what the best possible model reaches, and what it needs."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Integers = npt.NDArray[np.int64]
Table = dict[str, list[Any]]

SIDE = 16
"""Width and height of a picture, in pixels."""
COLOURS = ((190, 60, 60), (60, 60, 190), (60, 190, 60), (190, 190, 60))
"""Of the pictures of each class, before the noise."""
SIGNALS = (("tram", "bus"), ("oak", "elm"), ("crow", "owl"), ("soup", "rice"))
"""Words that tell the class of a text; the others tell nothing."""
FILLERS = ("today", "again", "small", "near", "old", "some", "still", "often", "quiet", "early")


def xor(rows: int, seed: int) -> Table:
    """Two classes of words, two colours; the label says whether they agree. Alone neither says anything."""
    generator = np.random.default_rng(seed)
    words, colours = generator.integers(0, 2, (2, rows))
    return _table(generator, words, colours, labels=(words == colours).astype(np.int64))


def redundant(rows: int, seed: int, flipped: float = 0.1) -> Table:
    """Word and colour say the same; a tenth of the labels is wrong, so that 0.9 is the best there is."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, 2, rows)
    wrong = generator.random(rows) < flipped
    return _table(generator, classes, classes, labels=np.where(wrong, 1 - classes, classes))


def shared(rows: int, seed: int, reliable: float = 0.75) -> Table:
    """Four classes; word and colour each show the class in three rows of four, else another."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, 4, rows)

    def shown() -> Integers:
        other = (classes + generator.integers(1, 4, rows)) % 4
        return np.where(generator.random(rows) < reliable, classes, other)

    return _table(generator, shown(), shown(), labels=classes)


def in_parts(make: Callable[[int, int], Table], training: int, test: int) -> Table:
    """A table with rows for training and others for the test, told apart by the column `part`."""
    first, second = make(training, 1), make(test, 2)
    joined = {name: [*first[name], *second[name]] for name in first}
    return {**joined, "part": ["train"] * training + ["test"] * test}


def noisy(table: Table, share: float, seed: int) -> Table:
    """The same table with pictures in which noise replaces a share of every pixel's value, from 0 to 1."""
    generator = np.random.default_rng(seed)
    pictures = []
    for picture in table["picture"]:
        clean = np.asarray(Image.open(io.BytesIO(picture)), dtype=np.float64)
        noise = generator.uniform(0, 255, clean.shape)
        pictures.append(_png((1 - share) * clean + share * noise))
    return {**table, "picture": pictures}


def _table(generator: np.random.Generator, words: Integers, colours: Integers, labels: Integers) -> Table:
    return {
        "text": [_text(generator, word) for word in words],
        "picture": [_picture(generator, colour) for colour in colours],
        "label": [f"class {label}" for label in labels],
    }


def _text(generator: np.random.Generator, kind: int) -> str:
    said: Sequence[str] = [*generator.choice(FILLERS, 4), str(generator.choice(SIGNALS[kind]))]
    return " ".join(generator.permutation(said))


def _picture(generator: np.random.Generator, kind: int) -> bytes:
    return _png(np.array(COLOURS[kind]) + generator.normal(0, 40, (SIDE, SIDE, 3)))


def _png(pixels: npt.NDArray[np.float64]) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(target, "PNG")
    return target.getvalue()
