"""Text as the n-grams it holds: one vector each, added up by how telling they are."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Raw, Tokens
from sensorium.config import Config
from sensorium.data.ngrams import NgramColumn, hashes
from sensorium.data.text import TextConfig

_FIRST_SPREAD = 0.01
"""Of the vectors' numbers: an n-gram says next to nothing until it is learned, as most stand in few texts."""


class NgramsTextConfig(Config):
    """Runs of tokens, counted: the quickest way to long texts, and strong where single phrases tell."""

    kind: Literal["ngrams"] = "ngrams"
    longest: int = Field(3, description="tokens of an n-gram, at most", ge=1, le=16)
    vocabulary: int = Field(
        300_000, description="n-grams kept, those of the most training texts", ge=1, le=10_000_000
    )
    min_count: int = Field(2, description="training texts that an n-gram stands in, at least", ge=1)
    embedding: int = Field(16, description="width of an n-gram's vector", ge=1)
    dropout: float = Field(0.5, description="share of a text's n-grams dropped in training", ge=0, lt=1)


class NgramsText(nn.Module):
    """The sum of the vectors of a text's n-grams, weighted by TF-IDF; `dim` is `embedding`.

    The weight of an n-gram that stands c times in the text is (1 + log c) · rarity, and the weights of a
    text are brought to length 1 (Salton and Buckley 1988). With linear layers behind it this is a linear
    classifier over TF-IDF, of low rank (Joulin et al. 2016, arXiv 1607.01759). To drop n-grams works as a
    penalty that spares the rare ones (Wager, Wang and Liang 2013, arXiv 1307.1493).
    """

    Config = NgramsTextConfig
    ngrams: Tensor
    rarity: Tensor

    def __init__(self, config: NgramsTextConfig, column: NgramColumn) -> None:
        super().__init__()
        self.longest = config.longest
        self.dim = config.embedding
        # They come with the column, so the weights do without them.
        self.register_buffer("ngrams", torch.from_numpy(column.ngrams), persistent=False)
        self.register_buffer("rarity", torch.from_numpy(column.rarity), persistent=False)
        self.vectors = nn.Parameter(torch.empty(len(column.ngrams), config.embedding))
        nn.init.normal_(self.vectors, std=_FIRST_SPREAD)
        self.dropout = nn.Dropout(config.dropout)

    @staticmethod
    def new_column(column: TextConfig, config: NgramsTextConfig) -> NgramColumn:
        """The column that this encoder reads: one that counts n-grams as it is fitted."""
        return NgramColumn(column, config.longest, config.vocabulary, config.min_count)

    def forward(self, raw: Raw) -> Tokens:
        """Ids `(B, L)` int64 → `(B, 1, dim)`; zero where no n-gram of the text is known."""
        found = self._found(raw)
        weights = self.dropout(_tfidf(found, self.rarity, len(raw.values)))
        starts = torch.searchsorted(found.rows, torch.arange(len(raw.values), device=found.rows.device))
        values = functional.embedding_bag(
            found.ngrams, self.vectors, starts, mode="sum", per_sample_weights=weights
        )
        return Tokens(values.unsqueeze(1), raw.mask.any(dim=1, keepdim=True))

    def _found(self, raw: Raw) -> _Found:
        """The known n-grams of every text."""
        known = []
        for n, one in enumerate(hashes(raw.values, self.longest), start=1):
            place = torch.searchsorted(self.ngrams, one).clamp(max=len(self.ngrams) - 1)
            row, column = ((self.ngrams[place] == one) & raw.mask[:, n - 1 :]).nonzero(as_tuple=True)
            known.append(row * len(self.ngrams) + place[row, column])
        keys, counts = torch.unique(torch.cat(known), return_counts=True)
        return _Found(keys // len(self.ngrams), keys % len(self.ngrams), counts)


class _Found(NamedTuple):
    """The known n-grams of a batch, each once a row: K of them, ordered by row.

    Attributes:
        rows: `(K,)` int64.
        ngrams: `(K,)` int64, places in the vocabulary.
        counts: `(K,)` int64, how often each stands in its row.
    """

    rows: Tensor
    ngrams: Tensor
    counts: Tensor


def _tfidf(found: _Found, rarity: Tensor, rows: int) -> Tensor:
    """`(K,)` float32, of length 1 in every row."""
    weights = (1 + found.counts.log()) * rarity[found.ngrams]
    squares = torch.zeros(rows, device=weights.device).index_add(0, found.rows, weights.square())
    return weights / squares.sqrt()[found.rows]
