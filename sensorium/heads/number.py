"""One number a row, with quantiles where wanted."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from sensorium.batch import Fused, Raw
from sensorium.data.column import Array, Cells
from sensorium.data.tabular import NumberColumn
from sensorium.heads.head import Head, VectorHeadConfig, layers
from sensorium.heads.losses import POINT_LOSSES, pinball
from sensorium.heads.metrics import number_metrics, quantile_metrics

Level = Annotated[float, Field(gt=0, lt=1)]


class NumberHeadConfig(VectorHeadConfig):
    """One number a row."""

    type: Literal["number"] = Field("number", description="type of output")
    loss: Literal["mse", "mae", "huber", "log_cosh", "quantile"] = Field(
        "mse", description="of the prediction in scaled units; quantile: predict the median of the quantiles"
    )
    quantiles: list[Level] = Field(
        [], description="levels answered beside the prediction; default for loss quantile: 0.1, 0.5, 0.9"
    )
    scale: Literal["standard", "robust", "none"] = Field(
        "standard", description="how the target is scaled for training; answers are in the table's units"
    )
    date: bool = Field(False, description="the target is dates; answers are days since 1970-01-01")

    @field_validator("quantiles")
    @classmethod
    def _in_order(cls, levels: list[float]) -> list[float]:
        if len(set(levels)) < len(levels):
            raise ValueError("each level may be given once")
        return sorted(levels)

    @model_validator(mode="after")
    def _has_median(self) -> NumberHeadConfig:
        if self.loss == "quantile" and 0.5 not in self.levels:
            raise ValueError("loss quantile predicts the median: add 0.5 to quantiles or choose another loss")
        return self

    @property
    def levels(self) -> list[float]:
        """The levels of the quantiles that the head gives."""
        return self.quantiles or ([0.1, 0.5, 0.9] if self.loss == "quantile" else [])


class NumberHead(Head):
    """A linear output in scaled units, and one for each quantile.

    The quantiles are trained with the pinball loss (Koenker and Bassett 1978), which is added to the loss
    of the prediction, and sorted in the answer so that they never cross; sorting never makes them worse
    (Chernozhukov, Fernández-Val and Galichon 2010, arXiv:0704.3649).

    Args:
        config: see `NumberHeadConfig`.
        column: fitted, with centre and spread.
        dim: V, width of `Fused.vector`.
        width: H, not used.
    """

    Config = NumberHeadConfig
    metric: str = "mae"
    metric_goal: Literal["max", "min"] = "min"
    set_columns: ClassVar[tuple[str, ...]] = ("low", "high")
    levels: Tensor

    @classmethod
    def target(cls, config: NumberHeadConfig) -> NumberColumn:
        """The column of the target, not fitted yet. It never clips: the truth stays the truth."""
        return NumberColumn(
            NumberColumn.Config(column=config.column, scale=config.scale, clip=None, date=config.date)
        )

    def __init__(self, config: NumberHeadConfig, column: NumberColumn, dim: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.column = column
        only_quantiles = config.loss == "quantile"
        self.names = [f"quantile_{level:g}" for level in config.levels]
        self.points = 0 if only_quantiles else 1
        self.median = config.levels.index(0.5) if only_quantiles else None
        self.register_buffer("levels", torch.tensor(config.levels), persistent=False)
        self.layers = layers(config, dim, self.points + len(config.levels))

    def forward(self, fused: Fused) -> Tensor:
        """`(B, 1 + Q)` in scaled units: the prediction and the quantiles; `(B, Q)` for loss quantile."""
        outputs: Tensor = self.layers(fused.vector)
        return outputs

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` float32; target: `(B, 1)` float32 in scaled units."""
        truth = torch.where(target.mask, target.values, torch.zeros_like(target.values)).float()
        outputs = self.forward(fused).float()
        loss = torch.zeros_like(outputs[:, 0])
        if self.config.loss in POINT_LOSSES:
            loss = loss + POINT_LOSSES[self.config.loss](outputs[:, 0] - truth[:, 0])
        if self.names:
            loss = loss + pinball(outputs[:, self.points :], truth, self.levels)
        return torch.where(target.present, loss, torch.zeros_like(loss))

    def predict(self, fused: Fused) -> dict[str, Tensor]:
        """In scaled units: `values (B,)` float32; with quantiles also `quantiles (B, Q)` float32, rising."""
        outputs = self.forward(fused).float()
        if not self.names:
            return {"values": outputs[:, 0]}
        quantiles = outputs[:, self.points :].sort(dim=-1).values
        values = outputs[:, 0] if self.median is None else quantiles[:, self.median]
        return {"values": values, "quantiles": quantiles}

    def answers(self, predicted: dict[str, Array]) -> dict[str, list[Any] | Array]:
        """In the user's units: `prediction (N,)` float64, and `quantile_<level> (N,)` float64."""
        answers: dict[str, list[Any] | Array] = {"prediction": self._unscale(predicted["values"])}
        for position, name in enumerate(self.names):
            answers[name] = self._unscale(predicted["quantiles"][:, position])
        return answers

    def nonconformity(self, predicted: dict[str, Array], target: Cells) -> Array:
        """`(N,)` float32 in scaled units: how far the truth lies outside the band, below zero inside.

        The band reaches from the lowest to the highest quantile (Romano et al. 2019, arXiv:1905.03222);
        without two quantiles it is the prediction alone, and this its absolute error.
        """
        low, high = self._band(predicted)
        truth = target.values[:, 0]
        return np.asarray(np.maximum(low - truth, truth - high))

    def sets(self, predicted: dict[str, Array], thresholds: Array) -> dict[str, list[Any] | Array]:
        """In the user's units: `low (N,)` and `high (N,)` float64, the band widened by the threshold.

        A threshold below zero narrows the band, to its middle at most.
        """
        low, high = self._band(predicted)
        middle = (low + high) / 2
        return {
            "low": self._unscale(np.minimum(low - thresholds, middle)),
            "high": self._unscale(np.maximum(high + thresholds, middle)),
        }

    def metrics(self, predicted: dict[str, Array], target: Cells) -> dict[str, float]:
        """See `number_metrics` and, with quantiles, `quantile_metrics`; in the user's units."""
        rows = self.scored(target)
        truth = self._unscale(target.values[rows, 0])
        scores = number_metrics(self._unscale(predicted["values"][rows]), truth)
        if self.names:
            quantiles = self._unscale(predicted["quantiles"][rows])
            scores |= quantile_metrics(quantiles, truth, np.array(self.config.levels))
        return scores

    def score(self, metrics: dict[str, float]) -> float:
        """R², which says how good without the unit; minus the mean absolute error where it is undefined."""
        return metrics["r2"] if np.isfinite(metrics["r2"]) else -metrics["mae"]

    def _band(self, predicted: dict[str, Array]) -> tuple[Array, Array]:
        """Lower and upper end `(N,)` in scaled units before any threshold."""
        if len(self.names) < 2:
            return predicted["values"], predicted["values"]
        return predicted["quantiles"][:, 0], predicted["quantiles"][:, -1]

    def _unscale(self, values: Array) -> Array:
        # float64, as float32 has too few digits for a large centre with a small spread
        return np.asarray(self.column.unscale(values.astype(np.float64)))
