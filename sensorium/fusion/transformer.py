"""Fusions in which tokens look at tokens: all at all, input at input, and through a bottleneck.

Their tokens `(B, Σ min(L_m, max_tokens), H)` know of the other inputs; their columns `(B, H)` do not: a
column is the mean of its input's tokens before any has looked at another. An absent input enters as its
single absent token; in `transformer` and `cross_attention` the others look at it, and so know that the input
is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Fused, Tokens, where_real
from sensorium.fusion.project import gather, hidden_layers, mean_weights, weighted_sum
from sensorium.fusion.sequence import SequenceConfig, Sequences, columns_of
from sensorium.layers import Transformer, TransformerBlock


class TransformerConfig(SequenceConfig):
    """One transformer over the tokens of all inputs."""

    kind: Literal["transformer"] = "transformer"
    layers: int = Field(2, description="Transformer blocks.", ge=1, le=64)


class TransformerFusion(nn.Module):
    """Early fusion: [s; tokens of input 1; …; tokens of input M] → transformer; vector = what s becomes.

    s is a learned summary token; every token carries a learned mark of its input. The vector is `(B, H)`.
    Attention costs the square of the total length: `max_tokens` caps each input.

    Sources: Vaswani et al. (2017), arXiv 1706.03762, for the transformer; Devlin, Chang, Lee, Toutanova
    (2018), arXiv 1810.04805, for the summary token; Kim, Son, Kim (2021), arXiv 2102.03334, for one
    transformer over the tokens of two modalities with type embeddings.
    """

    Config = TransformerConfig

    def __init__(self, config: TransformerConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.dim = self.width = config.width
        self.sequences = Sequences(config, dims)
        self.summary = nn.Parameter(torch.randn(1, 1, config.width) * 0.02)
        self.transformer = Transformer(config.width, config.layers, config.heads, config.dropout)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        sequences = self.sequences(tokens)
        summary = _for_every_row(self.summary, present)
        joined = _join([summary, *sequences])
        parts = self.transformer(*joined).split([1, *(each.mask.shape[1] for each in sequences)], dim=1)
        mixed = [Tokens(part, each.mask) for part, each in zip(parts[1:], sequences, strict=True)]
        return gather(tokens, parts[0].squeeze(1), mixed, columns_of(sequences))


class CrossAttentionConfig(SequenceConfig):
    """Every input looks at every other."""

    kind: Literal["cross_attention"] = "cross_attention"
    layers: int = Field(1, description="Blocks by which one input looks at another.", ge=1, le=16)


class CrossAttention(nn.Module):
    """Cross-modal attention: for every ordered pair of inputs n → m, m's tokens look at n's.

    Z_{n→m} is m's tokens after `layers` blocks of attention with queries from m and keys and values from n as
    it was before any block. What m saw, [Z_{n→m} for all n ≠ m], is projected back to H and passes one
    transformer block; with one input there is nothing to see and it is its own tokens that pass.
    vector = f([r_1; …; r_M]), r_m the mean of the result and f linear, GELU and dropout; `(B, H)`.

    There are M·(M - 1) pairs, each with blocks of its own: weights grow with the square of M. The blocks
    of `bottleneck` grow with M, and those of `transformer` stay as they are.

    Source: Tsai, Bai, Liang, Kolter, Morency, Salakhutdinov (2019), arXiv 1906.00295, which keeps the joined
    width (M - 1)·H and reads the last token.
    """

    Config = CrossAttentionConfig

    def __init__(self, config: CrossAttentionConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.dim = self.width = width = config.width
        self.sequences = Sequences(config, dims)
        self.viewers = nn.ModuleList(_Viewer(config, len(dims) - 1) for _ in dims)
        self.hidden = hidden_layers(len(dims) * width, width, 1, config.dropout)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        sequences = self.sequences(tokens)
        mixed = [
            Tokens(viewer(own, sequences[:index] + sequences[index + 1 :]), own.mask)
            for index, (own, viewer) in enumerate(zip(sequences, self.viewers, strict=True))
        ]
        vector = self.hidden(columns_of(mixed).flatten(start_dim=1))
        return gather(tokens, vector, mixed, columns_of(sequences))


class _Viewer(nn.Module):
    """One input looks at each of the others, and makes one sequence of what it saw."""

    def __init__(self, config: CrossAttentionConfig, others: int) -> None:
        super().__init__()
        width, heads, dropout = config.width, config.heads, config.dropout
        self.looks = nn.ModuleList(_Look(width, config.layers, heads, dropout) for _ in range(others))
        self.join = nn.Linear(max(others, 1) * width, width)
        self.transformer = Transformer(width, 1, heads, dropout)

    def forward(self, own: Tokens, others: Sequence[Tokens]) -> Tensor:
        """`(B, L, H)` and the others' `(B, L_n, H)` → `(B, L, H)`, zero in the padding."""
        seen = [look(own.values, other) for look, other in zip(self.looks, others, strict=True)]
        result: Tensor = self.transformer(self.join(torch.cat(seen or [own.values], dim=-1)), own.mask)
        return result


