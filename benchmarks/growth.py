"""How time and memory grow with rows, inputs, tokens and the size of pictures.

    python -m benchmarks.growth --output benchmarks/results/growth.json --picture docs/pictures/growth.svg

One thing grows at a time, the others stay. Rows: a table of numbers and categories, read, divided and
trained on for one epoch. The others: one optimizer step over 32 rows in memory, forward, backward, clipping
and AdamW, of a model with that many numbers, with a transformer over that many tokens, or with a
convolutional encoder of pictures of that many pixels a side. Every point is a process of its own, so that
its peak of memory (VmHWM) is its own; points take turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import circumstances, cost, parser, report, spread

POINTS: dict[str, tuple[int, ...]] = {
    "rows": (2_000, 10_000, 50_000, 200_000),
    "inputs": (2, 8, 32, 128),
    "tokens": (32, 64, 128, 256, 512),
    "pixels a side": (32, 64, 128, 224),
}
FIGURES = {"CPU-seconds": "#0b6e99", "peak, MB": "#c2571a"}  # and their colours
SMOKE: dict[str, tuple[int, ...]] = {"rows": (50,), "tokens": (8,)}
_STEP_ROWS = 32
_SHORT = 40  # rows
_STEPS = 3  # the fastest counts


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every point in turns."""
    options = parser(__doc__ or "", repeats=3)
    options.add_argument("--picture", type=Path, default=None, help="drawing to write; default: none")
    options.add_argument("--worker", default="", help=argparse.SUPPRESS)
    chosen = options.parse_args(arguments)
    if chosen.worker:
        print(json.dumps(measure(*json.loads(chosen.worker))))
        return
    began = circumstances()
    points = SMOKE if chosen.smoke else POINTS
    measured: dict[str, dict[str, list[dict[str, float]]]] = {
        what: {f"{size:,}": [] for size in sizes} for what, sizes in points.items()
    }
    for _ in range(chosen.repeats):
        for what, sizes in points.items():
            for size in sizes:
                measured[what][f"{size:,}"].append(_ask(what, size))
    figures = {
        what: {
            size: {key: spread([one[key] for one in found]) for key in found[0]}
            for size, found in by_size.items()
        }
        for what, by_size in measured.items()
    }
    content = {"tables": {}, "bases": {}, "figures": figures, "notes": {}, "measured": measured}
    report("growth", content, chosen.output, began)
    if chosen.picture is not None:
        draw(figures, chosen.picture)


def _ask(what: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.growth", "--worker", json.dumps([what, size])]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True
    )
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measure(what: str, size: int) -> dict[str, float]:
    """CPU-seconds of an epoch or a step, and MB resident at most."""
    with tempfile.TemporaryDirectory() as folder:
        work = (_epoch if what == "rows" else partial(_step, what))(size, Path(folder))
        runs = 1 if what == "rows" else _STEPS
        seconds = min(cost(work).cpu for _ in range(runs))
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return {"CPU-seconds": seconds, "peak, MB": peak / 1024}


def _epoch(rows: int, folder: Path) -> Callable[[], object]:
    """From the file to the trained weights, for one epoch; a short table first, for all that is imported."""
    from benchmarks import memory
    from sensorium.fitting import train_in
    from sensorium.recipe import parse_recipe
    from sensorium.training.progress import Silent

    recipes = {}
    for count in (_SHORT, rows):
        memory.make_numbers(folder, count, ["parquet"])
        recipes[count] = parse_recipe(memory.numbers_recipe(count, "parquet"), folder=folder)
    train_in(recipes[_SHORT], folder / "short", Silent())
    return lambda: train_in(recipes[rows], folder / "run", Silent())


def _step(what: str, size: int, folder: Path) -> Callable[[], object]:
    """One step of the trainer that `sensorium train` uses, over one batch."""
    from sensorium.inference import batch_to_device
    from sensorium.prepare import prepare
    from sensorium.recipe import parse_recipe
    from sensorium.training.loop import Trainer
    from sensorium.training.progress import Silent
    from sensorium.training.run import RunFolder

    inputs, table = _inputs(what, size), _table(what, size)
    content = {
        "data": {"split": {"validation": 0, "test": 0}, "cache": False},
        "inputs": inputs,
        "outputs": {"label": "category"},
        "training": {"batch_size": _STEP_ROWS},
    }
    prepared = prepare(parse_recipe(content, folder=folder), table)
    trainer = Trainer(prepared, RunFolder(folder), Silent())
    batch = batch_to_device(prepared.loader.batch(prepared.parts["train"]), trainer.state.device)
    return lambda: trainer._step([batch])


def _inputs(what: str, size: int) -> dict[str, Any]:
    if what == "inputs":
        return {f"number {index}": "number" for index in range(size)}
    if what == "tokens":
        encoder = {"kind": "transformer"}
        return {"text": {"type": "text", "tokenizer": "word", "length": size, "encoder": encoder}}
    convolutions = {"kind": "cnn", "channels": [32, 64, 128]}
    return {"picture": {"type": "image", "size": size, "encoder": convolutions}}


def _table(what: str, size: int) -> dict[str, list[Any]]:
    import io

    from PIL import Image

    generator = np.random.default_rng(0)
    table: dict[str, list[Any]] = {"label": [f"label {row % 4}" for row in range(_STEP_ROWS)]}
    if what == "inputs":
        return table | {
            f"number {index}": generator.normal(size=_STEP_ROWS).tolist() for index in range(size)
        }
    if what == "tokens":
        words = generator.integers(0, 200, (_STEP_ROWS, size))
        return table | {"text": [" ".join(f"w{word}" for word in row) for row in words]}
    pictures = []
    for _ in range(_STEP_ROWS):
        content = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(content, "PNG")
        pictures.append(content.getvalue())
    return table | {"picture": pictures}


def draw(figures: dict[str, dict[str, dict[str, dict[str, float]]]], path: Path) -> None:
    """Four panels: what grows against CPU-seconds (left) and memory (right), on logarithmic axes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    figure, panels = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
    peaks = [found["peak, MB"]["max"] for by_size in figures.values() for found in by_size.values()]
    memory_limits = min(peaks) / 2, max(peaks) * 1.5  # the same everywhere, so that panels can be compared
    for panel, (what, by_size) in zip(panels.flat, figures.items(), strict=True):
        sizes = [int(size.replace(",", "")) for size in by_size]
        for (key, colour), axis in zip(FIGURES.items(), (panel, panel.twinx()), strict=True):
            low, middle, high = (
                [found[key][name] for found in by_size.values()] for name in ("min", "median", "max")
            )
            axis.plot(sizes, middle, "o-" if axis is panel else "s--", color=colour, markersize=4)
            axis.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
            axis.set_yscale("log")
            axis.set_ylim((min(low) / 2, max(high) * 2) if axis is panel else memory_limits)
            axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_ylabel(key, color=colour)
            axis.tick_params(axis="y", labelcolor=colour)
            axis.minorticks_off()
        panel.set_xscale("log")
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
        panel.minorticks_off()
        panel.grid(alpha=0.25)
        panel.set_title(f"{what}: {'an epoch' if what == 'rows' else 'a step of 32 rows'}", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
