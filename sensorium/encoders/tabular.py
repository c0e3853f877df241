"""Numbers and categories as tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from sensorium.batch import Raw, Tokens
from sensorium.config import Config

if TYPE_CHECKING:
    from sensorium.data.tabular import CategoriesColumn, CategoryColumn, NumberColumn


class MLPNumberConfig(Config):
    """Dense layers over one number."""

    kind: Literal["mlp"] = "mlp"
    hidden: list[Annotated[int, Field(ge=1)]] = Field([32], description="widths of the hidden layers")
    width: int = Field(32, description="width of the token", ge=1)
    dropout: float = Field(0.1, description="share of hidden values dropped in training", ge=0, lt=1)


class MLPNumber(nn.Module):
    """A number → dense layers with ReLU → one token; `dim` is `width`."""

    Config = MLPNumberConfig

    def __init__(self, config: MLPNumberConfig, column: NumberColumn) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for width in config.hidden:
            layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(config.dropout)]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, config.width))
        self.dim = config.width

    def forward(self, raw: Raw) -> Tokens:
        """`(B, 1)` float32, scaled → `(B, 1, dim)`."""
        return Tokens(self.layers(raw.values.unsqueeze(-1)), raw.mask)


class TokenNumberConfig(Config):
    """A number times a learned vector, as Transformers over tables want it."""

    kind: Literal["token"] = "token"
    width: int = Field(64, description="width of the token", ge=1)
    frequencies: int = Field(0, description="periodic features; 0 for the number alone", ge=0)
    spread: float = Field(
        1.0, description="standard deviation of the first frequencies, 1 / scaled unit", gt=0
    )


class TokenNumber(nn.Module):
    """The feature tokenizer of FT-Transformer: value · weight + bias; `dim` is `width`.

    Gorishniy et al. 2021, arXiv 2106.11959. With `frequencies`, the value is first replaced by sines and
    cosines of learned frequencies and a ReLU follows (Gorishniy et al. 2022, arXiv 2203.05556, "PLR"),
    which helps where the answer is not smooth in the number.
    """

    Config = TokenNumberConfig

    def __init__(self, config: TokenNumberConfig, column: NumberColumn) -> None:
        super().__init__()
        self.frequencies = (
            nn.Parameter(torch.randn(config.frequencies) * config.spread) if config.frequencies else None
        )
        self.linear = nn.Linear(2 * config.frequencies or 1, config.width)
        for parameter in self.linear.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(config.width), 1 / math.sqrt(config.width))
        self.dim = config.width

    def forward(self, raw: Raw) -> Tokens:
        """`(B, 1)` float32, scaled → `(B, 1, dim)`."""
        values = raw.values.unsqueeze(-1)
        if self.frequencies is None:
            return Tokens(self.linear(values), raw.mask)
        angle = 2 * math.pi * self.frequencies * values
        return Tokens(self.linear(torch.cat([angle.sin(), angle.cos()], dim=-1)).relu(), raw.mask)


class EmbeddingCategoryConfig(Config):
    """One learned vector a label."""

    kind: Literal["embedding"] = "embedding"
    width: int | None = Field(
        None, description="width of the vector; null for 1.6 · labels ^ 0.56, at most 64", ge=1
    )
    dropout: float = Field(0.1, description="share of values dropped in training", ge=0, lt=1)


class EmbeddingCategory(nn.Module):
    """Entity embedding (Guo and Berkhahn 2016, arXiv 1604.06737); unseen labels begin as zero.

    `dim` is `width`.
    """

    Config = EmbeddingCategoryConfig

    def __init__(self, config: EmbeddingCategoryConfig, column: CategoryColumn) -> None:
        super().__init__()
        self.dim = config.width or _width_for(column.size)
        self.labels = _label_vectors(column.size, self.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, raw: Raw) -> Tokens:
        """Codes `(B, 1)` int64 → `(B, 1, dim)`."""
        return Tokens(self.dropout(self.labels(raw.values)), raw.mask)


class TokenCategoryConfig(Config):
    """One learned vector a label and a bias for the column, as Transformers over tables want it."""

    kind: Literal["token"] = "token"
    width: int = Field(64, description="width of the token", ge=1)


class TokenCategory(nn.Module):
    """The feature tokenizer of FT-Transformer (Gorishniy et al. 2021, arXiv 2106.11959): the label's
    vector plus the column's bias; `dim` is `width`."""

    Config = TokenCategoryConfig

    def __init__(self, config: TokenCategoryConfig, column: CategoryColumn) -> None:
        super().__init__()
        self.dim = config.width
        self.labels = _label_vectors(column.size, self.dim)
        self.bias = nn.Parameter(torch.empty(self.dim).uniform_(-1, 1) / math.sqrt(self.dim))

    def forward(self, raw: Raw) -> Tokens:
        """Codes `(B, 1)` int64 → `(B, 1, dim)`."""
        return Tokens(self.labels(raw.values) + self.bias, raw.mask)


