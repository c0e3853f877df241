"""Pretrained weights: where they come from, and what a checkpoint says of itself. Nothing imports torch."""

from sensorium.weights.checkpoint import Checkpoint, read_checkpoint
from sensorium.weights.find import find

__all__ = ["Checkpoint", "find", "read_checkpoint"]
