"""One of several classes a row."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, field_validator
from torch import Tensor

from sensorium.batch import Fused, Raw
from sensorium.data.column import Array, Cells
from sensorium.data.tabular import CategoryColumn
from sensorium.errors import RecipeError, TableError
from sensorium.heads.head import Head, VectorHeadConfig, layers
from sensorium.heads.losses import softmax_loss
from sensorium.heads.metrics import category_metrics
from sensorium.heads.temperature import softmax_temperature

Weight = Annotated[float, Field(ge=0)]


class CategoryHeadConfig(VectorHeadConfig):
    """One of several classes a row."""

    type: Literal["category"] = Field("category", description="type of output")
    class_weights: Literal["none", "balanced"] | dict[str, Weight] = Field(
        "none", description="factor of the loss by class; balanced: rows / (classes * rows of the class)"
    )
    focal: float = Field(0.0, ge=0, description="gamma of the focal loss; 0 is plain cross-entropy")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")
    min_count: int = Field(1, ge=1, description="rows that a class needs in training to be learned")

    @field_validator("class_weights", mode="before")
    @classmethod
    def _labels_are_text(cls, value: Any) -> Any:
        # YAML reads 1: 2.0 as a number, while labels are text
        return {str(label): weight for label, weight in value.items()} if isinstance(value, dict) else value


class CategoryHead(Head):
    """Softmax over the classes seen in training.

    A row whose target is missing, or is a class not learned (code 0), has loss 0 and is not scored.

    Args:
        config: see `CategoryHeadConfig`.
        column: fitted, with the labels and how often each occurs.
        dim: V, width of `Fused.vector`.
        width: H, not used.

    Raises:
        TableError: when the target has fewer than two classes.
        RecipeError: when class_weights names a class that the table does not have.
    """

    Config = CategoryHeadConfig
    metric: str = "accuracy"
    metric_goal: Literal["max", "min"] = "max"
    set_columns: ClassVar[tuple[str, ...]] = ("set", "abstain")
    weights: Tensor

    @classmethod
    def target(cls, config: CategoryHeadConfig) -> CategoryColumn:
        """The column of the target, not fitted yet."""
        return CategoryColumn(CategoryColumn.Config(column=config.column, min_count=config.min_count))

    def __init__(self, config: CategoryHeadConfig, column: CategoryColumn, dim: int, width: int) -> None:
        super().__init__()
        _check_classes(column.labels)
        self.config = config
        self.labels = list(column.labels)
        self.classes = column.classes
        self.register_buffer("weights", _class_weights(config, column), persistent=False)
        self.layers = layers(config, dim, len(self.labels))

    def forward(self, fused: Fused) -> Tensor:
        """Logits `(B, C)` of the classes 1..C of the column."""
        logits: Tensor = self.layers(fused.vector)
        return logits

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` float32; target: `(B, 1)` int64 codes, 0 for a class not learned."""
        codes = target.values[:, 0]
        known = target.present & (codes > 0)
        classes = torch.where(known, codes - 1, torch.zeros_like(codes))
        loss = softmax_loss(
            self.forward(fused), classes, self.weights, self.config.focal, self.config.label_smoothing
        )
        return torch.where(known, loss, torch.zeros_like(loss))

    def predict(self, fused: Fused) -> dict[str, Tensor]:
        """`codes (B,)` int64 in 1..C, `probabilities (B, C)` float32.

        The codes come from the logits themselves, so that no temperature changes an answer.
        """
        logits = self.forward(fused).float()
        probabilities = (logits / self.temperature).softmax(dim=-1)
        return {"codes": logits.argmax(dim=-1) + 1, "probabilities": probabilities}

    def answers(self, predicted: dict[str, Array]) -> dict[str, list[Any] | Array]:
        """`prediction`: `(N,)` labels in the table's type; `probability_<label>`: `(N,)` float32 for each."""
        answers: dict[str, list[Any] | Array] = {"prediction": self.classes[predicted["codes"] - 1]}
        for position, label in enumerate(self.labels):
            answers[f"probability_{label}"] = predicted["probabilities"][:, position]
        return answers

    def fit_temperature(self, predicted: dict[str, Array], target: Cells) -> float:
        """See `softmax_temperature`."""
        rows = self.scored(target)
        return softmax_temperature(predicted["probabilities"][rows], target.values[rows, 0] - 1)

    def nonconformity(self, predicted: dict[str, Array], target: Cells) -> Array:
        """`(N,)` float32, 1 - probability of the true class (Sadinle et al. 2019, arXiv:1609.00451)."""
        classes = np.maximum(target.values[:, 0], 1) - 1
        return np.asarray(1 - predicted["probabilities"][np.arange(len(classes)), classes])

    def sets(self, predicted: dict[str, Array], thresholds: Array) -> dict[str, list[Any] | Array]:
        """`set`: N lists of labels in the table's type; `abstain`: `(N,)` bool.

        A set is empty where no class is likely enough. `abstain` is True where it is not one class.
        """
        inside = 1 - predicted["probabilities"] <= thresholds[:, None]
        return {"set": [self.classes[row].tolist() for row in inside], "abstain": inside.sum(axis=1) != 1}

    def scored(self, target: Cells) -> npt.NDArray[np.bool_]:
        """`(B,)` bool, True for the rows whose target is a class that was learned."""
        return super().scored(target) & (target.values[:, 0] > 0)

    def metrics(self, predicted: dict[str, Array], target: Cells) -> dict[str, float]:
        """See `category_metrics`."""
        rows = self.scored(target)
        return category_metrics(predicted["probabilities"][rows], target.values[rows, 0] - 1)


def _check_classes(labels: list[str]) -> None:
    if len(labels) < 2:
        found = f"only one class ({labels[0][:40]!r})" if labels else "no class"
        raise TableError(
            f"The target of a category output has {found} in the training rows, and needs two at least: "
            "check the table column, lower min_count, or give more rows"
        )


def _class_weights(config: CategoryHeadConfig, column: CategoryColumn) -> Tensor:
    if config.class_weights == "none":
        return torch.ones(len(column.labels))
    if config.class_weights == "balanced":
        counts = torch.tensor(column.counts, dtype=torch.float32)
        return counts.sum() / (len(counts) * counts.clamp(min=1))
    strangers = sorted(set(config.class_weights) - set(column.labels))
    if strangers:
        raise RecipeError(
            f"class_weights names {strangers[0][:40]!r}, which is not a class of the target; "
            f"its classes are {', '.join(column.labels[:10])}{' …' if len(column.labels) > 10 else ''}"
        )
    return torch.tensor([config.class_weights.get(label, 1.0) for label in column.labels])
