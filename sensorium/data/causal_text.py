"""Text as a causal language model writes it: tokens of its own vocabulary, of which none is padding."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from sensorium.data.column import Array
from sensorium.data.pretrained_text import PretrainedTextColumn, longest, tokenizer_of
from sensorium.data.text import TextConfig
from sensorium.errors import WeightsError
from sensorium.weights import Checkpoint, find

SHIFT = 1
"""Between the ids of this column, where 0 is padding, and those of the checkpoint, where 0 is a token."""


class CausalTextColumn(PretrainedTextColumn):
    """One text a row, as ids of a causal language model plus `SHIFT`, without its end.

    `decode` gives int32 (L,), L at most `length`; `collate` gives values (B, L) int64, padded with 0, and
    mask (B, L) bool. A text without a token is like a missing one.

    Attributes:
        base: what a relative folder of weights starts from.

    Args:
        column: of the table; None for the output's own name.
        weights: names the checkpoint.
        length: tokens of a text that are learned.
        stop: a text ends before the first of these.
    """

    def __init__(self, column: str | None, weights: str, length: int, stop: tuple[str, ...] = ()) -> None:
        super().__init__(TextConfig(column=column, length=length), weights, Path())
        self.stop = stop

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """What the decoder is made of; looked for when it is first needed."""
        return find(self._weights, self.base)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, padding included."""
        return int(self._cutter.get_vocab_size()) + SHIFT

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The ids after which nothing follows, the usual one first.

        Raises:
            WeightsError: when the checkpoint names none.
        """
        said = self.checkpoint.config.get("eos_token_id")
        ends = said if isinstance(said, list) else [said]
        if not ends or not all(isinstance(one, int) for one in ends):
            raise WeightsError(
                f"{self.checkpoint.name}: its config.json names no eos_token_id, so no text would end"
            )
        return tuple(one + SHIFT for one in ends)

    @cached_property
    def special(self) -> tuple[int, ...]:
        """The ids of tokens that no text holds, such as those that mark who is speaking."""
        added = self._cutter.get_added_tokens_decoder()
        return tuple(sorted(number + SHIFT for number, token in added.items() if token.special))

    def decode(self, cell: Any) -> Array:
        ids = self.cut(self._read(cell))[: min(self.config.length, longest(self.checkpoint.config))]
        return np.array(ids, dtype=np.int32)

    def cut(self, text: str) -> list[int]:
        """The whole text as ids, without start and end; special tokens that are spelt out in it count."""
        return [one + SHIFT for one in self._cutter.encode(text, add_special_tokens=False).ids]

    def text(self, ids: Iterable[int]) -> str:
        """Ids → text, up to the first end or stop string; padding and special tokens are left out."""
        text = self._whole(ids)
        places = [text.index(one) for one in self.stop if one in text]
        return text[: min(places, default=len(text))].strip()

    def stops(self, ids: Iterable[int]) -> bool:
        """Whether a stop string is among what is written."""
        if not self.stop:
            return False
        text = self._whole(ids)
        return any(one in text for one in self.stop)

    def _whole(self, ids: Iterable[int]) -> str:
        kept: list[int] = []
        for one in ids:
            if one in self.ends:
                break
            if one:
                kept.append(int(one) - SHIFT)
        return str(self._cutter.decode(kept, skip_special_tokens=True))

    def word(self, one: int) -> str:
        """The spelling of one token, by its id in the checkpoint; "" where it has none."""
        return self._cutter.id_to_token(one) or ""

    @cached_property
    def _cutter(self) -> Tokenizer:
        return tokenizer_of(self.checkpoint)
