"""Frozen weights in bfloat16, where they answer the same: half the memory, and faster on many machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

LEAST_COSINE = 0.999
"""Between the features of float32 and of bfloat16 weights, in the row that agrees least."""


class Lowered(NamedTuple):
    """What became of a backbone.

    Attributes:
        cosine: between the features before and after, in the row that agrees least; NaN where that is not a
            number.
        kept: whether the weights are now bfloat16; else they are as they were.
    """

    cosine: float
    kept: bool

    def line(self, weights: str) -> str:
        """One line for the user, that names the weights."""
        agreement = f"cosine to float32 {self.cosine:.5f}"
        if self.kept:
            return f"{weights}: held in bfloat16 ({agreement})"
        return f"{weights}: stays in float32, as bfloat16 answers otherwise ({agreement} < {LEAST_COSINE})"


def lower(backbone: nn.Module, probe: Callable[[], Tensor]) -> Lowered:
    """Casts a frozen backbone to bfloat16, and takes that back where its features change.

    Args:
        backbone: in evaluation mode; changed in place.
        probe: gives the features of some real cells through the backbone as it is then, `(B, L, D)` of
            any floating point dtype, zero where a row has no token.
    """
    with torch.no_grad():
        before = probe().float().flatten(start_dim=1)
        kept = {name: tensor.data for name, tensor in _tensors(backbone)}
        backbone.bfloat16()
        after = probe().float().flatten(start_dim=1)
        cosine = float(nn.functional.cosine_similarity(before, after, dim=1).min())
    lowered = Lowered(cosine, cosine >= LEAST_COSINE)
    if not lowered.kept:
        for name, tensor in _tensors(backbone):
            tensor.data = kept[name]
    return lowered


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]
