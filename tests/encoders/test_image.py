"""Picture encoders: sizes from the papers, the classic tutorial networks, and pooling before ReLU."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from sensorium.batch import Raw
from sensorium.encoders import ENCODERS
from sensorium.encoders.image import CNNImage, ViTImage
from sensorium.encoders.resnet import ResNet18, ResNet34, ResNet50
from sensorium.errors import RecipeError


def column(size: int | list[int]) -> Any:
    """A column of pictures of this size, without augmentation."""
    height, width = (size, size) if isinstance(size, int) else size
    return SimpleNamespace(height=height, width=width, config=SimpleNamespace(augment=None))


def pictures(height: int, width: int) -> Raw:
    """Two random pictures."""
    return Raw(
        torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8), torch.ones(2, 1, dtype=torch.bool)
    )


def parameters(module: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in module.parameters())


def test_pooling_and_relu_commute() -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 3, 8, 8)

    assert torch.equal(nn.MaxPool2d(2)(values).relu(), nn.MaxPool2d(2)(values.relu()))
    pool = nn.MaxPool2d(3, stride=2, padding=1)
    assert torch.equal(pool(values).relu(), pool(values.relu()))


def test_a_block_equals_the_textbooks_order() -> None:
    torch.manual_seed(0)
    encoder = CNNImage(
        CNNImage.Config(channels=[4], norm="none", pool="tokens", dense=None, dropout=0.0), column(8)
    )
    pixels = torch.randn(2, 3, 8, 8)
    convolution = encoder.blocks[0][0]

    expected = nn.functional.max_pool2d(convolution(pixels).relu(), 2).flatten(2).transpose(1, 2)

    torch.testing.assert_close(encoder.features(pixels), expected)


def test_the_first_network_of_every_course() -> None:
    config = CNNImage.Config(channels=[32], norm="none", pool="flatten", dense=128)
    encoder = CNNImage(config, column(28))

    assert parameters(encoder) == (3 * 9 * 32 + 32) + (14 * 14 * 32 * 128 + 128)
    assert encoder(pictures(28, 28)).values.shape == (2, 1, 128)


def test_three_blocks_and_a_wide_dense_layer() -> None:
    config = CNNImage.Config(channels=[64, 128, 256], norm="none", pool="flatten", dense=1024, dropout=0.5)
    encoder = CNNImage(config, column(32))

    assert parameters(encoder) == sum(
        (3 * 9 * 64 + 64, 64 * 9 * 128 + 128, 128 * 9 * 256 + 256, 4 * 4 * 256 * 1024 + 1024)
    )
    assert encoder.dim == 1024
    assert encoder.dropout.p == 0.5


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize(
    ("pool", "shape"), [("tokens", (2, 6, 10)), ("mean", (2, 1, 10)), ("flatten", (2, 1, 60))]
)
def test_every_norm_and_pool_on_an_oblong_picture(norm: str, pool: str, shape: tuple[int, ...]) -> None:
    encoder = CNNImage(CNNImage.Config(channels=[6, 10], norm=norm, pool=pool, dense=None), column([9, 12]))

    tokens = encoder(pictures(9, 12))

    assert tokens.values.shape == shape
    assert encoder.dim == shape[2]


def test_places_are_told_row_by_row() -> None:
    encoder = CNNImage(
        CNNImage.Config(channels=[2], norm="none", pool="tokens", dense=None), column([4, 6])
    ).eval()
    pixels = torch.zeros(1, 3, 4, 6)
    pixels[:, :, 2:, 4:] = 1.0  # the last place of the second row of 2 × 3

    changed = (encoder.features(pixels) - encoder.features(torch.zeros(1, 3, 4, 6))).abs().sum(dim=2)[0]

    assert changed.argmax().item() == 5
    assert changed[0].item() == 0


def test_too_many_blocks_are_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"4 blocks halve a picture of 8 × 32 pixels to nothing.*at least 16"
    ):
        CNNImage(CNNImage.Config(channels=[4, 4, 4, 4]), column([8, 32]))


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be odd"):
        CNNImage.Config(kernel=4)


@pytest.mark.parametrize(
    ("network", "count", "dim"),
    [(ResNet18, 11_176_512, 512), (ResNet34, 21_284_672, 512), (ResNet50, 23_508_032, 2048)],
)
def test_residual_networks_have_the_published_size(network: Any, count: int, dim: int) -> None:
    with torch.device("meta"):
        encoder = network(network.Config(), column(224))

    assert parameters(encoder) == count
    assert encoder.dim == dim
    with torch.device("meta"):
        assert encoder.eval().features(torch.empty(1, 3, 224, 224)).shape == (1, 49, dim)
        assert encoder.features(torch.empty(1, 3, 70, 100)).shape == (1, 3 * 4, dim)


def test_the_small_stem_keeps_small_pictures() -> None:
    encoder = ResNet18(ResNet18.Config(stem="small", pool="mean"), column(16)).eval()

    assert encoder.stages(encoder.entry(torch.randn(1, 3, 16, 16))).shape == (1, 512, 2, 2)
    assert encoder(pictures(16, 16)).values.shape == (2, 1, 512)


def test_patches_are_squares_of_the_picture() -> None:
    torch.manual_seed(0)
    encoder = ViTImage(ViTImage.Config(patch=4, width=6, heads=1, depth=1), column([8, 12])).eval()
    encoder.transformer = nn.Identity()
    pixels = torch.randn(1, 3, 8, 12)

    values = encoder.features(pixels)

    fourth = pixels[:, :, 4:8, 0:4].reshape(1, -1)  # second row, first column
    torch.testing.assert_close(values[:, 3], encoder.embedding(fourth) + encoder.positions[3])


def test_a_vision_transformer_of_default_size() -> None:
    encoder = ViTImage(ViTImage.Config(pool="mean"), column(64))

    block = 12 * 192 * 192 + 13 * 192
    assert parameters(encoder) == (768 * 192 + 192) + 16 * 192 + 6 * block + 2 * 192
    assert encoder(pictures(64, 64)).values.shape == (2, 1, 192)


def test_a_size_that_patches_do_not_fill_is_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"100 × 100 is not a multiple of the patch, 16 pixels: .* such as 96"
    ):
        ViTImage(ViTImage.Config(), column(100))


@pytest.mark.parametrize(
    ("kind", "options", "size", "grid"),
    [
        ("cnn", {"channels": [4, 8], "pool": "tokens"}, [20, 33], (5, 8)),
        ("cnn", {"channels": [4, 8], "pool": "mean"}, [32, 32], ()),
        ("resnet18", {}, [64, 97], (2, 4)),
        ("resnet18", {"stem": "small"}, [30, 16], (4, 2)),
        ("vit", {"patch": 8, "width": 16, "depth": 1, "heads": 2}, [16, 24], (2, 3)),
    ],
)
def test_grid_is_the_height_and_width_of_the_tokens(
    kind: str, options: dict[str, Any], size: list[int], grid: tuple[int, ...]
) -> None:
    encoder = ENCODERS["image"][kind]
    made = encoder(encoder.Config(**options), column(size)).eval()
    tokens = made(pictures(*size))
    assert made.grid == grid
    assert tokens.values.shape[1] == (math.prod(grid) if grid else 1)


def test_the_dense_layer_outlives_a_step_that_is_too_large() -> None:
    """Every weight pushed down by the same amount, as an optimizer's first steps do, leaves no dead layer."""
    encoder = CNNImage(CNNImage.Config(channels=[4], dropout=0.0), column(32)).eval()
    with torch.no_grad():
        encoder.dense[0].weight -= 1.0

    assert (encoder(pictures(32, 32)).values > 0).any()
