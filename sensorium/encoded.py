"""A batch encoded once and fused often: with inputs absent, or with other cells in their place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sensorium.batch import Raw, Tokens
from sensorium.data.column import Array, Cells
from sensorium.model import Model

Predicted = dict[str, dict[str, Array]]
"""Output name → array name → `(N, ...)`, as the heads' `predict` give them."""


class Encoded(NamedTuple):
    """One input of a batch, ready to be fused.

    Attributes:
        tokens: of B rows.
        present: `(B,)` bool, which rows have the input.
        ids: `(B, L)` int64, see `Fused.ids`; None for what is no text.
    """

    tokens: Tokens
    present: Tensor
    ids: Tensor | None = None

    def rows(self, index: Tensor) -> Encoded:
        """The same input of some of the rows, repeated as asked."""
        ids = None if self.ids is None else self.ids[index]
        return Encoded(Tokens(*(part[index] for part in self.tokens)), self.present[index], ids)


class Encodings:
    """One input, of which a cell that comes again, as it was, is not encoded again.

    Args:
        model: in evaluation mode, on the CPU.
        name: of the input.
        cells: the first ones, of B rows.
        encoded: what the model makes of these.
    """

    def __init__(self, model: Model, name: str, cells: Cells, encoded: Encoded) -> None:
        self.model, self.name, self.encoded = model, name, encoded
        self._places: dict[bytes, int] = {}
        for place, digest in enumerate(_digests(cells)):
            self._places.setdefault(digest, place)

    def encode(self, cells: Cells) -> Encoded:
        """Encodes N rows, those of them that are new."""
        digests = _digests(cells)
        new = {digest: row for row, digest in enumerate(digests) if digest not in self._places}
        if new:
            rows = list(new.values())
            raw = Raw(torch.from_numpy(cells.values[rows]), torch.from_numpy(cells.mask[rows]))
            first = len(self.encoded.present)
            self._places |= {digest: first + place for place, digest in enumerate(new)}
            self.encoded = _join([self.encoded, encode(self.model, self.name, raw)])
        return self.encoded.rows(torch.tensor([self._places[digest] for digest in digests]))


def encode(model: Model, name: str, raw: Raw, absent: bool = False) -> Encoded:
    """Encodes one input.

    Args:
        model: in evaluation mode.
        name: of the input.
        raw: its column, B rows, on the model's device.
        absent: treat the input as missing in every row.
    """
    present = torch.zeros_like(raw.present) if absent else raw.present
    with torch.no_grad():
        return Encoded(model.encode(name, raw, present), present, model.ids({name: raw}).get(name))


def encode_all(model: Model, inputs: Mapping[str, Raw], absent: bool = False) -> dict[str, Encoded]:
    """Encodes every input of a batch."""
    return {name: encode(model, name, inputs[name], absent) for name in model.inputs}


def predict_encoded(model: Model, encoded: Mapping[str, Encoded]) -> Predicted:
    """What the heads say of a batch whose inputs `encode` gave."""
    tokens = {name: encoded[name].tokens for name in model.inputs}
    present = torch.stack([encoded[name].present for name in model.inputs], dim=1)
    ids = {name: one.ids for name, one in encoded.items() if one.ids is not None}
    with torch.no_grad():
        return as_arrays(model.predict_fused(model.fuse_tokens(tokens, present, ids)))


def as_arrays(predicted: Mapping[str, Mapping[str, Tensor]]) -> Predicted:
    """Floating point as float32, which numpy has; whole numbers as they are."""
    return {
        name: {
            key: value.float().cpu().numpy() if value.is_floating_point() else value.cpu().numpy()
            for key, value in tensors.items()
        }
        for name, tensors in predicted.items()
    }


def join_predicted(parts: Sequence[Predicted]) -> Predicted:
    """The predictions of several batches, one after another."""
    return {
        name: {key: np.concatenate([part[name][key] for part in parts]) for key in arrays}
        for name, arrays in parts[0].items()
    }


def _digests(cells: Cells) -> list[bytes]:
    """What stands for each cell."""
    return [
        hashlib.blake2b(values.tobytes() + mask.tobytes(), digest_size=16).digest()
        for values, mask in zip(cells.values, cells.mask, strict=True)
    ]


def _join(parts: Sequence[Encoded]) -> Encoded:
    """The rows of several, one after another, padded to the longest."""
    longest = max(part.tokens.mask.shape[1] for part in parts)
    padded = [_padded(part.tokens, longest) for part in parts]
    tokens = Tokens(*(torch.cat(same) for same in zip(*padded, strict=True)))
    return Encoded(tokens, torch.cat([part.present for part in parts]), _joined_ids(parts))


def _joined_ids(parts: Sequence[Encoded]) -> Tensor | None:
    texts = [part.ids for part in parts if part.ids is not None]
    longest = max((ids.shape[1] for ids in texts), default=0)
    padded = [functional.pad(ids, (0, longest - ids.shape[1]), value=-1) for ids in texts]
    return torch.cat(padded) if padded else None


def _padded(tokens: Tokens, length: int) -> Tokens:
    missing = length - tokens.mask.shape[1]
    return Tokens(
        functional.pad(tokens.values, (0, 0, 0, missing)), functional.pad(tokens.mask, (0, missing))
    )
