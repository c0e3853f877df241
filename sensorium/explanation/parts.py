"""One cell cut into parts that can be taken away: words, patches, moments, labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sensorium.data.column import Array, Cells
from sensorium.data.text import PADDING, in_one_word

GRID = 7
"""Patches across and down a picture."""
MOST_MOMENTS = 24
"""Windows that a sound is cut into, at most."""
SHORTEST_MOMENT = 0.1
"""Seconds of a window of a sound, at least."""
LONGEST_NAME = 40
"""Characters of a number as its cell writes it."""


class Part(NamedTuple):
    """What is taken away at once.

    Attributes:
        name: a word, a label, or the place in words.
        place: of a word the first character and the one after the last; of a patch top, left, bottom and
            right, as shares of the picture; of a moment its start and end in seconds, of a film's frame the
            numbers of the first frame and the one after the last; empty for a whole cell.
    """

    name: str
    place: tuple[float, ...] = ()


@dataclass(frozen=True)
class Partition:
    """A cell, its parts, and what stands in their place when they are taken away.

    Attributes:
        values: `(1, ...)` as decoded.
        mask: `(1, L)`.
        baseline: of the shape of `values`.
        index: the part that each place of `values` belongs to, or -1; its shape broadcasts to that of
            `values`.
        parts: P of them; none where the row lacks the input.
        column: that decoded it.
        text: of a text, what the parts' places refer to.
    """

    values: Array
    mask: Array
    baseline: Array
    index: Array
    parts: list[Part]
    column: Any
    text: str = ""

    @property
    def present(self) -> bool:
        """Whether the row has the input."""
        return bool(self.mask.any())

    def without(self, removed: npt.NDArray[np.bool_]) -> Cells:
        """The cell N times, each time without some parts.

        Args:
            removed: `(N, P)`.
        """
        none = np.zeros((len(removed), 1), dtype=np.bool_)
        gone = np.concatenate([removed, none], axis=1)[:, self.index[0]]  # -1 is the column of none
        values = np.where(gone, self.baseline, self.values)
        return Cells(values, np.repeat(self.mask, len(removed), axis=0))

    def by_part(self, places: Array) -> Array:
        """Numbers of places, of the shape of `values`, added up by part: `(P,)` float64."""
        index = np.broadcast_to(self.index, places.shape)
        inside = index >= 0
        return np.bincount(index[inside], places[inside].astype(np.float64), minlength=len(self.parts))


def partition(kind: str, column: Any, cell: Any, cells: Cells) -> Partition:
    """Cuts one cell.

    Args:
        kind: type of the column.
        column: fitted.
        cell: as it stands in the table; None where the row lacks it.
        cells: decoded, of this row alone.
    """
    if not cells.mask.any():
        return Partition(cells.values, cells.mask, cells.values, _nowhere(cells.values), [], column)
    return PARTS[kind](column, cell, cells)


def words(text: str, places: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], list[int]]:
    """Tokens joined to words; every token of a script without spaces stays a word of its own.

    Args:
        text: that the places refer to.
        places: of every token the first character and the one after the last; (0, 0) for none.

    Returns:
        The words' places without the spaces around them, and the word of every token, -1 for none.
    """
    found: list[tuple[int, int]] = []
    index = []
    for start, end in places:
        piece = text[start:end]
        if not piece.strip():
            index.append(-1)
            continue
        start, end = end - len(piece.lstrip()), start + len(piece.rstrip())
        last = found[-1][1] if found else -1
        if start < last or (start == last and in_one_word(text, start)):  # bytes of one letter share a place
            found[-1] = (found[-1][0], max(last, end))
        else:
            found.append((start, end))
        index.append(len(found) - 1)
    return found, index


def _words(column: Any, cell: Any, cells: Cells) -> Partition:
    text, places = column.spans(cell)
    found, index = words(text, places)
    parts = [Part(text[start:end], (start, end)) for start, end in found]
    baseline = np.where(cells.mask, column.blank, PADDING).astype(cells.values.dtype)
    own = np.full(cells.values.shape, -1)
    own[0, : len(index)] = index
    baseline = np.where(own >= 0, baseline, cells.values)  # the start and end of a sentence stay
    return Partition(cells.values, cells.mask, baseline, own, parts, column, text)


def _patches(column: Any, cell: Any, cells: Cells) -> Partition:
    """A grid; the picture's own mean colour takes the place of a patch."""
    height, width = cells.values.shape[-2:]
    rows, columns = (min(GRID, side) for side in (height, width))
    down, across = np.arange(height) * rows // height, np.arange(width) * columns // width
    parts = [
        Part(
            f"row {row + 1}, column {column_ + 1}",
            tuple(
                round(float(side), 4)
                for side in (
                    np.flatnonzero(down == row)[0] / height,
                    np.flatnonzero(across == column_)[0] / width,
                    (np.flatnonzero(down == row)[-1] + 1) / height,
                    (np.flatnonzero(across == column_)[-1] + 1) / width,
                )
            ),
        )
        for row in range(rows)
        for column_ in range(columns)
    ]
    index = (down[:, None] * columns + across[None, :])[None, None]
    return Partition(cells.values, cells.mask, _mean_colour(cells.values, (2, 3)), index, parts, column)


