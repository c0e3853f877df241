"""What the columns of pretrained encoders have in common."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from sensorium.weights import Checkpoint, find, refuse_other_modality


class FromCheckpoint:
    """The half of a column that is a checkpoint's: found when it is first needed, kept with a saved model.

    Attributes:
        types: of data that the checkpoint may be of, the column's own first.
    """

    types: ClassVar[tuple[str, ...]]
    _weights: str
    base: Path

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """What the encoder is made of."""
        return refuse_other_modality(find(self._weights, self.base), *self.types)

    def state(self) -> dict[str, Any]:
        """What the checkpoint says, as JSON types, without its weights."""
        return {"checkpoint": self.checkpoint.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave."""
        self.checkpoint = Checkpoint.from_state(state["checkpoint"])
