"""Rows that stay together, and how the parts of a split are drawn from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sensorium.data.contents import Flags, Rows

PARTS = ("train", "validation", "test")


def draw_parts(units: Units, counts: Mapping[str, int]) -> dict[str, Rows]:
    """Draws parts of about `counts` rows, one after the other; what is left is for training.

    Returns:
        Every name of `PARTS` → positions `(n,)` int64, ascending.
    """
    parts: dict[str, Rows] = {}
    for part, count in counts.items():
        drawn = _drawn(units, count, keep=len(counts) - len(parts))
        parts[part] = units.where(drawn).rows
        units = units.where(~drawn)
    return _ascending({**parts, "train": units.rows})


def cut_latest(moments: Units, counts: Mapping[str, int]) -> dict[str, Rows]:
    """Cuts between two times, where the parts come nearest to their counts.

    Args:
        moments: the rows of each time, from the earliest to the latest.
        counts: rows wanted of each part; the first gets the latest.

    Returns:
        As `draw_parts` does; "train" is empty where there are too few times.
    """
    sizes, left = moments.sizes.tolist(), len(moments)
    parts = {}
    for part, count in counts.items():
        until, size = left, 0
        while left and (left == until or size + sizes[left - 1] / 2 <= count):
            left -= 1
            size += sizes[left]
        parts[part] = moments.rows[moments.starts[left] : moments.starts[until]]
    return _ascending({**parts, "train": moments.rows[: moments.starts[left]]})


class Units(NamedTuple):
    """Rows that stay together, in arrays: tables may have millions of units.

    Attributes:
        rows: of all units, unit after unit.
        starts: `(units + 1,)`, where the rows of each begin.
        strata: `(units,)`, the stratum that each counts for, by its place in `names`.
        names: of the strata.
    """

    rows: Rows
    starts: Rows
    strata: Rows
    names: list[str]

    @property
    def sizes(self) -> Rows:
        """`(units,)`, how many rows each has."""
        return np.diff(self.starts)

    def where(self, chosen: Flags) -> Units:
        """The units chosen, in the same order."""
        starts = np.concatenate([[0], np.cumsum(self.sizes[chosen])])
        return Units(self.rows[np.repeat(chosen, self.sizes)], starts, self.strata[chosen], self.names)

    def __len__(self) -> int:
        return len(self.starts) - 1


def _drawn(units: Units, count: int, keep: int) -> Flags:
    """Chooses units of about `count` rows, each stratum in its share, leaving at least `keep` units."""
    order = np.argsort(units.strata, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(units.strata, minlength=len(units.names)))[:-1])
    strata = {name: own for name, own in zip(units.names, members, strict=True) if len(own)}
    sizes = {name: int(units.sizes[own].sum()) for name, own in strata.items()}
    # Of every stratum something stays behind to be learned, as long as the count can be had without it.
    limits = {name: sizes[name] - int(units.sizes[own].min()) for name, own in strata.items()}
    limits = limits if sum(limits.values()) >= count else sizes
    wanted = _largest_remainder(sizes, count, limits)
    drawn = np.zeros(len(units), dtype=np.bool_)
    left = len(units)
    owed = 0  # what large units took too little or too much is made up for in the next stratum
    for name in sorted(strata):
        owed += wanted[name]
        filled = 0
        for index, size in zip(strata[name].tolist(), units.sizes[strata[name]].tolist(), strict=True):
            if owed <= 0:
                break
            nearer = 2 * size < 2 * owed + size
            if nearer and filled + size <= limits[name] and left > keep:
                drawn[index] = True
                left -= 1
                filled += size
                owed -= size
    if left == len(units):  # every unit is larger than what was wanted
        drawn[np.argmin(units.sizes)] = True
    return drawn


def _largest_remainder(sizes: Mapping[str, int], count: int, limits: Mapping[str, int]) -> dict[str, int]:
    """Shares of `count` proportional to the sizes, whole, within the limits (Hamilton's method)."""
    total = sum(sizes.values())
    exact = {name: size * count / total for name, size in sizes.items()}
    shares = {name: min(int(exact[name]), limits[name]) for name in sizes}
    order = sorted(sizes, key=lambda name: (int(exact[name]) - exact[name], name))
    while sum(shares.values()) < count:
        open_names = [name for name in order if shares[name] < limits[name]]
        for name in open_names[: count - sum(shares.values())]:
            shares[name] += 1
    return shares


def _ascending(parts: Mapping[str, Rows]) -> dict[str, Rows]:
    return {part: np.sort(parts.get(part, np.zeros(0, dtype=np.int64))) for part in PARTS}
