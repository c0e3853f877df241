"""Ludwig on a made table of pictures, texts, sounds and ten classes, and Sensorium to the same accuracy.

    python -m benchmarks.peers.setup ludwig
    python -m benchmarks.ludwig --output benchmarks/results/ludwig.json                  # 4,000 rows
    python -m benchmarks.ludwig --rows 400 --repeats 5 --output benchmarks/results/ludwig_small.json

Ludwig trains two epochs. Then `sensorium train` runs with 1, 2, 3 … epochs, each time from nothing and with
an empty cache, until the model that it saves is no worse on the same validation rows than Ludwig was after
its second epoch; that whole command is what counts, from start-up to the saved model. It does so twice: with
pictures of Ludwig's 224 pixels, and with pictures of 96, which a user who only wants the accuracy would
choose. Every repeat has a seed of its own. One thread by default (see benchmarks/README.md).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import circumstances, parser, report
from benchmarks.made_table import TOPICS, write_table
from benchmarks.peers.setup import installed, interpreter
from benchmarks.processes import run
from benchmarks.trained import INPUTS, Trained, bytes_under, content_of, train_sensorium

EPOCHS = 2
"""Of Ludwig."""
MOST_EPOCHS = 20
"""Of Sensorium, after which it counts as not having come there."""
PIXELS = (224, 96)
"""A side of Sensorium's pictures; Ludwig's have 224."""
TITLE = "picture, text and sound end to end, rows of the table"


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains both, one after the other, as often as asked."""
    options = parser(__doc__ or "", repeats=1)
    options.add_argument("--rows", type=int, default=4000, help="rows of the table, at least 20")
    options.add_argument("--threads", type=int, default=1, help="threads of each library's arithmetic")
    chosen = options.parse_args(arguments)
    rows, most = (40, 1) if chosen.smoke else (chosen.rows, MOST_EPOCHS)
    with_ludwig = installed("ludwig") and not chosen.smoke
    began = circumstances()
    own: dict[str, list[Trained]] = {f"Sensorium, {pixels} pixels": [] for pixels in PIXELS}
    trained: dict[str, list[Trained]] = {"Ludwig": [], **own}
    with tempfile.TemporaryDirectory() as root:
        table = write_table(Path(root) / "table", rows)
        pictures = bytes_under(table.parent / "pictures")
        for seed in range(chosen.repeats):
            folder = Path(root) / str(seed)
            goal = 1 / len(TOPICS)
            if with_ludwig:
                trained["Ludwig"].append(train_ludwig(table, folder / "ludwig", seed, chosen.threads))
                goal = trained["Ludwig"][-1].validation
            for pixels, name in zip(PIXELS, own, strict=True):
                inputs = {**INPUTS, "picture": {**INPUTS["picture"], "size": pixels}}
                run_folder = folder / f"sensorium-{pixels}"
                one = reach(goal, table, run_folder, inputs, seed, chosen.threads, most)
                trained[name].append(one._replace(rows=rows))
    content = content_of(TITLE, trained)
    content["notes"] |= {"rows": rows, "megabytes of the pictures": round(pictures / 1e6, 1)}
    if with_ludwig:
        content["notes"]["times shorter"] = {
            name: content["tables"][TITLE][name]["times_base_on_the_clock"] for name in own
        }
    else:
        content["notes"]["Ludwig"] = "left out; python -m benchmarks.peers.setup ludwig brings it"
    report("ludwig", content, chosen.output, began)


def train_ludwig(table: Path, folder: Path, seed: int, threads: int) -> Trained:
    """Two epochs of Ludwig, in its own environment, without what an earlier run kept."""
    folder.mkdir(parents=True)
    for path in [*table.parent.glob("*.hdf5"), *table.parent.glob("*.meta.json")]:
        path.unlink()
    script = [str(interpreter("ludwig")), "-m", "benchmarks.peers.ludwig_train", str(table), str(folder)]
    command = [*script, "--epochs", str(EPOCHS), "--seed", str(seed)]
    spent = run(command, {"OMP_NUM_THREADS": str(threads)}, folder / "log.txt")
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    validation, test, rows = result.pop("validation")[-1], result.pop("test")[-1], result.pop("rows")
    return Trained(spent, rows, validation, test, {"epochs": EPOCHS, **result})


def reach(
    goal: float, table: Path, folder: Path, inputs: Mapping[str, Any], seed: int, threads: int, most: int
) -> Trained:
    """The shortest training of Sensorium whose saved model has the accuracy asked for.

    Of trainings that never come there, the longest is given, and `more` says so.
    """
    for epochs in range(1, most + 1):
        training = {"epochs": epochs, "seed": seed}
        trained = train_sensorium(table, folder / str(epochs), inputs, threads, training)
        if trained.validation >= goal:
            return trained._replace(more={**trained.more, "reached": True})
    return trained._replace(more={**trained.more, "reached": False})


if __name__ == "__main__":
    main()
