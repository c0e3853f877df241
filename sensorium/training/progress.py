"""What a run says while it goes: a bar in a terminal, a line an epoch elsewhere, TensorBoard always."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sensorium.errors import MissingPackage, require


class Reporter(Protocol):
    """Listens to a run."""

    def say(self, line: str) -> None:
        """One line for the user."""

    def start(self, steps: int, done: int) -> None:
        """The run begins, or goes on, at step `done` of `steps`."""

    def plan(self, steps: int) -> None:
        """The run will end at step `steps`, as far as can be told."""

    def step(self, loss: float, rows: int) -> None:
        """One optimizer step was made."""

    def epoch(self, record: dict[str, Any]) -> None:
        """One epoch ended; `record` is a line of history.jsonl."""

    def close(self) -> None:
        """The run stops."""


class Silent:
    """Says nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    def start(self, steps: int, done: int) -> None:
        """Nothing."""

    def plan(self, steps: int) -> None:
        """Nothing."""

    def step(self, loss: float, rows: int) -> None:
        """Nothing."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Terminal:
    """A progress bar with loss, rows a second and time left; one line an epoch."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}  {task.fields[speed]:.0f} rows/s "),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.rows = 0
        self.began = time.monotonic()

    def say(self, line: str) -> None:
        """One line, above the bar."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def start(self, steps: int, done: int) -> None:
        """Shows the bar."""
        self.began = time.monotonic()
        self.task = self.bar.add_task("training", total=steps, completed=done, loss=math.nan, speed=0.0)
        self.bar.start()

    def plan(self, steps: int) -> None:
        """Sets the bar's end."""
        self.bar.update(self.task, total=steps)

    def step(self, loss: float, rows: int) -> None:
        """Moves the bar."""
        self.rows += rows
        speed = self.rows / max(1e-9, time.monotonic() - self.began)
        self.bar.update(self.task, advance=1, loss=loss, speed=speed)

    def epoch(self, record: dict[str, Any]) -> None:
        """One line."""
        shown = [name for name in record["main"] if name in record["validation"]]
        scores = "  ".join(f"{name} {record['validation'][name]:.3f}" for name in shown)
        star = " *" if record["best"] else ""
        self.say(
            f"epoch {record['epoch']:>3}  train loss {record['train_loss']:.3f}  "
            f"validation: {scores or 'none'}  {record['rows_per_second']:.0f} rows/s{star}"
        )

    def close(self) -> None:
        """Takes the bar away."""
        self.bar.stop()


class Board(Protocol):
    """Draws the epochs of a run."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Writes one epoch."""

    def close(self) -> None:
        """Closes the files."""


def open_board(folder: Path, purge_step: int, reporter: Reporter) -> Board:
    """TensorBoard's files; where it is not installed, training goes without them and says so."""
    try:
        return TensorBoard(folder, purge_step)
    except MissingPackage as error:
        reporter.say(f"no TensorBoard files are written: {error}")
        return Silent()


class TensorBoard:
    """Event files that TensorBoard reads: losses and validation metrics by step.

    Args:
        folder: of the event files.
        purge_step: what earlier files say of this step and later ones is not shown.
    """

    def __init__(self, folder: Path, purge_step: int) -> None:
        writer = require("torch.utils.tensorboard", "train").SummaryWriter
        self.writer = writer(str(folder), purge_step=purge_step)

    def epoch(self, record: dict[str, Any]) -> None:
        """Writes one epoch."""
        self.writer.add_scalar("train/loss", record["train_loss"], record["step"])
        self.writer.add_scalar("train/learning_rate", record["learning_rate"], record["step"])
        for name, value in record["validation"].items():
            self.writer.add_scalar(f"validation/{name}", value, record["step"])
        self.writer.flush()

    def close(self) -> None:
        """Closes the files."""
        self.writer.close()
