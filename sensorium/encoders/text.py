"""Text: token ids → word vectors, mixed by a mean, convolutions, recurrence or attention."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Raw, Tokens, masked_max, masked_mean, where_real
from sensorium.config import Config
from sensorium.layers import Recurrent, Transformer, check_heads, sinusoidal_positions

if TYPE_CHECKING:
    from sensorium.data.text import TextColumn


class _RecurrentConfig(Config):
    embedding: int = Field(128, description="width of a word vector", ge=1)
    hidden: int = Field(64, description="width of one direction's state", ge=1)
    layers: int = Field(1, description="recurrent layers", ge=1)
    bidirectional: bool = Field(True, description="read each text in both directions")
    pool: Literal["tokens", "last"] = Field("tokens", description="every token's state, or the last state")
    dropout: float = Field(0.3, description="share of values dropped in training", ge=0, lt=1)


class LSTMTextConfig(_RecurrentConfig):
    """Long short-term memory over word vectors."""

    kind: Literal["lstm"] = "lstm"


class LSTMText(nn.Module):
    """Word vectors → LSTM (Hochreiter and Schmidhuber 1997), one token a word, or the last state alone.

    `dim` is `hidden`, doubled when bidirectional.
    """

    Config = LSTMTextConfig

    def __init__(self, config: LSTMTextConfig, column: TextColumn) -> None:
        super().__init__()
        self.layer = _RecurrentText("lstm", config, column)
        self.dim = self.layer.dim

    def forward(self, raw: Raw) -> Tokens:
        """Ids `(B, L)` int64 → `(B, L, dim)`, or `(B, 1, dim)` with `pool: last`."""
        result: Tokens = self.layer(raw)
        return result


class GRUTextConfig(_RecurrentConfig):
    """Gated recurrent units over word vectors."""

    kind: Literal["gru"] = "gru"


class GRUText(nn.Module):
    """Word vectors → GRU (Cho et al. 2014, arXiv 1406.1078), one token a word, or the last state alone.

    `dim` is `hidden`, doubled when bidirectional.
    """

    Config = GRUTextConfig

    def __init__(self, config: GRUTextConfig, column: TextColumn) -> None:
        super().__init__()
        self.layer = _RecurrentText("gru", config, column)
        self.dim = self.layer.dim

    def forward(self, raw: Raw) -> Tokens:
        """Ids `(B, L)` int64 → `(B, L, dim)`, or `(B, 1, dim)` with `pool: last`."""
        result: Tokens = self.layer(raw)
        return result


class _RecurrentText(nn.Module):
    def __init__(self, cell: Literal["lstm", "gru"], config: _RecurrentConfig, column: TextColumn) -> None:
        super().__init__()
        self.words = _WordVectors(column, config.embedding)
        self.recurrent = Recurrent(
            cell, config.embedding, config.hidden, config.layers, config.bidirectional, config.dropout
        )
        self.dropout = nn.Dropout(config.dropout)
        self.pool = config.pool
        self.dim = self.recurrent.dim

    def forward(self, raw: Raw) -> Tokens:
        states = self.recurrent(self.dropout(self.words(raw.values)), raw.mask)
        if self.pool == "last":
            return _one_token(self.dropout(self.recurrent.last(states, raw.mask)))
        return Tokens(self.dropout(states), raw.mask)


class MeanTextConfig(Config):
    """The mean of the word vectors: the fastest, and hard to beat on short texts."""

    kind: Literal["mean"] = "mean"
    embedding: int = Field(128, description="width of a word vector", ge=1)
    dropout: float = Field(0.2, description="share of values dropped in training", ge=0, lt=1)


class MeanText(nn.Module):
    """The mean of a text's word vectors (Joulin et al. 2016, arXiv 1607.01759); `dim` is `embedding`."""

    Config = MeanTextConfig

    def __init__(self, config: MeanTextConfig, column: TextColumn) -> None:
        super().__init__()
        self.words = _WordVectors(column, config.embedding)
        self.dropout = nn.Dropout(config.dropout)
        self.dim = config.embedding

    def forward(self, raw: Raw) -> Tokens:
        """Ids `(B, L)` int64 → `(B, 1, dim)`."""
        return _one_token(self.dropout(masked_mean(self.words(raw.values), raw.mask)))


