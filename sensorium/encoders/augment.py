"""Pictures before the first layer: to float, normalised, and varied in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from sensorium.data.image import AugmentConfig

MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue over ImageNet, of 1."""
DEVIATION = (0.229, 0.224, 0.225)
"""Standard deviation of red, green and blue over ImageNet, of 1."""


class ImageStem(nn.Module):
    """uint8 pixels → normalised floats in channels-last order; in training also augmented.

    Augmentation draws from torch's global generator of the pixels' device, one draw a clip, so that all
    frames of a clip move together. Brightness and contrast join the normalisation in a single pass.

    Args:
        augment: the column's `config.augment`; None or False for none.
        mean: of red, green and blue, after `factor`; default: ImageNet's.
        deviation: standard deviation of red, green and blue, after `factor`; default: ImageNet's.
        factor: what pixels are multiplied by first.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        augment: AugmentConfig | None,
        mean: Sequence[float] = MEAN,
        deviation: Sequence[float] = DEVIATION,
        factor: float = 1 / 255,
    ) -> None:
        super().__init__()
        self.augment = augment or None
        spread = torch.tensor(deviation)
        self.register_buffer("scale", factor / spread, persistent=False)
        self.register_buffer("shift", -torch.tensor(mean) / spread, persistent=False)

    def forward(self, pixels: Tensor, clip: Tensor | None = None) -> Tensor:
        """`(N, 3, H, W)` uint8 → `(N, 3, H, W)` float32.

        Args:
            pixels: red, green and blue, 0 to 255.
            clip: `(N,)` int64, which clip each picture is a frame of; None when each stands alone.
        """
        values = pixels.to(torch.float32, memory_format=torch.channels_last)
        scale, shift = self.scale.view(1, 3, 1, 1), self.shift.view(1, 3, 1, 1)
        if self.augment is None or not self.training:
            return values.mul_(scale).add_(shift)
        clip = torch.arange(len(pixels), device=pixels.device) if clip is None else clip
        draws = torch.rand(len(pixels), 11, device=pixels.device)[clip]  # at most one clip a picture
        gain, offset = _light(self.augment, draws[:, 0:2])
        # In units of 0 to 1, light maps x to gain · x + offset; normalisation follows it.
        values = values.mul_(gain * scale).add_(shift + offset * 255 * scale)
        values = _move(self.augment, values, draws[:, 2:7])
        values = _erase(self.augment, values, draws[:, 7:11])
        return values.contiguous(memory_format=torch.channels_last)


def _light(augment: AugmentConfig, draws: Tensor) -> tuple[Tensor, Tensor]:
    """`(N, 2)` draws → gain and offset `(N, 1, 1, 1)`: contrast turns about mid-grey, brightness adds."""
    change = (2 * draws - 1).view(-1, 2, 1, 1, 1)
    gain = 1 + augment.contrast * change[:, 0]
    return gain, 0.5 * (1 - gain) + augment.brightness * change[:, 1]


def _move(augment: AugmentConfig, values: Tensor, draws: Tensor) -> Tensor:
    """Flips, turns, scales and shifts by one bilinear sampling; the border is mirrored.

    `(N, 5)` draws: flip, rotation, scale, shift across, shift down.
    """
    if not (augment.flip or augment.rotate or augment.scale or augment.shift):
        return values
    change = 2 * draws - 1
    mirror = torch.where(draws[:, 0] < 0.5 * float(augment.flip), -1.0, 1.0)
    angle = change[:, 1] * math.radians(augment.rotate)
    zoom = (1 + augment.scale) ** change[:, 2]
    aspect = values.shape[2] / values.shape[3]
    # Rows of the matrix that takes places of the result, in [-1, 1], to places of the picture.
    across = torch.stack(
        [
            mirror * zoom * angle.cos(),
            -mirror * zoom * aspect * angle.sin(),
            2 * augment.shift * change[:, 3],
        ],
        1,
    )
    down = torch.stack([zoom / aspect * angle.sin(), zoom * angle.cos(), 2 * augment.shift * change[:, 4]], 1)
    grid = functional.affine_grid(torch.stack([across, down], dim=1), list(values.shape), align_corners=False)
    return functional.grid_sample(values, grid, padding_mode="reflection", align_corners=False)


def _erase(augment: AugmentConfig, values: Tensor, draws: Tensor) -> Tensor:
    """Random erasing (Zhong et al. 2017, arXiv 1708.04896): with probability `erase`, a rectangle of a
    fifth to a half of each side becomes the mean colour. `(N, 4)` draws: whether, side, left, top."""
    if not augment.erase:
        return values
    rows, _, height, width = values.shape
    side = torch.where(draws[:, 0] < augment.erase, 0.2 + 0.3 * draws[:, 1], 0.0)

    def inside(start: Tensor, length: int) -> Tensor:
        place = (torch.arange(length, device=values.device) + 0.5) / length
        first = (start * (1 - side)).unsqueeze(1)
        return (place >= first) & (place < first + side.unsqueeze(1))

    hole = inside(draws[:, 2], width).view(rows, 1, 1, width) & inside(draws[:, 3], height).view(
        rows, 1, height, 1
    )
    return values.masked_fill(hole, 0.0)
