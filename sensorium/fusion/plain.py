"""Fusion that leaves tokens as they are, for decoders that were trained together with an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from sensorium.batch import Fused, Tokens
from sensorium.fusion.project import FusionConfig, Projection, gather, mean_weights, weighted_sum


class PlainConfig(FusionConfig):
    """Tokens as their encoders made them, where these have the width; others are projected to it."""

    kind: Literal["plain"] = "plain"


class Plain(nn.Module):
    """Tokens of an input whose D is H pass unchanged; vector: the mean of a row's columns, `(B, H)`.

    A pretrained decoder, such as Whisper's, reads the tokens of its own encoder, and no others.
    """

    Config = PlainConfig

    def __init__(self, config: PlainConfig, dims: Mapping[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.dim = self.width = config.width
        self.projection = Projection(dims, config.width)
        for position, dim in enumerate(dims.values()):
            if dim == config.width:
                self.projection.layers[position] = nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        projected = self.projection(tokens)
        vector = weighted_sum(mean_weights(present), projected.columns)
        return gather(tokens, self.dropout(vector), *projected)
