"""Video encoders: which frames are looked at, and every way to join them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from sensorium.batch import Raw
from sensorium.encoders.video import IMAGES, FramesVideo
from sensorium.errors import RecipeError

SMALL = {"kind": "cnn", "channels": [4, 6], "pool": "mean", "dense": None, "dropout": 0.0}
MASK = torch.tensor([[True, True, True], [True, False, False]])


def column(size: int = 8) -> Any:
    """A column of clips of this size, without augmentation."""
    return SimpleNamespace(height=size, width=size, config=SimpleNamespace(augment=None))


def clips(size: int = 8) -> Raw:
    """A clip of three frames and one of a single frame."""
    return Raw(torch.randint(0, 256, (2, 3, 3, size, size), dtype=torch.uint8), MASK)


def test_only_real_frames_are_looked_at() -> None:
    encoder = FramesVideo(FramesVideo.Config(image=SMALL), column())
    seen: list[int] = []
    encoder.image.blocks.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))

    encoder(clips())

    assert seen == [4]


@pytest.mark.parametrize(("time", "tokens", "dim"), [("mean", 1, 6), ("lstm", 3, 10), ("transformer", 3, 6)])
def test_every_way_to_join_frames(time: str, tokens: int, dim: int) -> None:
    encoder = FramesVideo(FramesVideo.Config(image=SMALL, time=time, hidden=5, heads=2), column())

    result = encoder(clips())

    assert result.values.shape == (2, tokens, dim)
    assert encoder.dim == dim
    assert result.mask.tolist() == (MASK.tolist() if tokens == 3 else [[True], [True]])
    result.values.sum().backward()


def test_the_mean_is_that_of_the_frames_as_pictures() -> None:
    torch.manual_seed(0)
    encoder = FramesVideo(FramesVideo.Config(image=SMALL, time="mean"), column()).eval()
    raw = clips()

    pictures = encoder.image(Raw(raw.values[0], torch.ones(3, 1, dtype=torch.bool))).values[:, 0]

    result = encoder(raw).values
    torch.testing.assert_close(result[0, 0], pictures.mean(dim=0))


@pytest.mark.parametrize("time", ["lstm", "transformer"])
def test_the_order_of_frames_is_seen(time: str) -> None:
    torch.manual_seed(0)
    encoder = FramesVideo(FramesVideo.Config(image=SMALL, time=time, heads=2), column()).eval()
    raw = Raw(clips().values[:1], MASK[:1])

    ahead, back = encoder(raw).values, encoder(Raw(raw.values.flip(1), raw.mask)).values

    assert (ahead.mean(dim=1) - back.mean(dim=1)).abs().max() > 1e-4


@pytest.mark.parametrize("kind", sorted(IMAGES))
def test_every_picture_encoder_can_look_at_frames(kind: str) -> None:
    encoder = FramesVideo(FramesVideo.Config(image={"kind": kind}, time="mean"), column(32)).eval()

    with torch.no_grad():
        result = encoder(clips(32))

    assert result.values.shape == (2, 1, encoder.dim)
    assert result.values.isfinite().all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        FramesVideo.Config(image={"kind": "crystal ball"})
    with pytest.raises(
        RecipeError, match=r"time: transformer .* width 6 must be even and a multiple of heads \(4\)"
    ):
        FramesVideo(FramesVideo.Config(image=SMALL, time="transformer"), column())


def test_changes_do_not_see_what_stands_still() -> None:
    torch.manual_seed(0)
    encoder = FramesVideo(FramesVideo.Config(see="changes", time="mean", image=SMALL), column()).eval()
    still = torch.randint(0, 256, (2, 1, 3, 8, 8), dtype=torch.uint8).expand(2, 4, 3, 8, 8).clone()
    moving = still.clone()
    moving[:, 2] = 255 - moving[:, 2]
    mask = torch.ones(2, 4, dtype=torch.bool)

    seen = encoder(Raw(still, mask)).values

    # Two different still clips look the same, also where one clip's last frame meets the next one's first.
    assert torch.allclose(seen[0], seen[1])
    assert not torch.allclose(seen, encoder(Raw(moving, mask)).values)


def test_both_is_twice_as_wide() -> None:
    config = FramesVideo.Config(see="both", time="mean", image=SMALL)

    assert FramesVideo(config, column()).dim == 12
