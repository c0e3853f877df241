"""Connectionist temporal classification: every frame of a sound says a token, or nothing."""

from __future__ import annotations

import math
import time
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Fused, Raw
from sensorium.data.text import END, START, UNKNOWN
from sensorium.data.transcript import TranscriptColumn, TranscriptConfig
from sensorium.decoders.decoder import Decoder, DecoderConfig
from sensorium.decoders.listening import heard
from sensorium.decoders.prefix_beams import BLANK, Judge, prefix_beams
from sensorium.decoders.writing import WritingConfig, Written
from sensorium.errors import RecipeError

_COLLAPSED = 0.99
"""Share of blank frames above which an epoch is called collapsed; speech has 50 to 90 %."""
_ROWS_TO_JUDGE = 32
"""Rows after which it is clear whether texts fit into their frames."""


class CTCDecoderConfig(DecoderConfig):
    """Speech recognition: the tokens of a sound, one after the other, say the text."""

    kind: Literal["ctc"] = Field("ctc", description="kind of decoder")
    input: str | None = Field(None, description="input that is heard; needed where there are several")
    tokenizer: Literal["character", "bpe"] = Field(
        "character", description="character; bpe: parts of words, for encoders with few tokens a second"
    )
    vocabulary: int = Field(1000, ge=8, le=1_000_000, description="most tokens kept, with 4 special ones")
    lowercase: bool = Field(True, description="learn small letters alone")
    punctuation: bool = Field(False, description="learn punctuation, which nobody says")
    length: int = Field(400, ge=1, le=100_000, description="tokens of a text that are learned")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of values dropped in training")
    ngram: int = Field(
        0, ge=0, le=8, description="tokens of a language model's runs, learned from the texts; 0: none"
    )
    ngram_weight: float = Field(
        0.5,
        ge=0,
        le=10,
        description="factor of the language model's log probabilities, for writing.beams > 1",
    )
    ngram_bonus: float = Field(
        0.5, ge=-10, le=10, description="added for every token, as a language model prefers short texts"
    )


