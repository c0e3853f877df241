"""Whether two variants differ, or whether the rows and the seeds only make it look so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sensorium.data.column import Array

Rows = npt.NDArray[np.integer[Any]]
LEVEL = 0.95


class Difference(NamedTuple):
    """A variant's metric minus that of the reference.

    Attributes:
        value: over all rows, the mean over the seeds.
        low: lower limit of the 95 % interval.
        high: upper limit of the 95 % interval.
        p: two-sided p-value that there is no difference.
        corrected_p: the same after Holm's correction for the number of variants.
    """

    value: float
    low: float
    high: float
    p: float
    corrected_p: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side."""
        return self.low > 0 or self.high < 0


def resampled(
    scores_of: Callable[[Rows], Array], rows: int, resamples: int, seed: int = 0
) -> npt.NDArray[np.float64]:
    """The metric of every variant over resamples, the same rows for all of them.

    Each resample draws rows with replacement, as many as there are, which are the same for every variant
    (the paired bootstrap of Koehn 2004, W04-3250), and for each variant seeds with replacement, because a
    training repeated with other seeds would not end the same (Bouthillier et al. 2021, arXiv 2103.03098).
    With S seeds this shows (S - 1) / S of the variance between seeds, and none of it with one seed.

    Args:
        scores_of: positions `(n,)`, repeated as drawn → `(V, S)`, the metric of V variants and S seeds.
        rows: how many there are to draw from.
        resamples: how many to draw, R.
        seed: of the drawing.

    Returns:
        `(R, V)`.
    """
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        scores = scores_of(generator.integers(rows, size=rows))
        seeds = generator.integers(scores.shape[1], size=scores.shape)
        drawn.append(np.take_along_axis(scores, seeds, axis=1).mean(axis=1))
    return np.array(drawn, dtype=np.float64)


def differences(values: Sequence[float], drawn: Array, reference: int) -> list[Difference | None]:
    """Every variant against the reference; None for the reference itself.

    Limits are quantiles of the resampled differences, and p is twice the share of them on the rarer side of
    zero, which is the level at which the interval would just reach zero (Efron and Tibshirani 1993, ch. 15).

    Args:
        values: V metrics over all rows.
        drawn: `(R, V)`, as `resampled` gives.
        reference: position of the variant that the others are compared with.
    """
    found = [
        _difference(value - values[reference], drawn[:, position] - drawn[:, reference])
        for position, value in enumerate(values)
    ]
    others = [one for position, one in enumerate(found) if position != reference]
    corrected = iter(holm([one.p for one in others]))
    return [
        None if position == reference else one._replace(corrected_p=next(corrected))
        for position, one in enumerate(found)
    ]


def _difference(value: float, drawn: Array) -> Difference:
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return Difference(value, np.nan, np.nan, 1.0, 1.0)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    rarer = min(int((known <= 0).sum()), int((known >= 0).sum()))
    # One is added to both counts: no finite number of resamples shows a probability of zero.
    p = min(1.0, 2 * (1 + rarer) / (1 + len(known)))
    return Difference(value, float(low), float(high), p, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects for many comparisons (Holm 1979): the k-th smallest of n is multiplied by n - k + 1.

    Args:
        p_values: one a comparison, in any order.

    Returns:
        In the same order, none smaller than one before it in size, at most 1.
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        corrected[position] = largest
    return corrected
