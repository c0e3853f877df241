"""What a recipe may say about any pretrained encoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sensorium.config import Config


class PretrainedConfig(Config):
    """Weights that were trained before, by others, on far more data."""

    kind: Literal["pretrained"] = "pretrained"
    weights: str = Field(..., description="id of a checkpoint, or a folder beside the recipe")
    tune: Literal["frozen"] = Field(
        "frozen", description="frozen: used as they are, so that features are computed once"
    )

    @property
    def frozen(self) -> bool:
        """Whether the pretrained weights stay as they are."""
        return self.tune == "frozen"
