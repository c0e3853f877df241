"""AutoGluon MultiModal on pictures and texts of ten classes: training rows a second, how good in what time.

    python -m benchmarks.peers.setup autogluon
    python -m benchmarks.autogluon --output benchmarks/results/autogluon.json            # 4,000 rows
    python -m benchmarks.autogluon --rows 400 --repeats 5 --output benchmarks/results/autogluon_small.json

AutoGluon finetunes a pretrained text model beside a picture model from random weights for two epochs, its
schedule run to the end. Sensorium trains encoders from scratch, pictures at half the side, for a number of
epochs that takes no longer on the clock: the notes say what each took and reached. A row counts as often as
it went forward and backward; the time is that of the whole command, from start-up to the saved model. Every
repeat has a seed of its own. One thread by default (see benchmarks/README.md).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import circumstances, parser, report
from benchmarks.made_table import write_table
from benchmarks.peers.setup import installed, interpreter
from benchmarks.processes import run
from benchmarks.trained import INPUTS, Trained, content_of, train_sensorium

PICTURE_AND_TEXT = {"picture": {**INPUTS["picture"], "size": 112}, "text": INPUTS["text"]}
TITLE = "picture and text, training rows"


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains both, one after the other, as often as asked."""
    options = parser(__doc__ or "", repeats=1)
    options.add_argument("--rows", type=int, default=4000, help="rows of the table, at least 20")
    options.add_argument("--threads", type=int, default=1, help="threads of each library's arithmetic")
    options.add_argument("--peer-epochs", type=int, default=2, help="of AutoGluon")
    options.add_argument("--epochs", type=int, default=20, help="of Sensorium")
    chosen = options.parse_args(arguments)
    rows, epochs = (40, 1) if chosen.smoke else (chosen.rows, chosen.epochs)
    with_autogluon = installed("autogluon") and not chosen.smoke
    began = circumstances()
    trained: dict[str, list[Trained]] = {"AutoGluon MultiModal": [], "Sensorium": []}
    with tempfile.TemporaryDirectory() as name:
        table = write_table(Path(name) / "table", rows)
        for seed in range(chosen.repeats):
            folder = Path(name) / str(seed)
            if with_autogluon:
                peer = train_autogluon(table, folder / "autogluon", seed, chosen.threads, chosen.peer_epochs)
                trained["AutoGluon MultiModal"].append(peer)
            training = {"epochs": epochs, "seed": seed}
            own = train_sensorium(table, folder / "sensorium", PICTURE_AND_TEXT, chosen.threads, training)
            trained["Sensorium"].append(own)
    content = content_of(TITLE, trained)
    content["notes"]["rows"] = rows
    if not with_autogluon:
        advice = "left out; python -m benchmarks.peers.setup autogluon brings it"
        content["notes"]["AutoGluon MultiModal"] = advice
    report("autogluon", content, chosen.output, began)


def train_autogluon(table: Path, folder: Path, seed: int, threads: int, epochs: int) -> Trained:
    """AutoGluon in its own environment; then its accuracies, which do not count."""
    folder.mkdir(parents=True)
    script = [str(interpreter("autogluon")), "-m", "benchmarks.peers.autogluon_train"]
    files, environment = [str(table), str(folder)], {"OMP_NUM_THREADS": str(threads)}
    fitting = [*script, "fit", *files, "--epochs", str(epochs), "--seed", str(seed)]
    spent = run(fitting, environment, folder / "fit.txt")
    run([*script, "test", *files], environment, folder / "test.txt")
    fitted: dict[str, Any] = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
    scores = json.loads((folder / "test.json").read_text(encoding="utf-8"))
    return Trained(
        spent, fitted.pop("training_rows"), scores["validation"], scores["test"], {"epochs": epochs, **fitted}
    )


if __name__ == "__main__":
    main()
