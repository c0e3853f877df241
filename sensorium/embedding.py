"""A model's inputs as vectors: in the space of its similarity, or each in the space of its encoder."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sensorium.batch import Raw, masked_mean
from sensorium.data.column import Array
from sensorium.data.loader import Loader, Rows, plan_batches
from sensorium.inference import batch_to_device
from sensorium.model import Model


def embed_rows(model: Model, loader: Loader, rows: Rows, batch_size: int = 64) -> dict[str, Array]:
    """Input name → `(N, E)` float32 unit vectors, zero in the rows that lack the input.

    A model with a similarity gives the inputs that it compares, in one space; of several similarities, the
    first that compares an input. Any other model gives each input's pooled encoder output: E is then the
    encoder's, and vectors of two inputs are not to be compared.

    Args:
        model: in evaluation mode, on the CPU.
        loader: of the table.
        rows: positions in the table.
        batch_size: rows at a time.
    """
    parts: list[dict[str, Tensor]] = []
    with torch.no_grad():
        for decoded in loader.batches(plan_batches(rows, batch_size)):
            inputs = batch_to_device(decoded, torch.device("cpu")).inputs
            parts.append(_compared(model, inputs) or _encoded(model, inputs))
    names = parts[0] if parts else {}
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in names}


def _compared(model: Model, inputs: dict[str, Raw]) -> dict[str, Tensor]:
    """What the similarities make of their inputs; empty for a model without one."""
    heads = [model.head(name) for name in model.outputs if model.head(name).couples_rows]
    if not heads:
        return {}
    fused = model.fuse(inputs)
    found: dict[str, Tensor] = {}
    for head in heads:
        found = head.embed(fused) | found
    return found


def _encoded(model: Model, inputs: dict[str, Raw]) -> dict[str, Tensor]:
    """The mean token of every encoder."""
    found = {}
    for name in model.inputs:
        present = inputs[name].present
        vectors = functional.normalize(masked_mean(*model.encode(name, inputs[name], present)), dim=1)
        found[name] = torch.where(present.unsqueeze(1), vectors, 0.0)
    return found
