"""A small Transformer decoder, trained from nothing on the user's own texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Fused, Raw
from sensorium.data.text import END, PADDING, START, UNKNOWN, TextColumn
from sensorium.decoders.decoder import Decoder, DecoderConfig
from sensorium.decoders.losses import mean_of_rows, token_losses
from sensorium.decoders.writing import Ends, WritingConfig, Written, write
from sensorium.layers import check_heads, sinusoidal_positions

ENDS = Ends(START, END, never=(PADDING, UNKNOWN, START))


class TransformerDecoderConfig(DecoderConfig):
    """Texts written by a small Transformer that looks at the fused tokens."""

    kind: Literal["transformer"] = Field("transformer", description="kind of decoder")
    tokenizer: Literal["bpe", "word", "character"] = Field(
        "bpe", description="bpe: parts of words learned from the texts to be written; word; character"
    )
    vocabulary: int = Field(4000, ge=8, le=1_000_000, description="most tokens kept, with 4 special ones")
    min_count: int = Field(1, ge=1, description="tokenizer word: rarer words are never written")
    lowercase: bool = Field(False, description="learn small letters alone")
    length: int = Field(64, ge=1, le=100_000, description="tokens of a text that are learned")
    width: int = Field(128, ge=2, le=8192, description="of the decoder; even, and a multiple of heads")
    depth: int = Field(2, ge=1, le=64, description="blocks")
    heads: int = Field(4, ge=1, le=128, description="attention heads")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of values dropped in training")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all tokens")

    @model_validator(mode="after")
    def _width_fits(self) -> Self:
        check_heads(self.width, self.heads)
        return self


class TransformerDecoder(Decoder):
    """Self-attention over what is written, cross-attention to the fused tokens, a feed-forward layer.

    Vaswani et al. 2017, arXiv:1706.03762, in the pre-norm form, with one matrix for the vectors of tokens and
    for the logits (Press and Wolf 2017, arXiv:1608.05859). What self-attention needs of earlier tokens is
    kept while writing, and so are the keys of the fused tokens.

    Args:
        config: see `TransformerDecoderConfig`.
        column: fitted, of the texts to be written.
        dim: V, not used.
        width: H.
    """

    Config = TransformerDecoderConfig

    @classmethod
    def target(cls, config: TransformerDecoderConfig, column: str | None) -> TextColumn:
        """The column of the texts, not fitted yet."""
        fields = ("tokenizer", "vocabulary", "min_count", "lowercase", "length")
        return TextColumn(
            TextColumn.Config(column=column, **{name: getattr(config, name) for name in fields})
        )

    def __init__(self, config: TransformerDecoderConfig, column: TextColumn, dim: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(column.vocabulary_size, config.width)
        nn.init.normal_(self.tokens.weight, std=config.width**-0.5)
        self.sources = nn.Sequential(nn.Linear(width, config.width), nn.LayerNorm(config.width))
        self.blocks = nn.ModuleList(
            DecoderBlock(config.width, config.heads, config.dropout) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` float32; target: `(B, L)` int64 tokens, without start and end."""
        words = torch.where(target.mask, target.values, torch.zeros_like(target.values))
        length = target.mask.sum(dim=1, keepdim=True)
        edge = torch.full_like(words[:, :1], START)
        before = torch.cat([edge, words], dim=1)
        after = torch.cat([words, torch.zeros_like(edge)], dim=1).scatter(1, length, END)
        real = (torch.arange(after.shape[1], device=after.device) <= length) & target.present.unsqueeze(1)
        states, _ = self._states(before, self._beginning(fused))
        losses = token_losses(states, self.tokens.weight, after, real, self.config.label_smoothing)
        return mean_of_rows(losses, real)

    @torch.no_grad()
    def write(self, fused: Fused, writing: WritingConfig) -> Written:
        """Tokens of the column, without start and end."""
        rows, device = len(fused.tokens), fused.tokens.device
        return write(self._step, self._beginning(fused), rows, ENDS, writing, device)

    def _beginning(self, fused: Fused) -> DecoderState:
        """What is known before the first token: keys and values of the fused tokens, for every block."""
        sources = self.sources(torch.where(fused.mask.unsqueeze(2), fused.tokens, 0.0))
        blocks: Any = self.blocks
        seen = [block.cross.keys_and_values(sources) for block in blocks]
        return DecoderState(0, [None] * len(seen), seen, fused.mask)

    def _step(self, last: Tensor, state: Any) -> tuple[Tensor, DecoderState]:
        states, state = self._states(last.unsqueeze(1), state)
        return functional.linear(states[:, 0], self.tokens.weight), state

    def _states(self, words: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Further tokens `(N, L)` → states `(N, L, D)`, from which the next tokens are read."""
        position = sinusoidal_positions(state.length + words.shape[1], self.config.width, words.device)
        values = self.tokens(words) * self.config.width**0.5 + position[state.length :]
        values = self.dropout(values)
        written: list[KeysAndValues | None] = []
        for block, before, sources in zip(self.blocks, state.written, state.sources, strict=True):
            values, kept = block(values, before, sources, state.mask)
            written.append(kept)
        length = state.length + words.shape[1]
        return self.norm(values), replace(state, length=length, written=written)


KeysAndValues = tuple[Tensor, Tensor]
"""`(N, heads, L, D / heads)` each."""


@dataclass(frozen=True)
class DecoderState:
    """What the decoder remembers of N beginnings.

    Attributes:
        length: tokens written.
        written: of every block keys and values of these; None before the first.
        sources: of every block keys and values of the fused tokens.
        mask: `(N, S)` bool, True where a fused token is real.
    """

    length: int
    written: list[KeysAndValues | None]
    sources: list[KeysAndValues]
    mask: Tensor

    def rows(self, index: Tensor) -> DecoderState:
        """The same for other beginnings."""
        return DecoderState(
            self.length,
            [None if pair is None else (pair[0][index], pair[1][index]) for pair in self.written],
            [(keys[index], values[index]) for keys, values in self.sources],
            self.mask[index],
        )


class DecoderBlock(nn.Module):
    """Self-attention, cross-attention and a feed-forward layer, each after a layer norm and added.

    Args:
        width: D, a multiple of `heads`.
        heads: attention heads.
        dropout: share of attention weights and of each branch's outputs dropped in training.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.own_norm, self.own = nn.LayerNorm(width), Attention(width, heads, dropout)
        self.cross_norm, self.cross = nn.LayerNorm(width), Attention(width, heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, values: Tensor, before: KeysAndValues | None, sources: KeysAndValues, mask: Tensor
    ) -> tuple[Tensor, KeysAndValues]:
        """New tokens `(N, L, D)`, and keys and values of those before → `(N, L, D)`, and those of all."""
        own = self.own_norm(values)
        keys, contents = self.own.keys_and_values(own)
        if before is not None:
            keys, contents = torch.cat([before[0], keys], dim=2), torch.cat([before[1], contents], dim=2)
        past = keys.shape[2] - values.shape[1]
        place = torch.arange(keys.shape[2], device=values.device)
        seen = place <= place[past:, None]
        values = values + self.dropout(self.own(own, (keys, contents), seen))
        values = values + self.dropout(self.cross(self.cross_norm(values), sources, mask[:, None, None]))
        values = values + self.dropout(self.feed_forward(values))
        return values, (keys, contents)


class Attention(nn.Module):
    """Attention of some tokens to others, whose keys and values may have been made before.

    Args:
        width, heads, dropout: as for `DecoderBlock`.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.queries, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.sources = nn.Linear(width, 2 * width)

    def keys_and_values(self, sources: Tensor) -> KeysAndValues:
        """`(N, S, D)` → keys and values."""
        keys, values = self.sources(sources).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def forward(self, values: Tensor, sources: KeysAndValues, seen: Tensor) -> Tensor:
        """`(N, L, D)`, keys and values, and which of them each token may see → `(N, L, D)`."""
        mixed = functional.scaled_dot_product_attention(
            self._split(self.queries(values)),
            *sources,
            attn_mask=seen,
            dropout_p=self.dropout if self.training else 0.0,
        )
        result: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return result

    def _split(self, values: Tensor) -> Tensor:
        rows, length, width = values.shape
        return values.view(rows, length, self.heads, width // self.heads).transpose(1, 2)
