"""What torchvision and torchaudio need beside the CPU build of torch; for the peers' scripts alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import torch

DECLARED: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
"""Kept, because what it declares goes with it."""


def declare_torchvision_operators() -> str:
    """Declares the operators that torchvision's Python part speaks of, but which its CUDA build cannot load.

    Call it before torchvision is imported. No benchmark calls the operators.
    """
    for name in ("nms", "qnms"):
        DECLARED.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return "torchvision's operators nms and qnms: declared, never called"


def replace_decoders() -> list[str]:
    """Decodes sound through soundfile and pictures through Pillow. Call it before Ludwig is imported."""
    import numpy as np
    import soundfile
    import torchaudio
    import torchvision.io
    from PIL import Image

    def load(source: Any, **_: Any) -> tuple[torch.Tensor, int]:
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
        return torch.from_numpy(samples.T.copy()), rate

    def decode_image(content: torch.Tensor, mode: Any = None) -> torch.Tensor:
        with Image.open(io.BytesIO(content.numpy().tobytes())) as picture:
            return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).contiguous()

    torchaudio.load = load
    torchvision.io.decode_image = decode_image
    return ["torchaudio.load: soundfile", "torchvision.io.decode_image: Pillow, always RGB"]


def replace_filter_loop() -> str:
    """Lets a filter without feedback skip torchaudio's loop over samples, which is compiled elsewhere."""
    from torchaudio.functional import filtering

    loop = filtering._lfilter_core_generic_loop

    def faster(windows: torch.Tensor, feedback: torch.Tensor, padded: torch.Tensor) -> None:
        order = feedback.shape[1]
        if bool((feedback[:, : order - 1] == 0).all()):
            padded[:, :, order - 1 :] = windows
        else:
            loop(windows, feedback, padded)

    filtering._lfilter_core_loop = faster
    return "torchaudio's _lfilter_core_loop: a copy where there is no feedback"


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Package → installed version."""
    from importlib import metadata

    return {name: metadata.version(name) for name in packages}
