"""Peak memory and time of training and predicting tables of growing length.

    python -m benchmarks.memory --output benchmarks/results/memory.json
    python -m benchmarks.memory --million --output benchmarks/results/memory_million.json

Every table holds the same kinds of cells: a text, numbers, a category and, for each row, a picture of its
own. `sensorium train` and `sensorium predict` run as commands of their own, and this process looks at what
the system says of theirs. Peak: everything resident. Own peak: without the pages of files, which the system
takes back whenever it wants the memory for something else; looked up every 20 ms. `--million` is a million
rows of ten numbers and five categories.
"""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import yaml

from benchmarks.common import circumstances, parser, report, spread

ROWS = (10_000, 50_000, 200_000)
MILLION = 1_000_000
COMMAND = [sys.executable, "-m", "sensorium.cli"]
_AT_ONCE = 5_000  # rows made at once
_WORDS = 5_000
_LOOK_SECONDS = 0.02


class Watched(NamedTuple):
    """What a command took.

    Attributes:
        seconds: on the clock.
        peak: MB resident at most (VmHWM).
        own: MB resident at most without pages of files (RssAnon), as far as it was looked at.
        said: what the command printed.
    """

    seconds: float
    peak: float
    own: float
    said: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the tables, from the shortest to the longest, as often as asked."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--rows", type=int, nargs="+", default=ROWS, help="rows of the tables")
    options.add_argument("--format", choices=("parquet", "csv"), nargs="+", default=["parquet", "csv"])
    options.add_argument("--million", action="store_true", help="a million rows of numbers and categories")
    chosen = options.parse_args(arguments)
    began = circumstances()
    lengths, formats = ([MILLION], ["parquet"]) if chosen.million else (chosen.rows, chosen.format)
    if chosen.smoke:
        lengths, formats = [60], ["csv"]
    measured: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="sensorium-memory-") as folder:
        make = make_numbers if chosen.million else make_mixed
        for rows in lengths:
            make(Path(folder), rows, formats)
        for _ in range(chosen.repeats):
            for name in formats:
                for rows in lengths:
                    found = measure(Path(folder), rows, name, chosen.million)
                    measured.setdefault(_name(rows, name), []).append(found)
                    print(f"{_name(rows, name)}: {found}", flush=True)
    title = "Numbers and categories" if chosen.million else "Text, numbers, category and picture"
    content = {
        "tables": {},
        "bases": {},
        "figures": {title: _summary(measured), **_growth(measured, lengths, formats)},
        "notes": {},
        "measured": measured,
    }
    report("memory", content, chosen.output, began)


