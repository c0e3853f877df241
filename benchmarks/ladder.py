"""Ladders on stamps' captions and on English reviews: what every step of `tune: auto` cost and gained.

    python -m examples.reviews.build
    python -m benchmarks.ladder --output benchmarks/results/ladder.json

One text through MiniLM, and what it is about: the category of a stamp, the sentiment of a review. Reviews
are cut to a fixed sample of rows and to 128 tokens, so that the steps after the features fit in the minutes
given. Each ladder is one `sensorium train`; the model that it keeps then answers the test rows by
`sensorium predict`.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import yaml

from benchmarks.common import circumstances, parser, report, spread
from benchmarks.processes import ROOT, Spent, run
from benchmarks.trained import read, test_accuracy
from sensorium.evaluation.ladder import LadderRecord, sentences
from sensorium.evaluation.metrics import wilson


class Task(NamedTuple):
    """A table whose text tells a class.

    Attributes:
        table: Parquet, with a column `split` of train and test.
        text: column.
        label: column.
        length: tokens of a text at most.
        rows: of each part at most.
    """

    table: Path
    text: str
    label: str
    length: int
    rows: int


TASKS = {
    "stamps, captions": Task(ROOT / "examples/stamps/data", "text_en", "category", 64, 10_000),
    "English reviews": Task(ROOT / "examples/reviews/data/english.parquet", "text", "sentiment", 128, 2_000),
}
EPOCHS = 5


class Climbed(NamedTuple):
    """What came of one ladder.

    Attributes:
        record: of the run.
        spent: by the whole command.
        test: accuracy of the model kept.
        rows: of the test part.
    """

    record: LadderRecord
    spent: Spent
    test: float
    rows: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Climbs every ladder whose table is there."""
    options = parser(__doc__ or "", repeats=1)
    options.add_argument("--minutes", type=float, default=10.0, help="of each ladder")
    options.add_argument("--threads", type=int, default=2, help="threads of arithmetic")
    chosen = options.parse_args(arguments)
    began = circumstances()
    tasks = dict(list(TASKS.items())[:1]) if chosen.smoke else TASKS
    figures: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as root:
        for place, (name, task) in enumerate(tasks.items()):
            if not task.table.exists():
                notes[name] = "left out; python -m examples.reviews.build brings its table"
                continue
            folder = Path(root) / str(place)
            table = write_table(folder, task._replace(rows=20) if chosen.smoke else task)
            epochs = 1 if chosen.smoke else EPOCHS
            climbed = climb(table, task.length, epochs, chosen.minutes, chosen.threads)
            figures[name], notes[name] = steps_of(climbed), words_of(climbed)
    report("ladder", {"tables": {}, "bases": {}, "figures": figures, "notes": notes}, chosen.output, began)


def write_table(folder: Path, task: Task) -> Path:
    """`table.csv` with text, label and part: a fixed sample of the rows of each part."""
    folder.mkdir(parents=True)
    whole = pyarrow.dataset.dataset(task.table).to_table([task.text, task.label, "split"])
    path = folder / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["text", "label", "part"])
        for part in ("train", "test"):
            rows = np.flatnonzero(np.array(whole["split"].to_pylist()) == part)
            taken = np.sort(np.random.default_rng(0).permutation(rows)[: task.rows])
            for row in whole.take(pa.array(taken)).to_pylist():
                table.writerow([row[task.text], row[task.label], part])
    return path


def climb(table: Path, length: int, epochs: int, minutes: float, threads: int) -> Climbed:
    """`sensorium train` with `tune: auto`; then `sensorium predict`, which does not count."""
    folder = table.parent
    encoder = {"kind": "pretrained", "tune": "auto"}
    recipe = {
        "name": "ladder",
        "data": {
            "path": str(table),
            "split": {"column": "part", "validation": 0.2},
            "cache": str(folder / "cache"),
        },
        "inputs": {"text": {"type": "text", "length": length, "encoder": encoder}},
        "outputs": {"label": {"type": "category"}},
        "training": {"epochs": epochs, "minutes": minutes},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    sensorium, environment = [sys.executable, "-m", "sensorium.cli"], {"OMP_NUM_THREADS": str(threads)}
    spent = run([*sensorium, "train", str(path), "--runs", str(folder)], environment, folder / "train.txt")
    record = LadderRecord.from_dict(json.loads((folder / "ladder/ladder.json").read_text(encoding="utf-8")))
    answers = folder / "answers.csv"
    predicting = ["predict", str(folder / "ladder"), str(table), "-o", str(answers)]
    run([*sensorium, *predicting], environment, folder / "predict.txt")
    rows = sum(row["part"] == "test" for row in read(table))
    return Climbed(record, spent, test_accuracy(table, answers), rows)


def steps_of(climbed: Climbed) -> dict[str, Mapping[str, Any]]:
    """Step → its figures."""
    return {
        step.tune: {
            f"validation {climbed.record.metric}": spread([step.score]),
            "seconds": spread([step.seconds]),
            "epochs": spread([step.epochs]),
            "parameters trained": spread([step.trained]),
        }
        for step in climbed.record.steps
        if not step.left_out
    }


def words_of(climbed: Climbed) -> dict[str, Any]:
    """The steps in words, and what the model kept reaches."""
    low, high = wilson(climbed.test, climbed.rows)
    return {
        "steps": sentences(climbed.record),
        "test_accuracy": f"{climbed.test:.3f} ({low:.3f} to {high:.3f}), {climbed.rows:,} rows",
        "cpu_seconds": round(climbed.spent.cost.cpu, 1),
        "seconds": round(climbed.spent.cost.wall, 1),
    }


if __name__ == "__main__":
    main()
