"""The training loop: fetch, step, validate, keep."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from sensorium.batch import Batch
from sensorium.calibration import calibrate, save_calibration
from sensorium.data.loader import Rows
from sensorium.encoders.pretrained.tune import merged_state
from sensorium.frozen import load_trained_state, trained_state
from sensorium.inference import batch_to_device, collect
from sensorium.model import save_model
from sensorium.prepare import Prepared
from sensorium.training.budget import CLOSING_PASSES, TimeBudget
from sensorium.training.checkpoint import load_checkpoint, save_checkpoint
from sensorium.training.interrupt import Interrupt, Stopped
from sensorium.training.machine import choose_micro_batch, give_back_freed_memory, whole_batch_words
from sensorium.training.manifest import describe_run, differences
from sensorium.training.memory import MemoryBudget, measure_step
from sensorium.training.metric import check_stop_metric, higher_is_better, measure, stop_metric
from sensorium.training.progress import Reporter, open_board
from sensorium.training.run import RunFolder, software
from sensorium.training.sampling import Sampler
from sensorium.training.state import TrainingState, threads
from sensorium.training.step import Stepper


class Trainer:
    """Trains one model in one run folder, from its beginning or from where it was stopped.

    Args:
        prepared: table, split and fitted columns.
        folder: of the run, locked by the caller.
        reporter: hears of progress.
        began: the moment from which `training.minutes` count, as `time.monotonic` gives it; default: now.
    """

    def __init__(
        self, prepared: Prepared, folder: RunFolder, reporter: Reporter, began: float | None = None
    ) -> None:
        self.prepared, self.folder, self.reporter = prepared, folder, reporter
        self.config = prepared.recipe.training
        self.sampler = Sampler(prepared)
        self.step_memory = measure_step(prepared.new_model().cpu(), prepared)
        self.state = TrainingState(prepared)
        self.model = self.state.model
        self.state.progress.micro_batch = choose_micro_batch(
            self.config.micro_batch, self.config.batch_size, self.model, self.state.device
        )
        if isinstance(self.config.micro_batch, int) and self.micro_batch > self.config.micro_batch:
            reporter.say(whole_batch_words(self.config.micro_batch, self.micro_batch))
        self.steps_an_epoch = math.ceil(self.sampler.batches / self.config.accumulate)
        self.metric = stop_metric(prepared.recipe)
        check_stop_metric(prepared.recipe, self.model, prepared.loader, self.state.device)
        give_back_freed_memory(self.state.device)  # what reading the table left is free for training
        memory = MemoryBudget(self.config.memory_gb, self.state.device)
        self.stepper = Stepper(self.state, memory, reporter)
        self.time = TimeBudget(self.config.minutes, began, CLOSING_PASSES)
        self.interrupt = Interrupt()

    @property
    def steps(self) -> int:
        """The step at which the run is to end: with its last epoch, or with its minutes."""
        most = self.config.epochs * self.steps_an_epoch
        return most if self.state.progress.planned is None else self.state.progress.planned

    @property
    def micro_batch(self) -> int:
        """Rows a forward pass."""
        return self.state.progress.micro_batch

    def run(self) -> Path:
        """Trains to the end, and writes the best weights to the folder's `model`.

        Returns:
            The folder of the saved model.

        Raises:
            Stopped: after an interrupt; the same call goes on from there.
        """
        with self.interrupt.heard():
            self._begin()
            self._train()
            return self._finish()

    def _train(self) -> None:
        """Epoch after epoch, until one of the reasons to end is there."""
        progress = self.state.progress
        board = open_board(self.folder.logs, progress.step + 1, self.reporter)
        self.reporter.start(self.steps, progress.step)
        try:
            while self._reason_to_end() is None:
                self._stop_where_asked()
                self.time.go_on()
                speed = self._train_epoch()
                record = self._end_epoch(speed)
                board.epoch(record)
                self.reporter.epoch(record)
        finally:
            board.close()
            self.reporter.close()

    def _reason_to_end(self) -> str | None:
        """Why there is no further epoch; None where there is one."""
        progress, stop = self.state.progress, self.config.early_stop
        if progress.epoch >= self.config.epochs:
            return "epochs"
        if stop is not None and progress.epochs_without_gain >= stop.patience:
            return "early_stop"
        return "time" if progress.step >= self.steps and not progress.batches else None

    def try_steps(self, steps: int) -> float:
        """Makes a few steps, keeps nothing, and returns the seconds of the fastest."""
        taken: list[float] = []
        began = time.monotonic()
        for batches in self._steps():
            self._step(batches)
            taken.append(time.monotonic() - began)
            if len(taken) == steps:
                break
            began = time.monotonic()
        return min(taken)

    def _train_epoch(self) -> float:
        """The rest of the epoch under way, as far as there is time; returns rows a second."""
        progress = self.state.progress
        began = saved = time.monotonic()
        seen = 0
        for batches in self._steps():
            self._stop_where_asked()
            if progress.step >= self.steps:
                break
            if progress.step == 0:
                self.time.require_time()
            loss = self._step(batches)
            rows = sum(len(batch.rows) for batch in batches)
            progress.batches += len(batches)
            progress.step += 1
            progress.loss_sum += loss * rows
            progress.loss_rows += rows
            seen += rows
            self.reporter.step(loss, rows)
            self._stop_where_asked()
            self._watch_memory()
            self._watch_time()
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self._save()
                saved = time.monotonic()
        return seen / max(1e-9, time.monotonic() - began)

    def _step(self, batches: list[Batch]) -> float:
        """One optimizer step over one or several batches; returns their loss."""
        self.state.set_learning_rate(self.steps)
        return self.stepper.step(batches)

    def _stop_where_asked(self) -> None:
        """Saves and stops after a Ctrl-C."""
        if self.interrupt.asked:
            self._save()
            raise Stopped

    def _watch_memory(self) -> None:
        """Saves where the memory held makes the passes smaller, or stops the run."""
        if self.stepper.holds_too_much():
            try:
                self.stepper.use_fewer_rows(f"more memory is held than {self.stepper.memory.words()}")
            finally:
                self._save()

    def _watch_time(self) -> None:
        """Plans the end anew whenever twice as many steps are made; ends where it is too late for another."""
        self.time.step_done()
        step = self.state.progress.step
        if step & (step - 1) == 0:
            self._plan()
        if self.time.too_late():
            self.state.progress.planned = step

    def _plan(self) -> None:
        """Plans the step at which the run ends, so that the learning rate comes to its own end with it."""
        progress = self.state.progress
        if self.config.minutes is None or progress.step >= self.steps:
            return
        most = self.config.epochs * self.steps_an_epoch - progress.step
        into_epoch = math.ceil(progress.batches / self.config.accumulate)
        progress.planned = progress.step + self.time.steps_that_fit(most, into_epoch, self.steps_an_epoch)
        self.reporter.plan(progress.planned)

    def _steps(self) -> Iterator[list[Batch]]:
        """The batches of this epoch that are still to be trained on, one list an optimizer step."""
        progress = self.state.progress
        plan: list[Rows] = self.sampler.epoch(progress.epoch)[progress.batches :]
        waiting: list[Batch] = []
        for decoded in self.prepared.loader.batches(plan):
            waiting.append(batch_to_device(decoded, self.state.device))
            if len(waiting) == self.config.accumulate:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def _end_epoch(self, rows_per_second: float) -> dict[str, Any]:
        """Validates, keeps the weights where they are the best so far, and saves."""
        progress = self.state.progress
        began = time.monotonic()
        self._pass_on_remarks()
        validation = self._validate()
        validated = time.monotonic()
        self.time.validation = validated - began
        best = self._is_best(validation)
        if best:
            weights = trained_state(self.state.candidate)
            save_checkpoint(self.folder.best, weights, {"epoch": progress.epoch + 1})
        record = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "train_loss": progress.loss_sum / max(1, progress.loss_rows),
            "validation": validation,
            "main": ["loss", *(f"{name}.{self.model.head(name).metric}" for name in self.model.outputs)],
            "learning_rate": self.state.optimizers[0].param_groups[0]["lr"],
            "best": best,
            "rows_per_second": rows_per_second,
        }
        progress.history.append(record)
        progress.epoch += 1
        progress.batches, progress.loss_sum, progress.loss_rows = 0, 0.0, 0
        self._plan()
        self._save()
        self.folder.write_history(progress.history)
        self.time.saving = time.monotonic() - validated
        return record

    def _pass_on_remarks(self) -> None:
        for name in self.model.outputs:
            for line in self.model.head(name).remarks():
                self.reporter.say(f"warning: outputs.{name}: {line}")

    def _validate(self) -> dict[str, float]:
        """The loss and every output's metrics on the validation rows; empty without such rows."""
        rows = self.prepared.parts["validation"]
        if not len(rows):
            return {}
        model, state = self.state.candidate, self.state
        collected = collect(
            model,
            self.prepared.loader,
            rows,
            batch_size=self._validation_batch,
            device=state.device,
            precision=state.accelerator.autocast,
            say=self.reporter.say,
        )
        measured = measure(model, collected)
        return {name: value for name, value in measured.items() if math.isfinite(value)}

    @property
    def _validation_batch(self) -> int:
        """Rows at a time: what fits in training fits here, as no gradients are kept."""
        return min(64, 2 * self.micro_batch)

    def _is_best(self, validation: dict[str, float]) -> bool:
        """Whether this epoch is the best so far; the last one is, where nothing can be compared.

        Weights of which the loss is no number never are.
        """
        progress = self.state.progress
        if len(self.prepared.parts["validation"]) and "loss" not in validation:
            progress.epochs_without_gain += 1
            return False
        value = validation.get(self.metric)
        if value is None and progress.best is None:
            return True
        if value is None:
            progress.epochs_without_gain += 1
            return False
        candidate = [value if higher_is_better(self.metric) else -value, -validation.get("loss", 0.0)]
        if progress.best is None or candidate > progress.best:
            progress.best, progress.epochs_without_gain = candidate, 0
            return True
        progress.epochs_without_gain += 1
        return False

    def _begin(self) -> None:
        """Takes up the last checkpoint where there is one."""
        state = self.state
        self.reporter.say(f"training in {state.precision} on {state.device.type}: {state.reason}")
        if self.folder.last.exists():
            state.load(self.folder.last)
            self._tell_differences()
            self.folder.write_history(state.progress.history)
            for cell in self.folder.read_quarantine():
                self.prepared.loader.quarantine.add(cell)
            self.reporter.say(f"going on from step {state.progress.step} of {self.steps}")
        self._take_up_budgets()
        self._write_manifest("running")

    def _take_up_budgets(self) -> None:
        """Counts the time of earlier parts of the run, and chooses the rows a pass that memory holds."""
        progress = self.state.progress
        self.time.used_before = progress.seconds
        if progress.minutes != self.config.minutes:
            progress.minutes, progress.planned = self.config.minutes, None
        self.stepper.choose_rows(self.step_memory)

    def _tell_differences(self) -> None:
        """Goes on with the threads of before, and names what else would change the last bits."""
        before = self.folder.read_manifest()
        if before.get("threads", threads()) != threads():
            torch.set_num_threads(before["threads"])
        changed = differences(before, describe_run(self.prepared, self.state))
        if changed:
            self.reporter.say(
                f"warning: not what the run began with, so its last bits may differ: {', '.join(changed)}"
            )

    def _save(self) -> None:
        """Writes the last checkpoint, and before it the unreadable cells, of which it must lack none."""
        self.folder.write_quarantine(self.prepared.loader.quarantine.cells())
        self.state.progress.seconds = self.time.used()
        self.state.save(self.folder.last)
        self.folder.remove_older_model()

    def _finish(self) -> Path:
        """Writes the saved model and the manifest's end."""
        reason = self._reason_to_end()
        if reason == "time":
            self.reporter.say(
                f"the time is over (training.minutes: {self.config.minutes:g}) after "
                f"{self.state.progress.step} steps; the best weights until then are saved"
            )
        weights, best = load_checkpoint(self.folder.best)
        load_trained_state(self.state.candidate, weights)  # training is over, and needs the last ones no more
        loader = self.prepared.loader
        digest = save_model(
            self.folder.model,
            self.prepared.recipe,
            {name: bound.column for name, bound in loader.inputs.items()},
            {name: bound.column for name, bound in loader.targets.items()},
            merged_state(self.state.candidate),
            {"epoch": best["epoch"], "table": self.state.table_digest, "versions": software()},
        )
        self._calibrate()
        self.folder.write_quarantine(loader.quarantine.cells())
        self._write_manifest("finished", ended_by=str(reason), weights_sha256=digest)
        return self.folder.model

    def _calibrate(self) -> None:
        """Learns temperatures and sets with the best weights, where there are validation rows."""
        calibration = calibrate(
            self.state.candidate,
            self.prepared.loader,
            self.prepared.parts["validation"],
            batch_size=self._validation_batch,
            device=self.state.device,
        )
        if calibration is not None:
            save_calibration(self.folder.model, calibration)

    def _write_manifest(self, status: str, **more: str) -> None:
        self.folder.write_manifest({"status": status, **describe_run(self.prepared, self.state), **more})
