"""Text through a pretrained language model."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from sensorium.batch import Raw, Tokens, masked_mean
from sensorium.data.pretrained_text import PretrainedTextColumn
from sensorium.encoders.pretrained.backbone import load_backbone
from sensorium.encoders.pretrained.config import PretrainedConfig


class PretrainedTextConfig(PretrainedConfig):
    """A pretrained language model, such as BERT, MiniLM, ModernBERT, XLM-R, E5 or Qwen3-Embedding."""

    weights: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        description="id of a checkpoint, or a folder beside the recipe",
    )
    pool: Literal["auto", "tokens", "mean", "first", "last"] = Field(
        "auto", description="every token, or one vector; auto: as the checkpoint says, else the mean"
    )


class PretrainedText(nn.Module):
    """Token ids → hidden states of the last layer, one token each, or one vector; `dim` is the model's."""

    Config = PretrainedTextConfig
    Column: ClassVar[type[PretrainedTextColumn]] = PretrainedTextColumn

    def __init__(self, config: PretrainedTextConfig, column: PretrainedTextColumn) -> None:
        super().__init__()
        self.backbone = load_backbone(column.checkpoint)
        self.dim = self.backbone.config.hidden_size
        self.pool = config.pool if config.pool != "auto" else _own_pool(column.checkpoint.pooling)

    def forward(self, raw: Raw) -> Tokens:
        """Ids `(B, L)` int64 → `(B, L, dim)`, or `(B, 1, dim)`; features pass as they are."""
        if raw.values.is_floating_point():
            return Tokens(raw.values, raw.mask)
        return self.features(raw)

    def features(self, raw: Raw) -> Tokens:
        """Ids `(B, L)` int64 → the tokens of the frozen model."""
        with torch.no_grad():
            states = self.backbone(input_ids=raw.values, attention_mask=raw.mask.long()).last_hidden_state
        return _pooled(states, raw.mask, self.pool)


def _pooled(states: Tensor, mask: Tensor, pool: str) -> Tokens:
    if pool == "tokens":
        return Tokens(states, mask)
    if pool == "mean":
        vector = masked_mean(states, mask)
    else:
        place = torch.zeros_like(mask[:, 0], dtype=torch.long) if pool == "first" else mask.sum(dim=1) - 1
        vector = states[torch.arange(len(states), device=states.device), place]
    return Tokens(vector.unsqueeze(1), mask[:, :1])


def _own_pool(pooling: dict[str, bool]) -> str:
    if pooling.get("pooling_mode_cls_token"):
        return "first"
    return "last" if pooling.get("pooling_mode_lasttoken") else "mean"
