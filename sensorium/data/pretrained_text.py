"""Text as a pretrained encoder reads it: cut into tokens by the checkpoint's own tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer

from sensorium.data.column import Array
from sensorium.data.from_checkpoint import FromCheckpoint
from sensorium.data.text import CHARACTERS_PER_TOKEN, Spans, TextColumn, TextConfig, as_text
from sensorium.errors import RecipeError, WeightsError
from sensorium.weights import Checkpoint

_OF_THE_CHECKPOINT = ("tokenizer", "vocabulary", "lowercase", "stop_words", "min_count")
_POSITIONS_AFTER_PADDING = {
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "data2vec-text", "longformer"),
}
"""Architectures, by model_type, whose first token is at the position after the id of padding."""
_BLANKS = ("[MASK]", "<mask>", "[UNK]", "<unk>", "[PAD]", "<pad>", "<|endoftext|>")


class PretrainedTextColumn(FromCheckpoint, TextColumn):
    """One text a row, as ids of a checkpoint's vocabulary, its special tokens included.

    `decode` gives int32 (L,), L at most `length` and what the checkpoint can take, where a longer text loses
    its end but not the special tokens; `collate` gives values (B, L) int64, padded with 0, and mask (B, L)
    bool. A text without a token is like a missing one.

    Args:
        config: what the recipe says; of the tokenizer, which is the checkpoint's, it may say nothing.
        weights: names the checkpoint.
        base: what a relative folder starts from.

    Raises:
        RecipeError: when the recipe says something of the tokenizer.
    """

    Config: ClassVar[type[TextConfig]] = TextConfig
    types = ("text",)

    def __init__(self, config: TextConfig, weights: str, base: Path) -> None:
        default = TextConfig()
        for name in _OF_THE_CHECKPOINT:
            if getattr(config, name) != getattr(default, name):
                raise RecipeError(f"{name}: pretrained weights come with their own tokenizer; leave it out")
        self.config = config
        self._weights, self.base = weights, base

    @cached_property
    def prefix(self) -> str:
        """What is put in front of every text: the recipe's, else what the checkpoint asks for, if any."""
        if self.config.prefix is not None:
            return self.config.prefix
        said = self.checkpoint.prompts
        return str(said.get("prompts", {}).get(said.get("default_prompt_name"), ""))

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
        ids = self._cutter.encode(self.prefix + text).ids if text else []
        return np.array(ids, dtype=np.int32)

    def spans(self, cell: Any) -> Spans:
        text, before = self._read(cell), len(self.prefix)
        cut = self._cutter.encode(self.prefix + text)
        places = [(max(0, start - before), max(0, end - before)) for start, end in cut.offsets]
        special = zip(places, cut.special_tokens_mask, strict=True)
        return Spans(text, [(0, 0) if outside else place for place, outside in special])

    def text(self, ids: Iterable[int]) -> str:
        """Token ids → text."""
        return str(self._cutter.decode([int(one) for one in ids]))

    def _read(self, cell: Any) -> str:
        return as_text(cell)[: self.config.length * CHARACTERS_PER_TOKEN].strip()

    @cached_property
    def _cutter(self) -> Tokenizer:
        cutter = tokenizer_of(self.checkpoint)
        cutter.enable_truncation(min(self.config.length, longest(self.checkpoint.config)))
        return cutter


def tokenizer_of(checkpoint: Checkpoint) -> Tokenizer:
    """The tokenizer of a checkpoint, which neither pads nor cuts a text short.

    Raises:
        WeightsError: when it is missing or damaged.
    """
    if not checkpoint.tokenizer:
        raise WeightsError(f"{checkpoint.name}: tokenizer.json is missing, so text cannot be read")
    try:
        cutter = Tokenizer.from_str(checkpoint.tokenizer)
    except Exception as error:
        if type(error) is not Exception:  # the library raises the bare class, and nothing narrower
            raise
        raise WeightsError(
            f"{checkpoint.name}: tokenizer.json is damaged ({error}); fetch the checkpoint again"
        ) from None
    cutter.no_padding()
    cutter.no_truncation()
    return cutter


def longest(config: dict[str, Any]) -> int:
    """Tokens that an architecture has positions for."""
    most = int(config.get("max_position_embeddings") or 1_000_000)
    if config.get("model_type") in _POSITIONS_AFTER_PADDING:
        return most - int(config.get("pad_token_id", 1)) - 1
    return most
