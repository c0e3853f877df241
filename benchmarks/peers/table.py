"""The table of benchmarks/tutorial_models.py, read without Sensorium."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue, of 1, as tutorials subtract it."""
DEVIATION = (0.229, 0.224, 0.225)
"""Standard deviation of red, green and blue, of 1."""
SPECIAL = 4
"""Ids below this stand for no word: Sensorium keeps four, and the peers as many, for equal embeddings."""


class Part(NamedTuple):
    """The rows of one side of the split.

    Attributes:
        pictures: paths of JPEG files.
        words: `(N, L)` int64 ids, from `SPECIAL` up; every text has L words.
        labels: `(N,)` int64, from 0.
    """

    pictures: list[str]
    words: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


class Whole(NamedTuple):
    """Both sides.

    Attributes:
        train: rows to train on.
        test: rows to judge by.
        vocabulary: number of ids, `SPECIAL` included.
        classes: number of labels.
    """

    train: Part
    test: Part
    vocabulary: int
    classes: int


def read(folder: Path) -> Whole:
    """Reads `table.csv`: image (a path), text, label and split. Words come from the training rows alone."""
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    train = [row for row in rows if row["split"] == "train"]
    known = sorted({word for row in train for word in row["text"].split()})
    ids = {word: SPECIAL + number for number, word in enumerate(known)}
    classes = {label: number for number, label in enumerate(sorted({row["label"] for row in train}))}

    def part(name: str) -> Part:
        chosen = [row for row in rows if row["split"] == name]
        return Part(
            [str(folder / row["image"]) for row in chosen],
            np.array([[ids.get(word, 1) for word in row["text"].split()] for row in chosen], np.int64),
            np.array([classes[row["label"]] for row in chosen], np.int64),
        )

    return Whole(part("train"), part("test"), SPECIAL + len(ids), len(classes))