def _summary(measured: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    return {
        name: {key: spread([one[key] for one in found]) for key in found[0]}
        for name, found in measured.items()
    }


def _growth(
    measured: dict[str, list[dict[str, float]]], lengths: Sequence[int], formats: Sequence[str]
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Peaks of the longer tables as times those of the shortest, repeat by repeat."""
    times: dict[str, dict[str, dict[str, float]]] = {}
    for ending in formats:
        base = measured[_name(lengths[0], ending)]
        for rows in lengths[1:]:
            own = measured[_name(rows, ending)]
            peaks = [key for key in base[0] if "peak" in key]
            times[_name(rows, ending)] = {
                key.removesuffix(", MB"): spread([b[key] / a[key] for a, b in zip(base, own, strict=True)])
                for key in peaks
            }
    return {f"Times {lengths[0]:,} rows": times} if times else {}


def _name(rows: int, ending: str) -> str:
    return f"{rows:,} rows, {ending}"


def measure(folder: Path, rows: int, ending: str, million: bool) -> dict[str, float]:
    """Trains one epoch and predicts the same table, each as a command."""
    recipe = folder / f"{rows}-{ending}.yaml"
    recipe.write_text(yaml.safe_dump(numbers_recipe(rows, ending) if million else mixed_recipe(rows, ending)))
    with tempfile.TemporaryDirectory(dir=folder) as runs:
        trained = watch(["train", str(recipe), "--runs", runs], folder)
        predicted = watch(
            [
                "predict",
                f"{runs}/{recipe.stem}",
                str(folder / f"{rows}.{ending}"),
                "-o",
                f"{runs}/predicted.parquet",
            ],
            folder,
        )
    reading = re.search(r"\), ([0-9.]+) s$", trained.said, re.MULTILINE)
    epoch = re.search(r"epoch .* (\d+) rows/s", trained.said)
    if reading is None or epoch is None:
        raise RuntimeError(f"the command said nothing of its time: {trained.said}")
    return {
        "training: peak, MB": trained.peak,
        "training: own peak, MB": trained.own,
        "predicting: peak, MB": predicted.peak,
        "predicting: own peak, MB": predicted.own,
        "reading, dividing, fitting: s": float(reading.group(1)),
        "epoch: rows a second": float(epoch.group(1)),
        "training: s": trained.seconds,
        "predicting: s": predicted.seconds,
    }


def watch(arguments: Sequence[str], folder: Path) -> Watched:
    """Runs a command of sensorium, and looks at its memory while it runs."""
    began = time.perf_counter()
    environment = {**os.environ, "SENSORIUM_CACHE": str(folder / "cache"), "COLUMNS": "200"}
    peak = own = 0.0
    with (folder / "said").open("w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            [*COMMAND, *arguments], stdout=said, stderr=subprocess.STDOUT, env=environment
        )
        while process.poll() is None:
            status = _status(process.pid)
            peak, own = max(peak, status.get("VmHWM", 0.0)), max(own, status.get("RssAnon", 0.0))
            time.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - began
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise RuntimeError(f"sensorium {' '.join(arguments)} failed: {text}")
    return Watched(round(seconds, 2), peak, own, text)


def _status(process: int) -> dict[str, float]:
    """MB by the names that /proc/PID/status gives them; empty where the process has just ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines if line.startswith(("VmHWM", "RssAnon")))
    return {words[0].rstrip(":"): int(words[1]) / 1024 for words in pairs}


def mixed_recipe(rows: int, ending: str) -> dict[str, Any]:
    """A small model with an input of every kind."""
    return {
        "name": f"{rows}-{ending}",
        "data": {"path": f"{rows}.{ending}", "key": ["id"]},
        "inputs": {
            "text": {"type": "text", "encoder": {"kind": "mean"}},
            "picture": {"type": "image", "size": 32, "encoder": {"kind": "cnn", "channels": [16, 32]}},
            "first": "number",
            "second": "number",
            "kind": "category",
        },
        "outputs": {"label": "category"},
        "training": {"epochs": 1, "batch_size": 128},
    }


def numbers_recipe(rows: int, ending: str) -> dict[str, Any]:
    """Ten numbers and five categories through a perceptron."""
    return {
        "name": f"{rows}-{ending}",
        "data": {"path": f"{rows}.{ending}"},
        "inputs": {
            **{f"number_{index}": "number" for index in range(10)},
            **{f"category_{index}": "category" for index in range(5)},
        },
        "outputs": {"label": "category"},
        "training": {"epochs": 1, "batch_size": 1024},
    }


def make_mixed(folder: Path, rows: int, endings: Sequence[str]) -> None:
    """Writes a table in parts, in every format, with a picture a row."""
    _make_pictures(folder, rows)
    _write(
        folder,
        rows,
        endings,
        (_mixed_rows(start, min(_AT_ONCE, rows - start)) for start in range(0, rows, _AT_ONCE)),
    )


def make_numbers(folder: Path, rows: int, endings: Sequence[str]) -> None:
    """Writes a table of numbers and categories in parts."""
    _write(
        folder,
        rows,
        endings,
        (_number_rows(start, min(_AT_ONCE, rows - start)) for start in range(0, rows, _AT_ONCE)),
    )


def _write(folder: Path, rows: int, endings: Sequence[str], parts: Iterator[dict[str, Any]]) -> None:
    writers: dict[str, Any] = {}
    with (folder / f"{rows}.csv").open("w", encoding="utf-8", newline="") as file:
        for part in parts:
            table = pa.table(part)
            if "csv" in endings:
                lines = csv.writer(file)
                if not file.tell():
                    lines.writerow(table.column_names)
                lines.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
            if "parquet" in endings:
                path = folder / f"{rows}.parquet"
                writer = writers.setdefault("parquet", None) or pyarrow.parquet.ParquetWriter(
                    path, table.schema
                )
                writers["parquet"] = writer
                writer.write_table(table)
    for writer in writers.values():
        writer.close()


def _mixed_rows(start: int, count: int) -> dict[str, Any]:
    generator = np.random.default_rng([1, start])
    # Frequencies as in a language: the word of rank r comes 1/r times as often as the first.
    chances = 1 / np.arange(1, _WORDS + 1)
    words = generator.choice(_WORDS, (count, 40), p=chances / chances.sum())
    return {
        "id": np.arange(start, start + count),
        "text": [" ".join(f"word{word}" for word in row) for row in words],
        "picture": [_picture_name(row) for row in range(start, start + count)],
        "first": generator.normal(size=count),
        "second": generator.normal(size=count).round(3),
        "kind": [f"kind {code}" for code in generator.integers(0, 12, count)],
        "label": [f"label {code}" for code in generator.integers(0, 4, count)],
    }


def _number_rows(start: int, count: int) -> dict[str, Any]:
    generator = np.random.default_rng([2, start])
    numbers = {f"number_{index}": generator.normal(size=count) for index in range(10)}
    return {
        **numbers,
        **{
            f"category_{index}": [f"value {code}" for code in generator.integers(0, 8, count)]
            for index in range(5)
        },
        "label": np.where(numbers["number_0"] + numbers["number_1"] > 0, "above", "below"),
    }


def _picture_name(row: int) -> str:
    return f"pictures/{row // 1000}/{row}.jpg"


def _make_pictures(folder: Path, rows: int) -> None:
    """A small JPEG for every row; what follows its end makes each one unlike all others, and so its size."""
    from PIL import Image

    generator = np.random.default_rng(0)
    contents = []
    for _ in range(64):
        content = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(content, "JPEG")
        contents.append(content.getvalue())
    for row in range(rows):
        path = folder / _picture_name(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(contents[row % 64] + b"%d" % row + bytes(row % 499))


if __name__ == "__main__":
    main()
