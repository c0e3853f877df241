"""The tutorial models in Sensorium: a recipe through its own trainer and loader.

Run by benchmarks/tutorial_models.py.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import Cost, cost
from benchmarks.workers import serve
from sensorium.data.cache import Cache
from sensorium.inference import collect
from sensorium.prepare import prepare
from sensorium.recipe import parse_recipe
from sensorium.training.loop import Trainer
from sensorium.training.metric import measure
from sensorium.training.progress import Silent
from sensorium.training.run import RunFolder


def main() -> None:
    """A worker; its argument is JSON: recipe, folder, threads."""
    variant = json.loads(sys.argv[1])
    torch.set_num_threads(variant["threads"])
    folder = Path(variant["folder"])
    tutorial = Tutorial(variant["recipe"], folder)

    def first() -> Cost:
        tutorial.forget()
        return cost(tutorial.epoch)

    serve({"first epoch": first, "later epoch": lambda: cost(tutorial.epoch), "about": tutorial.describe})


class Tutorial:
    """A model under training.

    Args:
        content: the recipe.
        folder: holds the table; caches go there.
    """

    def __init__(self, content: dict[str, Any], folder: Path) -> None:
        self.recipe, self.folder = parse_recipe(content, folder=folder), folder
        self.trainer = Trainer(prepare(self.recipe), RunFolder(folder / "run"), Silent())

    def forget(self) -> None:
        """Makes the coming epoch a first one: a new loader, and an empty cache."""
        prepared = prepare(self.recipe)
        prepared.loader.cache = Cache(self.folder / f"cache-{time.monotonic_ns()}")
        self.trainer.prepared = prepared

    def epoch(self) -> None:
        """One epoch of the trainer, up to where it validates and writes checkpoints, as no peer does."""
        progress = self.trainer.state.progress
        self.trainer._train_epoch()
        progress.epoch, progress.batches = progress.epoch + 1, 0

    def describe(self) -> dict[str, Any]:
        """Parameters, precision, how good the model is on the test rows, and what the processor could do."""
        trainer, state = self.trainer, self.trainer.state
        rows, loader = trainer.prepared.parts["test"], trainer.prepared.loader
        measured = measure(state.model, collect(state.model, loader, rows))
        return {
            "parameters": state.parameters()[0],
            "absent_tokens": sum(token.numel() for token in state.model.absent.values()),
            "loss": round(measured["loss"], 3),
            "accuracy": round(measured["label.accuracy"], 3),
            "precision": state.precision,
            "micro_batch": trainer.micro_batch,
            "matrix_gflops": round(matrix_gflops(), 1),
        }


def matrix_gflops(side: int = 2048) -> float:
    """10⁹ operations a CPU-second of a product of square matrices in bf16: the best of five, one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    one, other = (torch.randn(side, side).bfloat16() for _ in range(2))
    taken = [cost(lambda: one @ other).cpu for _ in range(6)]
    torch.set_num_threads(threads)
    return 2 * side**3 / min(taken[1:]) / 1e9


if __name__ == "__main__":
    main()
