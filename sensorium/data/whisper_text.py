"""What was said, in the tokens of a Whisper checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from sensorium.data.column import Array
from sensorium.data.from_checkpoint import FromCheckpoint
from sensorium.data.pretrained_text import tokenizer_of
from sensorium.data.text import CHARACTERS_PER_TOKEN, TextColumn, TextConfig, as_text
from sensorium.errors import RecipeError, WeightsError
from sensorium.weights import Checkpoint, find, refuse_other_modality

_MULTILINGUAL = 51865
"""Least size of a vocabulary whose Whisper is told the language."""


class WhisperTextColumn(FromCheckpoint, TextColumn):
    """One text a row; an id is that of the checkpoint's tokenizer and one more, as 0 is padding.

    `decode` gives int32 (L,), without start and end; `collate` is that of every text.

    Args:
        config: of which `length` and `column` count.
        weights: names the checkpoint.
        language: code of the language that is spoken, such as "en".

    Attributes:
        base: what a relative folder of weights starts from.
    """

    types = ("audio",)

    def __init__(self, config: TextConfig, weights: str, language: str) -> None:
        super().__init__(config)
        self.base = Path()
        self._weights, self._language = weights, language

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """What the decoder is made of; looked for when it is first needed."""
        found = refuse_other_modality(find(self._weights, self.base), *self.types)
        if found.config.get("model_type") != "whisper":
            raise WeightsError(f"{found.name}: no checkpoint of Whisper, so it has no decoder; name another")
        return found

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, padding included."""
        return int(self.checkpoint.config["vocab_size"]) + 1

    @property
    def end(self) -> int:
        """The id after the last of a text; all above it are instructions and moments, not words."""
        return self._special("<|endoftext|>")

    @property
    def beginning(self) -> list[int]:
        """The ids that tell Whisper to write what it hears, without moments.

        Raises:
            RecipeError: when the language is not known, or the checkpoint knows English alone.
        """
        start, last = self._special("<|startoftranscript|>"), self._special("<|notimestamps|>")
        if self.vocabulary_size <= _MULTILINGUAL:
            if self._language != "en":
                raise RecipeError(f"decoder.language: {self.checkpoint.name} knows English alone: write en")
            return [start, last]
        if self._tokenizer_of_weights.token_to_id(f"<|{self._language}|>") is None:
            raise RecipeError(
                f"decoder.language: {self._language!r} is no language of {self.checkpoint.name}; "
                "write a code such as en, fr or zh"
            )
        return [start, self._special(f"<|{self._language}|>"), self._special("<|transcribe|>"), last]

    def fit(self, cells: Iterable[Any]) -> None:
        """Learns nothing."""

    def decode(self, cell: Any) -> Array:
        text = as_text(cell)[: self.config.length * CHARACTERS_PER_TOKEN].strip()
        cut = self._tokenizer_of_weights
        ids = cut.encode(f" {text}", add_special_tokens=False).ids if text else []
        return np.array(ids[: self.config.length], dtype=np.int32) + 1

    def text(self, ids: Iterable[int]) -> str:
        """Ids → text; padding is left out."""
        own = [int(one) - 1 for one in ids if one]
        return str(self._tokenizer_of_weights.decode(own, skip_special_tokens=True)).strip()

    def _special(self, name: str) -> int:
        found = self._tokenizer_of_weights.token_to_id(name)
        if found is None:
            raise WeightsError(
                f"{self.checkpoint.name}: tokenizer.json lacks {name}; fetch the checkpoint again"
            )
        return int(found) + 1

    @cached_property
    def _tokenizer_of_weights(self) -> Tokenizer:
        return tokenizer_of(self.checkpoint)
