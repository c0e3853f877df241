"""Blocks in oneDNN's own layout: the same numbers as the ordinary blocks, to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sensorium.data.image import ImageColumn, ImageConfig
from sensorium.encoders import image
from sensorium.encoders.image import CNNImage, CNNImageConfig

PICTURES = torch.zeros(1, 3, 8, 8)


def _encoder(size: tuple[int, int], channels: list[int], kernel: int) -> CNNImage:
    torch.manual_seed(0)
    config = CNNImageConfig(
        channels=channels, kernel=kernel, norm="none", pool="tokens", dense=None, dropout=0
    )
    return CNNImage(config, ImageColumn(ImageConfig(size=size)))


def _features_and_gradients(encoder: CNNImage, pixels: Tensor) -> list[Tensor]:
    encoder.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder.features(pixels)
    features.float().square().mean().backward()
    return [features.detach(), *(part.grad.clone() for part in encoder.parameters() if part.grad is not None)]


def _bf16_is_fast() -> bool:
    with torch.autocast("cpu", torch.bfloat16):
        return image._onednn_is_fast(PICTURES)


@pytest.mark.skipif(not _bf16_is_fast(), reason="this CPU does not multiply bf16 in hardware")
@pytest.mark.parametrize(
    ("size", "channels", "kernel", "rows"),
    [((32, 32), [16, 32], 3, 4), ((45, 37), [8, 12, 20], 3, 3), ((17, 16), [5, 7], 5, 1)],
    ids=["even", "odd", "one-row"],
)
def test_same_features_and_gradients_to_the_last_bit(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], channels: list[int], kernel: int, rows: int
) -> None:
    encoder = _encoder(size, channels, kernel)
    pixels = torch.randn(rows, 3, *size).contiguous(memory_format=torch.channels_last)
    fast = _features_and_gradients(encoder, pixels)
    monkeypatch.setattr(image, "_onednn_is_fast", lambda _: False)
    ordinary = _features_and_gradients(encoder, pixels)
    assert len(fast) == 1 + 2 * len(channels)
    assert all(torch.equal(own, other) for own, other in zip(fast, ordinary, strict=True))


def test_chosen_only_under_bf16_autocast() -> None:
    assert not image._onednn_is_fast(PICTURES)
    with torch.autocast("cpu", torch.float16):
        assert not image._onednn_is_fast(PICTURES)
    with torch.autocast("cpu", torch.bfloat16):
        assert not image._onednn_is_fast(PICTURES.to("meta"))
