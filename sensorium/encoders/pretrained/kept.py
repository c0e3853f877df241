"""The weights of frozen backbones in a saved model: the files themselves, as training never read them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from sensorium.encoders.pretrained.convert import safetensors_files
from sensorium.weights import Checkpoint
from sensorium.weights.safetensors_header import read_header

WEIGHTS = "weights"
"""In the folder of a saved model; in it, a folder for each checkpoint."""


def keep_weights(checkpoint: Checkpoint, model: Path) -> None:
    """Copies the weights of a checkpoint, as safetensors, into the folder of a saved model.

    Raises:
        OSError: when they cannot be read or written.
        WeightsError: see `safetensors_files`.
    """
    home = _home(checkpoint, model)
    home.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(safetensors_files(checkpoint)):
        shutil.copyfile(path, home / f"{number:05}.safetensors")


def with_kept_weights(checkpoint: Checkpoint, model: Path) -> Checkpoint:
    """A saved checkpoint with its files; without any where the model itself holds the weights.

    Raises:
        WeightsError: when a file is damaged.
    """
    files = sorted(_home(checkpoint, model).glob("*.safetensors"))
    for path in files:
        read_header(path)
    return replace(checkpoint, files=tuple(files))


def _home(checkpoint: Checkpoint, model: Path) -> Path:
    return model / WEIGHTS / checkpoint.digest
