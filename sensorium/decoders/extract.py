"""Answers cut out of a text that the row has: where one begins, and where it ends."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Fused, Raw
from sensorium.data.answer import AnswerColumn
from sensorium.data.column import ColumnConfig
from sensorium.decoders.decoder import Decoder, DecoderConfig
from sensorium.decoders.listening import heard, input_named
from sensorium.decoders.writing import WritingConfig, Written
from sensorium.errors import RecipeError

_ROWS_TO_JUDGE = 32
"""Rows after which it is clear whether answers stand in their texts."""


class ExtractDecoderConfig(DecoderConfig):
    """Answers that stand in a text, such as those of reading comprehension."""

    kind: Literal["extract"] = Field("extract", description="kind of decoder")
    input: str | None = Field(
        None, description="text that holds the answers; needed where there are several inputs"
    )
    length: int = Field(30, ge=1, le=100_000, description="tokens of an answer at most")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of values dropped in training")


class ExtractDecoder(Decoder):
    """Two scores for every fused token of the text: that the answer begins there, and that it ends there.

    As in BERT (Devlin et al. 2018, arXiv:1810.04805); where an answer stands in the text several times, their
    probabilities are added (Clark and Gardner 2017, arXiv:1710.10723). An encoder with a token a word is
    needed, and a fusion in which the text's tokens look at the question's.

    Args:
        config: see `ExtractDecoderConfig`.
        column: of the answers.
        dim: V, not used.
        width: H.
    """

    Config = ExtractDecoderConfig

    @classmethod
    def target(cls, config: ExtractDecoderConfig, column: str | None) -> AnswerColumn:
        """The column of the answers, in the tokens of the text."""
        return AnswerColumn(ColumnConfig(column=column))

    def __init__(self, config: ExtractDecoderConfig, column: AnswerColumn, dim: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.ends = nn.Sequential(nn.LayerNorm(width), nn.Dropout(config.dropout), nn.Linear(width, 2))
        self._rows = self._found = 0

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` float32, half of -log P(begin, end); target: `(B, L)` int64 tokens of the text's column.

        0 where the answer or the text is missing, and where the text does not hold the answer.

        Raises:
            RecipeError: when most texts do not hold their answers, or have no token a word.
        """
        text = self._read(fused)
        places = found(text.ids, target)
        last = torch.arange(places.shape[1], device=places.device) + target.mask.sum(dim=1, keepdim=True) - 1
        ends = text.ends.gather(1, last.clamp(0, places.shape[1] - 1))
        taught = target.present & text.present
        holds = taught & places.any(dim=1)
        if self.training:
            self._count(int(taught.sum()), int(holds.sum()))
        # A row without the answer passes through a whole one, so that no gradient is made of infinities.
        wanted = torch.where(holds.unsqueeze(1), places, True)
        logs = (text.begins + ends).masked_fill(~wanted, float("-inf")).logsumexp(dim=1)
        return torch.where(holds, -logs / 2, 0.0)

    @torch.no_grad()
    def write(self, fused: Fused, writing: WritingConfig) -> Written:
        """The likeliest parts of the text, `writing.best` of them; nothing where the text is missing.

        The score is half of log P(begin, end).

        Raises:
            RecipeError: when the recipe asks for a temperature.
        """
        if writing.temperature:
            raise RecipeError("writing.temperature: extract draws no texts; leave it out")
        text = self._read(fused)
        size = text.ids.shape[1]
        length = min(self.config.length, writing.length)
        begin, end = (torch.arange(size, device=text.ids.device).view(shape) for shape in ((-1, 1), (1, -1)))
        allowed = (end >= begin) & (end < begin + length)
        logs = (text.begins.unsqueeze(2) + text.ends.unsqueeze(1)).masked_fill(~allowed, float("-inf"))
        best = functional.pad(logs.flatten(1), (0, writing.best), value=float("-inf")).topk(writing.best)
        begins, ends = best.indices // size, best.indices % size
        place = begins.unsqueeze(1) + torch.arange(length, device=begins.device).view(1, -1, 1)
        real = (place <= ends.unsqueeze(1)) & best.values.isfinite().unsqueeze(1)
        real &= text.present.view(-1, 1, 1)
        ids = text.ids.clamp(min=0).unsqueeze(2).expand(-1, -1, writing.best)
        ids = ids.gather(1, place.clamp(max=size - 1))
        return Written(torch.where(real, ids, 0), best.values / 2)

    def remarks(self) -> list[str]:
        """Answers that their texts do not hold."""
        lines = [self._not_found()] if self._found < self._rows else []
        self._rows = self._found = 0
        return lines

    def _read(self, fused: Fused) -> _Text:
        name = input_named(self.config.input, list(fused.places))
        tokens, mask, present = heard(fused, name)
        if name not in fused.ids:
            raise RecipeError(
                f"decoder.input: {name} is no text whose words are learned from the table: extract copies "
                "from an input of type text, without pretrained weights"
            )
        ids = fused.ids[name]
        if bool(((ids >= 0).sum(dim=1) != mask.sum(dim=1))[present].any()):
            raise RecipeError(
                f"decoder.input: {name} must come with a token a word: take an encoder such as transformer "
                "or lstm, and in the fusion max_tokens of at least the text's length"
            )
        ids = functional.pad(ids, (0, max(0, mask.shape[1] - ids.shape[1])), value=-1)[:, : mask.shape[1]]
        logits = self.ends(tokens).float().masked_fill(~mask.unsqueeze(2), float("-inf"))
        begins, ends = logits.log_softmax(dim=1).unbind(dim=2)
        return _Text(ids, begins, ends, present)

    def _count(self, rows: int, holding: int) -> None:
        self._rows += rows
        self._found += holding
        if self._rows >= _ROWS_TO_JUDGE and 2 * self._found < self._rows:
            raise RecipeError(self._not_found())

    def _not_found(self) -> str:
        return (
            f"{self._rows - self._found} of {self._rows} rows have an answer that is not found in their text "
            "and teach nothing: correct these rows, raise the length of the input where it cuts texts, or "
            "take decoder: transformer, which writes freely"
        )


class _Text(NamedTuple):
    """The text of B rows.

    Attributes:
        ids: `(B, T)` int64, -1 in the padding.
        begins, ends: `(B, T)` float32 log probabilities, minus infinity in the padding.
        present: `(B,)` bool, which rows have it.
    """

    ids: Tensor
    begins: Tensor
    ends: Tensor
    present: Tensor


def found(ids: Tensor, answer: Raw) -> Tensor:
    """`(B, T)` bool, True where the answer `(B, L)` begins among the ids `(B, T)`, -1 in the padding."""
    length = answer.values.shape[1]
    windows = functional.pad(ids, (0, length - 1), value=-1).unfold(1, length, 1)
    same = (windows == answer.values.unsqueeze(1)) | ~answer.mask.unsqueeze(1)
    return same.all(dim=2) & answer.present.unsqueeze(1)
