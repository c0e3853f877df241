"""A checkpoint as a torch module, through transformers' Auto classes."""

from __future__ import annotations

from typing import Any

from sensorium.encoders.pretrained.convert import safetensors_files
from sensorium.errors import require
from sensorium.weights import Checkpoint


def load_backbone(checkpoint: Checkpoint) -> Any:
    """The model of a checkpoint, in evaluation mode; without files (a saved model holds the weights) empty.

    Raises:
        MissingPackage: without transformers.
    """
    from safetensors.torch import load_file

    transformers = require("transformers", "weights")
    config = transformers.AutoConfig.for_model(**checkpoint.config)
    backbone = transformers.AutoModel.from_config(config)
    for path in safetensors_files(checkpoint):
        backbone.load_state_dict(load_file(path), strict=False)
    return backbone.eval().requires_grad_(False)
