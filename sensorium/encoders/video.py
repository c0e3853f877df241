"""Video: each frame as a picture, then the frames in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from sensorium.batch import Raw, Tokens, masked_mean
from sensorium.config import Config
from sensorium.encoders.augment import ImageStem
from sensorium.encoders.image import CNNImage, CNNImageConfig, ViTImage, ViTImageConfig
from sensorium.encoders.resnet import (
    ResNet18,
    ResNet18Config,
    ResNet34,
    ResNet34Config,
    ResNet50,
    ResNet50Config,
)
from sensorium.errors import RecipeError
from sensorium.layers import Recurrent, Transformer, check_heads, sinusoidal_positions

if TYPE_CHECKING:
    from sensorium.data.video import VideoColumn

IMAGES = {"cnn": CNNImage, "resnet18": ResNet18, "resnet34": ResNet34, "resnet50": ResNet50, "vit": ViTImage}
"""What may look at a frame."""


def _small_image() -> CNNImageConfig:
    return CNNImageConfig(channels=[16, 32, 64, 128])


class TimeConfig(Config):
    """What a recipe may say about how frames are joined."""

    time: Literal["mean", "lstm", "transformer"] = Field("lstm", description="what joins the frames")
    hidden: int = Field(64, description="width of one direction's state (lstm)", ge=1)
    depth: int = Field(2, description="blocks (transformer)", ge=1)
    heads: int = Field(4, description="attention heads (transformer)", ge=1)
    dropout: float = Field(0.2, description="share of values dropped in training", ge=0, lt=1)


class FramesVideoConfig(TimeConfig):
    """A picture encoder for every frame, then a mean, a recurrence or attention over time."""

    kind: Literal["frames"] = "frames"
    image: CNNImageConfig | ResNet18Config | ResNet34Config | ResNet50Config | ViTImageConfig = Field(
        default_factory=_small_image, description="what looks at each frame", discriminator="kind"
    )
    see: Literal["frames", "changes", "both"] = Field(
        "frames", description="each frame, its change from the frame before, or both side by side"
    )


class OverTime(nn.Module):
    """What joins the frames of a clip: their mean, a recurrence or attention.

    Args:
        config: says which, in `time`.
        width: of a frame's vector.

    Raises:
        RecipeError: with `time: transformer`, when the width is not a multiple of `heads`.
    """

    def __init__(self, config: TimeConfig, width: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = Recurrent("lstm", width, config.hidden) if config.time == "lstm" else None
        self.transformer = _transformer(config, width) if config.time == "transformer" else None
        self.dim = self.recurrent.dim if self.recurrent else width

    def over_time(self, frames: Tensor, mask: Tensor) -> Tokens:
        """`(B, frames, width)` and its mask → `(B, frames, dim)`, or `(B, 1, dim)` with `time: mean`."""
        frames = self.dropout(frames)
        if self.recurrent is not None:
            return Tokens(self.dropout(self.recurrent(frames, mask)), mask)
        if self.transformer is not None:
            positions = sinusoidal_positions(frames.shape[1], self.dim, frames.device)
            return Tokens(self.transformer(frames + positions, mask), mask)
        return Tokens(masked_mean(frames, mask).unsqueeze(1), mask.any(dim=1, keepdim=True))


class FramesVideo(OverTime):
    """A clip's frames through one picture encoder, the mean of each frame's places, then time.

    Only real frames are looked at, and all frames of a clip are augmented alike. `time: mean` gives one
    token a clip, the others one token a frame; `dim` is the picture encoder's, or with `lstm` twice
    `hidden` (Donahue et al. 2014, arXiv 1411.4389). `see: changes` looks at differences of frames (Wang et
    al. 2016, arXiv 1608.00859), in which what stands still disappears: it shows motion from few clips.

    A clip's sound is an input of its own: give the recipe a second input of type audio that names the same
    table column, and the fusion brings the two together.

    Raises:
        RecipeError: when the picture encoder cannot take the frames' size, or with `time: transformer` its
            width is not a multiple of `heads`.
    """

    Config = FramesVideoConfig

    def __init__(self, config: FramesVideoConfig, column: VideoColumn) -> None:
        image = IMAGES[config.image.kind](config.image, column)
        super().__init__(config, image.dim * (2 if config.see == "both" else 1))
        self.stem = ImageStem(column.config.augment)
        self.image = image
        self.see = config.see

    def forward(self, raw: Raw) -> Tokens:
        """`(B, frames, 3, H, W)` uint8 → `(B, frames, dim)`, or `(B, 1, dim)` with `time: mean`."""
        return self.over_time(self._frames(raw), raw.mask)

    def _see(self, pixels: Tensor, clip: Tensor) -> Tensor:
        """`(N, 3, H, W)` real frames and the clip `(N,)` that each is of → `(N, width)`."""
        parts = [pixels] if self.see != "changes" else []
        if self.see != "frames":
            before = pixels.roll(1, dims=0)
            first = clip != clip.roll(1)
            first[0] = True
            parts.append(torch.where(first.view(-1, 1, 1, 1), torch.zeros_like(pixels), pixels - before))
        return torch.cat([self.image.features(part).mean(dim=1) for part in parts], dim=1)

    def _frames(self, raw: Raw) -> Tensor:
        """`(B, frames, width)`, zero where there is no frame."""
        clip = raw.mask.nonzero()[:, 0]
        return at_their_places(self._see(self.stem(raw.values[raw.mask], clip), clip), raw.mask)


def at_their_places(seen: Tensor, mask: Tensor) -> Tensor:
    """`(N, width)` of the real frames in their order, `(B, frames)` → `(B, frames, width)`, else zero."""
    frames = seen.new_zeros(*mask.shape, seen.shape[-1])
    return frames.masked_scatter(mask.unsqueeze(-1), seen)


def _transformer(config: TimeConfig, width: int) -> Transformer:
    try:
        check_heads(width, config.heads)
    except ValueError as error:
        raise RecipeError(f"time: transformer over this image encoder: {error}") from error
    return Transformer(width, config.depth, config.heads, config.dropout)
