"""Temperature scaling: one number that makes a model's probabilities as sure as it has reason to be.

Logits divided by a temperature T give other probabilities and the same order of classes. T is the one with
the smallest log loss over rows that were not trained on (Guo et al. 2017, arXiv:1706.04599). Probabilities
hold their logits but for a constant of the row, so nothing here needs the model again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]

LOWEST, HIGHEST = 0.05, 20.0
"""Where the temperature is looked for."""
HALVINGS = 24
"""Of the range on a log scale; leaves the temperature exact to six digits."""

_SMALLEST = float(np.finfo(np.float32).tiny)
_LARGEST = 1 - 2.0**-24
"""The float32 next to 1: a sigmoid of more than 16.6 is 1 and counts as 16.6."""


def softmax_temperature(probabilities: Floats, classes: Integers) -> float:
    """The temperature of the smallest log loss of one class a row.

    Args:
        probabilities: `(N, C)` at temperature 1.
        classes: `(N,)` true classes, 0..C-1.

    Returns:
        Between 0.05 and 20; 1 where the log loss has no minimum there because more certainty would only
        be better, as with every row right or no row at all.
    """
    logits = _logarithms(probabilities)
    chosen = logits[np.arange(len(classes)), classes]

    def slope(inverse: float) -> float:
        expected = (_softmax(logits * inverse) * logits).sum(axis=1)
        return float((expected - chosen).sum())

    return _minimum(slope)


def sigmoid_temperature(probabilities: Floats, truth: Bools) -> float:
    """The temperature of the smallest log loss of many labels a row; limits as in `softmax_temperature`.

    Args:
        probabilities: `(N, C)` at temperature 1.
        truth: `(N, C)` bool.
    """
    logits = _log_odds(probabilities)

    def slope(inverse: float) -> float:
        return float(((_sigmoid(logits * inverse) - truth) * logits).sum())

    return _minimum(slope)


def softmax_at(probabilities: Floats, temperature: float) -> Floats:
    """`(N, C)` float64: what the same logits give when divided by a temperature (once more)."""
    return _softmax(_logarithms(probabilities) / temperature)


def sigmoid_at(probabilities: Floats, temperature: float) -> Floats:
    """`(N, C)` float64: what the same log-odds give when divided by a temperature (once more)."""
    return _sigmoid(_log_odds(probabilities) / temperature)


def _minimum(slope: Callable[[float], float]) -> float:
    """The temperature at which the slope of the log loss by 1/T is zero.

    The log loss is convex in 1/T, so its slope rises and a bisection finds the only zero.
    """
    low, high = 1 / HIGHEST, 1 / LOWEST
    if slope(high) <= 0:
        return 1.0
    if slope(low) >= 0:
        return HIGHEST
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / math.sqrt(low * high)


def _logarithms(probabilities: Floats) -> Floats:
    return np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))


def _log_odds(probabilities: Floats) -> Floats:
    clipped = np.clip(probabilities.astype(np.float64), _SMALLEST, _LARGEST)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(logits / 2)))  # does not overflow
