"""How long a user waits for help, for the import, for a first prediction, and for many of them.

    python -m benchmarks.cold_start --output benchmarks/results/cold_start.json

Every variant is a command of its own, from its start to its end: the interpreter and torch alone, which
are the base, then Sensorium. The models are trained for an epoch first, which is not measured: the tutorial
model of examples/classic/cnn_embedding_lstm.yaml, and three small ones on made rows. Throughput counts the
whole command, the start included; the notes give it without the start, which the prediction of one row took.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet
import yaml

from benchmarks import memory
from benchmarks.common import Cost, circumstances, in_turns, parser, rates, report, spread

TUTORIAL = Path(__file__).parents[1] / "examples" / "classic" / "cnn_embedding_lstm.yaml"
ROWS = 10_000
BASE = "import torch alone"
_TRAINED_ON = 500  # rows: enough to learn vocabularies and labels
INPUTS: dict[str, dict[str, Any]] = {
    "numbers and a category": {"first": "number", "second": "number", "kind": "category"},
    "text of 40 words": {"text": {"type": "text", "encoder": {"kind": "mean"}}},
    "picture": {"picture": {"type": "image", "size": 64, "encoder": {"kind": "cnn"}}},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the commands in turns."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--rows", type=int, default=ROWS, help="rows predicted for the throughput")
    chosen = options.parse_args(arguments)
    began = circumstances()
    rows = 40 if chosen.smoke else chosen.rows
    with tempfile.TemporaryDirectory(prefix="sensorium-cold-start-") as name:
        folder = Path(name)
        starts = {
            "interpreter alone": ["-c", "0"],
            BASE: ["-c", "import torch"],
            "import sensorium": ["-c", "import sensorium"],
            "sensorium --help": ["-m", "sensorium.cli", "--help"],
        }
        kinds = list(INPUTS)[:1] if chosen.smoke else list(INPUTS)
        if not chosen.smoke:
            starts["first prediction, tutorial model"] = _tutorial(folder)
        throughput = _throughput(folder, rows, kinds)
        costs = in_turns(
            {title: partial(_run, command) for title, command in {**starts, **throughput}.items()},
            chosen.repeats,
        )
    many = {title: costs[title] for title in throughput if not title.endswith("1 row")}
    content = {
        "tables": {"Starts": rates({title: costs[title] for title in starts}, 1, BASE)},
        "bases": {"Starts": BASE},
        "figures": {
            "Seconds": {
                title: {
                    "CPU": spread([one.cpu for one in taken]),
                    "on the clock": spread([one.wall for one in taken]),
                }
                for title, taken in costs.items()
            },
            f"{rows:,} rows predicted": {title: _rates_after_start(costs, title, rows) for title in many},
        },
        "notes": {},
        "costs": costs,
    }
    report("cold_start", content, chosen.output, began)


def _rates_after_start(costs: dict[str, list[Cost]], title: str, rows: int) -> dict[str, dict[str, float]]:
    """Rows a second of the whole command, and without what the command takes for one row."""
    starts = costs[f"{title.partition(',')[0]}, 1 row"]
    pairs = list(zip(costs[title], starts, strict=True))
    return {
        "rows a second, start included": spread([rows / own.wall for own, _ in pairs]),
        "rows a second": spread([(rows - 1) / max(1e-3, own.wall - start.wall) for own, start in pairs]),
        "rows a CPU-second": spread([(rows - 1) / max(1e-3, own.cpu - start.cpu) for own, start in pairs]),
    }


def _run(arguments: Sequence[str]) -> Cost:
    """Runs a command of this interpreter to its end."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr}")
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall)


def _predict(run: Path, table: Path) -> list[str]:
    return ["-m", "sensorium.cli", "predict", str(run), str(table), "-o", str(run.parent / "predicted.csv")]


def _tutorial(folder: Path) -> list[str]:
    """Trains the tutorial model for an epoch; the command that predicts one row with it."""
    content = yaml.safe_load(TUTORIAL.read_text(encoding="utf-8"))
    data = (TUTORIAL.parent / content["data"]["path"]).resolve()
    content["data"]["path"] = str(data)
    content["training"]["epochs"] = 1
    run = _trained(folder, "tutorial", content)
    table = pyarrow.parquet.read_table(min(data.glob("test*.parquet"))).slice(0, 1)
    pyarrow.parquet.write_table(table, folder / "one.parquet")
    return _predict(run, folder / "one.parquet")


def _throughput(folder: Path, rows: int, kinds: Sequence[str]) -> dict[str, list[str]]:
    """Commands that predict one row and all rows, with a small model of each kind of input."""
    memory.make_mixed(folder, rows, ["parquet"])
    table = pyarrow.parquet.read_table(folder / f"{rows}.parquet")
    for name, count in (("train", min(_TRAINED_ON, rows)), ("1", 1)):
        pyarrow.parquet.write_table(table.slice(0, count), folder / f"{name}.parquet")
    commands = {}
    for title in kinds:
        recipe = {
            "data": {"path": str(folder / "train.parquet"), "cache": False},
            "inputs": INPUTS[title],
            "outputs": {"label": "category"},
            "training": {"epochs": 1},
        }
        run = _trained(folder, title.replace(" ", "-"), recipe)
        commands[f"{title}, 1 row"] = _predict(run, folder / "1.parquet")
        commands[f"{title}, {rows:,} rows"] = _predict(run, folder / f"{rows}.parquet")
    return commands


def _trained(folder: Path, name: str, recipe: dict[str, Any]) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**recipe, "name": name}), encoding="utf-8")
    _run(["-m", "sensorium.cli", "train", str(path), "--runs", str(folder / "runs")])
    return folder / "runs" / name


if __name__ == "__main__":
    main()
