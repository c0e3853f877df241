"""A head that writes text: a recurrent decoder that looks at the fused tokens.

A proof that the contract of a head carries text, kept small; not part of the package.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Fused, Raw
from sensorium.data.column import Array, Cells
from sensorium.data.text import TextColumn
from sensorium.heads.head import Head, HeadConfig

START, END = 2, 3


class TextHeadConfig(HeadConfig):
    """Text out."""

    type: Literal["text"] = Field("text", description="type of output")
    length: int = Field(16, ge=1, description="tokens written at most")
    states: int = Field(64, ge=1, description="width of the decoder")


class TextHead(Head):
    """GRU decoder with attention to the fused tokens (Luong et al. 2015, arXiv:1508.04025)."""

    Config = TextHeadConfig
    metric: ClassVar[str] = "exact_match"
    metric_goal: ClassVar[Literal["max", "min"]] = "max"

    @classmethod
    def target(cls, config: TextHeadConfig) -> TextColumn:
        return TextColumn(
            TextColumn.Config(column=config.column, tokenizer="character", length=config.length)
        )

    def __init__(self, config: TextHeadConfig, column: TextColumn, dim: int, width: int) -> None:
        super().__init__()
        self.config, self.column = config, column
        self.embedding = nn.Embedding(column.vocabulary_size, config.states)
        self.first = nn.Linear(dim, config.states)
        self.decoder = nn.GRU(config.states, config.states, batch_first=True)
        self.query = nn.Linear(config.states, width)
        self.value = nn.Linear(width, config.states)
        self.output = nn.Linear(2 * config.states, column.vocabulary_size)

    def forward(self, fused: Fused, written: Tensor | None = None) -> Tensor:
        """Logits `(B, L, words)` of the next token after each of `written (B, L)`, by default the first."""
        if written is None:
            written = torch.full((len(fused.vector), 1), START, device=fused.vector.device)
        return self._step(fused, written, torch.tanh(self.first(fused.vector)).unsqueeze(0))[0]

    def _step(self, fused: Fused, written: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        states, state = self.decoder(self.embedding(written), state)
        scores = self.query(states) @ fused.tokens.transpose(1, 2)
        scores = scores.masked_fill(~fused.mask.unsqueeze(1), torch.finfo(scores.dtype).min)
        seen = scores.float().softmax(dim=-1).to(scores.dtype) @ self.value(fused.tokens)
        return self.output(torch.cat([states, seen], dim=-1)), state

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` mean cross-entropy over the tokens and the end, the right ones so far being given."""
        words = torch.where(target.mask, target.values, torch.zeros_like(target.values))
        length = target.mask.sum(dim=1, keepdim=True)
        edge = torch.full_like(words[:, :1], START)
        before = torch.cat([edge, words], dim=1)
        after = torch.cat([words, torch.zeros_like(edge)], dim=1).scatter(1, length, END)
        logits = self.forward(fused, before).float()
        each = functional.cross_entropy(logits.transpose(1, 2), after, reduction="none")
        real = (torch.arange(after.shape[1], device=after.device) <= length) & target.present.unsqueeze(1)
        return torch.where(real, each, torch.zeros_like(each)).sum(dim=1) / (length.squeeze(1) + 1)

    @torch.no_grad()
    def predict(self, fused: Fused) -> dict[str, Tensor]:
        """`ids (B, length)` int64, the likeliest next token each time, 0 from the end on."""
        state = torch.tanh(self.first(fused.vector)).unsqueeze(0)
        word = torch.full((len(fused.vector), 1), START, device=fused.vector.device)
        ended, written = torch.zeros_like(word, dtype=torch.bool), []
        for _ in range(self.config.length):
            logits, state = self._step(fused, word, state)
            logits[..., :START] = logits[..., START] = float("-inf")
            word = logits.argmax(dim=-1)
            ended = ended | (word == END)
            written.append(torch.where(ended, torch.zeros_like(word), word))
        return {"ids": torch.cat(written, dim=1)}

    def answers(self, predicted: dict[str, Array]) -> dict[str, list[Any] | Array]:
        """`prediction`: N texts."""
        return {"prediction": [self.column.text(row[row > 0]) for row in predicted["ids"]]}

    def metrics(self, predicted: dict[str, Array], target: Cells) -> dict[str, float]:
        """exact_match: share of rows in which every token is right."""
        rows = self.scored(target)
        if not rows.any():
            return {"exact_match": float("nan")}
        truth = np.zeros((int(rows.sum()), max(target.values.shape[1], self.config.length)), dtype=np.int64)
        guess = truth.copy()
        truth[:, : target.values.shape[1]] = np.where(target.mask, target.values, 0)[rows]
        guess[:, : self.config.length] = predicted["ids"][rows]
        return {"exact_match": float((truth == guess).all(axis=1).mean())}
