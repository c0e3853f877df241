"""Round numbers for an axis."""

from __future__ import annotations

import math


def ticks_of(low: float, high: float) -> list[float]:
    """Three to seven round numbers that enclose both ends, 1, 2 or 5 times a power of ten apart."""
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-3):
        reach = max(abs(low) / 10, 1e-3)
        low, high = low - reach, high + reach
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{position * step:.12g}") for position in range(first, last + 1)]
