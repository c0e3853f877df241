"""The contract of a head: what turns fused rows into one output, and scores it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from sensorium.batch import Fused, Raw
from sensorium.config import Config
from sensorium.data.column import Array, Cells, Column

Rows = npt.NDArray[np.integer[Any]]
MetricsOfRows = Callable[[Rows], dict[str, float]]
"""Positions of rows, repeated as drawn → metric → value."""


class HeadConfig(Config):
    """What a recipe may say about any output."""

    type: str = Field(..., description="type of output")
    column: str | None = Field(None, description="table column of the target; default: the output's own name")
    weight: float = Field(1.0, ge=0, description="factor of this output's loss in the sum over outputs")

    @property
    def compared(self) -> list[str]:
        """The inputs whose cells are the target, where it is no table column of its own; else empty."""
        return []


class VectorHeadConfig(HeadConfig):
    """What a recipe may say about an output that is read off the row's vector."""

    hidden: list[PositiveInt] = Field([], description="widths of the hidden layers, none by default")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of values dropped before each layer")


class Head(nn.Module, ABC):
    """One output: owns its target, its loss, its predictions and its metrics.

    A head is made of its configuration, the fitted column of its target, the width V of `Fused.vector`
    and the width H of `Fused.tokens`: `Head(config, column, dim, width)`.
    """

    Config: ClassVar[type[HeadConfig]]
    metric: str
    """The main metric, a key of what `metrics` gives; NaN where it is undefined."""
    metric_goal: Literal["max", "min"]
    set_columns: ClassVar[tuple[str, ...]] = ()
    """What `sets` gives; nothing where an output has no conformal sets."""
    couples_rows: ClassVar[bool] = False
    """Whether the loss of a row depends on the rows beside it, so that a batch belongs together."""
    temperature: float = 1.0
    """What `predict`, and it alone, divides logits by; set by `sensorium.calibration`."""

    @classmethod
    @abstractmethod
    def target(cls, config: Any) -> Column:
        """The column, not fitted yet, that reads the target from the table."""

    @abstractmethod
    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` float32, one loss a row; exactly 0, with no gradient, where the target is missing."""

    @abstractmethod
    def predict(self, fused: Fused) -> dict[str, Tensor]:
        """Arrays `(B, ...)`, float32 or int64, of one shape beyond B, so that batches can be joined."""

    @abstractmethod
    def answers(self, predicted: dict[str, Array]) -> dict[str, list[Any] | Array]:
        """What the user gets: "prediction", N entries in words and units of the user, and more columns."""

    @abstractmethod
    def metrics(self, predicted: dict[str, Array], target: Cells) -> dict[str, float]:
        """Scores over the rows that count (see `scored`); NaN where a metric is undefined."""

    def metrics_of_rows(self, predicted: dict[str, Array], target: Cells) -> MetricsOfRows:
        """What gives the metrics of some of the rows, for intervals and slices: positions → metrics.

        Positions may repeat. A head whose metrics set rows against one another computes here, once, what
        stays as it is: the rows to be found remain all rows, whichever of them are asked for.
        """

        def metrics_of(rows: Rows) -> dict[str, float]:
            chosen = {name: values[rows] for name, values in predicted.items()}
            return self.metrics(chosen, Cells(target.values[rows], target.mask[rows]))

        return metrics_of

    def remarks(self) -> list[str]:
        """What the user should hear of the training since the last call, a line each."""
        return []

    def score(self, metrics: dict[str, float]) -> float:
        """One number, the higher the better, by which epochs are compared: the main metric."""
        value = metrics[self.metric]
        return value if self.metric_goal == "max" else -value

    def fit_temperature(self, predicted: dict[str, Array], target: Cells) -> float:
        """The temperature with the smallest log loss on rows predicted at temperature 1; 1 without logits."""
        return 1.0

    def nonconformity(self, predicted: dict[str, Array], target: Cells) -> Array | None:
        """`(N,)` float32, the larger the less the truth fits the prediction; None without conformal sets.

        What it says of rows that are not `scored` means nothing.
        """
        return None

    def sets(self, predicted: dict[str, Array], thresholds: Array) -> dict[str, list[Any] | Array]:
        """The columns `set_columns`: everything whose nonconformity is at most the row's threshold.

        Args:
            predicted: arrays of N rows.
            thresholds: `(N,)` float64; infinite where nothing may be left out.
        """
        return {}

    def scored(self, target: Cells) -> npt.NDArray[np.bool_]:
        """`(B,)` bool, True for the rows that the metrics count: those with a target."""
        return np.asarray(target.mask.any(axis=1))


def layers(config: VectorHeadConfig, dim: int, outputs: int) -> nn.Sequential:
    """Dropout and a linear layer, for every hidden width and once more for the outputs; ReLU between."""
    widths = [dim, *config.hidden, outputs]
    parts: list[nn.Module] = []
    for before, after in pairwise(widths):
        parts += [nn.Dropout(config.dropout), nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*parts[:-1])
