"""Text as a pretrained encoder reads it: cut into tokens by the checkpoint's own tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer

from sensorium.data.column import Array
from sensorium.data.text import Spans, TextColumn, TextConfig, as_text
from sensorium.errors import RecipeError, WeightsError
from sensorium.weights import Checkpoint, find

_OF_THE_CHECKPOINT = ("tokenizer", "vocabulary", "lowercase", "stop_words", "min_count")
_CHARACTERS_PER_TOKEN = 32  # a text is cut there first, so that one huge cell cannot stall a worker
_BLANKS = ("[MASK]", "<mask>", "[UNK]", "<unk>", "[PAD]", "<pad>", "<|endoftext|>")


class PretrainedTextColumn(TextColumn):
    """One text a row, as ids of a checkpoint's vocabulary, its special tokens included.

    `decode` gives int32 (L,), L at most `length` and what the checkpoint can take; `collate` gives values
    (B, L) int64, padded with 0, and mask (B, L) bool.

    Args:
        config: what the recipe says; of the tokenizer, which is the checkpoint's, it may say nothing.
        weights: names the checkpoint.
        base: what a relative folder starts from.

    Raises:
        RecipeError: when the recipe says something of the tokenizer.
    """

    Config: ClassVar[type[TextConfig]] = TextConfig

    def __init__(self, config: TextConfig, weights: str, base: Path) -> None:
        default = TextConfig()
        for name in _OF_THE_CHECKPOINT:
            if getattr(config, name) != getattr(default, name):
                raise RecipeError(f"{name}: pretrained weights come with their own tokenizer; leave it out")
        self.config = config
        self._weights, self._base = weights, base

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """What the encoder is made of; looked for when it is first needed."""
        return find(self._weights, self._base)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids."""
        return int(self._cutter.get_vocab_size())

    def fit(self, cells: Iterable[Any]) -> None:
        """Learns nothing."""

    @property
    def blank(self) -> int:
        """The id that stands for a word taken away: the mask, else the unknown word, else the padding."""
        known = (self._cutter.token_to_id(name) for name in _BLANKS)
        return next((one for one in known if one is not None), 0)

    def decode(self, cell: Any) -> Array:
        text = self._read(cell)
        ids = self._cutter.encode(text).ids if text else []
        return np.array(ids, dtype=np.int32)

    def spans(self, cell: Any) -> Spans:
        text = self._read(cell)
        cut = self._cutter.encode(text)
        special = zip(cut.offsets, cut.special_tokens_mask, strict=True)
        return Spans(text, [(0, 0) if outside else place for place, outside in special])

    def text(self, ids: Iterable[int]) -> str:
        """Token ids → text."""
        return str(self._cutter.decode([int(one) for one in ids]))

    def state(self) -> dict[str, Any]:
        return {"checkpoint": self.checkpoint.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.checkpoint = Checkpoint.from_state(state["checkpoint"])

    def _read(self, cell: Any) -> str:
        return as_text(cell)[: self.config.length * _CHARACTERS_PER_TOKEN].strip()

    @cached_property
    def _cutter(self) -> Tokenizer:
        checkpoint = self.checkpoint
        if not checkpoint.tokenizer:
            raise WeightsError(f"{checkpoint.name}: tokenizer.json is missing, so text cannot be read")
        cutter = Tokenizer.from_str(checkpoint.tokenizer)
        cutter.no_padding()
        most = checkpoint.config.get("max_position_embeddings", self.config.length)
        cutter.enable_truncation(min(self.config.length, most))
        return cutter
