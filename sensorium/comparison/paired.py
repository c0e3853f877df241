"""Whether two variants differ, or whether the rows and the seeds only make it look so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sensorium.data.column import Array
from sensorium.errors import require
from sensorium.evaluation.metrics import SHARES, Interval, interval_of

Rows = npt.NDArray[np.integer[Any]]
LEVEL = 0.95
FEW_DIFFERING = 25
"""Rows on which two variants differ: below, the exact sign test has the last word."""


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


class StandardError(NamedTuple):
    """How far rows and seeds move a mean over seeds: a standard deviation with its degrees of freedom."""

    size: float
    degrees: float

    @property
    def reach(self) -> float:
        """From the mean to either limit of the 95 % interval."""
        return float(_student().ppf((1 + LEVEL) / 2, self.degrees)) * self.size


def resampled(
    scores_of: Callable[[Rows], Array], rows: int, resamples: int, seed: int = 0
) -> npt.NDArray[np.float64]:
    """The metric of every run over resamples of the rows, the same rows for all of them.

    Each resample draws rows with replacement, as many as there are (the paired bootstrap of Koehn 2004,
    W04-3250).

    Args:
        scores_of: positions `(n,)`, repeated as drawn → `(V, S)`, the metric of V variants and S seeds.
        rows: how many there are to draw from.
        resamples: how many to draw, R.
        seed: of the drawing.

    Returns:
        `(R, V, S)`.
    """
    generator = np.random.default_rng(seed)
    drawn = [scores_of(generator.integers(rows, size=rows)) for _ in range(resamples)]
    return np.array(drawn, dtype=np.float64)


def standard_error(scores: Array, drawn: Array, weights: Sequence[float], rows: int) -> StandardError:
    """Of a sum of variants, each a mean over seeds that were drawn for it by itself.

    A training repeated with other seeds would not end the same (Bouthillier et al. 2021, arXiv 2103.03098).
    The variance between the S seeds of a variant, with S - 1 in the denominator, holds what the rows do to
    each run by itself; resamples show that too, so it is taken out of theirs, and what is left is what the
    rows do to all runs alike (Owen 2007, arXiv 0711.4072, on resampling two crossed factors). The degrees
    of freedom are those of Welch (1947) and Satterthwaite (1946).

    Args:
        scores: `(V, S)` over all rows.
        drawn: `(R, V, S)`, as `resampled` gives; resamples with an undefined metric are left out.
        weights: V factors, such as 1 and -1 for a difference.
        rows: how many there are.
    """
    known = drawn[np.isfinite(drawn).all(axis=(1, 2))]
    if len(known) < 2:
        return StandardError(np.nan, 1)
    seeds = scores.shape[1]
    over_rows = float(np.var(known.mean(axis=2) @ np.asarray(weights), ddof=1))
    if seeds == 1:
        return StandardError(math.sqrt(over_rows), max(1, rows - 1))
    squares = np.square(weights) / seeds
    by_rows = squares * (known - scores).var(axis=2, ddof=1).mean(axis=0)
    by_seeds = squares * scores.var(axis=1, ddof=1)
    if by_seeds.sum() < by_rows.sum():
        by_seeds = by_rows
    shared = max(0.0, over_rows - float(by_rows.sum()))
    total = shared + float(by_seeds.sum())
    doubt = shared**2 / max(1, rows - 1) + float((by_seeds**2).sum()) / (seeds - 1)
    return StandardError(math.sqrt(total), total**2 / doubt if doubt else 1)


def interval(metric: str, scores: Array, drawn: Array, rows: int) -> Interval:
    """A variant's mean over seeds with the limits of the rows, with several seeds widened to those of both.

    Args:
        metric: its name.
        scores: `(S,)` over all rows.
        drawn: `(R, S)` over resamples of the rows.
        rows: how many there are.
    """
    of_rows = interval_of(metric, float(scores.mean()), drawn.mean(axis=1), rows, LEVEL)
    reach = standard_error(scores[None], drawn[:, None], (1,), rows).reach
    if len(scores) == 1 or not np.isfinite([of_rows.low, reach]).all():
        return of_rows
    low, high = min(of_rows.low, of_rows.value - reach), max(of_rows.high, of_rows.value + reach)
    if metric in SHARES:
        low, high = max(0.0, low), min(1.0, high)
    return of_rows._replace(low=low, high=high)


def differences(
    scores: Array, drawn: Array, reference: int, row_scores: Array | None, rows: int
) -> list[Difference | None]:
    """Every variant against the reference; None for the reference itself.

    Limits and p are those of Student's t with `standard_error`. Where the metric is a mean over rows and the
    two differ on fewer than 25 of them, p is at least that of the exact sign test over these rows, which for
    right and wrong is McNemar's exact test (McNemar 1947).

    Args:
        scores: `(V, S)` over all rows.
        drawn: `(R, V, S)`, as `resampled` gives.
        reference: position of the variant that the others are compared with.
        row_scores: `(V, N)` means over the seeds; None where the metric is no mean over rows.
        rows: N.
    """
    others = [position for position in range(len(scores)) if position != reference]
    found = {}
    for position in others:
        pair = [position, reference]
        one = _difference(scores[pair], drawn[:, pair], rows)
        if row_scores is not None:
            one = one._replace(p=max(one.p, sign_test(row_scores[position] - row_scores[reference])))
        found[position] = one
    corrected = holm([one.p for one in found.values()])
    for position, value in zip(others, corrected, strict=True):
        found[position] = found[position]._replace(corrected_p=value)
    return [found.get(position) for position in range(len(scores))]


def _difference(pair: Array, drawn: Array, rows: int) -> Difference:
    value = float(pair[0].mean() - pair[1].mean())
    error = standard_error(pair, drawn, (1, -1), rows)
    if not math.isfinite(value) or math.isnan(error.size):
        return Difference(value, np.nan, np.nan, 1.0, 1.0)
    if error.size > 1e-12:
        p = float(2 * _student().sf(abs(value) / error.size, error.degrees))
    else:
        # No finite number of resamples shows a probability of zero.
        p = 1.0 if abs(value) < 1e-12 else 2 / (1 + len(drawn))
    return Difference(value, value - error.reach, value + error.reach, p, p)


def sign_test(row_differences: Array) -> float:
    """The two-sided exact p-value that either sign is as likely; 0 where 25 rows or more differ.

    Args:
        row_differences: `(N,)`; those of zero do not count.
    """
    ahead, behind = (
        int(count) for count in ((row_differences > 1e-12).sum(), (row_differences < -1e-12).sum())
    )
    differing = ahead + behind
    if differing >= FEW_DIFFERING:
        return 0.0
    tail = sum(math.comb(differing, number) for number in range(min(ahead, behind) + 1))
    return float(min(1.0, 2 * tail / 2**differing))


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


def _student() -> Any:
    return require("scipy.stats", "train").t
