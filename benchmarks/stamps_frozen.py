"""Stamps from frozen pretrained features of picture and caption: how good, over five splits, and how soon.

    python -m benchmarks.peers.setup autogluon
    python -m benchmarks.stamps_frozen --output benchmarks/results/stamps_frozen.json

Each split is trained twice by the command line: from nothing cached, and from the cache of the first time;
what counts is the whole command. The first split is the examples' own; the others divide the captions, in
small letters, by a hash, so that twins stay on one side. Beside it stand the majority, logistic regression
over words, and AutoGluon MultiModal on the first split: it finetunes the same text model, and a picture model
from random weights, as no package brings others.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.dataset
import yaml

from benchmarks.autogluon import train_autogluon
from benchmarks.common import Cost, circumstances, parser, rates, report
from benchmarks.peers.setup import installed
from benchmarks.processes import ROOT, run
from benchmarks.trained import Trained, read, summary, test_accuracy
from sensorium.evaluation.metrics import wilson

STAMPS = ROOT / "examples" / "stamps" / "data"
INPUTS: Mapping[str, Any] = {
    "picture": {"type": "image", "resize": "pad", "encoder": {"kind": "pretrained"}},
    "text": {"type": "text", "encoder": {"kind": "pretrained"}},
}
FEATURE_DROPOUT = 0.4
"""Found by validation for the projections of the similarity output; without it the mean accuracy is 0.855."""
NOTHING, CACHED = "Sensorium, nothing cached", "Sensorium, from the cache"
AUTOGLUON = "AutoGluon MultiModal"


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains on every split, and AutoGluon on the first."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--threads", type=int, default=2, help="threads of each library's arithmetic")
    options.add_argument("--peer-epochs", type=int, default=10, help="of AutoGluon")
    chosen = options.parse_args(arguments)
    began = circumstances()
    trained: dict[str, list[Trained]] = {NOTHING: [], CACHED: []}
    simple: list[dict[str, float]] = []
    peer: Trained | None = None
    with tempfile.TemporaryDirectory() as root:
        for number in range(1 if chosen.smoke else chosen.repeats):
            table = write_split(Path(root) / str(number), number, most=12 if chosen.smoke else None)
            for name in (NOTHING, CACHED):
                trained[name].append(train(table, name, chosen.threads, epochs=1 if chosen.smoke else 20))
            simple.append(simple_accuracies(table))
            if number == 0 and installed("autogluon") and not chosen.smoke:
                folder = table.parent / "autogluon"
                peer = train_autogluon(table, folder, 0, chosen.threads, chosen.peer_epochs)
    report("stamps_frozen", content_of(trained, simple, peer), chosen.output, began)


def write_split(folder: Path, number: int, most: int | None = None) -> Path:
    """`table.csv` with picture, text, label and part, and the pictures beside it.

    Args:
        folder: to make and fill.
        number: of the split; 0 is the examples' own.
        most: rows of each part at most.
    """
    columns = ["id", "image", "text_en", "category", "split"]
    rows = pyarrow.dataset.dataset(STAMPS).to_table(columns).to_pylist()
    (folder / "pictures").mkdir(parents=True)
    path, counts = folder / "table.csv", dict.fromkeys(("train", "validation", "test"), 0)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["picture", "text", "label", "part"])
        table.writeheader()
        for place, row in enumerate(rows):
            part = part_of(row, number)
            counts[part] += 1
            if most is None or counts[part] <= most:
                picture = f"pictures/{place:04d}.png"
                (folder / picture).write_bytes(row["image"])
                table.writerow(
                    {"picture": picture, "text": row["text_en"], "label": row["category"], "part": part}
                )
    return path


def part_of(row: Mapping[str, Any], number: int) -> str:
    """Where a row belongs: a fifth of the captions tests, a tenth of the others validates."""
    caption = str(row["text_en"] or row["id"]).lower()
    digest = hashlib.sha256(f"{number} {caption}".encode()).digest()
    tests = row["split"] == "test" if number == 0 else digest[0] < 256 / 5
    if tests:
        return "test"
    return "validation" if digest[1] < 256 / 10 else "train"


def train(table: Path, name: str, threads: int, epochs: int) -> Trained:
    """`sensorium train`, with a cache in the table's folder; then `sensorium predict`, not counted."""
    folder = table.parent / ("first" if name == NOTHING else "second")
    folder.mkdir()
    recipe = {
        "name": "stamps",
        "data": {"path": str(table), "split": {"column": "part"}, "cache": str(table.parent / "cache")},
        "inputs": dict(INPUTS),
        "outputs": {"label": {"type": "category", "label_smoothing": 0.1}},
        "training": {"epochs": epochs, "feature_dropout": FEATURE_DROPOUT},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    environment = {"OMP_NUM_THREADS": str(threads), "SENSORIUM_CACHE": str(table.parent / "weights")}
    sensorium = [sys.executable, "-m", "sensorium.cli"]
    command = [*sensorium, "train", str(folder / "recipe.yaml"), "--runs", str(folder)]
    spent = run(command, environment, folder / "train.txt")
    history = [json.loads(line) for line in (folder / "stamps" / "history.jsonl").read_text().splitlines()]
    answers = folder / "answers.csv"
    predicting = ["predict", str(folder / "stamps"), str(table), "-o", str(answers)]
    run([*sensorium, *predicting], environment, folder / "predict.txt")
    validation = max(epoch["validation"]["label.accuracy"] for epoch in history)
    rows = sum(row["part"] == "train" for row in read(table))
    return Trained(spent, rows, validation, test_accuracy(table, answers), {"epochs": len(history)})


def simple_accuracies(table: Path) -> dict[str, float]:
    """Test accuracy of the majority, and of logistic regression over words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    rows = read(table)
    learned = [row for row in rows if row["part"] != "test"]
    tested = [row for row in rows if row["part"] == "test"]
    labels = [row["label"] for row in learned]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    seen = words.fit_transform(row["text"] for row in learned)
    model = LogisticRegression(C=10, max_iter=2000).fit(seen, labels)
    truth = [row["label"] for row in tested]
    return {
        "rows": float(len(tested)),
        "majority": truth.count(max(set(labels), key=labels.count)) / len(truth),
        "words": float(model.score(words.transform(row["text"] for row in tested), truth)),
    }


def content_of(
    trained: Mapping[str, Sequence[Trained]], simple: Sequence[Mapping[str, float]], peer: Trained | None
) -> dict[str, Any]:
    """The result as `report` takes it."""
    title = "stamps, picture and caption, trainings"
    costs = {name: [Cost(*one.spent.cost) for one in runs] for name, runs in trained.items()}
    notes: dict[str, Any] = {name: summary(runs) for name, runs in trained.items()}
    notes["test accuracy, 95 % interval, majority and words of each split"] = [
        {
            "accuracy": round(one.test, 3),
            "interval": [round(end, 3) for end in wilson(one.test, int(other["rows"]))],
            "rows": int(other["rows"]),
            "majority": round(other["majority"], 3),
            "words": round(other["words"], 3),
        }
        for one, other in zip(trained[NOTHING], simple, strict=True)
    ]
    if peer is None:
        notes[AUTOGLUON] = "left out; python -m benchmarks.peers.setup autogluon brings it"
    else:
        notes[AUTOGLUON] = summary([peer])
    return {"tables": {title: rates(costs, 1, NOTHING)}, "bases": {title: NOTHING}, "notes": notes}


if __name__ == "__main__":
    main()
