"""Whether converted tensors are those that an architecture has, no fewer and no more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sensorium.errors import WeightsError, require


def check_tensors(
    tensors: Mapping[str, Tensor], architecture: str, config: dict[str, Any], path: Path
) -> None:
    """Compares names and shapes with the parameters of a class of transformers, tied ones counted once.

    Args:
        tensors: name on the hub → tensor.
        architecture: the class, such as "LlamaForCausalLM".
        config: of the checkpoint.
        path: named in the message.

    Raises:
        WeightsError: at the first that differs.
        MissingPackage: without transformers.
    """
    transformers = require("transformers", "weights")
    with torch.device("meta"):
        model = getattr(transformers, architecture)(transformers.AutoConfig.for_model(**config))
    expected = {name: tuple(one.shape) for name, one in model.named_parameters()}
    found = {name: tuple(one.shape) for name, one in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise WeightsError(
                f"{path}: {name} is {found.get(name, 'missing')} in the file and "
                f"{expected.get(name, 'unknown')} in {architecture}"
            )
