"""Weights of other formats, brought to safetensors once and kept."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sensorium.encoders.pretrained.ctranslate2 import read_whisper
from sensorium.encoders.pretrained.llama_gguf import read_llama
from sensorium.errors import WeightsError
from sensorium.folders import default_folder
from sensorium.weights import Checkpoint
from sensorium.weights.digest import file_digest
from sensorium.weights.safetensors_header import read_header


def safetensors_files(checkpoint: Checkpoint) -> tuple[Path, ...]:
    """The weights of a checkpoint as safetensors; those of another format are converted at the first call.

    A converted file lies in the cache folder under the sha256 of its source, so another source never meets
    it, and a kill leaves no file there but a whole one. Tensors have the names that they have on the hub;
    those of a .pth keep theirs.

    Raises:
        WeightsError: when a file is damaged, does not fit the architecture, or cannot be written.
        MissingPackage: without transformers or gguf, where a conversion needs them.
    """
    return tuple(_as_safetensors(path, checkpoint) for path in checkpoint.files)


def read_pickled(path: Path, config: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of a .pth; nothing but tensors is unpickled.

    Raises:
        WeightsError: when the file is damaged, or holds anything else.
    """
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, OSError, _unpickling_error()) as error:
        first = str(error).partition("\n")[0][:200]
        raise WeightsError(f"{path} cannot be read as weights ({first}); fetch it again") from None
    if not isinstance(tensors, dict) or not all(isinstance(one, Tensor) for one in tensors.values()):
        raise WeightsError(f"{path} holds more than named tensors, and is not read")
    return tensors


_READERS: dict[str, Callable[[Path, dict[str, Any]], dict[str, Tensor]]] = {
    ".pth": read_pickled,
    ".bin": read_whisper,
    ".gguf": read_llama,
}
"""The ending of a packaged file → what reads it: path and config.json → name on the hub → tensor."""


def _as_safetensors(path: Path, checkpoint: Checkpoint) -> Path:
    if path.suffix == ".safetensors":
        return path
    kept = default_folder() / "weights" / f"{file_digest(path)}.safetensors"
    if not _is_whole(kept):
        _write(kept, _READERS[path.suffix](path, checkpoint.config))
    return kept


def _is_whole(path: Path) -> bool:
    """A file that a disk has damaged since is converted again."""
    if not path.exists():
        return False
    try:
        read_header(path)
    except WeightsError:
        return False
    return True


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Writes beside the place and moves over: two processes may convert at once, and the last one stays."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    beside = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path}: converted weights cannot be kept ({error}); "
            "free space there, or name another folder in SENSORIUM_CACHE"
        ) from None
    finally:
        beside.unlink(missing_ok=True)


def _unpickling_error() -> type[Exception]:
    from pickle import UnpicklingError

    return UnpicklingError
