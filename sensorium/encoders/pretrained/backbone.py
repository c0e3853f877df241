"""A checkpoint as a torch module, through transformers' Auto classes."""

from __future__ import annotations

from typing import Any

from sensorium.errors import require
from sensorium.weights import Checkpoint

_STEADY = {"apply_spec_augment": False, "layerdrop": 0.0}
"""In training, wav2vec 2.0 and HuBERT hide parts of a sound, drawn from numpy's generator, which a run does
not save, and leave out whole blocks; both are off."""


def load_backbone(checkpoint: Checkpoint) -> Any:
    """The model of a checkpoint, in evaluation mode; without files (a saved model holds the weights) empty.

    Raises:
        MissingPackage: without transformers.
    """
    from safetensors.torch import load_file

    transformers = require("transformers", "weights")
    config = transformers.AutoConfig.for_model(**{**checkpoint.config, **_STEADY})
    backbone = transformers.AutoModel.from_config(config)
    for path in checkpoint.files:
        backbone.load_state_dict(load_file(path), strict=False)
    return backbone.eval().requires_grad_(False)
