"""How many threads decode at once: as many as pay."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from statistics import median
from typing import TypeVar

Result = TypeVar("Result")

TRIED = 3
"""Batches that are timed for each thread with all of them, and as many with one."""
WORTH = 1.2
"""Times the batches a second that all threads must bring over one."""


class Turns:
    """Lets one thread work or all of them, whichever brought more in a trial at the beginning.

    Cells that are cheap to decode, such as short WAV files, are mostly Python's own work: threads then wait
    for each other at the interpreter's lock, and two do less than one.

    Args:
        threads: the most that work at once.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.allowed = threads
        self._working = 0
        self._alone: list[float] = []
        self._together: list[float] = []
        self._change = threading.Condition()

    def take(self, work: Callable[[], Result]) -> Result:
        """Waits for a turn, and does the work in it."""
        with self._change:
            self._change.wait_for(lambda: self._working < self.allowed)
            self._working += 1
            allowed = self.allowed
        began = time.perf_counter()
        try:
            return work()
        finally:
            taken = time.perf_counter() - began
            with self._change:
                self._working -= 1
                self._note(allowed, taken)
                self._change.notify_all()

    def _note(self, allowed: int, taken: float) -> None:
        """Counts a turn of the trial; at its end the better way is kept."""
        if self.threads == 1 or len(self._alone) > TRIED:
            return
        (self._alone if allowed == 1 else self._together).append(taken)
        if len(self._alone) > TRIED:
            # The first of each is not counted: it opens libraries, or began while others still worked.
            gain = self.threads * median(self._alone[1:]) / median(self._together[1:])
            self.allowed = self.threads if gain >= WORTH else 1
        elif len(self._together) > TRIED * self.threads:
            self.allowed = 1
