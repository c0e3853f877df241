"""EfficientNet-Lite0, which transformers does not have: EfficientNet for small machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

HEAD_CHANNELS = 1280
_STEM_CHANNELS = 32
_NORM_EPSILON = 1e-3  # TensorFlow's, with which the weights were trained


class _Stage(NamedTuple):
    """Blocks of one size: how many, side of the filter, stride of the first, expansion, channels out."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class Answer(NamedTuple):
    """As transformers' models answer.

    Attributes:
        last_hidden_state: `(N, 1280, H / 32, W / 32)`, sides rounded up.
        pooler_output: `(N, 1280)`, the mean over places.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor


class EfficientNetLite(nn.Module):
    """Inverted residual blocks of depthwise convolutions (Tan & Le 2019, arXiv 1905.11946), as Lite0.

    Against EfficientNet-B0, the blocks have no squeeze-excitation and ReLU6 takes the place of swish, so that
    all of it runs in whole numbers or 16 bits on a small machine. 4.6 million parameters with ImageNet's
    classifier, which is not part of this; a place is 32 pixels wide.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, _STEM_CHANNELS, kernel=3, stride=2)
        blocks = []
        inputs = _STEM_CHANNELS
        for stage in _STAGES:
            for number in range(stage.blocks):
                stride = stage.stride if number == 0 else 1
                blocks.append(Block(inputs, stage.channels, stage.kernel, stride, stage.expansion))
                inputs = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = Convolution(inputs, HEAD_CHANNELS, kernel=1)

    def forward(self, pixel_values: Tensor) -> Answer:
        """`(N, 3, H, W)` normalised → places and their mean."""
        values = functional.relu6(self.stem(pixel_values), inplace=True)
        places = functional.relu6(self.head(self.blocks(values)), inplace=True)
        return Answer(places, places.mean(dim=(2, 3)))

    def fold(self) -> None:
        """Puts every batch normalisation into its convolution, for weights that no longer change."""
        for module in self.modules():
            if isinstance(module, Convolution):
                module.fold()


class Block(nn.Module):
    """Widens, filters each channel by itself, narrows; added to the input where the shape is kept."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expand = Convolution(inputs, middle, kernel=1) if expansion > 1 else None
        self.depthwise = Convolution(middle, middle, kernel, stride, groups=middle)
        self.project = Convolution(middle, outputs, kernel=1)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, values: Tensor) -> Tensor:
        wide = values if self.expand is None else functional.relu6(self.expand(values), inplace=True)
        wide = functional.relu6(self.depthwise(wide), inplace=True)
        narrow: Tensor = self.project(wide)
        return narrow + values if self.adds else narrow


class Convolution(nn.Module):
    """A convolution and its batch normalisation, padded as TensorFlow does.

    TensorFlow's "same" gives a picture of even sides the odd row and column of padding below and to the
    right, where torch would put them above and to the left: with a stride of 2, every filter looks elsewhere.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=_NORM_EPSILON)

    def forward(self, values: Tensor) -> Tensor:
        if self.convolution.stride[0] > 1:
            values = functional.pad(values, self._padding(values))
        result: Tensor = self.norm(self.convolution(values))
        return result

    def fold(self) -> None:
        """One convolution with a bias that gives the same."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.convolution = fuse_conv_bn_eval(self.convolution.eval(), self.norm.eval())
            self.norm = nn.Identity()

    def _padding(self, values: Tensor) -> tuple[int, int, int, int]:
        """Left, right, top, bottom."""
        kernel, stride = self.convolution.kernel_size[0], self.convolution.stride[0]
        down, across = (
            max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in values.shape[2:]
        )
        return across // 2, across - across // 2, down // 2, down - down // 2


def our_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The packaged weights under the names of this module; ImageNet's classifier is left out."""
    return {_our_name(name): weight for name, weight in weights.items() if not name.startswith("_fc.")}


def _our_name(name: str) -> str:
    part, rest = name.rsplit(".", 1)
    block, _, layer = part.rpartition(".")
    return f"{block.removeprefix('_')}.{_LAYERS[bool(block)][layer]}.{rest}".removeprefix(".")


_LAYERS = (
    {
        "_conv_stem": "stem.convolution",
        "_bn0": "stem.norm",
        "_conv_head": "head.convolution",
        "_bn1": "head.norm",
    },
    {
        "_expand_conv": "expand.convolution",
        "_bn0": "expand.norm",
        "_depthwise_conv": "depthwise.convolution",
        "_bn1": "depthwise.norm",
        "_project_conv": "project.convolution",
        "_bn2": "project.norm",
    },
)
"""Name of a layer in the package → here: outside of the blocks, and in them."""
