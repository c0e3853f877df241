"""The run folders of a comparison: trained where they are not finished yet, then asked for their answers."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.comparison.scores import Answers, answers_of
from sensorium.comparison.variants import Variant
from sensorium.data.loader import Rows
from sensorium.data.table import Table
from sensorium.errors import SensoriumError
from sensorium.fitting import train_in
from sensorium.recipe import Recipe
from sensorium.training.progress import Reporter, Silent
from sensorium.training.run import RunFolder


@dataclass(frozen=True)
class Runs:
    """The run folders of a comparison, one a variant and seed."""

    home: Path
    table: Table
    rows: Rows
    data: Any
    fresh: bool
    announcer: Announcer

    def try_variant(self, variant: Variant, seeds: Sequence[int]) -> Tried:
        """Trains a variant with every seed; a reason against it is kept in place of its answers."""
        answers: list[dict[str, Answers]] = []
        parameters = 0
        try:
            if variant.recipe is None:
                raise SensoriumError(variant.refused)
            for seed in seeds:
                recipe = with_seed(variant.recipe, seed)
                folder = self.home / _folder_name(variant.name, seed, recipe)
                answers.append(self._run(f"{variant.name}, seed {seed}", recipe, folder))
                manifest = RunFolder(folder).read_manifest()
                parameters = manifest.get("trained_parameters", manifest["parameters"])
        except SensoriumError as error:
            self.announcer.run_ended(variant.name, f"refused: {error}", len(seeds) - len(answers))
            return Tried(replace(variant, refused=str(error)), [], 0)
        return Tried(variant, answers, parameters)

    def _run(self, name: str, recipe: Recipe, folder: Path) -> dict[str, Answers]:
        began = time.monotonic()
        finished = not self.fresh and RunFolder(folder).finished
        train_in(recipe, folder, self.announcer, data=self.data, fresh=self.fresh)
        answers = answers_of(folder, recipe, self.table, self.rows)
        everything = np.arange(len(self.rows))
        scores = [
            f"{one.head.metric} {one.metrics(everything)[one.head.metric]:.4g}" for one in answers.values()
        ]
        how = "was trained before" if finished else f"{time.monotonic() - began:.0f} s"
        self.announcer.run_ended(name, f"{', '.join(scores)} ({how})")
        return answers


@dataclass(frozen=True)
class Tried:
    """A variant after its training: the answers of every seed, by output; none where it was refused."""

    variant: Variant
    answers: list[dict[str, Answers]]
    parameters: int


class Announcer(Silent):
    """One line a run, and each warning once, in place of all that a run says.

    Args:
        reporter: hears the lines.
        total: how many runs there will be.
    """

    def __init__(self, reporter: Reporter, total: int) -> None:
        self.reporter, self.total = reporter, total
        self.done = 0
        self.said: set[str] = set()

    def say(self, line: str) -> None:
        """Passes a warning on, once."""
        if line.startswith(("warning:", "unreadable:")) and line not in self.said:
            self.said.add(line)
            self.reporter.say(line)

    def run_ended(self, name: str, what: str, runs: int = 1) -> None:
        """Says what became of a run, or of the several that were left out with it."""
        self.done += runs
        self.reporter.say(f"{self.done}/{self.total}  {name}: {what}")


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """The same recipe, trained with another seed."""
    return replace(recipe, training=recipe.training.model_copy(update={"seed": seed}))


def _folder_name(name: str, seed: int, recipe: Recipe) -> str:
    """A name to read, and the recipe's digest, so that another recipe has a folder of its own."""
    readable = re.sub(r"[^\w.=-]+", "-", name).strip("-.")[:60]
    return f"{readable}-seed-{seed}-{recipe.digest()[:8]}"
