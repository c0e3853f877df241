"""Normalisation and augmentation of pictures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sensorium.encoders.augment import DEVIATION, MEAN, ImageStem, _erase, _light, _move

NOTHING = {
    "flip": False,
    "shift": 0.0,
    "scale": 0.0,
    "rotate": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "erase": 0.0,
}


def augment(**settings: float) -> Any:
    """Only these changes."""
    return SimpleNamespace(**{**NOTHING, **settings})


def draws(**values: float) -> Tensor:
    """The five draws of `_move` for one picture; 0.5 is no change."""
    order = ("flip", "rotation", "scale", "across", "down")
    return torch.tensor([[values.get(name, 0.5) for name in order]])


def picture(height: int = 6, width: int = 6) -> Tensor:
    """One picture whose pixels all differ."""
    return torch.arange(3.0 * height * width).view(1, 3, height, width)


def test_pixels_are_normalised_by_imagenets_mean_and_deviation() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)

    values = ImageStem(None)(pixels).flatten().tolist()

    assert values == pytest.approx(
        [(0 - MEAN[0]) / DEVIATION[0], (0.2 - MEAN[1]) / DEVIATION[1], (1 - MEAN[2]) / DEVIATION[2]], abs=1e-5
    )


def test_the_result_is_in_channels_last_order() -> None:
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)

    for stem in (ImageStem(None), ImageStem(augment(rotate=10.0)), ImageStem(augment(erase=1.0))):
        assert stem(pixels).is_contiguous(memory_format=torch.channels_last)


def test_augmentation_of_no_strength_changes_nothing() -> None:
    pixels = torch.randint(0, 256, (4, 3, 8, 12), dtype=torch.uint8)

    torch.testing.assert_close(ImageStem(augment())(pixels), ImageStem(None)(pixels), atol=1e-5, rtol=0)


def test_the_middle_of_every_range_changes_nothing() -> None:
    everything = augment(shift=0.3, scale=0.5, rotate=90.0)

    torch.testing.assert_close(_move(everything, picture(4, 8), draws()), picture(4, 8), atol=1e-3, rtol=0)


def test_in_use_pictures_are_not_augmented() -> None:
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    strong = augment(flip=True, shift=0.5, rotate=90.0, brightness=1.0, erase=1.0)

    assert torch.equal(ImageStem(strong).eval()(pixels), ImageStem(None)(pixels))


def test_a_flip_mirrors_left_and_right() -> None:
    moved = _move(augment(flip=True), picture(), draws(flip=0.1))

    torch.testing.assert_close(moved, picture().flip(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        _move(augment(flip=True), picture(), draws(flip=0.9)), picture(), atol=1e-3, rtol=0
    )


def test_half_a_turn_of_an_oblong_picture() -> None:
    moved = _move(augment(rotate=180.0), picture(4, 8), draws(rotation=1.0))

    torch.testing.assert_close(moved, picture(4, 8).flip(2, 3), atol=1e-3, rtol=0)


def test_a_quarter_turn_of_a_square_picture() -> None:
    moved = _move(augment(rotate=90.0), picture(), draws(rotation=1.0))

    torch.testing.assert_close(moved, picture().rot90(1, (2, 3)), atol=1e-3, rtol=0)


def test_a_quarter_turn_keeps_the_shapes_of_an_oblong_picture() -> None:
    block = torch.zeros(1, 1, 8, 16)
    block[:, :, 3:5, 5:11] = 1.0  # 2 high, 6 wide, in the middle

    moved = _move(augment(rotate=90.0), block, draws(rotation=1.0))

    expected = torch.zeros(1, 1, 8, 16)
    expected[:, :, 1:7, 7:9] = 1.0
    inside = slice(4, 12)  # beyond it the border is mirrored
    torch.testing.assert_close(moved[..., inside], expected[..., inside], atol=1e-3, rtol=0)


def test_a_shift_by_half_moves_and_mirrors_the_border() -> None:
    moved = _move(augment(shift=0.5), picture(), draws(across=1.0))

    torch.testing.assert_close(moved[..., :3], picture()[..., 3:], atol=1e-3, rtol=0)
    torch.testing.assert_close(moved[..., 3:], picture()[..., 3:].flip(3), atol=1e-3, rtol=0)


def test_light_turns_about_mid_grey() -> None:
    gain, offset = _light(augment(contrast=0.2, brightness=0.1), torch.tensor([[1.0, 0.0]]))

    assert gain.item() == pytest.approx(1.2)
    assert (0.5 * gain + offset).item() == pytest.approx(0.5 - 0.1)


def test_light_reaches_the_pixels_in_units_of_white() -> None:
    torch.manual_seed(0)
    pixels = torch.full((8, 3, 2, 2), 100, dtype=torch.uint8)
    stem = ImageStem(augment(brightness=0.3))

    change = (stem(pixels) - ImageStem(None)(pixels)) * torch.tensor(DEVIATION).view(1, 3, 1, 1)

    per_picture = change[:, :1, :1, :1]
    torch.testing.assert_close(change, per_picture.expand_as(change), atol=1e-5, rtol=0)
    assert change.abs().max() <= 0.3
    assert change.std() > 0.05


def test_erasing_blanks_one_rectangle_of_the_promised_size() -> None:
    torch.manual_seed(0)
    values = torch.ones(50, 3, 20, 40)

    erased = _erase(augment(erase=0.5), values, torch.rand(50, 4))

    hole = erased[:, 0] == 0
    assert 10 < int(hole.flatten(1).any(dim=1).sum()) < 40
    for one in hole[hole.flatten(1).any(dim=1)]:
        height, width = int(one.any(dim=1).sum()), int(one.any(dim=0).sum())
        assert int(one.sum()) == height * width
        assert 3 <= height <= 11
        assert 7 <= width <= 21
    assert torch.equal(erased[:, 0], erased[:, 2])


def test_frames_of_a_clip_are_augmented_alike() -> None:
    torch.manual_seed(0)
    frame = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    stem = ImageStem(augment(flip=True, shift=0.2, rotate=20.0, brightness=0.3, erase=0.5))

    values = stem(frame.expand(4, -1, -1, -1), torch.tensor([0, 0, 1, 1]))

    assert torch.equal(values[0], values[1])
    assert torch.equal(values[2], values[3])
    assert not torch.equal(values[0], values[2])
