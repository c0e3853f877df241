"""Fusions of one line each: joined, added, multiplied, or answered side by side.

Symbols: c_m is the column of input m, `(B, H)`, the mean of its tokens projected to the fused space.
Every fusion gives tokens `(B, ΣL_m, H)` and columns `(B, H)`, both projected and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from sensorium.batch import Fused, Tokens
from sensorium.fusion.project import (
    FusionConfig,
    Projection,
    gather,
    hidden_layers,
    mean_weights,
    softmax_weights,
)


class ConcatConfig(FusionConfig):
    """Columns joined end to end, then a shared hidden layer."""

    kind: Literal["concat"] = "concat"
    layers: int = Field(1, description="Hidden layers after the joining; 0 leaves it bare.", ge=0, le=8)


class Concat(nn.Module):
    """串联, concatenation: vector = f([c_1; …; c_M]), f being `layers` of linear, GELU and dropout.

    An absent input enters through its absent token. The vector is `(B, H)`, or `(B, M·H)` with `layers: 0`.

    Source: Ngiam, Khosla, Kim, Nam, Lee, Ng (2011), Multimodal Deep Learning, ICML, whose deep autoencoder
    has a hidden layer above both modalities.
    """

    Config = ConcatConfig

    def __init__(self, config: ConcatConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.width = config.width
        joined = len(dims) * config.width
        self.dim = config.width if config.layers else joined
        self.projection = Projection(dims, config.width)
        self.hidden = hidden_layers(joined, config.width, config.layers, config.dropout)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        projected = self.projection(tokens)
        return gather(tokens, self.hidden(projected.columns.flatten(start_dim=1)), *projected)


class SumConfig(FusionConfig):
    """Columns added."""

    kind: Literal["sum"] = "sum"


class Sum(nn.Module):
    """Element-wise sum: vector = Σ_m c_m, `(B, H)`.

    The sum runs over every input: an absent one adds its projected absent token, which the model can learn
    to make zero. (For a mean over the present inputs see `parallel`.)

    Source: the sum fusion of Feichtenhofer, Pinz, Zisserman (2016), arXiv 1604.06573.
    """

    Config = SumConfig

    def __init__(self, config: SumConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.dim = self.width = config.width
        self.projection = Projection(dims, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        projected = self.projection(tokens)
        return gather(tokens, self.dropout(projected.columns.sum(dim=1)), *projected)


class ProductConfig(FusionConfig):
    """Columns multiplied, number by number."""

    kind: Literal["product"] = "product"
    residual: bool = Field(True, description="Add the sum of the columns to their product.")


class Product(nn.Module):
    """Hadamard product: vector = c_1 ⊙ … ⊙ c_M, plus Σ_m c_m with `residual`; `(B, H)`.

    An absent input multiplies by its projected absent token. A learned projection has a bias, so this is
    not zero by construction, but nothing keeps it from shrinking: then the bare product loses what the
    other inputs say, while the residual form still passes it on. With many inputs the bare product also
    vanishes or explodes; prefer `residual` or `low_rank`.

    Source: Kim, On, Lim, Kim, Ha, Zhang (2016), arXiv 1610.04325, without its activations.
    """

    Config = ProductConfig

    def __init__(self, config: ProductConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.dim = self.width = config.width
        self.residual = config.residual
        self.projection = Projection(dims, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        projected = self.projection(tokens)
        vector = reduce(torch.mul, projected.columns.unbind(dim=1))
        if self.residual:
            vector = vector + projected.columns.sum(dim=1)
        return gather(tokens, self.dropout(vector), *projected)


class ParallelConfig(FusionConfig):
    """One hidden branch for each input; their answers are averaged."""

    kind: Literal["parallel"] = "parallel"
    layers: int = Field(1, description="Hidden layers of each branch.", ge=1, le=8)
    weights: Literal["mean", "learned"] = Field(
        "mean", description="Weights of the branches: equal, or learned (one number an input)."
    )


class Parallel(nn.Module):
    """并列, branches side by side: b_m = f_m(c_m), vector = [w_1 b_1; …; w_M b_M], `(B, M·H)`.

    f_m is `layers` of linear, GELU and dropout of its own. The weighted mean of one linear answer per branch,
    Σ_m w_m (A_m b_m + a) with Σ_m w_m = 1, is exactly one linear layer, [A_1 … A_M] and bias a, over this
    vector; so a head without hidden layers averages the branches' answers.

    The weights run over the inputs that a row has: equal, or a softmax of one learned number per input. An
    absent input weighs exactly zero; in a row without any, all count.
    """

    Config = ParallelConfig

    def __init__(self, config: ParallelConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.width = config.width
        self.dim = len(dims) * config.width
        self.projection = Projection(dims, config.width)
        self.branches = nn.ModuleList(
            hidden_layers(config.width, config.width, config.layers, config.dropout) for _ in dims
        )
        self.scores = nn.Parameter(torch.zeros(len(dims))) if config.weights == "learned" else None

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        projected = self.projection(tokens)
        columns = projected.columns.unbind(dim=1)
        branches = [branch(column) for branch, column in zip(self.branches, columns, strict=True)]
        vector = self.weights(present).unsqueeze(-1) * torch.stack(branches, dim=1)
        return gather(tokens, vector.flatten(start_dim=1), *projected)

    def weights(self, present: Tensor) -> Tensor:
        """`(B, M)` bool → `(B, M)`: how much each branch counts in each row; a row sums to one."""
        return mean_weights(present) if self.scores is None else softmax_weights(self.scores, present)


class LateConfig(FusionConfig):
    """Each input's own linear answer; the answers are averaged."""

    kind: Literal["late"] = "late"


class Late(nn.Module):
    """Late fusion: the mean over the present inputs of each input's own linear answer.

    vector = [w_1 c_1; w_1; …; w_M c_M; w_M], `(B, M·(H + 1))`, with w_m = 1 / number of present inputs. The
    mean of separate linear answers, Σ_m w_m (A_m c_m + a_m), is exactly one linear layer over this vector:
    the w_m beside each c_m carry the answers' own biases. This holds for a head without hidden layers, which
    is the point of late fusion: nothing is computed from two inputs together before the answers are added.

    It differs from `parallel` in having no hidden layer at all: from encoder to answer each input passes
    through linear maps alone, where `parallel` has a branch with an activation for each input. It differs
    from `concat` in that an absent input's answer is left out of the mean.

    Source: decision-level fusion as surveyed by Baltrušaitis, Ahuja, Morency (2017), arXiv 1705.09406.
    """

    Config = LateConfig

    def __init__(self, config: LateConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.width = config.width
        self.dim = len(dims) * (config.width + 1)
        self.projection = Projection(dims, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        projected = self.projection(tokens)
        columns = self.dropout(projected.columns)
        answers = torch.cat([columns, torch.ones_like(columns[..., :1])], dim=-1)
        vector = mean_weights(present).unsqueeze(-1) * answers
        return gather(tokens, vector.flatten(start_dim=1), *projected)
