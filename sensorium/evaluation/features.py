"""Simple features of a table's inputs, for models that need no deep learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sensorium.batch import Raw, masked_mean
from sensorium.data.column import Cells
from sensorium.data.loader import BoundColumn, Loader, Rows, plan_batches
from sensorium.data.table import Table
from sensorium.data.text import as_text
from sensorium.encoders.spectrogram import LogMel, LogMelConfig
from sensorium.errors import CellError

SIDE = 8
"""Rows and columns of a thumbnail."""
SHADES = 4
"""Of each of red, green and blue in a colour histogram."""
BANDS = 32
"""Of a sound."""
PARTS = 4
"""Equal parts of a sound whose bands are averaged apart."""
MOST_LABELS = 100
"""Labels of an input that get a column of their own, the most frequent ones."""
MOST_CHARACTERS = 2_000
"""Of a text; the rest is not read."""


@dataclass(frozen=True)
class Features:
    """Simple features of N rows.

    Attributes:
        numbers: `(N, F)` float32, of every input that is no text; zero where a cell is missing, and for each
            such input one column that is 1 there.
        texts: input → N texts, "" where missing.
    """

    numbers: npt.NDArray[np.float32]
    texts: dict[str, list[str]]


def simple_features(loader: Loader, kinds: Mapping[str, str], rows: Rows) -> Features:
    """Features of some rows of the loader's table; its targets are not looked at.

    Args:
        loader: of the table.
        kinds: input → its type.
        rows: `(N,)` positions.
    """
    texts = {name: bound for name, bound in loader.inputs.items() if kinds[name] == "text"}
    others = {name: bound for name, bound in loader.inputs.items() if name not in texts}
    return Features(
        numbers=_numbers(loader, others, kinds, rows),
        texts={name: _texts(loader.table, bound, rows) for name, bound in texts.items()},
    )


def _numbers(
    loader: Loader, inputs: dict[str, BoundColumn], kinds: Mapping[str, str], rows: Rows
) -> npt.NDArray[np.float32]:
    if not inputs:
        return np.zeros((len(rows), 0), dtype=np.float32)
    decoding = Loader(loader.table, inputs, {}, loader.media, loader.cache, threads=loader.threads)
    parts = []
    for decoded in decoding.batches(plan_batches(rows, 64)):
        cells = decoded.inputs
        found = [
            _with_missing(FEATURES[kinds[name]](cells[name], inputs[name].column), cells[name])
            for name in inputs
        ]
        parts.append(np.concatenate(found, axis=1))
    return np.concatenate(parts)


def _with_missing(features: Tensor, cells: Cells) -> npt.NDArray[np.float32]:
    missing = ~cells.mask.any(axis=1, keepdims=True)
    return np.concatenate([np.where(missing, 0, features.numpy()), missing], axis=1).astype(np.float32)


def _texts(table: Table, bound: BoundColumn, rows: Rows) -> list[str]:
    if bound.source not in table.names:
        return [""] * len(rows)
    return [_text(table.cell(bound.source, int(row))) for row in rows]


def _text(cell: Any) -> str:
    """A cell as text; one that cannot be read counts as missing, as the loader has it."""
    if cell is None:
        return ""
    try:
        return as_text(cell)[:MOST_CHARACTERS]
    except CellError:
        return ""


def picture_features(cells: Cells, column: Any) -> Tensor:
    """A thumbnail and a colour histogram: uint8 `(B, 3, H, W)` → `(B, 3 · SIDE² + SHADES³)` in 0..1."""
    pixels = torch.from_numpy(cells.values)
    thumbnails = functional.adaptive_avg_pool2d(pixels.float() / 255, SIDE).flatten(1)
    shades = pixels.flatten(2).long() * SHADES // 256
    colours = (shades[:, 0] * SHADES + shades[:, 1]) * SHADES + shades[:, 2]
    histogram = torch.zeros(len(pixels), SHADES**3)
    histogram.scatter_add_(1, colours, torch.full(colours.shape, 1 / colours.shape[1]))
    return torch.cat([thumbnails, histogram], dim=1)


def video_features(cells: Cells, column: Any) -> Tensor:
    """The means of the frames' `picture_features`, and of how much each place of the thumbnail changes.

    uint8 `(B, frames, 3, H, W)` → `(B, 6 · SIDE² + SHADES³)`.
    """
    rows = []
    for values, mask in zip(cells.values, cells.mask, strict=True):
        frames = values[mask] if mask.any() else values[:1]
        features = picture_features(Cells(frames, np.ones((len(frames), 1), dtype=np.bool_)), column)
        changes = features[:, : 3 * SIDE**2].diff(dim=0).abs().sum(dim=0) / max(1, len(frames) - 1)
        rows.append(torch.cat([features.mean(dim=0), changes]))
    return torch.stack(rows)


def sound_features(cells: Cells, column: Any) -> Tensor:
    """Power in mel bands: mean and deviation over the sound, and the means of its quarters.

    float32 `(B, samples)` → `(B, (2 + PARTS) · BANDS)`.
    """
    raw = Raw(torch.from_numpy(cells.values), torch.from_numpy(cells.mask))
    bands, mask = LogMel(LogMelConfig(mels=BANDS), column)(raw)
    mean = masked_mean(bands, mask)
    deviation = masked_mean((bands - mean.unsqueeze(1)).square(), mask).sqrt()
    place = torch.arange(mask.shape[1]) * PARTS // mask.sum(dim=1, keepdim=True).clamp(min=1)
    quarters = [masked_mean(bands, mask & (place == part)) for part in range(PARTS)]
    return torch.cat([mean, deviation, *quarters], dim=1)


def number_features(cells: Cells, column: Any) -> Tensor:
    """The scaled number: `(B, 1)`."""
    return torch.from_numpy(cells.values)


def category_features(cells: Cells, column: Any) -> Tensor:
    """One column for each label, and first one for all rare ones: `(B, 1 + min(C, MOST_LABELS))`."""
    codes = torch.from_numpy(cells.values[:, 0])
    size = min(column.size, 1 + MOST_LABELS)
    return functional.one_hot(torch.where(codes < size, codes, 0), size).float()


def categories_features(cells: Cells, column: Any) -> Tensor:
    """1 for each label that the row has: `(B, 1 + min(C, MOST_LABELS))`."""
    return torch.from_numpy(cells.values[:, : 1 + MOST_LABELS])


FEATURES: dict[str, Callable[[Cells, Any], Tensor]] = {
    "image": picture_features,
    "video": video_features,
    "audio": sound_features,
    "number": number_features,
    "category": category_features,
    "categories": categories_features,
}
"""Type of input → features of a batch; texts go to the models as they are."""