class EmbeddingCategoriesConfig(Config):
    """The mean of the vectors of a cell's labels."""

    kind: Literal["embedding"] = "embedding"
    width: int | None = Field(
        None, description="width of the vector; null for 1.6 · labels ^ 0.56, at most 64", ge=1
    )
    dropout: float = Field(0.1, description="share of values dropped in training", ge=0, lt=1)


class EmbeddingCategories(nn.Module):
    """The mean of the vectors of a cell's labels, plus a bias that speaks for a cell without labels.

    `dim` is `width`.
    """

    Config = EmbeddingCategoriesConfig

    def __init__(self, config: EmbeddingCategoriesConfig, column: CategoriesColumn) -> None:
        super().__init__()
        self.dim = config.width or _width_for(column.size)
        self.labels = nn.Parameter(_label_vectors(column.size, self.dim).weight.detach())
        self.bias = nn.Parameter(torch.zeros(self.dim))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, raw: Raw) -> Tokens:
        """Multi-hot `(B, C + 1)` float32 → `(B, 1, dim)`."""
        share = raw.values / raw.values.sum(dim=1, keepdim=True).clamp(min=1)
        return Tokens(self.dropout(share @ self.labels + self.bias).unsqueeze(1), raw.mask)


class TokenCategoriesConfig(Config):
    """A token for each of a cell's labels."""

    kind: Literal["token"] = "token"
    width: int = Field(64, description="width of a token", ge=1)


class TokenCategories(nn.Module):
    """One token for the column itself, always real, then one for each label that the cell has.

    `dim` is `width`.
    """

    Config = TokenCategoriesConfig

    def __init__(self, config: TokenCategoriesConfig, column: CategoriesColumn) -> None:
        super().__init__()
        self.dim = config.width
        self.labels = _label_vectors(column.size, self.dim)
        self.bias = nn.Parameter(torch.empty(self.dim).uniform_(-1, 1) / math.sqrt(self.dim))

    def forward(self, raw: Raw) -> Tokens:
        """Multi-hot `(B, C + 1)` float32 → `(B, 1 + the most labels of a row, dim)`."""
        has = raw.values > 0
        most = int(has.sum(dim=1).amax())
        chosen = has.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
        labels = self.labels(chosen) + self.bias
        own = self.bias.to(labels.dtype).expand(len(labels), 1, self.dim)
        return Tokens(torch.cat([own, labels], dim=1), torch.cat([raw.mask, has.gather(1, chosen)], dim=1))


def _width_for(size: int) -> int:
    """The rule of thumb of fastai's tabular models, held to 64."""
    return min(64, round(1.6 * math.pow(size, 0.56)))


def _label_vectors(size: int, width: int) -> nn.Embedding:
    """Vectors of length about 1; code 0 (rare or unseen) begins as zero."""
    vectors = nn.Embedding(size, width)
    nn.init.normal_(vectors.weight, std=1 / math.sqrt(width))
    with torch.no_grad():
        vectors.weight[0].zero_()
    return vectors
