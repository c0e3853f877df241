"""The contract of a decoder: what learns to write a text from a fused row, and writes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

from pydantic import Field
from torch import Tensor, nn

from sensorium.batch import Fused, Raw
from sensorium.config import Config
from sensorium.data.column import Column
from sensorium.decoders.writing import WritingConfig, Written


class DecoderConfig(Config):
    """What a recipe may say about any decoder."""

    kind: str = Field(..., description="kind of decoder")

    @property
    def named_inputs(self) -> list[str]:
        """The inputs that the configuration names."""
        return []


class TextTarget(Protocol):
    """What a decoder needs of its target's column, beside what every column does."""

    def text(self, ids: Iterable[int]) -> str:
        """Tokens, as the column decodes them or the decoder writes them, padded with 0 → text."""


class Decoder(nn.Module, ABC):
    """One way to write text.

    A decoder is made of its configuration, the fitted column of its target, the width V of `Fused.vector`
    and the width H of `Fused.tokens`: `Decoder(config, column, dim, width)`.
    """

    Config: ClassVar[type[DecoderConfig]]

    @classmethod
    @abstractmethod
    def target(cls, config: Any, column: str | None) -> Column:
        """The column, not fitted yet, that turns the target's texts into tokens; a `TextTarget` too.

        Args:
            config: of the decoder.
            column: of the table; None for the output's own name.
        """

    def begin_tuning(self) -> None:
        """Frees what the recipe tunes of pretrained weights; what starts from scratch always learns.

        Raises:
            RecipeError: when they cannot be tuned so.
        """

    def learning_rates(self, default: float) -> dict[nn.Parameter, float]:
        """Tuned parameter of pretrained weights → its peak learning rate; the others learn at the default."""
        return {}

    @abstractmethod
    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` float32, mean cross-entropy of a row's tokens; exactly 0 where the target is missing."""

    @abstractmethod
    def write(self, fused: Fused, writing: WritingConfig) -> Written:
        """Writes a text, or several, for every row."""

    def remarks(self) -> list[str]:
        """What the user should hear of the training since the last call, a line each."""
        return []
