"""Text through a pretrained language model."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from sensorium.batch import Raw, Tokens, masked_mean, where_real
from sensorium.data.pretrained_text import PretrainedTextColumn
from sensorium.encoders.pretrained.backbone import load_backbone
from sensorium.encoders.pretrained.config import PretrainedConfig
from sensorium.encoders.pretrained.frozen import holds_features, multiplies_bfloat16, quicken
from sensorium.encoders.pretrained.lazy import Shape, built, new_backbone, shape_of
from sensorium.encoders.pretrained.precision import Lowered
from sensorium.encoders.pretrained.tune import new_adapter
from sensorium.errors import WeightsError
from sensorium.weights import Checkpoint

_PROBES = (
    "No!",
    "A red bird sits on a branch and looks at the sea.",
    "The price of copper fell by 2.4 % on Tuesday, to $8,310 a tonne.",
    "I did not expect to like this film, but its last half hour is among the best that I have seen in years.",
    "¿Dónde está la biblioteca más antigua de la ciudad?",
    "红色的鸟站在树枝上，望着大海。",
)
"""By which bfloat16 is compared with float32: the same in training and in use, so that both choose alike."""
_MODE = "pooling_mode_"
_POOLS = {
    "pooling_mode_cls_token": "first",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
"""Field of 1_Pooling/config.json → pooling."""
_DECODERS = {*("qwen2", "qwen3", "llama", "mistral", "gemma", "gemma2", "smollm3", "phi3", "gpt2")}
"""Architectures, by model_type, in which a token sees only those before it."""


class PretrainedTextConfig(PretrainedConfig):
    """A pretrained language model, such as BERT, MiniLM, ModernBERT, XLM-R, E5 or Qwen3-Embedding."""

    weights: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        description="id of a checkpoint, or a folder beside the recipe",
    )
    pool: Literal["auto", "tokens", "mean", "first", "last", "max"] = Field(
        "auto",
        description="every token, or one vector: their mean, the first, the last, or the largest of each "
        "number; auto: as the checkpoint says, else last for a decoder such as Qwen3 and the mean for others",
    )


class PretrainedText(nn.Module):
    """Token ids → hidden states of the last layer, one token each, or one vector; `dim` is the model's.

    The vector is not brought to unit length, whatever the checkpoint does after its pooling.
    """

    Config = PretrainedTextConfig
    Column: ClassVar[type[PretrainedTextColumn]] = PretrainedTextColumn

    def __init__(self, config: PretrainedTextConfig, column: PretrainedTextColumn) -> None:
        super().__init__()
        checkpoint = column.checkpoint
        self.pool = config.pool if config.pool != "auto" else _own_pool(checkpoint)
        self.frozen = config.frozen
        self._made_with = f"{checkpoint.digest} {column.config.length} {column.prefix!r}"
        self.backbone = new_backbone(checkpoint, "text", config.frozen, load_backbone)
        self.dim = shape_of(self.backbone, self.feature_key(), _look).dim
        self.adapter = new_adapter(config, self.dim)
        self.lowered: Lowered | None = None
        self._quick = False
        self._probe = _probe(column)

    def forward(self, raw: Raw) -> Tokens:
        """Ids `(B, L)` int64 → `(B, L, dim)`, or `(B, 1, dim)`; features pass as they are."""
        tokens = Tokens(*raw) if holds_features(raw) else self.features(raw)
        return Tokens(self.adapter(tokens.values), tokens.mask)

    def features(self, raw: Raw) -> Tokens:
        """Ids `(B, L)` int64 → the tokens of the language model, float32."""
        backbone = built(self.backbone, raw.mask.device)
        if self.frozen and not self._quick:
            self._quick = True
            self.lowered = quicken(backbone, lambda: _states(backbone, self._probe))
        return _pooled(_states(backbone, raw), raw.mask, self.pool)

    def feature_key(self) -> str:
        """Names everything that decides the features of a text."""
        return f"text {self._made_with} {self.pool} {'bf16' if multiplies_bfloat16() else 'fp32'}"


def _look(backbone: Any) -> Shape:
    return Shape(backbone.config.hidden_size)


def _states(backbone: Any, raw: Raw) -> Tensor:
    padding = backbone.config.pad_token_id or 0
    ids = raw.values.masked_fill(~raw.mask, padding)  # by which RoBERTa counts its positions
    states = backbone(input_ids=ids, attention_mask=raw.mask.long()).last_hidden_state
    return where_real(states.float(), raw.mask)


def _probe(column: PretrainedTextColumn) -> Raw:
    cells = column.collate([column.decode(text) for text in _PROBES])
    return Raw(torch.from_numpy(cells.values), torch.from_numpy(cells.mask))


def _pooled(states: Tensor, mask: Tensor, pool: str) -> Tokens:
    if pool == "tokens":
        return Tokens(states, mask)
    if pool == "mean":
        vector = masked_mean(states, mask)
    elif pool == "max":
        vector = states.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(dim=1)
    else:
        place = torch.zeros_like(mask[:, 0], dtype=torch.long) if pool == "first" else mask.sum(dim=1) - 1
        vector = states[torch.arange(len(states), device=states.device), place]
    return Tokens(vector.unsqueeze(1), mask[:, :1])


def _own_pool(checkpoint: Checkpoint) -> str:
    """The pooling that a checkpoint asks for, else that of its architecture.

    Raises:
        WeightsError: when it asks for one that is not known here.
    """
    asked = [name for name, value in checkpoint.pooling.items() if name.startswith(_MODE) and value]
    if not asked:
        return "last" if checkpoint.config.get("model_type") in _DECODERS else "mean"
    if len(asked) > 1 or asked[0] not in _POOLS:
        modes = ", ".join(name.removeprefix(_MODE) for name in asked)
        raise WeightsError(f"{checkpoint.name}: its pooling ({modes}) is not known; write pool: mean")
    return _POOLS[asked[0]]