class CNNTextConfig(Config):
    """Convolutions over word vectors: finds phrases wherever they stand."""

    kind: Literal["cnn"] = "cnn"
    embedding: int = Field(128, description="width of a word vector", ge=1)
    filters: int = Field(64, description="filters of each kernel width", ge=1)
    kernels: list[Annotated[int, Field(ge=1)]] = Field([3, 4, 5], description="widths in words", min_length=1)
    pool: Literal["tokens", "max"] = Field("tokens", description="a token a word, or the maximum over words")
    dropout: float = Field(0.3, description="share of values dropped in training", ge=0, lt=1)


class CNNText(nn.Module):
    """Convolutions of several widths side by side (Kim 2014, arXiv 1408.5882).

    `dim` is `filters` times the number of kernels. With `pool: max` the text becomes one token, as in the
    paper; with `tokens` every word keeps its own.
    """

    Config = CNNTextConfig

    def __init__(self, config: CNNTextConfig, column: TextColumn) -> None:
        super().__init__()
        self.words = _WordVectors(column, config.embedding)
        self.convolutions = nn.ModuleList(
            nn.Sequential(
                # An even kernel looks one word further ahead than back.
                nn.ConstantPad1d(((width - 1) // 2, width // 2), 0.0),
                nn.Conv1d(config.embedding, config.filters, width),
            )
            for width in config.kernels
        )
        self.dropout = nn.Dropout(config.dropout)
        self.pool = config.pool
        self.dim = config.filters * len(config.kernels)

    def forward(self, raw: Raw) -> Tokens:
        """Ids `(B, L)` int64 → `(B, L, dim)`, or `(B, 1, dim)` with `pool: max`."""
        words = where_real(self.dropout(self.words(raw.values)), raw.mask).transpose(1, 2)
        found = [convolution(words) for convolution in self.convolutions]
        values = torch.cat(found, dim=1).relu().transpose(1, 2)
        if self.pool == "max":
            return _one_token(self.dropout(masked_max(values, raw.mask)))
        return Tokens(self.dropout(where_real(values, raw.mask)), raw.mask)


class TransformerTextConfig(Config):
    """Self-attention over word vectors; wants more rows than the others."""

    kind: Literal["transformer"] = "transformer"
    width: int = Field(128, description="width of a token; a multiple of heads, and even", ge=2)
    depth: int = Field(2, description="blocks", ge=1)
    heads: int = Field(4, description="attention heads", ge=1)
    positions: Literal["sinusoidal", "learned"] = Field("sinusoidal", description="how order is told")
    dropout: float = Field(0.2, description="share of values dropped in training", ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_share_width(self) -> Self:
        check_heads(self.width, self.heads)
        return self


class TransformerText(nn.Module):
    """Word vectors and positions → pre-norm Transformer (Vaswani et al. 2017, arXiv 1706.03762).

    `dim` is `width`.
    """

    Config = TransformerTextConfig

    def __init__(self, config: TransformerTextConfig, column: TextColumn) -> None:
        super().__init__()
        self.words = _WordVectors(column, config.width)
        self.positions = (
            nn.Parameter(torch.randn(column.config.length, config.width) * 0.02)
            if config.positions == "learned"
            else None
        )
        self.transformer = Transformer(config.width, config.depth, config.heads, config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.dim = config.width

    def forward(self, raw: Raw) -> Tokens:
        """Ids `(B, L)` int64 → `(B, L, dim)`."""
        length = raw.values.shape[1]
        words = self.words(raw.values)
        if self.positions is None:
            positions = sinusoidal_positions(length, self.dim, raw.values.device)
        else:
            # Only padding can lie beyond the column's length.
            positions = functional.pad(
                self.positions[:length], (0, 0, 0, max(0, length - len(self.positions)))
            )
        return Tokens(self.transformer(self.dropout(words + positions), raw.mask), raw.mask)


class _WordVectors(nn.Embedding):
    """Vectors of length about √width, stored at length 1; padding (id 0) is zero.

    Scaled as in Vaswani et al. 2017, section 3.4: an optimizer that moves every weight by about the same
    step then moves words √width times as far, which they need, for most are seen in few texts.
    """

    def __init__(self, column: TextColumn, width: int) -> None:
        super().__init__(column.vocabulary_size, width, padding_idx=0)
        nn.init.normal_(self.weight, std=1 / math.sqrt(width))
        with torch.no_grad():
            self.weight[0].zero_()

    def forward(self, input: Tensor) -> Tensor:
        """Ids `(B, L)` → `(B, L, width)`."""
        return super().forward(input) * math.sqrt(self.embedding_dim)


def _one_token(values: Tensor) -> Tokens:
    return Tokens(values.unsqueeze(1), torch.ones(len(values), 1, dtype=torch.bool, device=values.device))
