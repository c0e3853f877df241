"""Ludwig on a made table of pictures, texts, sounds and ten classes, end to end, and Sensorium to the same end.

    python -m benchmarks.peers.install ludwig
    python -m benchmarks.ludwig --output benchmarks/results/ludwig.json                            # 4,000 rows
    python -m benchmarks.ludwig --rows 400 --repeats 5 --output benchmarks/results/ludwig_small.json

Ludwig trains two epochs. Then `sensorium train` runs with 1, 2, 3 … epochs, each time from nothing and with
an empty cache, until the model that it saves is no worse on the same validation rows than Ludwig was after
its second epoch; that whole command is what counts, from start-up to the saved model. Every repeat has a
seed of its own. One thread by default (see benchmarks/README.md).
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks.common import Cost, circumstances, parser, rates, report, spread
from benchmarks.made_table import TOPICS, write_table
from benchmarks.peers.install import installed, interpreter
from benchmarks.processes import Spent, run

EPOCHS = 2
"""Of Ludwig."""
MOST_EPOCHS = 20
"""Of Sensorium, after which it counts as not having come there."""
TITLE = "picture, text and sound end to end, rows of the table"
LEFT_OUT = "left out: python -m benchmarks.peers.install ludwig"


class Trained(NamedTuple):
    """One training.

    Attributes:
        spent: by the whole command.
        validation: accuracy on the validation rows at the end.
        test: accuracy on the test rows.
        epochs: how many.
        cache_bytes: what is kept of the decoded table.
        more: what else there is to say.
    """

    spent: Spent
    validation: float
    test: float
    epochs: int
    cache_bytes: int
    more: dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains both, one after the other, as often as asked."""
    options = parser(__doc__ or "", repeats=1)
    options.add_argument("--rows", type=int, default=4000, help="rows of the table, at least 20")
    options.add_argument("--threads", type=int, default=1, help="threads of each library's arithmetic")
    chosen = options.parse_args(arguments)
    rows = 40 if chosen.smoke else chosen.rows
    began = circumstances()
    trained: dict[str, list[Trained]] = {"Ludwig": [], "Sensorium": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write_table(folder / "table", rows)
        for seed in range(chosen.repeats):
            goal = 1 / len(TOPICS)
            if installed("ludwig") and not chosen.smoke:
                trained["Ludwig"].append(train_ludwig(table, folder / f"ludwig-{seed}", seed, chosen.threads))
                goal = trained["Ludwig"][-1].validation
            most = 1 if chosen.smoke else MOST_EPOCHS
            own = reach(goal, table, folder / f"sensorium-{seed}", seed, chosen.threads, most)
            trained["Sensorium"].append(own)
        pictures = sum(path.stat().st_size for path in (table.parent / "pictures").iterdir())
    report("ludwig", content_of(trained, rows, pictures), chosen.output, began)


def train_ludwig(table: Path, folder: Path, seed: int, threads: int) -> Trained:
    """Two epochs of Ludwig, in its own environment."""
    folder.mkdir()
    for path in [*table.parent.glob("*.hdf5"), *table.parent.glob("*.meta.json")]:
        path.unlink()  # the cache of the run before
    script = [str(interpreter("ludwig")), "-m", "benchmarks.peers.ludwig_train", str(table), str(folder)]
    command = [*script, "--epochs", str(EPOCHS), "--seed", str(seed)]
    spent = run(command, {"OMP_NUM_THREADS": str(threads)}, folder / "log.txt")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    more = {key: result[key] for key in ("seconds", "versions", "replaced")}
    accuracies = result["validation"][-1], result["test"][-1]
    return Trained(spent, *accuracies, EPOCHS, result["cache_bytes"], more)


def reach(goal: float, table: Path, folder: Path, seed: int, threads: int, most: int) -> Trained:
    """The shortest training of Sensorium whose saved model has the accuracy asked for.

    Of a training that never comes there, the longest is given, and `more` says so.
    """
    for epochs in range(1, most + 1):
        trained = train_sensorium(table, folder / str(epochs), seed, threads, epochs)
        if trained.validation >= goal:
            return trained
    return trained._replace(more={"reached": False})


def train_sensorium(table: Path, folder: Path, seed: int, threads: int, epochs: int) -> Trained:
    """`sensorium train` for so many epochs, from nothing; then `sensorium predict`, which does not count."""
    folder.mkdir(parents=True)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(table, seed, epochs), sort_keys=False), encoding="utf-8")
    environment = {"OMP_NUM_THREADS": str(threads)}
    sensorium = [sys.executable, "-m", "sensorium.cli"]
    training = [*sensorium, "train", str(path), "--runs", str(folder)]
    spent = run(training, environment, folder / "log.txt")
    lines = (folder / "made" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    validation = max(json.loads(line)["validation"]["label.accuracy"] for line in lines)
    answers = folder / "predictions.csv"
    predicting = [*sensorium, "predict", str(folder / "made"), str(table), "-o", str(answers)]
    run(predicting, environment, folder / "predict.txt")
    cache = sum(one.stat().st_size for one in (folder / "cache").rglob("*") if one.is_file())
    return Trained(spent, validation, test_accuracy(table, answers), epochs, cache, {})


def recipe(table: Path, seed: int, epochs: int) -> dict[str, Any]:
    """The same columns at the same sizes, each with a small convolutional encoder, in batches of 32 too."""
    return {
        "name": "made",
        "data": {"path": str(table), "split": {"column": "part"}, "cache": "cache"},
        "inputs": {
            "picture": {"type": "image", "size": 224, "encoder": {"kind": "cnn"}},
            "text": {"type": "text", "tokenizer": "word", "length": 100, "encoder": {"kind": "cnn"}},
            "sound": {"type": "audio", "seconds": 2, "rate": 16_000, "encoder": {"kind": "cnn"}},
        },
        "fusion": "concat",
        "outputs": {"label": {"type": "category"}},
        "training": {"epochs": epochs, "batch_size": 32, "seed": seed, "early_stop": None},
    }


def test_accuracy(table: Path, answers: Path) -> float:
    """The share of test rows that were answered rightly; answers stand in the order of the table."""
    with table.open(encoding="utf-8") as first, answers.open(encoding="utf-8") as second:
        pairs = list(zip(csv.DictReader(first), csv.DictReader(second), strict=True))
    right = [row["label"] == answer["label_prediction"] for row, answer in pairs if row["part"] == "test"]
    return sum(right) / len(right)


def content_of(trained: dict[str, list[Trained]], rows: int, pictures: int) -> dict[str, Any]:
    """The result as `report` takes it."""
    costs: dict[str, list[Cost]] = {
        name: [one.spent.cost for one in runs] for name, runs in trained.items() if runs
    }
    base = next(iter(costs))
    notes = {name: summary(runs, pictures) if runs else LEFT_OUT for name, runs in trained.items()}
    table = rates(costs, rows, base)
    if len(costs) > 1:
        notes["times shorter on the clock"] = table["Sensorium"]["times_base_on_the_clock"]
    return {
        "tables": {TITLE: table},
        "bases": {TITLE: base},
        "notes": notes,
        "costs": costs,
        "rows": rows,
        "trained": {name: [one._asdict() for one in runs] for name, runs in trained.items()},
    }


def summary(runs: Sequence[Trained], pictures: int) -> dict[str, Any]:
    """What one variant took and reached."""
    return {
        "seconds": spread([one.spent.cost.wall for one in runs]),
        "epochs": [one.epochs for one in runs],
        "validation_accuracy": [round(one.validation, 3) for one in runs],
        "test_accuracy": [round(one.test, 3) for one in runs],
        "peak_gib": max(one.spent.peak_gib for one in runs),
        "cache_times_the_pictures": round(max(one.cache_bytes for one in runs) / pictures, 1),
        **runs[-1].more,
    }


if __name__ == "__main__":
    main()
