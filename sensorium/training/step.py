"""One optimizer step, in passes of as many rows as memory holds."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from sensorium.batch import Batch
from sensorium.errors import SensoriumError, is_out_of_memory
from sensorium.training.checkpoint import random_state, restore_random_state
from sensorium.training.machine import couples_rows, give_back_freed_memory, looks_across_rows
from sensorium.training.memory import LOOK_EVERY, MemoryBudget, StepMemory, size_words
from sensorium.training.progress import Reporter
from sensorium.training.state import TrainingState


class Stepper:
    """Makes steps; where memory runs out, it makes the same step again with half the rows a pass.

    The rows a pass in force are `state.progress.micro_batch`, so that a run that goes on keeps them.

    Args:
        state: what a step changes.
        memory: that may be held.
        reporter: hears of a smaller pass.
    """

    def __init__(self, state: TrainingState, memory: MemoryBudget, reporter: Reporter) -> None:
        self.state, self.memory, self.reporter = state, memory, reporter
        self.divisible = not looks_across_rows(state.model)
        self.consequence = (
            "with fewer wrong answers a row, so the loss is another one"
            if couples_rows(state.model)
            else "the gradients are the same"
        )

    def step(self, batches: list[Batch]) -> float:
        """One step over one or several batches, in micro-batches whose losses add up exactly; their loss.

        Raises:
            SensoriumError: when the loss is not finite, or one row a pass is still too much.
        """
        counts = {
            name: sum(int(batch.targets[name].present.sum()) for batch in batches)
            for name in self.state.model.outputs
        }
        loss = self._gather(batches, counts)
        while loss is None:
            loss = self._gather(batches, counts)
        try:
            self.state.update()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            # Some weights may have moved already, so the step cannot be made again.
            raise SensoriumError(
                "out of memory while the weights were moved, where fewer rows do not help: make the model "
                "smaller, or choose training.optimizer: sgd; the weights of the last checkpoint are kept"
            ) from None
        return loss

    def choose_rows(self, needed: StepMemory) -> None:
        """Chooses, before the first step, the rows a pass that memory holds.

        Raises:
            SensoriumError: when not even one row fits, or the batch does not and belongs together.
        """
        progress = self.state.progress
        asked = progress.micro_batch
        progress.micro_batch = self.memory.rows_that_fit(needed, asked, self.divisible)
        if progress.micro_batch < asked:
            size = size_words(needed.of(asked))
            self.reporter.say(
                f"{progress.micro_batch} rows a pass, as {asked} would need about {size} of memory "
                f"({self.memory.words()}); {self.consequence}"
            )

    def holds_too_much(self) -> bool:
        """Whether more memory is held than may be; looked at every few steps."""
        return self.state.progress.step % LOOK_EVERY == 0 and self.memory.exceeded()

    def use_fewer_rows(self, why: str) -> None:
        """Halves the rows a pass; `why` opens the line that is said.

        Raises:
            SensoriumError: when there is but one row, or the rows of a batch belong together.
        """
        progress = self.state.progress
        rows = progress.micro_batch
        if rows == 1:
            raise SensoriumError(
                f"{why} with one row a pass: make the inputs or the model smaller; "
                "the weights of the last checkpoint are kept"
            )
        if not self.divisible:
            raise SensoriumError(
                f"{why}, and batch normalisation needs the {rows} rows of a batch together: lower "
                "training.batch_size, or choose norm: group; the weights of the last checkpoint are kept"
            )
        progress.micro_batch = rows // 2
        give_back_freed_memory(self.state.device)
        self.reporter.say(
            f"{why} at step {progress.step} with {rows} rows a pass: going on with {rows // 2}; "
            f"{self.consequence}"
        )

    def _gather(self, batches: list[Batch], counts: dict[str, int]) -> float | None:
        """The gradients of a step and its loss; None where memory ran out, and everything is as before."""
        before = random_state(self.state.device)
        try:
            return self._pass(batches, counts)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Out of the except clause, as the error holds the frames, and they the tensors, of what failed.
        self.state.learner.zero_grad(set_to_none=True)
        restore_random_state(before, self.state.device)
        largest = max(len(batch.rows) for batch in batches)
        self.state.progress.micro_batch = min(largest, self.state.progress.micro_batch)
        self.use_fewer_rows("out of memory")
        return None

    def _pass(self, batches: list[Batch], counts: dict[str, int]) -> float:
        """Forward and backward over all rows of a step."""
        state = self.state
        if not state.model.training:  # to walk through large backbones at every pass would take its time
            state.learner.train()
        learner = state.learner
        total, reported = 0.0, 0.0
        scores = torch.zeros(2, len(state.model.inputs), device=state.device)
        for batch in batches:
            for part in micro_batches(batch, state.progress.micro_batch):
                loss, main, own = learner(part, counts)
                if loss.requires_grad:  # else all of the model is frozen, and the run only measures
                    state.accelerator.backward(loss)
                total += float(loss.detach())
                reported += float(main)
                scores += own
        if not math.isfinite(total):
            raise SensoriumError(
                f"the loss is {total} at step {state.progress.step}: lower training.optimizer.lr, "
                "or look for extreme values in the table; the weights of the last checkpoint are kept"
            )
        learner.balance_gradients(scores)
        return reported


def micro_batches(batch: Batch, size: int) -> Iterator[Batch]:
    """Cuts a batch along its rows."""
    for start in range(0, len(batch.rows), size):
        yield batch.part(slice(start, start + size))
