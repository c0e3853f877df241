"""Pretrained weights: where a checkpoint comes from, and what its files say of it. Nothing imports torch."""

from sensorium.weights.checkpoint import Checkpoint, read_checkpoint
from sensorium.weights.find import find
from sensorium.weights.modality import refuse_other_modality

__all__ = ["Checkpoint", "find", "read_checkpoint", "refuse_other_modality"]
