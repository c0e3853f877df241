"""The likeliest texts of a row of frames, of which each says a token or nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sensorium.data.text import END

BLANK = 0
"""The token of a frame that says nothing: the id of padding, which no text holds."""

_LEAST = -12.0
"""Log probability below which a token does not begin or lengthen a text: 6 in a million."""

Text = tuple[int, ...]
Judge = Callable[[Text, int], float]
"""Tokens of a text and the one that comes next → what is added to the text's score."""


class Found(NamedTuple):
    """A text and how likely it is.

    Attributes:
        tokens: of the text.
        log_probability: of all paths of frames that say it, as far as they were followed.
        score: by which texts compete: the former, with what the judge added.
    """

    tokens: Text
    log_probability: float
    score: float


class _Paths(NamedTuple):
    """Log probability of the paths that say a text and end with a blank, or with its last token."""

    blank: float
    token: float

    @property
    def all(self) -> float:
        return _either(self.blank, self.token)


_NONE = _Paths(-math.inf, -math.inf)


def prefix_beams(
    frames: npt.NDArray[np.float32],
    beams: int,
    length: int,
    judge: Judge | None = None,
    finish: float = math.inf,
) -> list[Found]:
    """Prefix beam search (Hannun et al. 2014, arXiv:1408.2873).

    Beginnings that say the same are one: the probabilities of their paths are added.

    Args:
        frames: `(T, V)`, log probabilities of the tokens of every frame; that of `BLANK` for nothing.
        beams: beginnings that are kept after a frame.
        length: most tokens of a text.
        judge: a language model; after the last frame it judges that a text ends, with `END` as its token.
        finish: the moment, of `time.monotonic`, after which the frames that are left are not read.

    Returns:
        At most `beams` texts, the best first.
    """
    kept: dict[Text, _Paths] = {(): _Paths(0.0, -math.inf)}
    added: dict[Text, float] = {(): 0.0}
    for frame in frames.tolist():
        if time.monotonic() >= finish:
            break
        reached = _after(frame, kept, length, beams)
        for text in reached:
            if text not in added:
                before, token = text[:-1], text[-1]
                added[text] = added[before] + (judge(before, token) if judge else 0.0)
        best = sorted(reached, key=lambda text: -(reached[text].all + added[text]))[:beams]
        kept = {text: reached[text] for text in best}
        added = {text: added[text] for text in best}
    ended = {text: judge(text, END) if judge else 0.0 for text in kept}
    found = [Found(text, paths.all, paths.all + added[text] + ended[text]) for text, paths in kept.items()]
    return sorted(found, key=lambda one: -one.score)


def _after(frame: Sequence[float], kept: dict[Text, _Paths], length: int, beams: int) -> dict[Text, _Paths]:
    """What the paths of all beginnings say after one frame more."""
    ranked = sorted(range(len(frame)), key=lambda token: -frame[token])[: beams + 1]
    likely = [token for token in ranked if token != BLANK and frame[token] > _LEAST]
    reached: dict[Text, _Paths] = {}
    for text, paths in kept.items():
        blank, token = reached.get(text, _NONE)
        if text:
            token = _either(token, paths.token + frame[text[-1]])
        reached[text] = _Paths(_either(blank, paths.all + frame[BLANK]), token)
        for one in likely if len(text) < length else ():
            # A token that comes twice in a row needs a blank between: without it, it is one.
            before = paths.blank if text and one == text[-1] else paths.all
            longer = (*text, one)
            blank, token = reached.get(longer, _NONE)
            reached[longer] = _Paths(blank, _either(token, before + frame[one]))
    return {text: paths for text, paths in reached.items() if paths.all > -math.inf}


def _either(one: float, other: float) -> float:
    """log(e^one + e^other)."""
    high, low = (one, other) if one > other else (other, one)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
