"""What was said, as a text without what cannot be heard."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import Field

from sensorium.data.ngram import NGrams
from sensorium.data.text import TextColumn, TextConfig, as_text
from sensorium.errors import CellError

_APOSTROPHES = "'’"


class TranscriptConfig(TextConfig):
    """What a decoder says of the texts it learns to hear."""

    punctuation: bool = Field(False, description="learn punctuation, which nobody says")
    ngram: int = Field(0, ge=0, le=8, description="tokens of the runs that are counted; 0: none are")


class TranscriptColumn(TextColumn):
    """A text a row as `TextColumn` reads it, without punctuation but for apostrophes.

    Attributes:
        ngrams: counted over the training texts; None where the configuration asks for none.
    """

    Config: ClassVar[type[TextConfig]] = TranscriptConfig

    def __init__(self, config: TranscriptConfig) -> None:
        super().__init__(config)
        self._punctuation = config.punctuation
        self.ngrams = NGrams(config.ngram) if config.ngram else None

    def fit(self, cells: Iterable[Any]) -> None:
        """Learns the vocabulary, and counts runs of tokens where they are wanted."""
        if self.ngrams is None:
            super().fit(cells)
            return
        texts = list(cells)
        super().fit(texts)
        self.ngrams = NGrams(self.ngrams.order)
        self.ngrams.count(self._tokens(texts))

    def state(self) -> dict[str, Any]:
        ngrams = {} if self.ngrams is None else {"ngrams": self.ngrams.state()}
        return super().state() | ngrams

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        if self.ngrams is not None:
            self.ngrams.load_state(state["ngrams"])

    def _tokens(self, cells: Iterable[Any]) -> Iterable[list[int]]:
        for cell in cells:
            try:
                yield self.decode(as_text(cell)).tolist()
            except CellError:
                continue

    def _normalised(self, text: str) -> str:
        return super()._normalised(text if self._punctuation else _spoken(text))


def _spoken(text: str) -> str:
    """Blanks in place of punctuation and symbols; vowel signs, which are no letters, stay."""
    return "".join(
        one if one in _APOSTROPHES or unicodedata.category(one)[0] not in "PS" else " " for one in text
    )
