"""What flows from stage to stage: raw batches, tokens and the fused row.

Symbols used in every shape of this package: B rows of a batch, L length, D width of an encoder,
H width of the fused space, M number of inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from torch import Tensor


class Raw(NamedTuple):
    """One column of a batch as decoded, before any encoder.

    Attributes:
        values: `(B, ...)`; the shape and dtype are stated in the docstring of the column's class.
        mask: `(B, L)` bool, True where real. L is the length of a text, the number of samples of a
            sound, the number of frames of a video, and 1 for everything else. A row of all False
            means that the cell is missing in that row.
    """

    values: Tensor
    mask: Tensor

    @property
    def present(self) -> Tensor:
        """`(B,)` bool, True where the row has this column."""
        return self.mask.any(dim=1)

    def rows(self, index: Tensor) -> Raw:
        """The same column for some of the rows."""
        return Raw(self.values[index], self.mask[index])


class Tokens(NamedTuple):
    """What an encoder makes of a column: a sequence of vectors.

    Attributes:
        values: `(B, L, D)` floating point.
        mask: `(B, L)` bool, True where real. A single vector is a `Tokens` of length 1.
    """

    values: Tensor
    mask: Tensor


class Place(NamedTuple):
    """Where the tokens of one input lie among the fused tokens.

    Attributes:
        start: the first of them.
        length: how many there are; 1 where the input is missing in every row.
        grid: height and width of a picture's tokens: the last height · width tokens of the place, row by
            row. Empty where the tokens form no grid, or a fusion has pooled them.
    """

    start: int
    length: int
    grid: tuple[int, ...] = ()


@dataclass(frozen=True)
class Fused:
    """All inputs of a row brought together.

    Attributes:
        vector: `(B, V)`, for heads that give one answer a row; V is the fusion's `dim`.
        tokens: `(B, L, H)`, for heads that look at places or moments (text, boxes, speech); H is the
            fusion's `width`.
        mask: `(B, L)` bool, True where a token is real.
        columns: input name → `(B, H)`, each input by itself, for similarity and auxiliary losses.
        places: input name → where its tokens lie along L.
        per_output: output name → `(B, V)`, where a fusion prepares a vector for one output alone.
        present: input name → `(B,)` bool, whether a row has the input; without an entry every row has it.
        ids: input name → `(B, L_m)` int64, the tokens of a text as its column gives them, -1 in the padding,
            for a decoder that copies.
    """

    vector: Tensor
    tokens: Tensor
    mask: Tensor
    columns: dict[str, Tensor]
    places: dict[str, Place] = field(default_factory=dict)
    per_output: dict[str, Tensor] = field(default_factory=dict)
    present: dict[str, Tensor] = field(default_factory=dict)
    ids: dict[str, Tensor] = field(default_factory=dict)

    def for_output(self, name: str) -> Fused:
        """The same row as one output sees it."""
        return replace(self, vector=self.per_output.get(name, self.vector))

    def only(self, name: str) -> Fused:
        """The same row as one input alone shows it; the vector is then of width H."""
        place = self.places[name]
        part = slice(place.start, place.start + place.length)
        return Fused(
            vector=self.columns[name],
            tokens=self.tokens[:, part],
            mask=self.mask[:, part],
            columns={name: self.columns[name]},
            places={name: place._replace(start=0)},
            present={key: rows for key, rows in self.present.items() if key == name},
            ids={key: words for key, words in self.ids.items() if key == name},
        )

    def detach(self) -> Fused:
        """The same values, through which no gradient passes."""
        return replace(
            self,
            vector=self.vector.detach(),
            tokens=self.tokens.detach(),
            columns={name: column.detach() for name, column in self.columns.items()},
            per_output={name: vector.detach() for name, vector in self.per_output.items()},
        )


@dataclass(frozen=True)
class Batch:
    """Rows ready for the model, on one device.

    Attributes:
        rows: `(B,)` int64, the rows' positions in the table.
        inputs: input name → `Raw`.
        targets: output name → `Raw`; empty when predicting.
    """

    rows: Tensor
    inputs: dict[str, Raw]
    targets: dict[str, Raw]

    def part(self, rows: slice) -> Batch:
        """Some of the rows."""
        inputs = {name: Raw(raw.values[rows], raw.mask[rows]) for name, raw in self.inputs.items()}
        targets = {name: Raw(raw.values[rows], raw.mask[rows]) for name, raw in self.targets.items()}
        return Batch(self.rows[rows], inputs, targets)


def where_real(values: Tensor, mask: Tensor) -> Tensor:
    """`values (B, L, ...)` with padding set to zero; unlike a product, NaN in the padding does not leak."""
    shape = mask.shape + (1,) * (values.dim() - mask.dim())
    return torch.where(mask.view(shape), values, torch.zeros((), dtype=values.dtype, device=values.device))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real tokens: `(B, L, D)`, `(B, L)` → `(B, D)`; zero where no token is real."""
    if mask.shape[1] == 1:  # a wide picture vector would pass through memory twice more
        return where_real(values, mask).squeeze(1)
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    return where_real(values, mask).sum(dim=1) / count.to(values.dtype)


def masked_max(values: Tensor, mask: Tensor) -> Tensor:
    """Maximum over the real tokens: `(B, L, D)`, `(B, L)` → `(B, D)`; zero where no token is real."""
    lowest = torch.finfo(values.dtype).min
    filled = torch.where(mask.unsqueeze(-1), values, torch.full_like(values, lowest))
    return where_real(filled.amax(dim=1), mask.any(dim=1))


def to_device(
    cells: Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]], device: torch.device
) -> dict[str, Raw]:
    """Numpy columns as tensors, without a copy on a CPU."""
    return {
        name: Raw(torch.from_numpy(values).to(device), torch.from_numpy(mask).to(device))
        for name, (values, mask) in cells.items()
    }
