"""Small real pictures, sounds, videos and tables, made on the spot."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import yaml
from PIL import Image

WORDS = "red green blue big small round flat old new warm cold loud quiet".split()  # noqa: SIM905 - as it is read


def picture(seed: int, size: int = 20, form: str = "PNG") -> bytes:
    """A picture of one colour with noise; even seeds are red, odd ones are blue."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 60, (size, size, 3), dtype=np.uint8)
    pixels[..., 0 if seed % 2 == 0 else 2] += 150
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, form)
    return target.getvalue()


def sound(seed: int, seconds: float = 0.25, rate: int = 8000) -> bytes:
    """A tone as WAV; even seeds are low, odd ones are high."""
    moments = np.arange(int(seconds * rate)) / rate
    samples = 0.3 * np.sin(2 * np.pi * (220 if seed % 2 == 0 else 1320) * moments + seed)
    target = io.BytesIO()
    soundfile.write(target, samples.astype(np.float32), rate, format="WAV")
    return target.getvalue()


def video(seed: int, frames: int = 4, size: int = 32) -> bytes:
    """A short clip without sound as MP4; its colour follows the seed."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
        for number in range(frames):
            pixels = np.full((size, size, 3), 40, dtype=np.uint8)
            pixels[:, (number * 6) % size : (number * 6) % size + 6, 0 if seed % 2 == 0 else 2] = 220
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return target.getvalue()


def text(seed: int) -> str:
    """Some words; even seeds speak of cats, odd ones of dogs."""
    generator = np.random.default_rng(seed)
    chosen = generator.choice(WORDS, size=int(generator.integers(2, 7)))
    return " ".join([*chosen, "cat" if seed % 2 == 0 else "dog"])


def label(seed: int) -> str:
    """The class that goes with a seed."""
    return "cat" if seed % 2 == 0 else "dog"


def simple_rows(count: int) -> dict[str, list[Any]]:
    """A table of texts, numbers and categories, with a label and an amount to predict."""
    numbers = np.random.default_rng(7).normal(size=count)
    return {
        "id": [f"row-{row:03}" for row in range(count)],
        "words": [text(row) for row in range(count)],
        "size": [round(float(number) + (2 if row % 2 else 0), 3) for row, number in enumerate(numbers)],
        "shop": [["north", "south", "west"][row % 3] for row in range(count)],
        "label": [label(row) for row in range(count)],
        "amount": [round(10.0 + 5 * (row % 2) + float(number), 3) for row, number in enumerate(numbers)],
    }


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Writes columns as CSV; None is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def write_recipe(path: Path, content: Mapping[str, Any]) -> Path:
    """Writes a recipe."""
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def simple_recipe(**training: Any) -> dict[str, Any]:
    """A recipe for `simple_rows` in table.csv: a text, a number and a category to a label, in no time."""
    return {
        "name": "simple",
        "data": {"path": "table.csv", "key": "id", "split": {"validation": 0.2, "test": 0.2}},
        "inputs": {
            "words": {"type": "text", "tokenizer": "word", "min_count": 1, "encoder": {"kind": "mean"}},
            "size": "number",
            "shop": "category",
        },
        "fusion": {"kind": "concat", "width": 16},
        "outputs": {"label": "category"},
        "training": {"epochs": 2, "batch_size": 16, "precision": "fp32", **training},
    }


def command(*arguments: str, folder: Path, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", "sensorium.cli", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=check,
        timeout=300,
    )


def environment() -> dict[str, str]:
    """One thread, so that tests side by side do not fight for the machine."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
