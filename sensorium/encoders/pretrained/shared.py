"""Frozen backbones, which the models of a process share, as their weights never change."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast
from weakref import WeakValueDictionary

from torch import nn

from sensorium.weights import Checkpoint

_Backbone = TypeVar("_Backbone", bound=nn.Module)

_ALIVE: WeakValueDictionary[str, nn.Module] = WeakValueDictionary()


def shared(
    checkpoint: Checkpoint, use: str, frozen: bool, build: Callable[[Checkpoint], _Backbone]
) -> _Backbone:
    """The backbone of a checkpoint: one that a living model has, where it is frozen; else a new one.

    Args:
        checkpoint: to build from. One without files is filled by a saved model, and stays that model's own.
        use: what it is built for, such as "text": the same use builds the same.
        frozen: whether its weights stay as they are.
        build: makes it.
    """
    if not frozen or not checkpoint.files:
        return build(checkpoint)
    key = f"{use} {checkpoint.digest}"
    backbone = _ALIVE.get(key)
    if backbone is None:
        backbone = _ALIVE[key] = build(checkpoint)
    return cast(_Backbone, backbone)
