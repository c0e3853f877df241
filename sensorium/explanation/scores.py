"""The score of one row with parts or whole inputs taken away, many ways at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sensorium.batch import Tokens
from sensorium.data.column import Array, Cells
from sensorium.encoded import Encoded, Encodings
from sensorium.explanation.parts import Partition
from sensorium.explanation.target import Target
from sensorium.model import Model

AT_ONCE = 64
"""Ways that are scored in one pass."""

Ways = npt.NDArray[np.bool_]


class Weights(NamedTuple):
    """How much every part of a row raises its score.

    Attributes:
        values: `(P,)` float64.
        occluded: input → why its parts were weighed by occlusion and not by the method asked for.
    """

    values: Array
    occluded: Mapping[str, str] = {}


class RowScores:
    """One row of a model.

    An input is encoded once for every distinct way in which it appears, not once for every way of the row.

    Args:
        model: in evaluation mode, on the CPU.
        partitions: input name → its cell of this row, in the order of the recipe.
        target: what is scored.
        whole: input name → what the model makes of the cell as it is, of one row.

    Attributes:
        slices: input name → where its parts lie among the P parts of the row.
        size: P.
    """

    def __init__(
        self,
        model: Model,
        partitions: Mapping[str, Partition],
        target: Target,
        whole: Mapping[str, Encoded],
    ) -> None:
        self.model = model
        self.partitions = dict(partitions)
        self._encodings = {
            name: Encodings(model, name, Cells(one.values, one.mask), whole[name])
            for name, one in partitions.items()
        }
        self.target = target
        self.slices: dict[str, slice] = {}
        self.size = 0
        for name, one in self.partitions.items():
            self.slices[name] = slice(self.size, self.size + len(one.parts))
            self.size += len(one.parts)

    @property
    def present(self) -> list[str]:
        """The inputs that the row has."""
        return [name for name, one in self.partitions.items() if one.present]

    def without_parts(self, removed: Ways) -> Array:
        """`(N,)` float64 scores without some parts, their baselines in their place: removed `(N, P)`."""
        everything = np.repeat([[one.present for one in self.partitions.values()]], len(removed), axis=0)
        return self._scores(removed, everything)

    def lost_without(self, parts: slice) -> Array:
        """What the score loses without each of some parts alone, float64."""
        count = parts.stop - parts.start
        removed = np.zeros((count + 1, self.size), dtype=np.bool_)
        removed[1:, parts] = np.eye(count, dtype=np.bool_)
        found = self.without_parts(removed)
        lost: Array = found[0] - found[1:]
        return lost

    def with_inputs(self, present: Ways) -> Array:
        """`(N,)` float64 scores with some inputs alone: present `(N, inputs that the row has)`.

        The learned absent token stands for all others.
        """
        left = np.zeros((len(present), len(self.partitions)), dtype=np.bool_)
        left[:, [one.present for one in self.partitions.values()]] = present
        return self._scores(np.zeros((len(present), self.size), dtype=np.bool_), left)

    def tokens(self, name: str, removed: Ways, present: Ways) -> Tokens:
        """An input encoded: removed `(N, its parts)`, present `(N,)` → tokens of N rows."""
        cells = self.partitions[name].without(removed)
        return self._encodings[name].encode(Cells(cells.values, cells.mask & present[:, None])).tokens

    def score(self, tokens: dict[str, Tokens], present: Tensor) -> Tensor:
        """`(N,)` scores of encoded inputs, with gradients where they are on; present `(N, M)`."""
        fused = self.model.fuse_tokens(tokens, present)
        return self.target.score(self.model.head(self.target.output), fused)

    def _scores(self, removed: Ways, present: Ways) -> Array:
        parts = [
            self._scored(removed[start : start + AT_ONCE], present[start : start + AT_ONCE])
            for start in range(0, len(removed), AT_ONCE)
        ]
        return np.concatenate([np.zeros(0), *parts])

    def _scored(self, removed: Ways, present: Ways) -> Array:
        with torch.no_grad():
            tokens = {
                name: self.tokens(name, removed[:, self.slices[name]], present[:, place])
                for place, name in enumerate(self.partitions)
            }
            found: Array = self.score(tokens, torch.from_numpy(present)).double().numpy()
            return found
