"""Frozen backbones: built when a cell first needs one, and shared by the models of a process."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import nn

from sensorium.frozen import Lazy, count_parameters
from sensorium.weights import Checkpoint
from sensorium.weights.digest import remembered

_ALIVE: WeakValueDictionary[str, Lazy] = WeakValueDictionary()


class Shape(NamedTuple):
    """What a model must know of an encoder before a cell passes it.

    Attributes:
        dim: width of a token.
        grid: height and width of a picture's places, where each is a token; else empty.
    """

    dim: int
    grid: tuple[int, ...] = ()


def new_backbone(
    checkpoint: Checkpoint, use: str, frozen: bool, build: Callable[[Checkpoint], nn.Module]
) -> nn.Module | Lazy:
    """The backbone of a checkpoint: a part of the model where it is trained; a lazy one where it is frozen.

    Args:
        checkpoint: to build from. One without files is filled by a saved model, of which it is a part.
        use: what it is built for, such as "text": the same use builds the same.
        frozen: whether its weights stay as they are.
        build: makes it.
    """
    if not frozen or not checkpoint.files:
        return build(checkpoint)
    key = f"{use} {checkpoint.digest} {checkpoint.files}"  # a copy of the files may outlive them
    lazy = _ALIVE.get(key)
    if lazy is None:
        lazy = _ALIVE[key] = Lazy(partial(build, checkpoint))
    return lazy


def built(backbone: nn.Module | Lazy, device: torch.device) -> Any:
    """The module itself; a lazy one on a device."""
    return backbone.on(device) if isinstance(backbone, Lazy) else backbone


def shape_of(backbone: nn.Module | Lazy, key: str, look: Callable[[Any], Shape]) -> Shape:
    """The shape of an encoder, remembered in the cache folder, so that a lazy backbone is built for it once.

    Args:
        backbone: of the encoder.
        key: names everything that decides the encoder's features.
        look: tells the shape of an encoder with the module that it is given, or refuses that.
    """
    if not isinstance(backbone, Lazy):
        return look(backbone)

    def find() -> str:
        module = backbone.on(torch.device("cpu"))
        return json.dumps([*look(module), count_parameters(module)[0]])

    dim, grid, backbone.parameters = json.loads(remembered(f"shape {key}", find))
    return Shape(dim, tuple(grid))
