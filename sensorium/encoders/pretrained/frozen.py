"""A pretrained model that is not trained: built when it is first used, and no part of what training keeps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sensorium.batch import Raw
from sensorium.encoders.pretrained.backbone import load_backbone, read_weights
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

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the model makes of tensors, on their device, without gradients."""
        device = next(one.device for one in (*args, *kwargs.values()) if isinstance(one, Tensor))
        with torch.no_grad():
            return self.module.to(device)(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenBackbone:
        """Itself: nothing of it changes."""
        return self

    @cached_property
    def module(self) -> Any:
        """The model, in evaluation mode."""
        return load_backbone(self.checkpoint, self._saved)

    @property
    def width(self) -> int:
        """Numbers of a hidden state, as the checkpoint's description has it; else as the model itself does."""
        return int(self.checkpoint.config.get("hidden_size") or self.module.config.hidden_size)

    def weights(self) -> Mapping[str, Tensor]:
        """The weights by name, to be kept in a saved model."""
        return read_weights(self.checkpoint) if self._saved is None else self._saved

    def take_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Takes back what `weights` gave; before the model is first used."""
        self._saved = weights


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
