"""`tune: auto`: pretrained weights are tuned in steps of rising cost, each only while the one before paid."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sensorium.data.column import Cells
from sensorium.encoders.pretrained.config import PretrainedConfig
from sensorium.errors import MissingPackage, RecipeError, SensoriumError
from sensorium.evaluation.evaluate import plain
from sensorium.evaluation.ladder import LadderRecord, Step, step_sentence
from sensorium.evaluation.metrics import Interval, affordable_resamples, bootstrap
from sensorium.features import use_features
from sensorium.heads.head import Rows as DrawnRows
from sensorium.inference import Collected, collect
from sensorium.model import Model
from sensorium.predict import load
from sensorium.prepare import Prepared, new_loader
from sensorium.recipe import Recipe
from sensorium.training.checkpoint import load_checkpoint
from sensorium.training.metric import higher_is_better, measure, stop_metric
from sensorium.training.progress import Reporter
from sensorium.training.run import RunFolder, write_atomically

STEPS = ("frozen", "head", "lora", "full")
"""From cheap to dear: a linear answer from frozen features, small layers on them, low-rank updates, all."""
TRIED = "ladder.json"
"""In the run folder: every step, its cost and its gain."""
KEPT = ("history.jsonl", "quarantine.jsonl", "learning_curves.svg")
"""Files of the best step that become those of the run."""


class Answers(NamedTuple):
    """What the model of a step says of the validation rows."""

    model: Model
    collected: Collected


class Ladder:
    """Climbs in one run folder, from the first step or from where it was stopped.

    Each step is a training of its own in `steps/NAME`, with the same split and seed. The next one is taken
    only while the last gained beyond noise, and while `training.minutes`, which are for the whole ladder,
    seem to last for it. The model of the best step becomes that of the run.

    Args:
        prepared: the first step's table and split.
        recipe: with `tune: auto`.
        folder: of the run, locked by the caller.
        reporter: hears of progress.
        train: trains the recipe of a step in a folder, or goes on there.
        try_out: recipe of a step → the seconds that one epoch may take, from a few steps.

    Raises:
        SensoriumError: when there are no validation rows, or ladder.json is of another table.
    """

    def __init__(
        self,
        prepared: Prepared,
        recipe: Recipe,
        folder: RunFolder,
        reporter: Reporter,
        train: Callable[[Recipe, Path], Path],
        try_out: Callable[[Recipe], float],
    ) -> None:
        self.prepared, self.recipe, self.folder, self.reporter = prepared, recipe, folder, reporter
        self.train, self.try_out = train, try_out
        self.rows = prepared.parts["validation"]
        if not len(self.rows):
            raise RecipeError(
                "tune: auto compares its steps on validation rows, and data.split holds none back"
            )

    def climb(self) -> None:
        """Takes step after step, and keeps the model of the best.

        Raises:
            Stopped: after an interrupt; the same call goes on from there.
        """
        while not self._end():
            self._take(STEPS[len(self.record.steps)])
        self._keep_best()

    @cached_property
    def record(self) -> LadderRecord:
        """Every step so far."""
        return self._read()

    def _end(self) -> str:
        """Why there is no further step; "" where there is one."""
        record, taken = self.record, self._taken()
        if taken and not taken[-1].beyond_noise:
            record.ended = f"{taken[-1].tune} gained nothing beyond noise"
        elif len(record.steps) == len(STEPS):
            record.ended = "there is no further step"
        return record.ended

    def _take(self, tune: str) -> None:
        """Trains a step and compares it, or leaves it out."""
        recipe = step_recipe(self.recipe, tune, self._minutes_left())
        began = time.monotonic()
        try:
            reason = self._reason_against(recipe) if self.record.steps else ""
        except (RecipeError, MissingPackage) as error:  # such as low-rank updates without linear layers
            self._note(Step(tune, left_out=str(error)))
            return
        if reason:
            self.record.ended = f"{tune} was left out, as {reason}"
            self._note(Step(tune, left_out=reason))
            return
        self.record.spent += time.monotonic() - began
        self.reporter.say(f"step {tune}, {STEPS.index(tune) + 1} of at most {len(STEPS)}")
        self.train(recipe, self._home(tune))
        self._note(self._compared(tune))

    def _reason_against(self, recipe: Recipe) -> str:
        """Why there is no time for a step; "" where there is. Says how long it may take."""
        began, epochs = time.monotonic(), self._taken()[-1].epochs
        seconds = self.try_out(recipe) * epochs
        words = f"about {seconds / 60:.1f} minutes for {epochs} epochs"
        minutes = recipe.training.minutes
        left = math.inf if minutes is None else 60 * minutes - (time.monotonic() - began)
        if seconds > left:
            return f"it may take {words}, and {max(0.0, left) / 60:.1f} of training.minutes are left"
        self.reporter.say(f"the next step may take {words}, as many as the last one took")
        return ""

    def _compared(self, tune: str) -> Step:
        """The record of a step that is trained, beside the best before it."""
        began = time.monotonic()
        _, saved = load_checkpoint(RunFolder(self._home(tune)).last)
        own, taken = self._answers(tune), self._taken()
        gain = None
        if taken:
            gain = paired_gain(
                self.record.metric, self._answers(best_step(taken, self.record.metric).tune), own
            )
        self.record.spent += saved["progress"]["seconds"] + time.monotonic() - began
        return Step(
            tune,
            seconds=saved["progress"]["seconds"],
            epochs=len(saved["progress"]["history"]),
            trained=RunFolder(self._home(tune)).read_manifest()["trained_parameters"],
            score=measure(*own)[self.record.metric],
            gain=gain,
        )

    def _answers(self, tune: str) -> Answers:
        predictor = load(self._home(tune))
        loader = new_loader(self.recipe, self.prepared.table, predictor.inputs, predictor.targets)
        use_features(predictor.model, loader, self.rows, say=lambda line: None)
        return Answers(predictor.model, collect(predictor.model, loader, self.rows, say=self.reporter.say))

    def _minutes_left(self) -> float | None:
        """Of `training.minutes`; None without a limit."""
        minutes = self.recipe.training.minutes
        return None if minutes is None else max(1e-3, minutes - self.record.spent / 60)

    def _taken(self) -> list[Step]:
        return [step for step in self.record.steps if not step.left_out]

    def _home(self, tune: str) -> Path:
        return self.folder.path / "steps" / tune

    def _note(self, step: Step) -> None:
        """Says and keeps what became of a step."""
        self.record.steps.append(step)
        self.reporter.say(step_sentence(step))
        self._write()

    def _keep_best(self) -> None:
        """Makes the model of the best step that of the run."""
        best = best_step(self._taken(), self.record.metric)
        self.record.best = best.tune
        self._write()
        home, whole = RunFolder(self._home(best.tune)), plain(self.record)
        about = json.loads((home.model / "model.json").read_text(encoding="utf-8"))
        try:
            self.folder.remove_older_model()
            shutil.copytree(home.model, self.folder.model)
            write_atomically(self.folder.model / "model.json", _json({**about, "ladder": whole}))
            for name in KEPT:
                if (home.path / name).exists():
                    shutil.copyfile(home.path / name, self.folder.path / name)
        except OSError as error:
            raise SensoriumError(f"{self.folder.model}: cannot be written ({error.strerror})") from None
        manifest = {**home.read_manifest(), "recipe_digest": self.recipe.digest(), "ladder": whole}
        self.folder.write_manifest(manifest)
        self.reporter.say(f"the ladder ended: {self.record.ended}; the model is that of the step {best.tune}")

    def _read(self) -> LadderRecord:
        """The record of the steps before; a new one where there are none."""
        path, digest = self.folder.path / TRIED, self.prepared.table.digest()
        if not path.exists():
            return LadderRecord(stop_metric(self.recipe), len(self.rows), digest)
        try:
            record = LadderRecord.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise SensoriumError(f"{path} is damaged ({error}); start over with --fresh") from None
        if record.table != digest:
            raise SensoriumError(
                f"{path}: the table has changed since its first step; start over with --fresh"
            )
        return record

    def _write(self) -> None:
        path = self.folder.path / TRIED
        try:
            write_atomically(path, _json(plain(self.record)))
        except OSError as error:
            raise SensoriumError(f"{path}: cannot be written ({error.strerror})") from None


def step_recipe(recipe: Recipe, tune: str, minutes: float | None = None) -> Recipe:
    """The recipe of a step: every input with `tune: auto` in the manner of the step.

    For the first step, a fusion by `concat` has no hidden layer, so that answers are linear in the features.
    """
    inputs = {
        name: replace(part, encoder=part.encoder.model_copy(update={"tune": tune}))
        if _is_auto(part.encoder)
        else part
        for name, part in recipe.inputs.items()
    }
    fusion = recipe.fusion
    if tune == STEPS[0] and fusion.kind == "concat":
        fusion = fusion.model_copy(update={"layers": 0})
    training = recipe.training.model_copy(update={"minutes": minutes})
    return replace(recipe, inputs=inputs, fusion=fusion, training=training)


def best_step(steps: list[Step], metric: str) -> Step:
    """The step with the best score; of equal ones the first."""
    sign = 1 if higher_is_better(metric) else -1
    return max(steps, key=lambda step: sign * step.score)


def paired_gain(metric: str, before: Answers, after: Answers) -> Interval:
    """By how much a metric is better after a step, with its 95 % interval.

    Both are measured on the same resamples of the rows (the paired bootstrap of Koehn 2004, W04-3250).

    Args:
        metric: as `sensorium.training.metric.measure` names it.
        before: on N rows.
        after: on the same rows.
    """
    sign = 1 if higher_is_better(metric) else -1

    def metrics_of(rows: DrawnRows) -> dict[str, float]:
        values = [measure(one.model, _some(one.collected, rows))[metric] for one in (before, after)]
        return {"gain": sign * (values[1] - values[0])}

    rows = np.arange(len(after.collected.rows))
    widths = [affordable_resamples(arrays, len(rows)) for arrays in after.collected.predicted.values()]
    return bootstrap(metrics_of, rows, min(widths))["gain"]


def _some(collected: Collected, rows: DrawnRows) -> Collected:
    """Some of the rows, repeated as drawn."""
    return Collected(
        rows=collected.rows[rows],
        predicted={
            name: {key: values[rows] for key, values in arrays.items()}
            for name, arrays in collected.predicted.items()
        },
        targets={
            name: Cells(cells.values[rows], cells.mask[rows]) for name, cells in collected.targets.items()
        },
        losses={name: losses[rows] for name, losses in collected.losses.items()},
        present=collected.present[rows],
    )


def _is_auto(encoder: Any) -> bool:
    return isinstance(encoder, PretrainedConfig) and encoder.tune == "auto"


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)
