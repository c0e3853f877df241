"""Pictures: residual networks of 18, 34 and 50 layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field
from torch import Tensor, nn

from sensorium.batch import Raw, Tokens
from sensorium.config import Config
from sensorium.encoders.augment import ImageStem
from sensorium.encoders.image import all_real, picture_size, places_as_tokens
from sensorium.layers import BatchNorm2d, initialise_convolutions

if TYPE_CHECKING:
    from sensorium.encoders.image import Pictures


class _ResNetConfig(Config):
    stem: Literal["standard", "small"] = Field(
        "standard", description="standard quarters the picture first; small keeps it, for up to 64 pixels"
    )
    pool: Literal["tokens", "mean"] = Field("tokens", description="a token a place, or the mean over places")
    dropout: float = Field(0.0, description="share of the output's values dropped in training", ge=0, lt=1)


class ResNet18Config(_ResNetConfig):
    """18 layers, 11.2 million parameters."""

    kind: Literal["resnet18"] = "resnet18"


class ResNet34Config(_ResNetConfig):
    """34 layers, 21.3 million parameters."""

    kind: Literal["resnet34"] = "resnet34"


class ResNet50Config(_ResNetConfig):
    """50 layers, 23.5 million parameters."""

    kind: Literal["resnet50"] = "resnet50"


class _ResNet(nn.Module):
    """Residual network (He et al. 2015, arXiv 1512.03385), without the classifier.

    The places are the picture's size divided by 32, rounded up (by 8 with `stem: small`). In the standard
    stem max-pooling comes before ReLU, which commutes with it.
    """

    def __init__(
        self,
        config: _ResNetConfig,
        column: Pictures,
        block: type[_Basic] | type[_Bottleneck],
        depths: tuple[int, int, int, int],
    ) -> None:
        super().__init__()
        self.stem = ImageStem(column.config.augment)
        self.entry = _standard_entry() if config.stem == "standard" else _small_entry()
        stages: list[nn.Module] = []
        inputs = 64
        for number, depth in enumerate(depths):
            channels = 64 << number
            for place in range(depth):
                stages.append(block(inputs, channels, stride=2 if number and place == 0 else 1))
                inputs = channels * block.expansion
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(config.dropout)
        self.pool = config.pool
        shrinks = 32 if config.stem == "standard" else 8
        height, width = (-(-side // shrinks) for side in picture_size(column))
        self.grid = (height, width) if config.pool == "tokens" else ()
        self.dim = inputs
        initialise_convolutions(self)

    def forward(self, raw: Raw) -> Tokens:
        """`(B, 3, H, W)` uint8 → `(B, places, dim)`, or `(B, 1, dim)` with `pool: mean`."""
        return all_real(self.features(self.stem(raw.values)))

    def features(self, pixels: Tensor) -> Tensor:
        """`(N, 3, H, W)` normalised floats → `(N, L, dim)`."""
        values = places_as_tokens(self.stages(self.entry(pixels)))
        if self.pool == "mean":
            values = values.mean(dim=1, keepdim=True)
        result: Tensor = self.dropout(values)
        return result


class ResNet18(_ResNet):
    """Residual network of 18 layers (He et al. 2015, arXiv 1512.03385); `dim` is 512."""

    Config = ResNet18Config

    def __init__(self, config: ResNet18Config, column: Pictures) -> None:
        super().__init__(config, column, _Basic, (2, 2, 2, 2))


class ResNet34(_ResNet):
    """Residual network of 34 layers (He et al. 2015, arXiv 1512.03385); `dim` is 512."""

    Config = ResNet34Config

    def __init__(self, config: ResNet34Config, column: Pictures) -> None:
        super().__init__(config, column, _Basic, (3, 4, 6, 3))


class ResNet50(_ResNet):
    """Residual network of 50 layers (He et al. 2015, arXiv 1512.03385); `dim` is 2048.

    The stride sits in the 3 × 3 convolution (Goyal et al. 2017, arXiv 1706.02677), as in most published
    weights.
    """

    Config = ResNet50Config

    def __init__(self, config: ResNet50Config, column: Pictures) -> None:
        super().__init__(config, column, _Bottleneck, (3, 4, 6, 3))


class _Basic(nn.Module):
    """Two 3 × 3 convolutions, added to their input."""

    expansion = 1

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            _convolution(inputs, channels, 3, stride),
            nn.ReLU(inplace=True),
            _convolution(channels, channels, 3),
        )
        self.shortcut = _shortcut(inputs, channels, stride)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.activation(self.branch(values) + self.shortcut(values))
        return result


class _Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions, added to their input."""

    expansion = 4

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            _convolution(inputs, channels, 1),
            nn.ReLU(inplace=True),
            _convolution(channels, channels, 3, stride),
            nn.ReLU(inplace=True),
            _convolution(channels, 4 * channels, 1),
        )
        self.shortcut = _shortcut(inputs, 4 * channels, stride)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.activation(self.branch(values) + self.shortcut(values))
        return result


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), BatchNorm2d(outputs)
    )


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The input itself, or a 1 × 1 convolution of it where the shape changes (the paper's option B)."""
    return nn.Identity() if stride == 1 and inputs == outputs else _convolution(inputs, outputs, 1, stride)


def _standard_entry() -> nn.Sequential:
    pool = nn.MaxPool2d(3, stride=2, padding=1)
    return nn.Sequential(_convolution(3, 64, 7, stride=2), pool, nn.ReLU(inplace=True))


def _small_entry() -> nn.Sequential:
    return nn.Sequential(_convolution(3, 64, 3), nn.ReLU(inplace=True))
