"""The minutes that a run may take, and the steps that fit into them."""

from __future__ import annotations

import math
from bisect import bisect_right
from time import monotonic, process_time

from sensorium.errors import SensoriumError

AIM = 0.99
"""Share of the minutes that is planned for; what no measurement foretells takes the rest."""
CLOSING_SECONDS = 1.5
"""Of a processor, for what ends a run besides validating and saving: the manifest, the learning curves."""
MOST_WAITING = 4.0
"""The most by which those seconds are stretched on a machine that is busy with other work."""
CLOSING_PASSES = 5
"""Validation passes that the calibration at the end may take: two that encode, in float32, each up to 2.5
times as costly as one in bf16. Subsets of inputs are fused from what was encoded once, which is cheap."""
HORIZON = 100
"""Steps over which the pace is averaged, so that a slow first epoch, which decodes, is forgotten."""


class TimeBudget:
    """Measures a run, and plans it so that all of it ends with its minutes, validating and saving too.

    Args:
        minutes: of the whole run; None for no limit.
        began: the moment from which this process counts, as `time.monotonic` gives it; default: now.
        passes: validation passes that follow the last epoch, such as `CLOSING_PASSES`.

    Attributes:
        used_before: seconds that earlier processes gave to the run, up to their last checkpoint.
        validation: seconds of the last pass over the validation rows; None before the first.
        saving: seconds that the last end of an epoch took beside that.
    """

    def __init__(self, minutes: float | None, began: float | None = None, passes: int = 0) -> None:
        self.minutes = minutes
        self.passes = passes
        self.used_before = 0.0
        self.validation: float | None = None
        self.saving = 0.0
        self._began = monotonic() if began is None else began
        self._moment = monotonic()
        self._steps = 0
        self._pace = 0.0

    def used(self) -> float:
        """Seconds that the run has taken, in all its parts."""
        return self.used_before + monotonic() - self._began

    def left(self) -> float:
        """Seconds that remain for steps and the ends of epochs; infinite without a limit."""
        if self.minutes is None:
            return math.inf
        waiting = min(MOST_WAITING, max(1.0, self.used() / max(1e-9, process_time())))
        closing = self.passes * self._validation() + self.saving + waiting * CLOSING_SECONDS
        return AIM * 60 * self.minutes - self.used() - closing

    def require_time(self) -> None:
        """Refuses to begin when the minutes are over before the first step.

        Raises:
            SensoriumError: saying what they went into.
        """
        if self.minutes is not None and self.used() >= 60 * self.minutes:
            raise SensoriumError(
                f"training.minutes: {self.minutes:g} is over before the first step: reading, splitting and "
                f"decoding took {self.used():.0f} s; give more minutes, or fewer rows"
            )

    def go_on(self) -> None:
        """The next step begins now: what came before, such as the end of an epoch, is no part of the pace."""
        self._moment = monotonic()

    def step_done(self) -> None:
        """Takes the step that ended now, with the fetching of its batches, into the pace."""
        now = monotonic()
        self._steps += 1
        self._pace += (now - self._moment - self._pace) / min(self._steps, HORIZON)
        self._moment = now

    def steps_that_fit(self, most: int, into_epoch: int, steps_an_epoch: int) -> int:
        """How many more steps there is time for, with the ends of their epochs and of the run.

        Args:
            most: steps that are left without a limit of time.
            into_epoch: steps made of the epoch under way.
            steps_an_epoch: after which the model is validated and saved.
        """

        def seconds(steps: int) -> float:
            ends = math.ceil((into_epoch + steps) / steps_an_epoch)
            return steps * self._pace + ends * (self._validation() + self.saving)

        return max(0, bisect_right(range(most + 1), self.left(), key=seconds) - 1)

    def too_late(self) -> bool:
        """Whether one more step and the end of its epoch would take longer than there is time for."""
        return self.left() < self._pace + self._validation() + self.saving

    def _validation(self) -> float:
        """Seconds of a pass over the validation rows; as long as none was measured, those of a step."""
        return self._pace if self.validation is None else self.validation
