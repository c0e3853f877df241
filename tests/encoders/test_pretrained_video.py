"""Pretrained models of videos: VideoMAE against transformers, and models of pictures frame by frame."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sensorium.batch import Raw
from sensorium.data.image import ImageConfig
from sensorium.data.media import Limits, Source
from sensorium.data.pretrained_image import PretrainedImageColumn
from sensorium.data.pretrained_video import PretrainedVideoColumn
from sensorium.data.video import VideoConfig
from sensorium.encoders.pretrained.image import PretrainedImage, PretrainedImageConfig
from sensorium.encoders.pretrained.video import PretrainedVideo, PretrainedVideoConfig
from sensorium.errors import RecipeError, WeightsError
from tests.made import video
from tests.made_checkpoints import PROCESSORS, made_checkpoint, save_and_load

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Architecture → the folder of its tiny checkpoint."""
    base = tmp_path_factory.mktemp("checkpoints")
    return cache(lambda architecture: made_checkpoint(base / architecture, architecture))


def encoder(folder: Path, read_as: dict[str, Any] | None = None, **options: Any) -> PretrainedVideo:
    """An encoder in use, with the weights of a folder."""
    column = PretrainedVideoColumn(VideoConfig(**(read_as or {})), str(folder), Path())
    return PretrainedVideo(PretrainedVideoConfig(weights=str(folder), **options), column).eval()


def clips(frames: int, *counts: int) -> Raw:
    """Random clips of 32 × 32 pixels with so many real frames each; the others are rubbish."""
    generator = torch.Generator().manual_seed(0)
    shape = (len(counts), frames, 3, 32, 32)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Raw(pixels, torch.arange(frames) < torch.tensor(counts).unsqueeze(1))


def test_videomae_gives_what_transformers_gives_of_a_real_file(made: Any) -> None:
    """Decoded once for both; preparation, weights and pooling: 0.02 of the vectors' size."""
    folder = made("videomae")
    column = PretrainedVideoColumn(VideoConfig(), str(folder), Path())
    clip = column.decode(Source(video(1, frames=8, size=32), "", Limits()))
    cells = column.collate([clip])
    own = encoder(folder)
    tokens = encoder(folder, pool="tokens")
    settings = {key: value for key, value in PROCESSORS["videomae"].items() if key != "image_processor_type"}
    processor = transformers.VideoMAEImageProcessorPil(**settings)
    inputs = processor([list(clip)], return_tensors="pt")
    with torch.no_grad():
        theirs = transformers.AutoModel.from_pretrained(folder).eval()(**inputs).last_hidden_state

    raw = Raw(torch.from_numpy(cells.values), torch.from_numpy(cells.mask))

    assert clip.shape == (4, 3, 32, 32)
    assert tokens(raw).values.shape == (1, 2 * 16, tokens.dim)
    torch.testing.assert_close(tokens(raw).values, theirs, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(own(raw).values[:, 0], theirs.mean(dim=1), atol=2e-3, rtol=1e-3)


def test_videomae_shows_frames_of_a_short_clip_again(made: Any) -> None:
    own = encoder(made("videomae"))
    short = clips(4, 2)
    doubled = Raw(short.values[:, [0, 0, 1, 1]], torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(own(short).values, own(doubled).values)


def test_frames_are_seen_as_pictures(made: Any) -> None:
    folder = made("clip")
    raw = clips(5, 5, 2)
    own = encoder(folder, {"frames": 5})
    column = PretrainedImageColumn(ImageConfig(), str(folder), Path())
    image = PretrainedImage(PretrainedImageConfig(weights=str(folder)), column).eval()

    features = own.features(raw)

    assert features.values.shape == (2, 5, 24)
    for clip, count in enumerate((5, 2)):
        alone = image(Raw(raw.values[clip, :count], torch.ones(count, 1, dtype=torch.bool))).values[:, 0]
        torch.testing.assert_close(features.values[clip, :count], alone, atol=1e-4, rtol=1e-4)
    assert not features.values[1, 2:].any()
    assert torch.equal(own(Raw(features.values, features.mask)).values, own(raw).values)


@pytest.mark.parametrize(
    ("time", "length", "dim"), [("mean", 1, 32), ("lstm", 5, 12), ("transformer", 5, 32)]
)
def test_what_joins_the_frames_is_trained(time: str, length: int, dim: int, made: Any) -> None:
    own = encoder(made("resnet"), {"frames": 5}, time=time, hidden=6, heads=4).train()
    tokens = own(clips(5, 5, 2))
    trained = {name: value for name, value in own.named_parameters() if value.requires_grad}

    assert tokens.values.shape == (2, length, dim)
    assert own.dim == dim
    assert all(not name.startswith("backbone") for name in trained)
    assert bool(trained) == (time != "mean")
    if trained:
        tokens.values[tokens.mask].square().sum().backward()
        gradients: list[Tensor | None] = [value.grad for value in trained.values()]
        assert all(gradient is not None and gradient.any() for gradient in gradients)


@pytest.mark.parametrize("architecture", ["videomae", "vit"])
def test_a_saved_model_needs_no_folder(architecture: str, made: Any, tmp_path: Path) -> None:
    folder = made(architecture)
    own, raw = encoder(folder), clips(8, 8, 3)
    column = PretrainedVideoColumn(VideoConfig(), str(folder), Path())
    again_column = PretrainedVideoColumn(VideoConfig(), "nowhere", Path())
    save_and_load(column, again_column, tmp_path)
    trained, expected, key = own.state_dict(), own.eval()(raw).values, own.feature_key()
    del own  # with its backbone, which would be shared
    again = PretrainedVideo(PretrainedVideoConfig(weights="nowhere"), again_column)
    again.load_state_dict(trained)

    assert torch.equal(again.eval()(raw).values, expected)
    assert again_column.frames == (4 if architecture == "videomae" else 8)
    assert again.feature_key() == key


def test_the_column_reads_as_the_checkpoint_says(made: Any) -> None:
    column = PretrainedVideoColumn(VideoConfig(), str(made("videomae")), Path())
    assert (column.frames, column.height, column.width) == (4, 32, 32)
    decoded = column.decode(Source(video(2, frames=6, size=40), "", Limits()))
    assert decoded.shape == (4, 3, 32, 32)
    assert decoded.dtype == np.uint8
    other = PretrainedVideoColumn(VideoConfig(frames=3), str(made("videomae")), Path())
    assert other.frames == 3
    assert other.cache_key() != column.cache_key()


def test_what_does_not_suit_is_one_line(made: Any) -> None:
    with pytest.raises(RecipeError, match="32 × 32 pixels alone"):
        encoder(made("videomae"), {"size": 64})
    with pytest.raises(RecipeError, match="pool: tokens is for VideoMAE"):
        encoder(made("vit"), pool="tokens")
    with pytest.raises(
        WeightsError, match=r"a checkpoint of text \(model_type bert\), not of video; name one"
    ):
        encoder(made("bert"))
