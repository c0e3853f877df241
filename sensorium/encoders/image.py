"""Pictures: convolutions, and the Vision Transformer. Residual networks are in `resnet.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Raw, Tokens
from sensorium.config import Config
from sensorium.encoders.augment import ImageStem
from sensorium.errors import RecipeError
from sensorium.layers import BatchNorm2d, Transformer, check_heads, initialise_convolutions

if TYPE_CHECKING:
    from sensorium.data.image import ImageColumn
    from sensorium.data.video import VideoColumn

    Pictures = ImageColumn | VideoColumn


class CNNImageConfig(Config):
    """Blocks of convolution and max-pooling, then a dense layer: the classic picture classifier.

    The dense layer over all places is the default because it knows where a thing is, which a mean over
    places forgets: handwritten digits go from 14 % to 60 % right, the stamps' pictures from 46 % to 54 %.
    Heads and fusions that look at places want `pool: tokens`.
    """

    kind: Literal["cnn"] = "cnn"
    channels: list[Annotated[int, Field(ge=1)]] = Field(
        [32, 64, 128], description="filters of each block; each block halves the picture", min_length=1
    )
    kernel: int = Field(3, description="side of a filter in pixels; odd", ge=1)
    norm: Literal["batch", "group", "none"] = Field(
        "group", description="normalisation in each block; with one, the dense layer has a layer norm"
    )
    pool: Literal["tokens", "mean", "flatten"] = Field(
        "flatten", description="a token a place, the mean over places, or all places as one vector"
    )
    dense: int | None = Field(128, description="width of a dense layer after the blocks; null for none", ge=1)
    dropout: float = Field(0.2, description="share of values dropped in training", ge=0, lt=1)

    @model_validator(mode="after")
    def _kernel_is_odd(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} must be odd, so that a filter has a centre")
        return self


class CNNImage(nn.Module):
    """Convolutional network: per block convolution, 2 × 2 max-pooling, normalisation, ReLU.

    Pooling comes before ReLU: the two commute, and ReLU then touches a quarter of the values. `dim` is
    `dense`, else the last of `channels` (times the places with `pool: flatten`).

    Raises:
        RecipeError: when the blocks halve the picture to nothing.
    """

    Config = CNNImageConfig

    def __init__(self, config: CNNImageConfig, column: Pictures) -> None:
        super().__init__()
        self.stem = ImageStem(column.config.augment)
        places = _places(picture_size(column), len(config.channels))
        inputs = [3, *config.channels[:-1]]
        self.blocks = nn.Sequential(
            *(_block(size, channels, config) for size, channels in zip(inputs, config.channels, strict=True))
        )
        width = config.channels[-1] * (places if config.pool == "flatten" else 1)
        self.dense = _dense(width, config.dense, config.norm) if config.dense else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.pool = config.pool
        height, wide = (side >> len(config.channels) for side in picture_size(column))
        self.grid = (height, wide) if config.pool == "tokens" else ()
        self.dim = config.dense or width
        self.plain = config.norm == "none"
        initialise_convolutions(self.blocks)

    def forward(self, raw: Raw) -> Tokens:
        """`(B, 3, H, W)` uint8 → `(B, places, dim)`, or `(B, 1, dim)` with `pool: mean` or `flatten`."""
        return all_real(self.features(self.stem(raw.values)))

    def features(self, pixels: Tensor) -> Tensor:
        """`(N, 3, H, W)` normalised floats → `(N, L, dim)`."""
        fast = self.plain and _onednn_is_fast(pixels)
        values = _through_onednn(self.blocks, pixels) if fast else self.blocks(pixels)
        values = values.flatten(1).unsqueeze(1) if self.pool == "flatten" else places_as_tokens(values)
        if self.pool == "mean":
            values = values.mean(dim=1, keepdim=True)
        result: Tensor = self.dropout(self.dense(values))
        return result


class ViTImageConfig(Config):
    """Self-attention over square patches; wants many rows, or pretraining."""

    kind: Literal["vit"] = "vit"
    patch: int = Field(
        16, description="side of a patch in pixels; the picture's sides are multiples of it", ge=1
    )
    width: int = Field(192, description="width of a token; even, and a multiple of heads", ge=2)
    depth: int = Field(6, description="blocks", ge=1)
    heads: int = Field(3, description="attention heads", ge=1)
    pool: Literal["tokens", "mean"] = Field("tokens", description="a token a patch, or the mean over patches")
    dropout: float = Field(0.1, description="share of values dropped in training", ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_share_width(self) -> Self:
        check_heads(self.width, self.heads)
        return self


class ViTImage(nn.Module):
    """Vision Transformer (Dosovitskiy et al. 2020, arXiv 2010.11929) with learned positions and no class
    token (Beyer et al. 2022, arXiv 2205.01580); `dim` is `width`.

    Raises:
        RecipeError: when the picture's sides are not multiples of `patch`.
    """

    Config = ViTImageConfig

    def __init__(self, config: ViTImageConfig, column: Pictures) -> None:
        super().__init__()
        height, width = picture_size(column)
        if height % config.patch or width % config.patch:
            raise RecipeError(
                f"the picture's size {height} × {width} is not a multiple of the patch, {config.patch} "
                f"pixels: choose a size such as {max(1, round(height / config.patch)) * config.patch}, "
                "or another patch"
            )
        self.stem = ImageStem(column.config.augment)
        self.patch = config.patch
        self.embedding = nn.Linear(3 * config.patch**2, config.width)
        count = (height // config.patch) * (width // config.patch)
        self.positions = nn.Parameter(torch.randn(count, config.width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(config.width, config.depth, config.heads, config.dropout)
        self.pool = config.pool
        self.grid = (height // config.patch, width // config.patch) if config.pool == "tokens" else ()
        self.dim = config.width

    def forward(self, raw: Raw) -> Tokens:
        """`(B, 3, H, W)` uint8 → `(B, patches, dim)`, or `(B, 1, dim)` with `pool: mean`."""
        return all_real(self.features(self.stem(raw.values)))

    def features(self, pixels: Tensor) -> Tensor:
        """`(N, 3, H, W)` normalised floats → `(N, L, dim)`."""
        patches = functional.pixel_unshuffle(pixels, self.patch).flatten(2).transpose(1, 2)
        values: Tensor = self.transformer(self.dropout(self.embedding(patches) + self.positions))
        return values.mean(dim=1, keepdim=True) if self.pool == "mean" else values


def _block(inputs: int, channels: int, config: CNNImageConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, channels, config.kernel, padding=config.kernel // 2, bias=config.norm == "none"),
        nn.MaxPool2d(2),
        _norm(config.norm, channels),
        nn.ReLU(),
    )


def _onednn_is_fast(pixels: Tensor) -> bool:
    """Whether the blocks may run in oneDNN's own layout: bf16 autocast on a CPU that multiplies bf16."""
    return (
        pixels.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        and not torch.compiler.is_compiling()
    )


