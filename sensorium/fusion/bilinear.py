"""Fusions that multiply inputs with one another: the whole outer product, and its low-rank form.

Symbols: c_m is the column of input m, `(B, H)`, the mean of its tokens projected to the fused space.
Every fusion gives tokens `(B, ΣL_m, H)` and columns `(B, H)`, both projected and no more.

Both append a 1 to every input, so the result holds each input by itself and every combination, and an
absent input cannot zero the others: it enters as its absent token.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from sensorium.batch import Fused, Tokens
from sensorium.errors import RecipeError
from sensorium.fusion.project import FusionConfig, Projection, gather, hidden_layers

LARGEST_PRODUCT = 65_536
"""Most numbers of an outer product, for one row: with width 128, a layer of 8 million weights above it."""


class LowRankConfig(FusionConfig):
    """All products of all columns, through factors of low rank."""

    kind: Literal["low_rank"] = "low_rank"
    rank: int = Field(4, description="Rank: how many products are added.", ge=1, le=1024)


class LowRank(nn.Module):
    """Low-rank multimodal fusion: vector = Σ_r λ_r ⊙_m (W_m⁽ʳ⁾ [c_m; 1]) + b, `(B, H)`.

    It equals b + the contraction of the outer product [c_1; 1] ⊗ … ⊗ [c_M; 1] with the weight tensor
    Σ_r λ_r ⊗_m W_m⁽ʳ⁾, without ever making either. Time and memory grow with M, not with its power.

    The factors of the appended 1 begin at 1 and λ at 1 / rank: so the products begin near 1 plus a sum of
    the columns, and neither vanish nor explode with many inputs.

    Source: Liu, Shen, Lakshminarasimhan, Liang, Zadeh, Morency (2018), arXiv 1806.00064; λ, absorbed by the
    factors in its formula, is a parameter here.
    """

    Config = LowRankConfig

    def __init__(self, config: LowRankConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.dim = self.width = config.width
        self.rank = config.rank
        self.projection = Projection(dims, config.width)
        self.factors = nn.ModuleList(_factor(config.width, config.rank) for _ in dims)
        self.rank_weights = nn.Parameter(torch.full((config.rank,), 1 / config.rank))
        self.bias = nn.Parameter(torch.zeros(config.width))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        projected = self.projection(tokens)
        columns = projected.columns.unbind(dim=1)
        parts = [factor(column) for factor, column in zip(self.factors, columns, strict=True)]
        product = reduce(torch.mul, parts).unflatten(-1, (self.rank, self.width))
        vector = (product * self.rank_weights.unsqueeze(-1)).sum(dim=1) + self.bias
        return gather(tokens, self.dropout(vector), *projected)


def _factor(width: int, rank: int) -> nn.Linear:
    """The factors of one input for every rank; the bias is the factor of the appended 1."""
    layer = nn.Linear(width, rank * width)
    nn.init.ones_(layer.bias)
    return layer


class TensorConfig(FusionConfig):
    """The outer product of all columns, each first reduced to a few numbers."""

    kind: Literal["tensor"] = "tensor"
    factor_width: int = Field(
        16, description="Numbers that each input brings to the outer product.", ge=1, le=4096
    )
    layers: int = Field(1, description="Hidden layers after the product; 0 leaves it bare.", ge=0, le=8)


class TensorFusion(nn.Module):
    """Tensor fusion: p_m = P_m c_m, vector = f([p_1; 1] ⊗ … ⊗ [p_M; 1]), `(B, H)`.

    f is `layers` of linear, GELU and dropout over the flattened outer product of (factor_width + 1)^M
    numbers; with `layers: 0` that is the vector itself. It grows with the power M: for more than three
    inputs use `low_rank`.

    Source: Zadeh, Chen, Poria, Cambria, Morency (2017), arXiv 1707.07250.

    Raises:
        RecipeError: when the outer product would have more than `LARGEST_PRODUCT` numbers.
    """

    Config = TensorConfig

    def __init__(self, config: TensorConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        size = _product_size(config.factor_width, list(dims))
        self.width = config.width
        self.dim = config.width if config.layers else size
        self.projection = Projection(dims, config.width)
        self.factors = nn.ModuleList(nn.Linear(config.width, config.factor_width) for _ in dims)
        self.hidden = hidden_layers(size, config.width, config.layers, config.dropout)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        projected = self.projection(tokens)
        one = torch.ones_like(projected.columns[:, 0, :1])
        product = one
        for factor, column in zip(self.factors, projected.columns.unbind(dim=1), strict=True):
            part = torch.cat([factor(column), one], dim=-1)
            product = (product.unsqueeze(2) * part.unsqueeze(1)).flatten(start_dim=1)
        return gather(tokens, self.hidden(product), *projected)


def _product_size(factor_width: int, names: list[str]) -> int:
    """Numbers in the outer product, `(factor_width + 1)^M`."""
    size: int = (factor_width + 1) ** len(names)
    if size <= LARGEST_PRODUCT:
        return size
    # Powers of whole numbers, for a root in floating point may land just below or above.
    widest = max(width for width in range(factor_width) if (width + 1) ** len(names) <= LARGEST_PRODUCT)
    lower = f"lower fusion.factor_width to {widest} or less, or " if widest else ""
    raise RecipeError(
        f"fusion: the outer product of {len(names)} inputs ({', '.join(names)}) with factor_width "
        f"{factor_width} has {factor_width + 1}^{len(names)} = {size:,} numbers a row, more than "
        f"{LARGEST_PRODUCT:,}; {lower}use 'fusion: {{kind: low_rank}}', which grows with their number alone"
    )
