"""Cells made worse on purpose, from untouched (0) to as bad as it gets (1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sensorium.data.audio import levelled
from sensorium.data.column import Array, Cells
from sensorium.data.loader import Rows

GREY = 128

Cell = tuple[Array, Array]
"""Values and mask of one row, as its column's `collate` gives them, without the axis of rows."""


class Corruption(NamedTuple):
    """One way to make a cell worse.

    Attributes:
        corrupt: values `(...)`, mask `(L,)`, level above 0 and up to 1, the row's own generator, fitted
            column → values and mask of the same shapes and dtypes. It must not write into what it gets.
        axis: what the level means, in words.
        ticks: level → what stands there, where it is not the level itself.
    """

    corrupt: Callable[[Array, Array, float, np.random.Generator, Any], Cell]
    axis: str
    ticks: dict[float, str] | None = None


def corrupt(
    cells: Cells, rows: Rows, level: float, corruption: Corruption, column: Any, seed: int = 0
) -> Cells:
    """Corrupts the present cells of a batch.

    A row draws the same noise whenever asked and in whatever batch it comes, and at every level, only
    stronger: a curve over the levels then does not jump by the luck of the draw.

    Args:
        cells: of B rows.
        rows: `(B,)` their positions in the table, which seed the noise.
        level: 0, for the cells as they are, to 1.
        corruption: one of `CORRUPTIONS` for the column's type.
        column: fitted.
        seed: different for inputs whose noise is to have nothing in common.
    """
    if level == 0:
        return cells
    values, mask = cells.values.copy(), cells.mask.copy()
    for place in np.flatnonzero(mask.any(axis=1)):
        generator = np.random.default_rng([seed, int(rows[place])])
        values[place], mask[place] = corruption.corrupt(
            cells.values[place], cells.mask[place], level, generator, column
        )
    return Cells(values, mask)


def pixel_noise(
    values: Array, mask: Array, level: float, generator: np.random.Generator, column: Any
) -> Cell:
    """Gaussian noise on every value of a picture `(3, H, W)` or video `(frames, 3, H, W)`, uint8.

    Its standard deviation is `level` times the full range of 255; the sum is rounded and clipped.
    """
    noise = generator.standard_normal(values.shape, dtype=np.float32) * np.float32(255 * level)
    return np.clip(np.rint(values + noise), 0, 255).astype(np.uint8), mask


def occlusion(values: Array, mask: Array, level: float, generator: np.random.Generator, column: Any) -> Cell:
    """A grey rectangle, shaped as the picture, over `level` of its area; in a video on every frame alike."""
    height, width = values.shape[-2:]
    high, wide = round(height * math.sqrt(level)), round(width * math.sqrt(level))
    down, across = generator.random(2)
    top, left = int(down * (height - high + 1)), int(across * (width - wide + 1))
    covered = values.copy()
    covered[..., top : top + high, left : left + wide] = GREY
    return covered, mask


def dropping(values: Array, mask: Array, level: float, generator: np.random.Generator, column: Any) -> Cell:
    """Each token of a text, or frame of a video, is lost with probability `level`.

    The others move up, and zeros, which are padding, follow. Without any, the cell is missing.
    """
    left = np.flatnonzero(mask & (generator.random(len(mask)) >= level))
    shorter = np.zeros_like(values)
    shorter[: len(left)] = values[left]
    return shorter, np.arange(len(mask)) < len(left)


def added_noise(
    values: Array, mask: Array, level: float, generator: np.random.Generator, column: Any
) -> Cell:
    """White noise added to a sound, float32 samples, at the signal-to-noise ratio `decibels(level)`.

    The ratio is that of the mean squares over the real samples. As every recording, the noisy one is then
    brought to the column's loudness. Silence stays silence.
    """
    sound = values[mask]
    power = float(np.mean(np.square(sound, dtype=np.float64)))
    noise = generator.standard_normal(len(sound), dtype=np.float32)
    noise *= np.float32(math.sqrt(power / 10 ** (decibels(level) / 10)))
    noisy = np.zeros_like(values)
    noisy[mask] = levelled(sound + noise, column.config.loudness)
    return noisy, mask


def decibels(level: float) -> float:
    """Signal-to-noise ratio in dB: 30 at level 0.1, 5 less for each tenth more, −15 at level 1."""
    return 35 - 50 * level


def number_noise(
    values: Array, mask: Array, level: float, generator: np.random.Generator, column: Any
) -> Cell:
    """Gaussian noise of `level` deviations of the training rows, which is the unit of a scaled column.

    A column with `scale: none` keeps no deviation; there it is `level` in the table's unit.
    """
    noisy = values + level * generator.standard_normal(values.shape, dtype=np.float32)
    limit = column.config.clip
    clipped = noisy if limit is None else np.clip(noisy, -limit, limit)
    return clipped.astype(values.dtype), mask


def another_category(
    values: Array, mask: Array, level: float, generator: np.random.Generator, column: Any
) -> Cell:
    """With probability `level`, a class drawn evenly from all those known, code 1..C, in its place."""
    drawn, code = generator.random(), generator.integers(1, max(2, column.size))
    return (np.full_like(values, code) if drawn < level and column.size > 1 else values), mask


def other_categories(
    values: Array, mask: Array, level: float, generator: np.random.Generator, column: Any
) -> Cell:
    """With probability `level`, as many labels, drawn evenly from all those known, in their place."""
    drawn, order = generator.random(), 1 + generator.permutation(len(values) - 1)
    return (np.concatenate([values[:1], values[order]]) if drawn < level else values), mask


_RANGE = "standard deviation of the noise, share of the full range"
_AREA = "share of the area that is covered"
_DECIBELS = {0.0: "clean"} | {level: f"{decibels(level):.0f}" for level in (0.2, 0.4, 0.6, 0.8, 1.0)}

CORRUPTIONS: dict[str, dict[str, Corruption]] = {
    "image": {
        "pixel noise": Corruption(pixel_noise, _RANGE),
        "occlusion": Corruption(occlusion, _AREA),
    },
    "video": {
        "pixel noise": Corruption(pixel_noise, _RANGE),
        "occlusion": Corruption(occlusion, _AREA),
        "lost frames": Corruption(dropping, "share of the frames that are lost"),
    },
    "text": {"lost tokens": Corruption(dropping, "share of the tokens that are lost")},
    "audio": {"added noise": Corruption(added_noise, "signal-to-noise ratio, dB", _DECIBELS)},
    "number": {"noise": Corruption(number_noise, "standard deviation of the noise, in that of the column")},
    "category": {
        "wrong class": Corruption(another_category, "share of the rows with a class drawn at random")
    },
    "categories": {
        "wrong labels": Corruption(other_categories, "share of the rows with labels drawn at random")
    },
}
"""Type of column → name → how; the first of each type is the one used where all inputs are corrupted."""
