"""Any number of labels a row."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from sensorium.batch import Fused, Raw
from sensorium.data.column import Array, Cells
from sensorium.data.tabular import CategoriesColumn
from sensorium.errors import TableError
from sensorium.heads.head import Head, VectorHeadConfig, layers
from sensorium.heads.losses import sigmoid_loss
from sensorium.heads.metrics import categories_metrics
from sensorium.heads.temperature import sigmoid_temperature


class CategoriesHeadConfig(VectorHeadConfig):
    """Any number of labels a row."""

    type: Literal["categories"] = Field("categories", description="type of output")
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="factor of the loss where a label applies; balanced: rows without / rows with it",
    )
    focal: float = Field(0.0, ge=0, description="gamma of the focal loss; 0 is plain cross-entropy")
    threshold: float = Field(0.5, gt=0, lt=1, description="probability from which a label is given")
    separator: str | None = Field(None, description="between the labels of a cell; default: | then ; then ,")
    min_count: int = Field(1, ge=1, description="rows that a label needs in training to be learned")


class CategoriesHead(Head):
    """One sigmoid for each label seen in training.

    A row whose target is missing has loss 0 and is not scored; a row with an empty list of labels, or with
    labels not learned, counts as one to which no label applies.

    Args:
        config: see `CategoriesHeadConfig`.
        column: fitted, with the labels, how often each occurs and in how many rows.
        dim: V, width of `Fused.vector`.
        width: H, not used.

    Raises:
        TableError: when the training rows have no label.
    """

    Config = CategoriesHeadConfig
    metric: str = "mean_average_precision"
    metric_goal: Literal["max", "min"] = "max"
    weights: Tensor

    @classmethod
    def target(cls, config: CategoriesHeadConfig) -> CategoriesColumn:
        """The column of the target, not fitted yet."""
        return CategoriesColumn(
            CategoriesColumn.Config(
                column=config.column, separator=config.separator, min_count=config.min_count
            )
        )

    def __init__(self, config: CategoriesHeadConfig, column: CategoriesColumn, dim: int, width: int) -> None:
        super().__init__()
        if not column.labels:
            raise TableError(
                "The target of a categories output has no label in the training rows: "
                "check the table column and its separator, lower min_count, or give more rows"
            )
        self.config = config
        self.labels = list(column.labels)
        self.register_buffer("weights", _label_weights(config, column), persistent=False)
        self.layers = layers(config, dim, len(self.labels))

    def forward(self, fused: Fused) -> Tensor:
        """Logits `(B, C)` of the labels, without the column's index 0."""
        logits: Tensor = self.layers(fused.vector)
        return logits

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` float32; target: `(B, C + 1)` float32 of 0 and 1, index 0 for labels not learned."""
        loss = sigmoid_loss(self.forward(fused), target.values[:, 1:], self.weights, self.config.focal)
        return torch.where(target.present, loss, torch.zeros_like(loss))

    def predict(self, fused: Fused) -> dict[str, Tensor]:
        """`probabilities (B, C)` float32."""
        return {"probabilities": (self.forward(fused).float() / self.temperature).sigmoid()}

    def answers(self, predicted: dict[str, Array]) -> dict[str, list[Any] | Array]:
        """`prediction`: N lists of labels; `probability_<label>`: `(N,)` float32 for each label."""
        probabilities = predicted["probabilities"]
        given = probabilities >= self.config.threshold
        answers: dict[str, list[Any] | Array] = {
            "prediction": [[self.labels[place] for place in row.nonzero()[0]] for row in given]
        }
        for position, label in enumerate(self.labels):
            answers[f"probability_{label}"] = probabilities[:, position]
        return answers

    def fit_temperature(self, predicted: dict[str, Array], target: Cells) -> float:
        """See `sigmoid_temperature`. Labels are given by the probability that comes out of it.

        With the usual threshold of 0.5 no answer changes: log-odds keep their sign. Another threshold means
        the probability that the user sees.
        """
        rows = self.scored(target)
        return sigmoid_temperature(predicted["probabilities"][rows], target.values[rows, 1:] > 0.5)

    def metrics(self, predicted: dict[str, Array], target: Cells) -> dict[str, float]:
        """See `categories_metrics`."""
        rows = self.scored(target)
        truth = target.values[rows, 1:] > 0.5
        return categories_metrics(predicted["probabilities"][rows], truth, self.config.threshold)


def _label_weights(config: CategoriesHeadConfig, column: CategoriesColumn) -> Tensor:
    if config.class_weights == "none":
        return torch.ones(len(column.labels))
    counts = torch.tensor(column.counts, dtype=torch.float32)
    # at least one row without the label, so that a label that always applies keeps a gradient
    return (column.rows - counts).clamp(min=1) / counts.clamp(min=1)
