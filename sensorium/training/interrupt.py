"""Ctrl-C, heard where everything can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stopped(KeyboardInterrupt):
    """The user asked to stop; everything is saved."""


class Interrupt:
    """Turns the first Ctrl-C into a wish, and the second into a KeyboardInterrupt.

    Attributes:
        asked: whether the user wishes to stop.
    """

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listens inside the `with`; signals belong to the main thread, so elsewhere nothing is heard."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