def _frames(column: Any, cell: Any, cells: Cells) -> Partition:
    """The frames of a film; the film's own mean colour takes the place of one."""
    real = cells.mask[0]
    index = np.where(real, np.cumsum(real) - 1, -1)[None, :, None, None, None]
    count = int(real.sum())
    parts = [Part(f"frame {one + 1} of {count}", (one, one + 1)) for one in range(count)]
    baseline = cells.values.copy()
    baseline[:, real] = _mean_colour(cells.values[:, real], (1, 3, 4))
    return Partition(cells.values, cells.mask, baseline, index, parts, column)


def _moments(column: Any, cell: Any, cells: Cells) -> Partition:
    """Windows of equal length; silence takes the place of one."""
    samples = int(cells.mask[0].sum())
    seconds = samples / column.rate
    count = max(1, min(MOST_MOMENTS, int(seconds / SHORTEST_MOMENT)))
    index = np.full(cells.values.shape, -1)
    index[0, :samples] = np.arange(samples) * count // max(1, samples)
    ends = [seconds * one / count for one in range(count + 1)]
    parts = [
        Part(f"{start:.2f}–{end:.2f} s", (round(start, 4), round(end, 4))) for start, end in pairwise(ends)
    ]
    return Partition(cells.values, cells.mask, np.zeros_like(cells.values), index, parts, column)


def _number(column: Any, cell: Any, cells: Cells) -> Partition:
    """One part; the middle of the training rows takes its place."""
    middle = 0.0
    if column.config.scale == "none" and column.median is not None:
        middle = column.median
    baseline = np.full_like(cells.values, middle)
    index = np.zeros(cells.values.shape, int)
    return Partition(cells.values, cells.mask, baseline, index, [Part(str(cell)[:LONGEST_NAME])], column)


def _label(column: Any, cell: Any, cells: Cells) -> Partition:
    """One part; a label that training did not see takes its place."""
    baseline, index = np.zeros_like(cells.values), np.zeros(cells.values.shape, int)
    part = Part(column.label(int(cells.values[0, 0])))
    return Partition(cells.values, cells.mask, baseline, index, [part], column)


def _labels(column: Any, cell: Any, cells: Cells) -> Partition:
    """Every label that the row has is a part."""
    has = np.flatnonzero(cells.values[0])
    index = np.full(cells.values.shape, -1)
    index[0, has] = np.arange(len(has))
    parts = [Part(column.label(int(code))) for code in has]
    return Partition(cells.values, cells.mask, np.zeros_like(cells.values), index, parts, column)


PARTS: dict[str, Callable[[Any, Any, Cells], Partition]] = {
    "text": _words,
    "image": _patches,
    "video": _frames,
    "audio": _moments,
    "number": _number,
    "category": _label,
    "categories": _labels,
}
"""By type of column."""


def _mean_colour(values: Array, axes: tuple[int, ...]) -> Array:
    """uint8 pixels → the same shape, filled with their mean over some axes."""
    mean = values.mean(axis=axes, keepdims=True).round().astype(values.dtype)
    return np.broadcast_to(mean, values.shape).copy()


def _nowhere(values: Array) -> Array:
    return np.full((1,) * values.ndim, -1)
