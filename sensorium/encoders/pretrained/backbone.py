"""A checkpoint as a torch module, through transformers' Auto classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sensorium.errors import require
from sensorium.weights import Checkpoint


def load_backbone(checkpoint: Checkpoint, weights: Mapping[str, Tensor] | None = None) -> Any:
    """The model of a checkpoint, in evaluation mode; without files (a saved model holds the weights) empty.

    Args:
        checkpoint: what to build.
        weights: to fill it with; default: those of the checkpoint's files.

    Raises:
        MissingPackage: without transformers.
    """
    transformers = require("transformers", "weights")
    config = transformers.AutoConfig.for_model(**checkpoint.config)
    backbone = transformers.AutoModel.from_config(config)
    backbone.load_state_dict(read_weights(checkpoint) if weights is None else weights, strict=False)
    return backbone.eval().requires_grad_(False)


def read_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The weights of a checkpoint by name, mapped from its files."""
    from safetensors.torch import load_file

    return {name: tensor for path in checkpoint.files for name, tensor in load_file(path).items()}