class CTCDecoder(Decoder):
    """One linear layer over the fused tokens of an input (Graves et al. 2006, ICML).

    Every token of the input is a frame that says a token of the text or, with `BLANK`, nothing. Equal tokens
    that follow one another are one. The probability of a text is the sum over all paths of frames that say
    it. A text needs as many frames as it has tokens, and one more for every token that comes twice in a row.

    Args:
        config: see `CTCDecoderConfig`.
        column: fitted, of the texts.
        dim: V, not used.
        width: H.
    """

    Config = CTCDecoderConfig

    @classmethod
    def target(cls, config: CTCDecoderConfig, column: str | None) -> TranscriptColumn:
        """The column of the texts, not fitted yet."""
        fields = ("tokenizer", "vocabulary", "lowercase", "punctuation", "length", "ngram")
        return TranscriptColumn(
            TranscriptConfig(column=column, **{name: getattr(config, name) for name in fields})
        )

    def __init__(self, config: CTCDecoderConfig, column: TranscriptColumn, dim: int, width: int) -> None:
        super().__init__()
        self.config, self.column = config, column
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(width, column.vocabulary_size)
        self.watch = _Watch()

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` float32, -log P(text) over its tokens; target: `(B, L)` int64, without start and end.

        0 where the target or the sound is missing, and where there are fewer frames than the text needs.

        Raises:
            RecipeError: when most texts do not fit into their frames, or the input is not known.
        """
        logs, mask, present = self._frames(fused)
        frames, lengths = mask.sum(dim=1), target.mask.sum(dim=1)
        wanted = torch.where(target.mask, target.values, BLANK)
        twice = (wanted[:, 1:] == wanted[:, :-1]) & target.mask[:, 1:]
        needed = lengths + twice.sum(dim=1)
        taught = target.present & present
        fits = taught & (needed <= frames)
        if self.training:
            self.watch.add(logs.argmax(dim=-1), mask & present.unsqueeze(1), taught, fits)
        losses = functional.ctc_loss(
            logs.transpose(0, 1), wanted, frames, lengths, BLANK, reduction="none", zero_infinity=True
        )
        return torch.where(fits, losses / lengths.clamp(min=1), 0.0)

    def remarks(self) -> list[str]:
        """Texts that had too few frames, and frames that said nothing."""
        return self.watch.remarks()

    @torch.no_grad()
    def write(self, fused: Fused, writing: WritingConfig) -> Written:
        """The likeliest path's text, or with beams the likeliest texts; nothing where the sound is missing.

        The score of a text is its log probability over its tokens; with beams of all paths, else of one.

        Raises:
            RecipeError: when the recipe asks for a temperature, or the input is not known.
        """
        if writing.temperature:
            raise RecipeError("writing.temperature: ctc draws no texts; leave it out, or set writing.beams")
        logs, mask, present = self._frames(fused)
        logs[..., [UNKNOWN, START, END]] = -math.inf
        mask = mask & present.unsqueeze(1)
        if writing.beams > 1:
            return self._by_beams(logs, mask, writing)
        return best_path(logs, mask, writing.length)

    def _frames(self, fused: Fused) -> tuple[Tensor, Tensor, Tensor]:
        """Log probabilities `(B, T, V)` float32, real frames `(B, T)`, rows `(B,)` with the sound."""
        tokens, mask, present = heard(fused, self.config.input)
        return self.output(self.dropout(tokens)).float().log_softmax(dim=-1), mask, present

    def _by_beams(self, logs: Tensor, mask: Tensor, writing: WritingConfig) -> Written:
        finish = time.monotonic() + writing.seconds
        ids = np.zeros((len(logs), writing.length, writing.best), np.int64)
        scores = np.full((len(logs), writing.best), -math.inf, np.float32)
        for row, (frames, count) in enumerate(zip(logs.cpu().numpy(), mask.sum(dim=1).tolist(), strict=True)):
            found = prefix_beams(frames[:count], writing.beams, writing.length, self._judge(), finish)
            for place, text in enumerate(found[: writing.best]):
                ids[row, : len(text.tokens), place] = text.tokens
                scores[row, place] = text.log_probability / max(1, len(text.tokens))
        return Written(torch.from_numpy(ids).to(logs.device), torch.from_numpy(scores).to(logs.device))

    def _judge(self) -> Judge | None:
        ngrams, weight, bonus = self.column.ngrams, self.config.ngram_weight, self.config.ngram_bonus
        if ngrams is None:
            return None

        def judge(before: tuple[int, ...], token: int) -> float:
            return weight * ngrams.log_probability(before, token) + (bonus if token != END else 0.0)

        return judge


def best_path(logs: Tensor, mask: Tensor, length: int) -> Written:
    """The text of the likeliest token of every frame.

    Args:
        logs: `(B, T, V)` float32.
        mask: `(B, T)` bool, True where a frame is real; real frames come first.
        length: most tokens of a text.
    """
    best = logs.max(dim=-1)
    before = functional.pad(best.indices[:, :-1], (1, 0), value=BLANK)
    said = mask & (best.indices != BLANK) & (best.indices != before)
    place = (said.cumsum(dim=1) - 1).clamp(min=0)
    said &= place < length
    # What is not said lands behind the text's end, and is cut off.
    place = torch.where(said, place, length)
    ids = best.indices.new_zeros(len(logs), length + 1).scatter(1, place, best.indices)[:, :length]
    total = torch.where(mask, best.values, 0.0).sum(dim=1)
    return Written(ids.unsqueeze(2), (total / said.sum(dim=1).clamp(min=1)).unsqueeze(1))


class _Watch:
    """Counts over the training rows of an epoch what goes wrong with CTC."""

    def __init__(self) -> None:
        self._frames = self._blank = self._rows = self._fitting = 0

    def add(self, said: Tensor, mask: Tensor, taught: Tensor, fits: Tensor) -> None:
        """Likeliest tokens `(B, T)` of real frames; rows `(B,)` with text and sound, and those that fit."""
        self._frames += int(mask.sum())
        self._blank += int(((said == BLANK) & mask).sum())
        self._rows += int(taught.sum())
        self._fitting += int(fits.sum())
        if self._rows >= _ROWS_TO_JUDGE and 2 * self._fitting < self._rows:
            raise RecipeError(self._too_few())

    def remarks(self) -> list[str]:
        """A line for each thing that went wrong since the last call."""
        lines = [self._too_few()] if self._fitting < self._rows else []
        if self._frames and self._blank > _COLLAPSED * self._frames:
            lines.append(
                f"{self._blank / self._frames:.1%} of the frames were blank, so next to nothing is written: "
                "usual in the first epochs; if it stays, train longer or with more rows, or raise "
                "training.optimizer.lr"
            )
        self._frames = self._blank = self._rows = self._fitting = 0
        return lines

    def _too_few(self) -> str:
        return (
            f"{self._rows - self._fitting} of {self._rows} rows have a text of more tokens than their sound "
            "has frames, and teach nothing: raise the seconds of the input or fusion.max_tokens where they "
            "cut, choose an encoder with more tokens a second, or tokenizer: bpe; or correct these rows"
        )
