"""Pretrained weights: where a checkpoint comes from, and what its files say of it. Nothing imports torch."""

from sensorium.weights.checkpoint import Checkpoint, read_checkpoint
from sensorium.weights.find import find

__all__ = ["Checkpoint", "find", "read_checkpoint"]
