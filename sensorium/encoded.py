"""A batch encoded once and fused often: with inputs absent, or with other cells in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sensorium.batch import Raw, Tokens
from sensorium.data.column import Array
from sensorium.model import Model

Predicted = dict[str, dict[str, Array]]
"""Output name → array name → `(N, ...)`, as the heads' `predict` give them."""


class Encoded(NamedTuple):
    """One input of a batch, ready to be fused.

    Attributes:
        tokens: of B rows.
        present: `(B,)` bool, which rows have the input.
    """

    tokens: Tokens
    present: Tensor


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
        return Encoded(model.encode(name, raw, present), present)


def encode_all(model: Model, inputs: Mapping[str, Raw], absent: bool = False) -> dict[str, Encoded]:
    """Encodes every input of a batch."""
    return {name: encode(model, name, inputs[name], absent) for name in model.inputs}


def predict_encoded(model: Model, encoded: Mapping[str, Encoded]) -> Predicted:
    """What the heads say of a batch whose inputs `encode` gave."""
    tokens = {name: encoded[name].tokens for name in model.inputs}
    present = torch.stack([encoded[name].present for name in model.inputs], dim=1)
    with torch.no_grad():
        return as_arrays(model.predict_fused(model.fuse_tokens(tokens, present)))


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
