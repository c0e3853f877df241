"""How likely a token is after the ones before it, counted over the texts of a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sensorium.data.text import END, START


class NGrams:
    """An n-gram model with the smoothing of Witten and Bell 1991.

    P(w | h) = (c(h w) + n(h) · P(w | h')) / (c(h) + n(h)), where c counts, n(h) is the number of different
    tokens seen after h, and h' is h without its first token. Below the empty history all tokens that were
    seen, and one more that stands for all others, are equally likely.

    Args:
        order: tokens of the longest run that is counted, at least 1.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        self._after: dict[tuple[int, ...], Counter[int]] = {}

    def count(self, texts: Iterable[Sequence[int]]) -> None:
        """Adds the tokens of texts; each begins after a start and ends with an end."""
        for text in texts:
            tokens = [START, *text, END]
            for place in range(1, len(tokens)):
                for length in range(min(self.order, place + 1)):
                    history = tuple(tokens[place - length : place])
                    self._after.setdefault(history, Counter())[tokens[place]] += 1

    def log_probability(self, before: Sequence[int], token: int) -> float:
        """Natural logarithm of P(token | the tokens of the text before it)."""
        history = (START, *before)[-(self.order - 1) :] if self.order > 1 else ()
        chance = 1 / (len(self._after.get((), ())) + 1)
        for length in range(len(history) + 1):
            after = self._after.get(history[len(history) - length :])
            if after is None:
                break
            kinds = len(after)
            chance = (after[token] + kinds * chance) / (after.total() + kinds)
        return math.log(chance)

    def state(self) -> list[list[list[int]]]:
        """Everything counted, as JSON: of every history its tokens, what came after, and how often."""
        return [[list(history), list(after), list(after.values())] for history, after in self._after.items()]

    def load_state(self, state: Any) -> None:
        """Takes up what `state` gave."""
        self._after = {
            tuple(history): Counter(dict(zip(tokens, counts, strict=True)))
            for history, tokens, counts in state
        }
