"""What this machine does fast: device, precision, memory allocation and the size of a micro-batch."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from sensorium.errors import SensoriumError
from sensorium.heads import Head

Precision = Literal["fp32", "bf16"]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # glibc's malloc.h


def choose_device(asked: str) -> torch.device:
    """The device to train on.

    Raises:
        SensoriumError: when a GPU is asked for and torch sees none.
    """
    if asked == "cuda" and not torch.cuda.is_available():
        raise SensoriumError("training.device: cuda is asked for, but torch sees no GPU; use auto or cpu")
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(asked)


def choose_precision(asked: str, device: torch.device) -> tuple[Precision, str]:
    """The precision of training and the reason for it.

    bf16 where the machine multiplies it in hardware (a GPU since Ampere, a CPU with AMX or AVX512-BF16),
    else fp32. fp16 is never used: on a CPU it is slow, and it needs loss scaling.
    """
    if asked == "fp32":
        return "fp32", "as the recipe asks"
    if asked == "bf16":
        return "bf16", "as the recipe asks"
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
        return ("bf16", "this GPU multiplies bf16 fast") if fast else ("fp32", "this GPU lacks fast bf16")
    flags = _cpu_flags()
    for flag, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16")):
        if flag in flags:
            return "bf16", f"this CPU has {name}"
    return "fp32", "this CPU multiplies bf16 no faster than fp32"


def keep_freed_memory() -> bool:
    """Tells glibc's allocator to keep freed pages rather than give them back after every layer.

    Activations of a few megabytes are otherwise mapped, zeroed and unmapped at each step, which costs a
    third to a half of the time of CPU training. Returns whether the allocator took the setting.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 * 2**20))
    return all(mallopt(name, value) == 1 for name, value in settings)


def give_back_freed_memory(device: torch.device) -> None:
    """Gives back what was freed and kept, and forgets the most that a GPU held: after this, count anew."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def choose_micro_batch(asked: int | str, batch_size: int, model: nn.Module, device: torch.device) -> int:
    """Rows per forward pass.

    On a CPU, at most 32 rows pass through convolutions at a time, which bounds the memory of their
    activations; 8 where the allocator gives pages back after every layer, for small arrays are kept more
    often. Fewer make every other layer slower. Layers that look across rows (batch normalisation) need
    them together, and so do the losses that compare rows. Measured by benchmarks/training_speed.py.
    """
    if couples_rows(model):
        return batch_size
    if isinstance(asked, int):
        return min(asked, batch_size)
    convolves = any(isinstance(part, nn.Conv2d) for part in model.modules())
    if device.type != "cpu" or looks_across_rows(model) or not convolves:
        return batch_size
    return min(32 if platform.libc_ver()[0] == "glibc" else 8, batch_size)


def whole_batch_words(asked: int, batch_size: int) -> str:
    """Why a recipe gets more rows a pass than it asks for."""
    return (
        f"training.micro_batch: {asked} is not used: a similarity takes the {batch_size} rows of a batch as "
        "each other's wrong answers, so they pass together; lower training.batch_size for less memory"
    )


def looks_across_rows(model: nn.Module) -> bool:
    """Whether a layer (batch normalisation) makes of a row something that depends on the rows beside it."""
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules())


def couples_rows(model: nn.Module) -> bool:
    """Whether a head (a similarity) takes the rows of a batch as each other's wrong answers."""
    return any(isinstance(part, Head) and part.couples_rows for part in model.modules())


def _cpu_flags() -> set[str]:
    """The instruction sets of this CPU as Linux names them; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return set()
    lines = (line for line in path.read_text().splitlines() if line.startswith("flags"))
    return set(next(lines, "").partition(":")[2].split())
