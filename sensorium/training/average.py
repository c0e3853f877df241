"""The moving average of a model's weights."""

from __future__ import annotations

import copy
from collections import defaultdict

import torch
from torch import Tensor, nn

from sensorium.frozen import frozen_tensors


class MovingAverage(nn.Module):
    """A copy of a model that follows it: each update moves it by 1 - min(decay, (1 + n) / (10 + n)).

    n counts the updates and is part of the state; at n = 0 the weights are copied. The smaller decay at the
    start lets the average forget the first weights in short runs too; a decay of 0.999 is reached at
    n = 8990. What is not a floating point number, as a count of batches, is copied. What is frozen is
    shared with the model, not copied.

    Source: `num_updates` of TensorFlow's `tf.train.ExponentialMovingAverage`.

    Args:
        model: to follow.
        decay: between 0 and 1.
    """

    n_averaged: Tensor

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(model, {id(tensor): tensor for tensor in frozen_tensors(model)})
        self.decay = decay
        self.register_buffer("n_averaged", torch.tensor(0))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Moves the average towards the model."""
        updates = int(self.n_averaged)
        share = 1 - min(self.decay, (1 + updates) / (10 + updates))
        pairs: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = defaultdict(lambda: ([], []))
        for average, current in zip(_tensors(self.module), _tensors(model), strict=True):
            if average is not current:
                pairs[average.dtype][0].append(average)
                pairs[average.dtype][1].append(current)
        for dtype, (averages, currents) in pairs.items():
            if dtype.is_floating_point and updates:
                torch._foreach_lerp_(averages, currents, share)
            else:
                torch._foreach_copy_(averages, currents)
        self.n_averaged += 1


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
