"""What the fusions over tokens share: inputs shortened, projected and marked with where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from sensorium.batch import Tokens, masked_mean, where_real
from sensorium.fusion.project import FusionConfig, Projection
from sensorium.layers import check_heads


class SequenceConfig(FusionConfig):
    """What a fusion over tokens can be told."""

    heads: int = Field(4, description="Attention heads; they divide the width.", ge=1, le=256)
    max_tokens: int = Field(
        128,
        description="Tokens kept of each input; longer ones are averaged over neighbours.",
        ge=1,
        le=65536,
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        check_heads(self.width, self.heads)
        return self


class Sequences(nn.Module):
    """Tokens of every input, `(B, L_m, D_m)` → `(B, min(L_m, max_tokens), H)`, each with its input's mark.

    The mark is a learned vector an input, added to all its tokens; where a token stands within its input is
    the encoder's to say.
    """

    def __init__(self, config: SequenceConfig, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.max_tokens = config.max_tokens
        self.projection = Projection(dims, config.width)
        self.marks = nn.Parameter(torch.randn(len(dims), config.width) * 0.02)

    def forward(self, tokens: Mapping[str, Tokens]) -> list[Tokens]:
        # Averaging comes first: the projection is linear, so the order changes the cost alone.
        short = [shorten(each, self.max_tokens) for each in tokens.values()]
        return [
            Tokens(values + mark, mask)
            for (values, mask), mark in zip(self.projection.sequences(short), self.marks, strict=True)
        ]


def shorten(tokens: Tokens, limit: int) -> Tokens:
    """Averages neighbouring tokens in the rows that have more than `limit` real ones.

    A row's groups depend on its own number of real tokens n alone (token i goes to group ⌊i · limit / n⌋), so
    neither padding nor a longer row of the batch changes them. Rows of at most `limit` real tokens keep them,
    in order.

    Args:
        tokens: `(B, L, D)`; what stands in padding is ignored.
        limit: most tokens to keep.

    Returns:
        The same tokens when L is at most `limit`, else `(B, limit, D)`, zero in the padding.
    """
    values, mask = tokens
    if mask.shape[1] <= limit:
        return tokens
    count = mask.sum(dim=1, keepdim=True)
    order = mask.cumsum(dim=1) - 1
    group = torch.where(count > limit, order * limit // count.clamp(min=1), order)
    places = torch.arange(limit, device=mask.device).view(1, limit, 1)
    member = (group.unsqueeze(1) == places) & mask.unsqueeze(1)
    size = member.sum(dim=2)
    # A matrix product, not a scatter: on a GPU its sums come out the same every time.
    sums = member.to(values.dtype) @ where_real(values, mask)
    return Tokens(sums / size.clamp(min=1).unsqueeze(-1).to(values.dtype), size > 0)


def columns_of(sequences: list[Tokens]) -> Tensor:
    """The mean over the real tokens of each input: M times `(B, L_m, H)` → `(B, M, H)`."""
    return torch.stack([masked_mean(values, mask) for values, mask in sequences], dim=1)
