"""What a recipe may say about any pretrained encoder."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from sensorium.config import Config

_MANNERS = re.compile(r"frozen|head|lora|last-[1-9]\d*|full|auto")


# What every configuration says of how weights are tuned.
LearningRate = Annotated[
    float | None,
    Field(
        gt=0,
        description="peak learning rate of the pretrained weights that are tuned; default: 0.2 (lora), 0.05 "
        "(last-N) or 0.02 (full) of the optimizer's default, which for adamw is 2e-4, 5e-5 and 2e-5",
    ),
]
LayerDecay = Annotated[
    float,
    Field(
        gt=0, le=1, description="last-N and full: factor of the learning rate from a block to the one below"
    ),
]
Rank = Annotated[int, Field(ge=1, description="lora: of each update")]
Alpha = Annotated[float, Field(gt=0, description="lora: updates are multiplied by alpha / rank")]
LoraDropout = Annotated[float, Field(ge=0, lt=1, description="lora: of what enters the updates")]


class PretrainedConfig(Config):
    """Weights that were trained before, by others, on far more data."""

    kind: Literal["pretrained"] = "pretrained"
    weights: str = Field(..., description="id of a checkpoint, or a folder beside the recipe")
    tune: str = Field(
        "frozen",
        description="frozen: used as they are, so that features are computed once; head: a small trained "
        "layer after them; lora: low-rank updates of attention; last-N, such as last-2: the last N blocks; "
        "full: all; auto: frozen, head, lora and full in turn, while validation gains beyond noise",
    )
    lr: LearningRate = None
    layer_decay: LayerDecay = 0.9
    rank: Rank = 8
    alpha: Alpha = 16.0
    lora_dropout: LoraDropout = 0.0
    adapter: int = Field(64, ge=1, description="head: width of the layer")
    gradient_checkpointing: bool = Field(
        False, description="compute activations of tuned blocks twice, to keep less in memory"
    )

    @field_validator("tune")
    @classmethod
    def _known_manner(cls, value: str) -> str:
        if not _MANNERS.fullmatch(value):
            raise ValueError("write frozen, head, lora, last-N (such as last-2), full or auto")
        return value

    @property
    def frozen(self) -> bool:
        """Whether the pretrained weights stay as they are; `auto` is where its first step is."""
        return self.tune in ("frozen", "head", "auto")

    @property
    def last(self) -> int:
        """N of last-N; 0 for other manners."""
        return int(self.tune.removeprefix("last-")) if self.tune.startswith("last-") else 0
