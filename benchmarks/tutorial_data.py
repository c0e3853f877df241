"""A made table of pictures and texts with ten classes: JPEG files and a CSV file, as users have them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.decoding import jpeg

STAMPS = Path(__file__).parents[1] / "examples" / "stamps" / "data" / "train-00000.parquet"
CLASSES, WORDS, OWN_WORDS = 10, 2000, 20
TEXT_LENGTH = 100


def write_table(folder: Path, train: int, test: int, side: int) -> int:
    """Writes `table.csv` (image, text, label, split) and the pictures that it names.

    A picture is its class's stamp from examples/stamps under a texture of its own; a word in five of a text
    is one of its class's own words.

    Args:
        folder: where to.
        train: rows to train on.
        test: rows to judge by.
        side: of the pictures, pixels.

    Returns:
        The mean size of a picture's file, bytes.
    """
    generator = np.random.default_rng(0)
    stamps = pq.read_table(STAMPS, columns=["image"]).column("image").slice(0, CLASSES).to_pylist()
    pictures = [Image.open(io.BytesIO(stamp)).convert("RGB").resize((side, side)) for stamp in stamps]
    sizes: list[int] = []
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "text", "label", "split"])
        for row in range(train + test):
            label = row % CLASSES
            content = _picture(pictures[label], row, side)
            sizes.append(len(content))
            (folder / f"{row}.jpg").write_bytes(content)
            part = "train" if row < train else "test"
            writer.writerow([f"{row}.jpg", _text(generator, label), f"class {label}", part])
    return round(float(np.mean(sizes)))


def _picture(stamp: Image.Image, row: int, side: int) -> bytes:
    texture = Image.open(io.BytesIO(jpeg(row, side, side)))
    target = io.BytesIO()
    Image.blend(stamp, texture, 0.6).save(target, "JPEG", quality=92)
    return target.getvalue()


def _text(generator: np.random.Generator, label: int) -> str:
    """100 words out of 2,000."""
    words = generator.integers(CLASSES * OWN_WORDS, WORDS, TEXT_LENGTH)
    own = generator.random(TEXT_LENGTH) < 0.2
    words[own] = label * OWN_WORDS + generator.integers(0, OWN_WORDS, own.sum())
    return " ".join(f"w{word}" for word in words)
