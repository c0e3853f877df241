"""Pictures prepared as a checkpoint says, against transformers' own processors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sensorium.data.image import ImageConfig
from sensorium.data.media import Limits, Source
from sensorium.data.pretrained_image import PretrainedImageColumn, fitting_of, normalisation_of
from sensorium.data.resize import Fitting
from sensorium.data.table import read_table
from sensorium.errors import WeightsError
from sensorium.weights import Checkpoint

STAMPS = Path(__file__).parents[2] / "examples" / "stamps" / "data"
CROP = {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}}
MANNERS: dict[str, dict[str, Any]] = {
    "ViTImageProcessor": {"size": {"height": 224, "width": 224}, "resample": 2},
    "CLIPImageProcessor": {"size": {"shortest_edge": 224}, "resample": 3, **CROP},
    "BitImageProcessor": {"size": {"shortest_edge": 256}, "resample": 3, **CROP},
    "ConvNextImageProcessor": {"size": {"shortest_edge": 224}, "resample": 3, "crop_pct": 0.875},
    "EfficientNetImageProcessor": {
        "size": {"height": 96, "width": 96},
        "resample": 0,
        "include_top": True,
        "rescale_offset": True,
    },
    "SiglipImageProcessor": {"size": {"height": 97, "width": 97}, "resample": 3},
}
"""transformers' processors → what their files say, besides the normalisation."""


def said(name: str) -> dict[str, Any]:
    """A preprocessor_config.json."""
    common = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
    light = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
    return {"image_processor_type": name, **common, **light, **MANNERS[name]}


def column(processor: dict[str, Any], **options: Any) -> PretrainedImageColumn:
    """A column for a checkpoint whose processor says this."""
    made = PretrainedImageColumn(ImageConfig(**options), "made", Path())
    made.checkpoint = Checkpoint("made", {}, processor)
    return made


def stamps() -> list[Image.Image]:
    """Real pictures on white, of many shapes."""
    table = read_table(STAMPS / "test-00000.parquet")
    pictures = []
    for row in range(0, 60, 5):
        with Image.open(io.BytesIO(table.cell("image", row))) as picture:
            clear = picture.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        pictures.append(Image.alpha_composite(white, clear).convert("RGB"))
    return pictures


def encoded(picture: Image.Image, form: str) -> bytes:
    """A picture as a file's content."""
    stream = io.BytesIO()
    picture.save(stream, form, **({"quality": 95} if form == "JPEG" else {}))
    return stream.getvalue()


def prepared(own: PretrainedImageColumn, content: bytes) -> Any:
    """What the encoder makes of a picture: decoded, and normalised."""
    factor, mean, deviation = normalisation_of(own.checkpoint)
    pixels = own.decode(Source(content, "", Limits())).astype(np.float64)
    return (pixels * factor - np.reshape(mean, (3, 1, 1))) / np.reshape(deviation, (3, 1, 1))


@pytest.mark.parametrize("name", MANNERS)
@pytest.mark.parametrize(("form", "tolerance"), [("PNG", 0.02), ("JPEG", 3.0)])
def test_pictures_are_prepared_as_transformers_does(name: str, form: str, tolerance: float) -> None:
    """Mean difference over all pixels in grey levels, of 255, over real pictures."""
    transformers = pytest.importorskip("transformers")
    processor = getattr(transformers, f"{name}Pil")(**said(name))
    own = column(said(name))
    _, _, deviation = normalisation_of(own.checkpoint)
    differences = []
    for picture in stamps():
        content = encoded(picture, form)
        with Image.open(io.BytesIO(content)) as read:
            theirs = processor(read.convert("RGB"), return_tensors="np")["pixel_values"][0]
        ours = prepared(own, content)
        assert ours.shape == theirs.shape
        differences.append(255 * np.abs((ours - theirs) * np.reshape(deviation, (3, 1, 1))).mean())

    assert np.mean(differences) < tolerance


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({"size": 224, "do_center_crop": True, "crop_size": 224, "resample": 3}, (224, 224, "crop", 224)),
        ({"size": 384, "resample": 2}, (384, 384, "stretch", None)),
        ({"size": {"shortest_edge": 384}, "crop_pct": 1.0, "resample": 3}, (384, 384, "stretch", None)),
        ({"size": {"shortest_edge": 288}, "crop_pct": 0.95, "resample": 3}, (288, 288, "crop", 303)),
        ({"size": {"shortest_edge": 64}, "resample": 3}, (64, 64, "crop", 64)),
        ({"patch_size": 16, "max_num_patches": 256, "resample": 2}, (256, 256, "stretch", None)),
    ],
)
def test_every_way_to_say_a_size_is_read(processor: dict[str, Any], expected: tuple[Any, ...]) -> None:
    found = fitting_of(Checkpoint("made", {}, processor), None, None)
    assert (found.height, found.width, found.resize, found.shorter) == expected
    assert found.resample == processor["resample"]


def test_the_recipe_goes_before_the_checkpoint() -> None:
    cuts = said("BitImageProcessor")
    bicubic = Image.Resampling.BICUBIC
    assert column(cuts).fitting == Fitting(224, 224, "crop", bicubic, 256)
    assert column(cuts, size=112).fitting == Fitting(112, 112, "crop", bicubic, 128)
    assert column(cuts, resize="pad").fitting == Fitting(224, 224, "pad", bicubic)
    keys = {column(cuts, **options).cache_key() for options in ({}, {"size": 112}, {"resize": "pad"})} | {
        column({**cuts, "resample": 2}).cache_key(),
        column({**cuts, "size": {"shortest_edge": 300}}).cache_key(),
    }
    assert len(keys) == 5


def test_the_middle_is_cut_at_whole_pixels() -> None:
    """300 × 200 is scaled to 150 × 100; the 50 × 50 from (50, 25) on stay: from (100, 50) of the picture."""
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[50:150, 100:200] = 255
    processor = {"size": {"shortest_edge": 100}, "do_center_crop": True, "crop_size": 50, "resample": 4}
    decoded = column(processor).decode(Source(encoded(Image.fromarray(pixels), "PNG"), "", Limits()))
    assert decoded.shape == (3, 50, 50)
    assert (decoded == 255).all()


@pytest.mark.parametrize(
    ("processor", "words"),
    [
        ({}, "preprocessor_config.json is missing"),
        ({"size": {"longest_edge": 3}}, "says size in no way"),
        ({"size": {"height": 9, "width": 9}, "do_center_crop": True, "crop_size": 7}, "says crop_size"),
    ],
)
def test_what_is_not_said_is_one_line(processor: dict[str, Any], words: str) -> None:
    with pytest.raises(WeightsError, match=words) as caught:
        _ = column(processor).fitting
    assert "\n" not in str(caught.value)


def test_pixels_without_a_mean_are_refused() -> None:
    with pytest.raises(WeightsError, match="image_mean"):
        normalisation_of(Checkpoint("made", {}, {"size": 8, "image_std": [1, 1, 1]}))
