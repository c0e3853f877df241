"""Fusion that prepares a vector of its own for every output.

Symbols: x_m is the mean token of input m as its encoder gives it, `(B, D_m)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from sensorium.batch import Fused, Tokens
from sensorium.fusion.project import FusionConfig, Projection, gather, means


class DecoupledConfig(FusionConfig):
    """A feature shared by all outputs, joined with a feature of each output's own."""

    kind: Literal["decoupled"] = "decoupled"
    join: Literal["residual", "product"] = Field(
        "residual", description="How the two meet: v_c + v_r ⊗ v_c, or the bare product v_r ⊗ v_c."
    )


class Decoupled(nn.Module):
    """任务解耦, tasks decoupled: each output r gets v_f = v_r ⊗ v_c (element-wise), `(B, M·H)`.

    v_r = [v_1r; …; v_Mr], v_mr = R_mr x_m + b_mr: the feature related to the task, one projection for every
    pair of encoder and output. v_c = [v_1; …; v_M], v_m = C_m x_m + b_m: the fused feature that knows of no
    task, shared by all outputs. For an image and a text, v_r = [v_ir; v_tr] and v_c = [v_i; v_t].

    `join: product` is the literal v_f = v_r ⊗ v_c. An absent input enters both factors as its absent token
    and touches its own stretch of H numbers alone; but where either factor is near zero nothing passes and
    nothing is learned. `join: residual`, the default, is v_f = v_c + v_r ⊗ v_c: the shared feature
    always passes, and v_r says how much more or less of it a task wants.

    `per_output[r]` is v_f and `vector` is v_c, for an output that the fusion was not told of. Tokens
    `(B, ΣL_m, H)` and columns `(B, H)`, the v_m, are projected and no more.
    """

    Config = DecoupledConfig

    def __init__(self, config: DecoupledConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.width = config.width
        self.dim = len(dims) * config.width
        self.residual = config.join == "residual"
        self.outputs = list(outputs)
        self.projection = Projection(dims, config.width)
        self.related = nn.ModuleList(_Related(dims, config.width) for _ in outputs)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        vectors = means(tokens)
        columns = self.projection.columns(vectors)
        common = columns.flatten(start_dim=1)
        per_output = {
            output: self.dropout(self._join(related(vectors), common))
            for output, related in zip(self.outputs, self.related, strict=True)
        }
        sequences = self.projection.sequences(list(tokens.values()))
        return gather(tokens, self.dropout(common), sequences, columns, per_output)

    def _join(self, related: Tensor, common: Tensor) -> Tensor:
        product = related * common
        return common + product if self.residual else product


class _Related(nn.Module):
    """What one output takes from the encoders: M times `(B, D_m)` → `(B, M·H)`."""

    def __init__(self, dims: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.projection = Projection(dims, width)

    def forward(self, vectors: Sequence[Tensor]) -> Tensor:
        return self.projection.columns(vectors).flatten(start_dim=1)