class _Look(nn.Module):
    """One input looks at another through `layers` blocks, which all see the other as it came."""

    def __init__(self, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_LookBlock(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Tensor, other: Tokens) -> Tensor:
        """`(B, L, H)` looks at `(B, K, H)` → `(B, L, H)`."""
        for block in self.blocks:
            values = block(values, other)
        result: Tensor = self.norm(values)
        return result


class _LookBlock(nn.Module):
    """Attention to another sequence, then a feed-forward layer, each after a norm and added to its input."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.other_norm = nn.LayerNorm(width)
        self.queries = nn.Linear(width, width)
        self.keys_and_values = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, values: Tensor, other: Tokens) -> Tensor:
        keys, contents = self.keys_and_values(self.other_norm(other.values)).chunk(2, dim=-1)
        mixed = functional.scaled_dot_product_attention(
            self._split(self.queries(self.norm(values))),
            self._split(keys),
            self._split(contents),
            attn_mask=other.mask[:, None, None, :],
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        values = values + self.dropout(self.output(mixed.transpose(1, 2).flatten(start_dim=2)))
        result: Tensor = values + self.feed_forward(values)
        return result

    def _split(self, values: Tensor) -> Tensor:
        """`(B, L, H)` → `(B, heads, L, H / heads)`."""
        rows, length, width = values.shape
        return values.view(rows, length, self.heads, width // self.heads).transpose(1, 2)


class BottleneckConfig(SequenceConfig):
    """A transformer for each input; they meet in a few shared tokens."""

    kind: Literal["bottleneck"] = "bottleneck"
    layers: int = Field(2, description="Blocks of each input; they meet between blocks.", ge=2, le=64)
    bottleneck: int = Field(4, description="Shared tokens through which the inputs meet.", ge=1, le=4096)


class Bottleneck(nn.Module):
    """Bottleneck fusion: in each layer [z_m; s_m] = block_m([z_m; s]) for every input m; s = mean of s_m.

    z_m are the tokens of input m and s the `bottleneck` shared tokens, learned at the start: what one input
    tells another must pass through them. vector = mean over the present inputs of the mean of z_m, `(B, H)`:
    a linear head gives then the mean of its answers for every input. Both means over inputs count those that
    a row has, so an absent input touches nothing but its own tokens and column; in a row without any, all
    count.

    Attention costs the square of each input's length, not of their sum.

    Source: Nagrani, Yang, Arnab, Jansen, Schmid, Sun (2021), arXiv 2107.00135, which averages the answers
    for each modality's class token, where this takes the mean token.
    """

    Config = BottleneckConfig

    def __init__(self, config: BottleneckConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.dim = self.width = config.width
        self.sequences = Sequences(config, dims)
        self.shared = nn.Parameter(torch.randn(1, config.bottleneck, config.width) * 0.02)
        self.layers = nn.ModuleList(_Exchange(config, len(dims)) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        mixed = sequences = self.sequences(tokens)
        shared = _for_every_row(self.shared, present)
        weights = mean_weights(present)
        for layer in self.layers:
            mixed, told = layer(mixed, shared)
            values = weighted_sum(weights, told.flatten(start_dim=2)).view_as(shared.values)
            shared = Tokens(values, shared.mask)
        mixed = [Tokens(where_real(self.norm(values), mask), mask) for values, mask in mixed]
        vector = weighted_sum(weights, columns_of(mixed))
        return gather(tokens, vector, mixed, columns_of(sequences))


class _Exchange(nn.Module):
    """One layer: every input's block reads its own tokens and the shared ones."""

    def __init__(self, config: BottleneckConfig, inputs: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, config.heads, config.dropout) for _ in range(inputs)
        )

    def forward(self, mixed: Sequence[Tokens], shared: Tokens) -> tuple[list[Tokens], Tensor]:
        """The inputs' new tokens, and what each tells the others, `(B, M, bottleneck, H)`."""
        after, told = [], []
        for block, own in zip(self.blocks, mixed, strict=True):
            joined = block(*_join([own, shared]))
            length = own.mask.shape[1]
            after.append(Tokens(joined[:, :length], own.mask))
            told.append(joined[:, length:])
        return after, torch.stack(told, dim=1)


def _for_every_row(values: Tensor, present: Tensor) -> Tokens:
    """Learned tokens `(1, K, H)` for each of the B rows of `present`."""
    rows, count = present.shape[0], values.shape[1]  # `len` would fix B in an exported model
    mask = torch.ones(rows, count, dtype=torch.bool, device=present.device)
    return Tokens(values.expand(rows, -1, -1), mask)


def _join(parts: Sequence[Tokens]) -> Tokens:
    """Sequences one after the other."""
    return Tokens(
        torch.cat([part.values for part in parts], dim=1), torch.cat([part.mask for part in parts], dim=1)
    )
