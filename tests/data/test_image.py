import io
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydantic import ValidationError

from sensorium.data.column import Array, Profile
from sensorium.data.image import AugmentConfig, ImageColumn, ImageConfig
from sensorium.data.media import Limits, Media, Source
from sensorium.data.picture import exif_orientation
from sensorium.data.resize import scaled_size
from sensorium.errors import CellError

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def decode(content: bytes, limits: Limits | None = None, **options: Any) -> Array:
    return ImageColumn(ImageConfig(**options)).decode(Source(content, "", limits or Limits()))


def quarters(width: int = 80, height: int = 60) -> Image.Image:
    """Red, green above blue, white."""
    picture = Image.new("RGB", (width, height), "red")
    picture.paste("lime", (width // 2, 0, width, height // 2))
    picture.paste("blue", (0, height // 2, width // 2, height))
    picture.paste("white", (width // 2, height // 2, width, height))
    return picture


def corners(decoded: Array) -> list[list[int]]:
    """The colour in the middle of each quarter, in reading order, rounded to multiples of 255."""
    height, width = decoded.shape[1:]
    places = [(down, across) for down in (height // 4, -height // 4) for across in (width // 4, -width // 4)]
    return [[round(value / 255) * 255 for value in decoded[:, down, across]] for down, across in places]


RED, LIME, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format(form: str) -> None:
    decoded = decode(encoded(quarters(), form), size=(30, 40))
    assert (decoded.shape, decoded.dtype) == ((3, 30, 40), np.uint8)
    assert decoded.flags.c_contiguous
    assert corners(decoded) == [RED, LIME, BLUE, WHITE]


def test_reads_files(tmp_path: Path) -> None:
    quarters().save(tmp_path / "a.png")
    quarters().save(tmp_path / "b.jpg", quality=95)
    for name in ("a.png", "b.jpg"):
        decoded = ImageColumn(ImageConfig(size=32)).decode(Media(tmp_path).source(name))
        assert corners(decoded) == [RED, LIME, BLUE, WHITE]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(quarters(320, 200), form, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert (upright.width > upright.height) == (orientation < 5)
    expected = decode(encoded(upright.convert("RGB"), "PNG"), size=(24, 32))
    decoded = decode(content, size=(24, 32))
    assert corners(decoded) == corners(expected)
    assert np.abs(decoded.astype(int) - expected.astype(int)).mean() < 4


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_of_a_hand_made_block(order: str) -> None:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(order + "HHIHH", 0x010F, 3, 1, 7, 0) + struct.pack(
        order + "HHIHH", 0x0112, 3, 1, 6, 0
    )
    block = mark + struct.pack(order + "IH", 8, 2) + entries
    assert exif_orientation(block) == 6
    assert exif_orientation(b"Exif\0\0" + block) == 6
    assert exif_orientation(block.replace(struct.pack(order + "H", 6), struct.pack(order + "H", 9))) == 1
    assert exif_orientation(block[:-14]) == 1
    assert exif_orientation(b"") == 1


@given(st.binary(max_size=60), st.sampled_from([b"", b"II*\0", b"MM\0*", b"Exif\0\0II*\0\x08\0\0\0"]))
def test_a_broken_exif_block_is_ignored(rest: bytes, start: bytes) -> None:
    assert 1 <= exif_orientation(start + rest) <= 8


def test_a_jpeg_with_a_broken_exif_block_is_read_silently() -> None:
    plain = encoded(quarters(), "JPEG", quality=95)
    block = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01"
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    assert corners(decode(plain[:2] + segment + plain[2:], size=32)) == [RED, LIME, BLUE, WHITE]


def test_transparency_is_composed_on_white() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    for form in ("PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if form == "WEBP" else {}
        assert (decode(encoded(clear, form, **options), size=8) == 255).all()
        # 255 · (1 − 128/255) = 127
        assert np.abs(decode(encoded(half, form, **options), size=8).astype(int) - 127).max() <= 1
    grey = Image.new("LA", (8, 8), (0, 0))
    assert (decode(encoded(grey, "PNG"), size=8) == 255).all()


def test_a_palette_with_a_transparent_entry() -> None:
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    picture.paste(2, (0, 0, 4, 8))
    for form in ("GIF", "PNG"):
        decoded = decode(encoded(picture, form, transparency=1), size=8)
        assert decoded[:, 4, 1].tolist() == BLUE
        assert decoded[:, 4, 6].tolist() == WHITE


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [("L", 200, [200] * 3), ("1", 1, WHITE), ("P", None, BLUE), ("CMYK", (0, 255, 255, 0), RED)],
)
def test_modes(mode: str, value: Any, expected: list[int]) -> None:
    picture = (
        Image.new(mode, (16, 16), value)
        if value is not None
        else Image.new("RGB", (16, 16), "blue").convert("P")
    )
    for form in {"L": FORMATS, "1": ["PNG", "TIFF", "BMP"], "P": ["PNG", "GIF", "BMP", "TIFF"]}.get(
        mode, ["JPEG", "TIFF"]
    ):
        decoded = decode(encoded(picture, form), size=4)
        assert np.abs(decoded[:, 2, 2].astype(int) - expected).max() <= 3, form


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    samples = np.array([[0, 257, 32896, 65535]], dtype=np.uint16).repeat(4, axis=0)
    for form in ("PNG", "TIFF"):
        content = encoded(Image.fromarray(samples), form)
        assert Image.open(io.BytesIO(content)).mode.startswith("I;16")
        assert decode(content, size=4)[:, 0].tolist() == [[0, 1, 128, 255]] * 3


def test_samples_of_32_bits_are_refused() -> None:
    with pytest.raises(CellError, match="32 bit samples"):
        decode(encoded(Image.fromarray(np.full((4, 4), 70000, np.int32)), "TIFF"))
    with pytest.raises(CellError, match="floating-point samples"):
        decode(encoded(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF"))


def test_only_the_first_frame_of_a_gif() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(content, size=4)[:, 0, 0].tolist() == RED


def striped(width: int, height: int) -> bytes:
    """Black, then a white middle third, then black, from left to right."""
    picture = Image.new("RGB", (width, height), "black")
    picture.paste("white", (width // 3, 0, 2 * width // 3, height))
    return encoded(picture, "PNG")


def test_crop_keeps_the_middle() -> None:
    decoded = decode(striped(90, 30), size=10)
    assert (decoded[:, :, 1:-1] == 255).all()
    assert decoded.min() > 200  # the filter reaches a little over the edge


def test_stretch_keeps_everything() -> None:
    decoded = decode(striped(90, 30), size=9, resize="stretch")
    assert (decoded[0, 4] > 127).tolist() == [False] * 3 + [True] * 3 + [False] * 3


def test_pad_adds_black_borders() -> None:
    white = encoded(Image.new("RGB", (90, 30), "white"), "PNG")
    decoded = decode(white, size=9, resize="pad")
    assert decoded[0, :, 4].tolist() == [0, 0, 0, 255, 255, 255, 0, 0, 0]


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (1, 1), (7, 5)])
def test_extreme_shapes(resize: str, form: str, size: tuple[int, int]) -> None:
    decoded = decode(encoded(Image.new("RGB", size, "white"), form), size=(20, 30), resize=resize)
    assert decoded.shape == (3, 20, 30)
    assert decoded.max() == 255


@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.integers(1, 500),
    st.integers(1, 500),
)
def test_scaled_size_covers_or_fits(width: int, height: int, to_height: int, to_width: int) -> None:
    across, down = scaled_size(width, height, to_height, to_width, "crop")
    assert across >= to_width
    assert down >= to_height
    across, down = scaled_size(width, height, to_height, to_width, "pad")
    assert across <= to_width
    assert down <= to_height
    assert scaled_size(width, height, to_height, to_width, "stretch") == (to_width, to_height)


def test_reduced_decoding_of_a_jpeg_agrees_with_full_decoding() -> None:
    generator = np.random.default_rng(0)
    small = Image.fromarray(generator.integers(0, 256, (10, 14, 3), dtype=np.uint8))
    picture = small.resize((1400, 1000), Image.Resampling.BICUBIC)
    expected = decode(encoded(picture, "PNG"), size=(60, 90)).astype(int)
    decoded = decode(encoded(picture, "JPEG", quality=95), size=(60, 90)).astype(int)
    assert np.abs(decoded - expected).mean() < 1.5


def test_a_cmyk_jpeg_goes_through_pillow() -> None:
    content = encoded(quarters().convert("CMYK"), "JPEG", quality=95)
    assert corners(decode(content, size=32)) == [RED, LIME, BLUE, WHITE]


def test_stray_bytes_between_segments_of_a_jpeg_do_no_harm() -> None:
    content = encoded(quarters(), "JPEG", quality=95)
    assert corners(decode(content[:-2] + bytes(30) + content[-2:], size=32)) == [RED, LIME, BLUE, WHITE]


def test_a_progressive_jpeg() -> None:
    assert corners(decode(encoded(quarters(), "JPEG", progressive=True), size=32)) == [RED, LIME, BLUE, WHITE]


def noise(width: int = 64, height: int = 64) -> Image.Image:
    generator = np.random.default_rng(0)
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kept", [0.99, 0.5, 0.1])
def test_a_picture_cut_short_is_an_error(form: str, kept: float) -> None:
    content = encoded(noise(), form)
    with pytest.raises(CellError, match="damaged or cut short") as caught:
        decode(content[: int(len(content) * kept)])
    assert caught.value.advice


def test_a_cut_cmyk_jpeg_is_an_error() -> None:
    content = encoded(noise().convert("CMYK"), "JPEG")
    with pytest.raises(CellError, match="damaged or cut short"):
        decode(content[: len(content) // 2])


@pytest.mark.parametrize("content", [b"not a picture", b"%!PS-Adobe-3.0 EPSF-3.0", b"\0", b"P6 1 1 255\n..."])
def test_other_content_is_an_error(content: bytes) -> None:
    with pytest.raises(CellError, match="not a picture of a known format") as caught:
        decode(content)
    assert "PNG" in caught.value.advice


@pytest.mark.parametrize("form", FORMATS)
def test_the_pixel_limit_is_checked_on_the_header(form: str) -> None:
    content = encoded(Image.new("RGB", (300, 200)), form)
    assert decode(content, Limits(max_pixels=60000)).shape == (3, 128, 128)
    with pytest.raises(CellError, match="300 x 200 pixels are more than the limit of 59,999"):
        decode(content, Limits(max_pixels=59999))


def test_a_header_that_claims_too_many_pixels_is_refused_without_a_warning() -> None:
    # A PNG of 12,000 x 10,000 pixels, between one and two times Pillow's own limit, where it warns.
    content = bytearray(encoded(Image.new("L", (4, 4)), "PNG"))
    content[16:24] = struct.pack(">II", 12_000, 10_000)
    content[29:33] = struct.pack(">I", __import__("zlib").crc32(content[12:29]))
    with pytest.raises(CellError, match="12,000 x 10,000 pixels"):
        decode(bytes(content))
    with pytest.raises(CellError, match="damaged or cut short"):
        decode(bytes(content), Limits(max_pixels=200_000_000))


def test_a_tiff_over_the_limit_of_pillow_is_refused_without_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = encoded(Image.new("RGB", (40, 30)), "TIFF", compression="tiff_lzw")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1200)
    assert decode(content).shape == (3, 128, 128)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1199)
    with pytest.raises(CellError, match="a TIFF picture of more than 1,199 pixels"):
        decode(content)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=5),
)
def test_damaged_bytes_give_a_picture_or_a_cell_error(form: str, changes: list[tuple[float, int]]) -> None:
    content = bytearray(encoded(noise(20, 16), form))
    for place, value in changes:
        content[int(place * len(content))] = value
    try:
        decoded = decode(bytes(content), Limits(max_pixels=1_000_000), size=8)
    except CellError:
        return
    assert (decoded.shape, decoded.dtype) == ((3, 8, 8), np.uint8)


def test_threads_give_the_same_pictures() -> None:
    contents = [encoded(noise(100 + index, 90), form) for index, form in enumerate(FORMATS * 4)]
    alone = [decode(content) for content in contents]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(decode, contents))
    assert all((one == other).all() for one, other in zip(alone, together, strict=True))


def test_collate() -> None:
    column = ImageColumn(ImageConfig(size=(4, 6)))
    picture = np.full((3, 4, 6), 7, np.uint8)
    cells = column.collate([None, picture])
    assert (cells.values.shape, cells.values.dtype) == ((2, 3, 4, 6), np.uint8)
    assert cells.mask.tolist() == [[False], [True]]
    assert (cells.values[0] == 0).all()
    assert (cells.values[1] == picture).all()
    missing = column.collate([None])
    assert missing.values.shape == (1, 3, 4, 6)
    assert not missing.mask.any()
    assert column.collate([]).values.shape == (0, 3, 4, 6)


def test_configuration() -> None:
    assert ImageConfig().augment == AugmentConfig()
    assert ImageConfig.model_validate({"augment": True}).augment == AugmentConfig()
    assert ImageConfig.model_validate({"augment": False}).augment is None
    turned = ImageConfig.model_validate({"augment": {"flip": True, "rotate": 5}}).augment
    assert turned == AugmentConfig(flip=True, rotate=5)
    column = ImageColumn(ImageConfig.model_validate({"size": [10, 20]}))
    assert (column.height, column.width) == (10, 20)
    assert ImageConfig.model_validate(ImageConfig(size=(3, 4)).model_dump(mode="json")) == ImageConfig(
        size=(3, 4)
    )
    for wrong in ({"size": 0}, {"size": [1, 2, 3]}, {"resize": "zoom"}, {"augment": {"rotate": 200}}):
        with pytest.raises(ValidationError):
            ImageConfig.model_validate(wrong)


def test_the_cache_key_names_what_changes_the_result() -> None:
    keys = {
        ImageColumn(config).cache_key()
        for config in (
            ImageConfig(),
            ImageConfig(size=64),
            ImageConfig(size=(64, 65)),
            ImageConfig(resize="pad"),
        )
    }
    assert len(keys) == 4
    same: Callable[..., str] = lambda **options: ImageColumn(ImageConfig(**options)).cache_key()  # noqa: E731
    assert same() == same(augment=None, column="other")


def test_recognition() -> None:
    found = ImageColumn.recognise(Profile("x", "string", ["a.png"], 1, 1, "image"))
    assert found == ("the cells are paths that end in .png", {})
    assert ImageColumn.recognise(Profile("x", "string", ["a"], 1, 1, "")) is None
