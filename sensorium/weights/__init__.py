"""Pretrained weights: where they come from, and what a checkpoint says of itself. Nothing imports torch."""

from sensorium.weights.checkpoint import Checkpoint, read_checkpoint
from sensorium.weights.find import find
from sensorium.weights.hub import fetch, is_offline
from sensorium.weights.listing import Entry, ask_hub, describe, weights_here
from sensorium.weights.modality import refuse_other_modality

__all__ = [
    "Checkpoint",
    "Entry",
    "ask_hub",
    "describe",
    "fetch",
    "find",
    "is_offline",
    "read_checkpoint",
    "refuse_other_modality",
    "weights_here",
]
