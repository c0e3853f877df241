"""Encoders whose pretrained weights stay as they are: features in place of cells, and weights in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sensorium.batch import Raw
from sensorium.encoders.pretrained.bert import quicken_layers
from sensorium.encoders.pretrained.packed import pack_linears
from sensorium.encoders.pretrained.precision import Lowered, lower


def with_features(encoder: Any, raw: Raw) -> Raw:
    """Features in place of cells, where an encoder is frozen; else, and where they are features, as it is.

    They are rounded to bfloat16, as the cache keeps them, so that it does not matter where they come from.

    Args:
        encoder: of the input.
        raw: `(B, ...)` cells, or `(B, L, D)` features.
    """
    if not getattr(encoder, "frozen", False) or holds_features(raw):
        return raw
    tokens = encoder.features(raw)
    return Raw(tokens.values.bfloat16().float(), tokens.mask)


def holds_features(raw: Raw) -> bool:
    """Whether these are features: no cell comes as three dimensions of floating point numbers."""
    return raw.values.is_floating_point() and raw.values.dim() == 3


def quicken(backbone: nn.Module, probe: Callable[[], Tensor]) -> Lowered | None:
    """Holds a frozen backbone in bfloat16, where this CPU multiplies it in hardware and the answers agree.

    Args:
        backbone: changed in place.
        probe: see `lower`.

    Returns:
        What became of it; None where bfloat16 would bring nothing.
    """
    tensor = next(backbone.parameters())
    if tensor.device.type != "cpu" or not multiplies_bfloat16():
        return None
    lowered = lower(backbone, probe)
    if lowered.kept:
        pack_linears(backbone)
        quicken_layers(backbone)
    return lowered


def multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
