"""Fusions that weigh the inputs of each row: by attention, and by gates.

Symbols: c_m is the column of input m, `(B, H)`, the mean of its tokens projected to the fused space.
Every fusion gives tokens `(B, ΣL_m, H)` and columns `(B, H)`, both projected and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from sensorium.batch import Fused, Tokens, where_real
from sensorium.fusion.project import (
    FusionConfig,
    Projection,
    gather,
    present_or_all,
    softmax_weights,
    weighted_sum,
)


class AttentionConfig(FusionConfig):
    """A weighted mean of the columns; the weights depend on the row."""

    kind: Literal["attention"] = "attention"


class Attention(nn.Module):
    """Attention over the inputs: a_m = softmax_m(uᵀ tanh(W c_m + b)), vector = Σ_m a_m c_m, `(B, H)`.

    The softmax runs over the inputs that a row has: an absent one weighs exactly zero. A row without any
    weighs all of its absent tokens.

    Sources: Bahdanau, Cho, Bengio (2014), arXiv 1409.0473, for the additive score; Hori et al. (2017),
    arXiv 1701.03126, for attention over modalities.
    """

    Config = AttentionConfig

    def __init__(self, config: AttentionConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.dim = self.width = config.width
        self.projection = Projection(dims, config.width)
        self.score = nn.Sequential(
            nn.Linear(config.width, config.width), nn.Tanh(), nn.Linear(config.width, 1, bias=False)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        projected = self.projection(tokens)
        vector = weighted_sum(self.weights(projected.columns, present), projected.columns)
        return gather(tokens, self.dropout(vector), *projected)

    def weights(self, columns: Tensor, present: Tensor) -> Tensor:
        """`(B, M, H)`, `(B, M)` bool → `(B, M)`: how much each input counts; a row sums to one."""
        return softmax_weights(self.score(columns).squeeze(-1), present)


class GatedConfig(FusionConfig):
    """A gate for every number of every column; the gates see all inputs."""

    kind: Literal["gated"] = "gated"


class Gated(nn.Module):
    """Gated multimodal unit: h_m = tanh(c_m), z_m = σ(V_m [c_1; …; c_M] + v_m), vector = Σ_m z_m ⊙ h_m.

    This is the unit for any number of inputs; for two, the source also ties the gates, z_2 = 1 - z_1. Its
    gates read the encoders' vectors, here their projections. The gates of an absent input are shut (zero),
    though the others see its absent token; in a row without any input all gates stay. The vector is `(B, H)`.

    Source: Arevalo, Solorio, Montes-y-Gómez, González (2017), arXiv 1702.01992.
    """

    Config = GatedConfig

    def __init__(self, config: GatedConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.dim = self.width = config.width
        joined = len(dims) * config.width
        self.projection = Projection(dims, config.width)
        self.gates = nn.Linear(joined, joined)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        projected = self.projection(tokens)
        columns = projected.columns
        gates = self.gates(columns.flatten(start_dim=1)).view_as(columns).sigmoid()
        vector = where_real(gates * columns.tanh(), present_or_all(present)).sum(dim=1)
        return gather(tokens, self.dropout(vector), *projected)
