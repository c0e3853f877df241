"""Text whose runs of tokens are counted: which n-grams the training rows hold, and in how many texts each."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sensorium.data.column import Array
from sensorium.data.text import PADDING, TextColumn, TextConfig, bounded, readable

Ids = TypeVar("Ids", bound=Any)

_FACTOR = -7046029254386353131  # odd, with bits all over: 2^64 / golden ratio, as a signed number
_COUNTED_AT_ONCE = 4096  # texts whose n-grams are held before they are added up


class NgramColumn(TextColumn):
    """One text a row, read as `TextColumn` reads it; fitting also counts its n-grams.

    Args:
        config: what the recipe says of the text.
        longest: tokens of an n-gram at most.
        vocabulary: n-grams kept at most, those of the most texts.
        min_count: texts that an n-gram stands in at least.

    Attributes:
        ngrams: `(N,)` int64, ascending: the hashes of the n-grams kept, see `hashes`; N is at least 1.
        rarity: `(N,)` float32, the inverse document frequency of each: log((1 + T) / (1 + t)) + 1 where t of
            T texts hold it (Spärck Jones 1972, smoothed as if one more text held every n-gram).
    """

    def __init__(self, config: TextConfig, longest: int, vocabulary: int, min_count: int) -> None:
        super().__init__(config)
        self.longest, self.most, self.min_count = longest, vocabulary, min_count
        self._keep(*_nothing(), texts=0)

    def fit(self, cells: Iterable[Any]) -> None:
        """Learns the vocabulary of tokens, then that of n-grams. The same texts give the same ones."""
        texts = list(bounded(readable(cells)))
        super().fit(texts)
        self._keep(*self._counted(texts), texts=len(texts))

    def state(self) -> dict[str, Any]:
        return super().state() | {"ngrams": _packed(self.ngrams), "rarity": _packed(self.rarity)}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.ngrams = _unpacked(state["ngrams"], np.int64)
        self.rarity = _unpacked(state["rarity"], np.float32)

    def _counted(self, texts: Sequence[str]) -> tuple[Array, Array]:
        """Every n-gram of the texts, ascending, and in how many of them it stands."""
        found, counts = _nothing()
        for start in range(0, len(texts), _COUNTED_AT_ONCE):
            block = [self._distinct(text) for text in texts[start : start + _COUNTED_AT_ONCE]]
            found, place = np.unique(np.concatenate([found, *block]), return_inverse=True)
            weights = np.ones(len(place), dtype=np.int64)
            weights[: len(counts)] = counts
            counts = np.bincount(place, weights).astype(np.int64)
        return found, counts

    def _distinct(self, text: str) -> Array:
        """The n-grams of one text, each once."""
        ids = self.decode(text).astype(np.int64)
        return np.unique(np.concatenate([*hashes(ids, self.longest)]))

    def _keep(self, found: Array, counts: Array, texts: int) -> None:
        frequent = np.flatnonzero(counts >= self.min_count)
        ranked = frequent[np.argsort(-counts[frequent], kind="stable")][: self.most]
        kept = np.sort(ranked)
        self.ngrams, held = found[kept], counts[kept]
        if not len(kept):  # no text at all: a table without a row could not be trained
            self.ngrams, held = np.array([PADDING + 1]), np.array([0])
        self.rarity = (np.log((1 + texts) / (1 + held)) + 1).astype(np.float32)


def hashes(ids: Ids, longest: int) -> Iterator[Ids]:
    """The n-grams of 1 to `longest` tokens, as numbers of 64 bits.

    Two n-grams share a number only by chance: of a million, some two do so in one table of 40 million.

    Args:
        ids: `(..., L)` int64 of numpy or of torch; both let a product overflow.
        longest: tokens of an n-gram at most.

    Yields:
        `(..., L - n + 1)` for n = 1, 2, … up to L: the n-gram that begins at each place.
    """
    found = ids + 1  # so that an n-gram of padding is not 0, which n would not change
    yield found
    for n in range(2, min(longest, ids.shape[-1]) + 1):
        found = found[..., :-1] * _FACTOR + ids[..., n - 1 :] + 1
        yield found


def _packed(values: Array) -> str:
    """An array's bytes as text: hundreds of thousands of numbers, a third of the size of their digits."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode()


def _unpacked(text: str, dtype: type[np.generic]) -> Array:
    little = np.dtype(dtype).newbyteorder("<")
    return np.frombuffer(base64.b64decode(text), little).astype(dtype)


def _nothing() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
