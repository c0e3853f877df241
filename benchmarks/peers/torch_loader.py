"""Media in PyTorch as people load them: a Dataset, and a DataLoader with two workers.

Run by benchmarks/loader.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import av
import numpy as np
import soundfile
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.common import cost
from benchmarks.workers import serve


def main() -> None:
    """A worker; its argument is JSON: name → paths, kind, size, frames, samples, batch_size."""
    told = json.loads(sys.argv[1])
    serve(
        {
            name: partial(cost, partial(epoch, files(about), about["batch_size"]))
            for name, about in told.items()
        }
    )


def epoch(rows: Dataset[Tensor], batch_size: int) -> None:
    """All rows once."""
    for _ in DataLoader(rows, batch_size, num_workers=2):
        continue


def files(about: dict[str, Any]) -> Files:
    """The files of one kind, with what reads them."""
    read: dict[str, Callable[[str], Tensor]] = {
        "image": partial(picture, size=about["size"]),
        "audio": partial(sound, samples=about["samples"]),
        "video": partial(video, size=about["size"], frames=about["frames"]),
    }
    return Files(about["paths"], read[about["kind"]])


class Files(Dataset[Tensor]):
    """A file a row."""

    def __init__(self, paths: list[str], read: Callable[[str], Tensor]) -> None:
        self.paths, self.read = paths, read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Tensor:
        return self.read(self.paths[row])


def picture(path: str, size: int) -> Tensor:
    """Resize, CenterCrop and ToTensor, as torchvision does them on Pillow's pictures."""
    with Image.open(path) as opened:
        return _tensor(opened.convert("RGB"), size)


def sound(path: str, samples: int) -> Tensor:
    """As recorded, in fp32, cut or padded to one length."""
    values, _ = soundfile.read(path, dtype="float32")
    cut = torch.from_numpy(values[:samples])
    return torch.nn.functional.pad(cut, (0, samples - len(cut)))


def video(path: str, size: int, frames: int) -> Tensor:
    """Every frame decoded, then some of them taken, evenly spread."""
    with av.open(path) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    chosen = np.linspace(0, len(decoded) - 1, frames).round().astype(int)
    return torch.stack([_tensor(Image.fromarray(decoded[place]), size) for place in chosen])


def _tensor(picture: Image.Image, size: int) -> Tensor:
    shorter = min(picture.size)
    if shorter != size:
        scaled = [round(side * size / shorter) for side in picture.size]
        picture = picture.resize((scaled[0], scaled[1]), Image.Resampling.BILINEAR)
    left, top = (picture.width - size) // 2, (picture.height - size) // 2
    pixels = np.array(picture.crop((left, top, left + size, top + size)))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float() / 255


if __name__ == "__main__":
    main()
