"""Numbers by their rank among those of the training rows, spread as a normal distribution spreads them."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from sensorium.data.column import Array

QUANTILES = 1000
_LEAST = 1e-7  # of a rank's distance from 0 and 1, where the normal distribution has no value


def rank_quantiles(values: Array) -> Array:
    """`(n,)` finite values, n ≥ 1 → `(min(n, QUANTILES),)` float64 quantiles at equal distances, rising."""
    return np.quantile(values, np.linspace(0, 1, min(len(values), QUANTILES)))


def normal_scores(values: Array, quantiles: Array) -> Array:
    """The values of a standard normal distribution with the same ranks; between -5.2 and 5.2.

    Between two quantiles the rank is interpolated. A value that is itself several quantiles gets the middle
    of their ranks. All equal, as in a constant column: 0.

    Args:
        values: `(N,)`, finite.
        quantiles: `(Q,)` as `rank_quantiles` gives them.
    """
    ranks = np.linspace(0, 1, len(quantiles)) if len(quantiles) > 1 else np.array([0.5])
    highest = np.interp(values, quantiles, ranks)
    lowest = 1 - np.interp(-values, -quantiles[::-1], ranks)
    chances = np.clip((highest + lowest) / 2, _LEAST, 1 - _LEAST)
    return np.array([NormalDist().inv_cdf(float(chance)) for chance in chances])


def value_of_score(scores: Array, quantiles: Array) -> Array:
    """The way back: normal scores, any shape → values between the least and the largest quantile, float64."""
    ranks = [NormalDist().cdf(float(score)) for score in scores.flat]
    values = np.interp(ranks, np.linspace(0, 1, len(quantiles)), quantiles)
    return np.asarray(values.reshape(scores.shape))
