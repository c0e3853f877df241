"""What every fusion begins and ends with: inputs brought to one width, and gathered into a `Fused`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from sensorium.batch import Fused, Place, Tokens, masked_mean, where_real
from sensorium.config import Config


class FusionConfig(Config):
    """What every fusion can be told; a fusion adds its own fields and fixes `kind`."""

    kind: str
    width: int = Field(128, description="Width of the fused space, in numbers.", ge=1, le=65536)
    dropout: float = Field(0.1, description="Share of the hidden numbers dropped in training.", ge=0, lt=1)


class Projected(NamedTuple):
    """Every input in the fused space.

    Attributes:
        tokens: one `Tokens` of `(B, L_m, H)` for each input, in order; padding is zero.
        columns: `(B, M, H)`, the mean over the real tokens of each input.
    """

    tokens: list[Tokens]
    columns: Tensor


class Projection(nn.Module):
    """One linear layer for each input, without an activation: `(B, L_m, D_m)` → `(B, L_m, H)`.

    It stays linear so that the mean of the projected tokens is the projection of the mean token: the
    columns are made from the mean, and no gradient passes through long sequences that no head reads.

    Args:
        dims: input name → width of its tokens, in the recipe's order.
        width: H.
    """

    def __init__(self, dims: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(dim, width) for dim in dims.values())

    def forward(self, tokens: Mapping[str, Tokens]) -> Projected:
        """Tokens of every input → the same in the fused space; what stands in padding is ignored."""
        columns = self.columns(means(tokens))
        sequences = [
            # A single token is its own mean: over hundreds of thousands of numbers the layer is dear.
            _single(column, each.mask) if each.mask.shape[1] == 1 else _sequence(layer, each)
            for layer, each, column in zip(self.layers, tokens.values(), columns.unbind(dim=1), strict=True)
        ]
        return Projected(sequences, columns)

    def sequences(self, tokens: Sequence[Tokens]) -> list[Tokens]:
        """M times `(B, L_m, D_m)` → M times `(B, L_m, H)`, zero in the padding."""
        return [_sequence(layer, each) for layer, each in zip(self.layers, tokens, strict=True)]

    def columns(self, vectors: Sequence[Tensor]) -> Tensor:
        """M times `(B, D_m)` → `(B, M, H)`."""
        projected = [layer(vector) for layer, vector in zip(self.layers, vectors, strict=True)]
        return torch.stack(projected, dim=1)


def _sequence(layer: nn.Module, tokens: Tokens) -> Tokens:
    """`(B, L, D)` → `(B, L, H)`, zero in the padding."""
    values, mask = tokens
    # Zero before the layer too: a NaN in padding would reach the gradient of its weight.
    return Tokens(where_real(layer(where_real(values, mask)), mask), mask)


def _single(column: Tensor, mask: Tensor) -> Tokens:
    """`(B, H)`, `(B, 1)` → tokens `(B, 1, H)`, zero in the padding."""
    return Tokens(where_real(column.unsqueeze(1), mask), mask)


def means(tokens: Mapping[str, Tokens]) -> list[Tensor]:
    """The mean real token of every input, M times `(B, D_m)`."""
    return [masked_mean(values, mask) for values, mask in tokens.values()]


def gather(
    names: Iterable[str],
    vector: Tensor,
    tokens: Sequence[Tokens],
    columns: Tensor,
    per_output: dict[str, Tensor] | None = None,
) -> Fused:
    """Puts a fusion's results together.

    Args:
        names: names of the M inputs.
        vector: `(B, V)`.
        tokens: M times `(B, L_m, H)`; joined along the length.
        columns: `(B, M, H)`.
        per_output: output name → `(B, V)`.
    """
    names = list(names)
    lengths = [each.values.shape[1] for each in tokens]
    places = [Place(sum(lengths[:position]), length) for position, length in enumerate(lengths)]
    return Fused(
        vector=vector,
        tokens=torch.cat([each.values for each in tokens], dim=1),
        mask=torch.cat([each.mask for each in tokens], dim=1),
        columns=dict(zip(names, columns.unbind(dim=1), strict=True)),
        places=dict(zip(names, places, strict=True)),
        per_output=per_output or {},
    )


def present_or_all(present: Tensor) -> Tensor:
    """`(B, M)` bool: the inputs to count: the present ones, or all in a row that has none."""
    return present | ~present.any(dim=1, keepdim=True)


def mean_weights(present: Tensor) -> Tensor:
    """`(B, M)` bool → `(B, M)` float32: equal weights for the present inputs of each row, summing to one."""
    counted = present_or_all(present).float()
    return counted / counted.sum(dim=1, keepdim=True)


def weighted_sum(weights: Tensor, columns: Tensor) -> Tensor:
    """`(B, M)`, `(B, M, H)` → `(B, H)`."""
    return (weights.unsqueeze(-1) * columns).sum(dim=1)


def softmax_weights(scores: Tensor, present: Tensor) -> Tensor:
    """Softmax over the present inputs of each row: `(B, M)` or `(M,)` scores, `(B, M)` bool → `(B, M)`."""
    return torch.where(present_or_all(present), scores, float("-inf")).softmax(dim=1)


def hidden_layers(dim: int, width: int, layers: int, dropout: float) -> nn.Sequential:
    """`layers` times linear, GELU and dropout, from `dim` to `width`; with none, dropout alone."""
    steps: list[nn.Module] = []
    for index in range(layers):
        steps += [nn.Linear(width if index else dim, width), nn.GELU(), nn.Dropout(dropout)]
    return nn.Sequential(*(steps or [nn.Dropout(dropout)]))
