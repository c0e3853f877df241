"""A pretrained model that is not trained: built when it is first used, and no part of what training keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sensorium.batch import Raw
from sensorium.encoders.pretrained.backbone import load_backbone, read_weights
from sensorium.encoders.pretrained.packed import pack_linears
from sensorium.weights import Checkpoint


class FrozenBackbone:
    """Holds a checkpoint's model outside of the parameters of the encoder that has it.

    So neither checkpoints of a run, nor optimizers, nor moving averages carry it; and where all features are
    in the cache, it is never built. A saved model holds its weights under the name `backbone`.

    Args:
        checkpoint: what to build.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._saved: Mapping[str, Tensor] | None = None
        self._modules: dict[torch.device, Any] = {}

    def __call__(self, **arguments: Tensor) -> Any:
        """What the model makes of tensors, on their device, without gradients.

        Floating point numbers are given to it in its own precision.
        """
        module = self.module(next(iter(arguments.values())).device)
        given = {
            name: tensor.to(module.dtype) if tensor.is_floating_point() else tensor
            for name, tensor in arguments.items()
        }
        with torch.no_grad():
            return module(**given)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenBackbone:
        """Itself: nothing of it changes."""
        return self

    def module(self, device: torch.device) -> Any:
        """The model on a device, in evaluation mode; built when it is first asked for."""
        if device not in self._modules:
            backbone = load_backbone(self.checkpoint, self._saved)
            self._modules[device] = lowered(backbone) if device.type == "cpu" else backbone.to(device)
        return self._modules[device]

    @property
    def width(self) -> int:
        """Numbers of a hidden state, as the checkpoint's description has it; else as the model itself does."""
        return int(self.checkpoint.config.get("hidden_size") or self.module(torch.device("cpu")).config.hidden_size)

    @property
    def precision(self) -> str:
        """Of the computation on this machine's CPU, as torch names it."""
        return "bfloat16" if multiplies_bfloat16() else "float32"

    def weights(self) -> Mapping[str, Tensor]:
        """The weights by name, to be kept in a saved model."""
        return read_weights(self.checkpoint) if self._saved is None else self._saved

    def take_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Takes back what `weights` gave; before the model is first used."""
        self._saved = weights


def lowered(backbone: Any) -> Any:
    """A backbone in bfloat16, where this CPU multiplies it in hardware; changed in place."""
    if not multiplies_bfloat16():
        return backbone
    backbone.bfloat16()
    pack_linears(backbone)
    return backbone


def multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


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
