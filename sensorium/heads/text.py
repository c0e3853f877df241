"""A text a row: a caption, an answer, a translation, what was said."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field, SerializeAsAny, field_validator, model_validator
from torch import Tensor
from torch.nn import functional

from sensorium.batch import Fused, Raw
from sensorium.data.column import Array, Cells, Column
from sensorium.decoders import DECODERS
from sensorium.decoders.decoder import DecoderConfig
from sensorium.decoders.transformer import TransformerDecoderConfig
from sensorium.decoders.writing import WritingConfig
from sensorium.heads.head import Head, HeadConfig, MetricsOfRows
from sensorium.heads.text_metrics import GOALS, Counts, counts_of, text_metrics

Metric = Literal["chrf", "bleu", "exact_match", "word_error_rate", "character_error_rate"]


class TextHeadConfig(HeadConfig):
    """A text a row."""

    type: Literal["text"] = Field("text", description="type of output")
    decoder: SerializeAsAny[DecoderConfig] = Field(
        TransformerDecoderConfig(), description="what writes the text: its kind, and what that kind takes"
    )
    writing: WritingConfig = Field(WritingConfig(), description="how it is written, once it has been learned")
    metric: Metric = Field("chrf", description="by which epochs and models are compared")

    @field_validator("decoder", mode="before")
    @classmethod
    def _of_its_kind(cls, value: Any) -> Any:
        if isinstance(value, DecoderConfig):
            return value
        fields = {"kind": value} if isinstance(value, str) else dict(value)
        if fields.get("kind", "transformer") not in DECODERS:
            raise ValueError(f"kind is one of {', '.join(DECODERS)}")
        return DECODERS[fields.get("kind", "transformer")].Config.model_validate(fields)

    @model_validator(mode="before")
    @classmethod
    def _as_long_as_learned(cls, fields: Any) -> Any:
        """Without a length of its own, writing goes as far as the texts that are learned."""
        learned = getattr(fields.get("decoder"), "length", None) if isinstance(fields, dict) else None
        writing = fields.get("writing", {}) if learned else None
        if isinstance(writing, dict):
            return {**fields, "writing": {"length": learned, **writing}}
        return fields


class TextHead(Head):
    """Text, learned from texts of the table by one of `sensorium.decoders.DECODERS`.

    Args:
        config: see `TextHeadConfig`.
        column: fitted, of the decoder's tokens.
        dim: V, width of `Fused.vector`.
        width: H, width of `Fused.tokens`.
    """

    Config = TextHeadConfig
    metric: str = "chrf"
    metric_goal: Literal["max", "min"] = "max"

    @classmethod
    def target(cls, config: TextHeadConfig) -> Column:
        """The column that turns texts into the decoder's tokens, not fitted yet."""
        return DECODERS[config.decoder.kind].target(config.decoder, config.column)

    def __init__(self, config: TextHeadConfig, column: Column, dim: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.column: Any = column
        self.decoder = DECODERS[config.decoder.kind](config.decoder, column, dim, width)
        self.metric, self.metric_goal = config.metric, GOALS[config.metric]

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` float32, mean over the tokens of a row's text."""
        return self.decoder.loss(fused, target)

    def remarks(self) -> list[str]:
        """Those of the decoder."""
        return self.decoder.remarks()

    def predict(self, fused: Fused) -> dict[str, Tensor]:
        """`ids (B, length, best)` int64, padded with 0, and `scores (B, best)` float32, log a token."""
        written = self.decoder.write(fused, self.config.writing)
        missing = self.config.writing.length - written.ids.shape[1]
        return {"ids": functional.pad(written.ids, (0, 0, 0, missing)), "scores": written.scores.float()}

    def answers(self, predicted: dict[str, Array]) -> dict[str, list[Any] | Array]:
        """`prediction`: N texts; `score`: `(N,)` float32, mean log probability of a token.

        With `writing.best` above 1 also `others`: of every row the texts after the best.
        """
        ids = predicted["ids"]
        answers: dict[str, list[Any] | Array] = {
            "prediction": [self.column.text(row) for row in ids[:, :, 0]],
            "score": predicted["scores"][:, 0],
        }
        if ids.shape[2] > 1:
            answers["others"] = [[self.column.text(text) for text in row.T[1:]] for row in ids]
        return answers

    def metrics(self, predicted: dict[str, Array], target: Cells) -> dict[str, float]:
        """See `text_metrics`."""
        return text_metrics(self._counts(predicted, target), np.flatnonzero(self.scored(target)))

    def metrics_of_rows(self, predicted: dict[str, Array], target: Cells) -> MetricsOfRows:
        """What is counted of each row is counted once."""
        counts, scored = self._counts(predicted, target), self.scored(target)
        return lambda rows: text_metrics(counts, rows[scored[rows]])

    def _counts(self, predicted: dict[str, Array], target: Cells) -> Counts:
        said = [
            self.column.text(row) if real else ""
            for row, real in zip(predicted["ids"][:, :, 0], self.scored(target), strict=True)
        ]
        truth = [self.column.text(row[mask]) for row, mask in zip(target.values, target.mask, strict=True)]
        return counts_of(said, truth)
