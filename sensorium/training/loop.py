"""The training loop: fetch, step, validate, keep."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sensorium.batch import Batch
from sensorium.calibration import calibrate, save_calibration
from sensorium.data.loader import Rows
from sensorium.errors import SensoriumError
from sensorium.inference import batch_to_device, collect
from sensorium.model import save_model
from sensorium.prepare import Prepared
from sensorium.training.checkpoint import load_checkpoint, save_checkpoint
from sensorium.training.machine import choose_micro_batch
from sensorium.training.metric import check_stop_metric, higher_is_better, measure, stop_metric
from sensorium.training.progress import Reporter, TensorBoard
from sensorium.training.run import RunFolder, file_digest, software
from sensorium.training.sampling import Sampler
from sensorium.training.state import TrainingState, threads


class Stopped(KeyboardInterrupt):
    """The user asked to stop; everything is saved."""


class Trainer:
    """Trains one model in one run folder, from its beginning or from where it was stopped.

    Args:
        prepared: table, split and fitted columns.
        folder: of the run, locked by the caller.
        reporter: hears of progress.
    """

    def __init__(self, prepared: Prepared, folder: RunFolder, reporter: Reporter) -> None:
        self.prepared, self.folder, self.reporter = prepared, folder, reporter
        self.config = prepared.recipe.training
        self.sampler = Sampler(prepared)
        self.state = TrainingState(prepared)
        self.model = self.state.model
        self.micro_batch = choose_micro_batch(
            self.config.micro_batch, self.config.batch_size, self.model, self.state.device
        )
        self.steps = self.config.epochs * math.ceil(self.sampler.batches / self.config.accumulate)
        self.metric = stop_metric(prepared.recipe)
        check_stop_metric(prepared.recipe, self.model, prepared.loader, self.state.device)
        self.stop_asked = False

    def run(self) -> Path:
        """Trains to the end, and writes the best weights to the folder's `model`.

        Returns:
            The folder of the saved model.

        Raises:
            Stopped: after an interrupt; the same call goes on from there.
        """
        self._begin()
        board = TensorBoard(self.folder.logs, self.state.progress.step + 1)
        self.reporter.start(self.steps, self.state.progress.step)
        try:
            with self._stopping_after_a_step():
                while self.state.progress.epoch < self.config.epochs and not self._waited_enough():
                    speed = self._train_epoch()
                    record = self._end_epoch(speed)
                    board.epoch(record)
                    self.reporter.epoch(record)
        finally:
            board.close()
            self.reporter.close()
        return self._finish()

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
        """The rest of the epoch under way; returns rows a second."""
        progress = self.state.progress
        began = saved = time.monotonic()
        seen = 0
        for batches in self._steps():
            loss = self._step(batches)
            rows = sum(len(batch.rows) for batch in batches)
            progress.batches += len(batches)
            progress.step += 1
            progress.loss_sum += loss * rows
            progress.loss_rows += rows
            seen += rows
            self.reporter.step(loss, rows)
            if self.stop_asked or time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self._save()
                saved = time.monotonic()
            if self.stop_asked:
                raise Stopped
        return seen / max(1e-9, time.monotonic() - began)

    def _step(self, batches: list[Batch]) -> float:
        """One optimizer step over one or several batches, in micro-batches whose losses add up exactly."""
        self.state.set_learning_rate(self.steps)
        counts = {
            name: sum(int(batch.targets[name].present.sum()) for batch in batches)
            for name in self.model.outputs
        }
        learner = self.state.learner.train()
        total, reported = 0.0, 0.0
        scores = torch.zeros(2, len(self.model.inputs), device=self.state.device)
        for batch in batches:
            for part in _micro_batches(batch, self.micro_batch):
                loss, main, own = learner(part, counts)
                self.state.accelerator.backward(loss)
                total += float(loss.detach())
                reported += float(main)
                scores += own
        if not math.isfinite(total):
            raise SensoriumError(
                f"the loss is {total} at step {self.state.progress.step}: lower training.optimizer.lr, "
                "or look for extreme values in the table; the weights of the last checkpoint are kept"
            )
        learner.balance_gradients(scores)
        self.state.update()
        return reported

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
        validation = self._validate()
        best = self._is_best(validation)
        if best:
            weights = self.state.candidate.state_dict()
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
        self._save()
        self.folder.write_history(progress.history)
        return record

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
        )
        measured = measure(model, collected)
        return {name: value for name, value in measured.items() if math.isfinite(value)}

    @property
    def _validation_batch(self) -> int:
        """Rows at a time: what fits in training fits here, as no gradients are kept."""
        return min(64, 2 * self.micro_batch)

    def _is_best(self, validation: dict[str, float]) -> bool:
        """Whether this epoch is the best so far; the last one is, where nothing can be compared."""
        progress = self.state.progress
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

    def _waited_enough(self) -> bool:
        stop = self.config.early_stop
        return stop is not None and self.state.progress.epochs_without_gain >= stop.patience

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
        self._write_manifest("running")

    def _tell_differences(self) -> None:
        """Goes on with the threads of before, and names what else would change the last bits."""
        before, now = self.folder.read_manifest(), self._manifest("running")
        if not before:
            return
        if before.get("threads", now["threads"]) != now["threads"]:
            torch.set_num_threads(before["threads"])
        changed = [
            key for key in ("precision", "device", "micro_batch", "versions") if before.get(key) != now[key]
        ]
        if changed:
            self.reporter.say(
                f"warning: not what the run began with, so its last bits may differ: {', '.join(changed)}"
            )

    def _save(self) -> None:
        """Writes the last checkpoint, and before it the unreadable cells, of which it must lack none."""
        self.folder.write_quarantine(self.prepared.loader.quarantine.cells())
        self.state.save(self.folder.last)

    def _finish(self) -> Path:
        """Writes the saved model and the manifest's end."""
        weights, best = load_checkpoint(self.folder.best)
        loader = self.prepared.loader
        save_model(
            self.folder.model,
            self.prepared.recipe,
            {name: bound.column for name, bound in loader.inputs.items()},
            {name: bound.column for name, bound in loader.targets.items()},
            weights,
            {"epoch": best["epoch"], "table": self.state.table_digest, "versions": software()},
        )
        self._calibrate(weights)
        self.folder.write_quarantine(loader.quarantine.cells())
        self._write_manifest("finished", weights_sha256=file_digest(self.folder.model / "model.safetensors"))
        return self.folder.model

    def _calibrate(self, weights: dict[str, Tensor]) -> None:
        """Learns temperatures and sets with the best weights, where there are validation rows."""
        model = self.state.candidate
        model.load_state_dict(weights)  # training is over, and needs the last ones no more
        calibration = calibrate(
            model,
            self.prepared.loader,
            self.prepared.parts["validation"],
            batch_size=self._validation_batch,
            device=self.state.device,
        )
        if calibration is not None:
            save_calibration(self.folder.model, calibration)

    def _write_manifest(self, status: str, **more: str) -> None:
        self.folder.write_manifest({**self._manifest(status), **more})

    def _manifest(self, status: str) -> dict[str, Any]:
        """What the run is made of."""
        state, prepared = self.state, self.prepared
        return {
            "status": status,
            "name": prepared.recipe.name,
            "seed": self.config.seed,
            "precision": state.precision,
            "device": state.device.type,
            "threads": threads(),
            "micro_batch": self.micro_batch,
            "parameters": state.parameters(),
            "rows": {name: len(rows) for name, rows in prepared.parts.items()},
            "duplicates": [report.line() for report in prepared.duplicates],
            "table": {"source": prepared.table.source, "digest": state.table_digest},
            **({"recipe_folder": str(prepared.recipe.folder.resolve())} if prepared.own_table else {}),
            "recipe_digest": prepared.recipe.digest(),
            "versions": software(),
        }

    @contextmanager
    def _stopping_after_a_step(self) -> Iterator[None]:
        """Turns the first Ctrl-C into a wish to stop after the step, where everything can be saved."""

        def ask(number: int, frame: Any) -> None:
            if self.stop_asked:
                raise KeyboardInterrupt
            self.stop_asked = True

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _micro_batches(batch: Batch, size: int) -> Iterator[Batch]:
    """Cuts a batch along its rows."""
    for start in range(0, len(batch.rows), size):
        yield batch.part(slice(start, start + size))
