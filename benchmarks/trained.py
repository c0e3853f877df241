"""A training from the command line on a made table, measured whole: time, memory and how good it became."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks.common import Cost, rates
from benchmarks.processes import Spent, run

PICTURE_ENCODER = {"kind": "cnn", "channels": [16, 32, 64, 64], "norm": "none", "pool": "mean"}
"""The mean over places, as the pictures' stripes are everywhere; few filters, as they are simple."""
SOUND_ENCODER = {"kind": "cnn", "channels": [16, 32, 64]}
INPUTS: Mapping[str, dict[str, Any]] = {
    "picture": {"type": "image", "size": 224, "augment": False, "encoder": PICTURE_ENCODER},
    "text": {"type": "text", "tokenizer": "word", "length": 100, "encoder": {"kind": "cnn"}},
    "sound": {"type": "audio", "seconds": 2, "rate": 16_000, "encoder": SOUND_ENCODER},
}
"""The columns of `made_table`, each with a small convolutional encoder that is trained from scratch."""


class Trained(NamedTuple):
    """One training.

    Attributes:
        spent: by the whole command, from start-up to the saved model.
        rows: what it worked off, which its rate is counted in.
        validation: accuracy of the saved model on the validation rows.
        test: accuracy on the test rows.
        more: what else there is to say.
    """

    spent: Spent
    rows: int
    validation: float
    test: float
    more: dict[str, Any]


def train_sensorium(
    table: Path, folder: Path, inputs: Mapping[str, Any], threads: int, training: Mapping[str, Any]
) -> Trained:
    """`sensorium train` from nothing, with an empty cache; then `sensorium predict`, which does not count.

    Args:
        table: of `made_table`.
        folder: to make, for the recipe, the cache and the run.
        inputs: of the recipe, such as `INPUTS`.
        threads: of arithmetic.
        training: fields of the recipe's `training`, such as `{"epochs": 5, "seed": 0}`.
    """
    folder.mkdir(parents=True)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(table, inputs, training), sort_keys=False), encoding="utf-8")
    environment, sensorium = {"OMP_NUM_THREADS": str(threads)}, [sys.executable, "-m", "sensorium.cli"]
    spent = run([*sensorium, "train", str(path), "--runs", str(folder)], environment, folder / "train.txt")
    lines = (folder / "made" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    validation = max(json.loads(line)["validation"]["label.accuracy"] for line in lines)
    rows = sum(row["part"] == "train" for row in read(table)) * len(lines)
    answers = folder / "answers.csv"
    predicting = ["predict", str(folder / "made"), str(table), "-o", str(answers)]
    run([*sensorium, *predicting], environment, folder / "predict.txt")
    more = {"epochs": len(lines), "cache_bytes": bytes_under(folder / "cache")}
    return Trained(spent, rows, validation, test_accuracy(table, answers), more)


def recipe(table: Path, inputs: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """What Sensorium trains: `inputs` joined by the default fusion, in batches of 32."""
    return {
        "name": "made",
        "data": {"path": str(table), "split": {"column": "part"}, "cache": "cache"},
        "inputs": dict(inputs),
        "fusion": "concat",
        "outputs": {"label": {"type": "category"}},
        "training": {"batch_size": 32, "early_stop": None, **training},
    }


def test_accuracy(table: Path, answers: Path) -> float:
    """The share of test rows that were answered rightly; answers stand in the order of the table."""
    pairs = zip(read(table), read(answers), strict=True)
    right = [row["label"] == answer["label_prediction"] for row, answer in pairs if row["part"] == "test"]
    return sum(right) / len(right)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def bytes_under(folder: Path) -> int:
    """What all files in a folder hold together."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def content_of(title: str, trained: Mapping[str, Sequence[Trained]]) -> dict[str, Any]:
    """The result of all variants, the first that has any being the base, as `report` takes it.

    Args:
        title: of the table.
        trained: variant → its repeats, taken in turns; empty where it was left out.
    """
    costs = {name: [_a_row(one) for one in runs] for name, runs in trained.items() if runs}
    base = next(iter(costs))
    return {
        "tables": {title: rates(costs, 1, base)},
        "bases": {title: base},
        "notes": {name: summary(runs) for name, runs in trained.items() if runs},
        "trained": {name: [one._asdict() for one in runs] for name, runs in trained.items()},
    }


def _a_row(one: Trained) -> Cost:
    return Cost(one.spent.cost.cpu / one.rows, one.spent.cost.wall / one.rows)


def summary(runs: Sequence[Trained]) -> dict[str, Any]:
    """What one variant took and reached, in words that a reader can compare."""
    return {
        "seconds": [round(one.spent.cost.wall, 1) for one in runs],
        "cpu_seconds": [round(one.spent.cost.cpu, 1) for one in runs],
        "validation_accuracy": [round(one.validation, 3) for one in runs],
        "test_accuracy": [round(one.test, 3) for one in runs],
        "peak_gib": max(one.spent.peak_gib for one in runs),
        **{key: [one.more[key] for one in runs] for key in runs[0].more if key in ("epochs", "reached")},
        **{key: value for key, value in runs[-1].more.items() if key not in ("epochs", "reached")},
    }