def _through_onednn(blocks: nn.Sequential, pixels: Tensor) -> Tensor:
    """The same blocks, with the same result to the last bit, in oneDNN's own layout from end to end.

    torch's max-pooling keeps an index of 8 bytes a place and fills its gradient with zeros first, 40 % of a
    training step's time; oneDNN's keeps 1 byte. Only without normalisation: torch has no group norm for that
    layout, and bringing the arrays into another and back costs what the pooling saves.
    """
    values = pixels.bfloat16().contiguous().to_mkldnn()
    for block in blocks:
        convolution: Any = block[0]  # type: ignore[index]
        values = torch.mkldnn_convolution(
            values,
            convolution.weight.bfloat16(),
            convolution.bias.bfloat16(),
            convolution.padding,
            convolution.stride,
            convolution.dilation,
            convolution.groups,
        )
        values = functional.relu(functional.max_pool2d(values, (2, 2), (2, 2)))
    return values.to_dense()


def _dense(inputs: int, outputs: int, norm: Literal["batch", "group", "none"]) -> nn.Sequential:
    """A linear layer and ReLU.

    Over many thousand inputs one step of the optimizer can push every sum below zero, where ReLU lets no
    gradient through and the picture is lost for good; the layer norm prevents that.
    """
    normalised = [] if norm == "none" else [nn.LayerNorm(outputs)]
    return nn.Sequential(nn.Linear(inputs, outputs), *normalised, nn.ReLU())


def _norm(kind: Literal["batch", "group", "none"], channels: int) -> nn.Module:
    if kind == "batch":
        return BatchNorm2d(channels)
    return nn.GroupNorm(_groups(channels), channels) if kind == "group" else nn.Identity()


def _groups(channels: int) -> int:
    """At most 8 groups of equal size, of at least 4 channels, so that one place alone has a variance."""
    return max(
        groups for groups in range(1, 9) if channels % groups == 0 and (groups * 4 <= channels or groups == 1)
    )


def _places(size: tuple[int, int], halvings: int) -> int:
    height, width = (side >> halvings for side in size)
    if not height * width:
        raise RecipeError(
            f"{halvings} blocks halve a picture of {size[0]} × {size[1]} pixels to nothing; "
            f"give fewer channels, or a size of at least {1 << halvings}"
        )
    return height * width


def picture_size(column: Pictures) -> tuple[int, int]:
    """Height and width in pixels of a column's pictures or frames."""
    return column.height, column.width


def places_as_tokens(values: Tensor) -> Tensor:
    """`(N, C, H, W)` → `(N, H · W, C)`, row by row."""
    return values.flatten(2).transpose(1, 2)


def all_real(values: Tensor) -> Tokens:
    """Tokens without padding."""
    return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))
