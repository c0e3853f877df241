"""Shapley values: the fair shares of players in what they bring about together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np

from sensorium.data.column import Array

MOST_PLAYERS = 6
"""Up to here every subset is tried."""


def shapley(values: Mapping[frozenset[str], float], name: str) -> float:
    """The Shapley value of one player (Shapley 1953, A Value for n-Person Games).

    The mean of what the player adds over all orders in which the players can join; the values of all
    players add up to what all have beyond none.

    Args:
        values: every subset of the players → its worth.
        name: of the player.
    """
    players = max(values, key=len)
    others = players - {name}
    total = 0.0
    for size in range(len(players)):
        weight = 1 / (len(players) * math.comb(len(others), size))
        joins = (frozenset(joined) for joined in combinations(others, size))
        total += weight * sum(values[joined | {name}] - values[joined] for joined in joins)
    return total


def sampled_shapley(worth: Callable[[Array], Array], players: int, orders: int, seed: int = 0) -> Array:
    """Shapley values over some orders only (Castro, Gómez and Tejada 2009), each with its reverse.

    They too add up to what all have beyond none.

    Args:
        worth: `(N, players)` bool, who has joined → `(N,)`.
        players: how many.
        orders: how many to draw; twice as many are tried.
        seed: the same seed gives the same values.

    Returns:
        `(players,)` float64.
    """
    generator = np.random.default_rng(seed)
    drawn = [generator.permutation(players) for _ in range(orders)]
    total = np.zeros(players)
    for order in [*drawn, *(one[::-1] for one in drawn)]:
        joined = np.zeros((players + 1, players), dtype=np.bool_)
        joined[:, order] = np.arange(players + 1)[:, None] > np.arange(players)[None, :]
        total[order] += np.diff(worth(joined))
    return total / max(1, 2 * orders)
