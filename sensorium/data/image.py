"""Pictures: any common format → RGB of one size."""

from __future__ import annotations

import io
import logging
import math
import struct
import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from pydantic import BeforeValidator, Field

from sensorium.config import Config
from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile, Recognised
from sensorium.data.media import Limits, Source, file_format, recognise_media
from sensorium.errors import CellError

LONGEST_SIDE = 65_535
"""Pixels; what JPEG allows. Pillow keeps some bytes a row, so a picture of no width could fill the memory."""

Resize = Literal["crop", "stretch", "pad"]
Side = Annotated[int, Field(ge=1, le=8192)]
Size = Side | tuple[Side, Side]

Picture = Image.Image | npt.NDArray[np.uint8]
"""RGB; an array is `(height, width, 3)`, as a JPEG's decoder gives it."""
DEFAULT_SIDE = 128
"""Pixels, where neither the recipe nor pretrained weights say a size."""


class AugmentConfig(Config):
    """Random changes to training pictures, drawn anew for every row; made on the model's side."""

    flip: bool = Field(False, description="mirror half of the pictures left to right")
    shift: float = Field(0.1, description="largest shift, fraction of the side", ge=0, le=1)
    scale: float = Field(0.2, description="largest change of size, fraction", ge=0, lt=1)
    rotate: float = Field(10.0, description="largest turn, degrees", ge=0, le=180)
    brightness: float = Field(0.2, description="largest change of brightness, fraction", ge=0, le=1)
    contrast: float = Field(0.2, description="largest change of contrast, fraction", ge=0, le=1)
    erase: float = Field(0.0, description="chance that a random rectangle is blanked", ge=0, le=1)


def _from_switch(value: object) -> object:
    if isinstance(value, bool):
        return AugmentConfig() if value else None
    return value


Augment = Annotated[
    AugmentConfig | None, BeforeValidator(_from_switch, json_schema_input_type=AugmentConfig | bool | None)
]


class ImageConfig(ColumnConfig):
    """What a recipe may say about a column of pictures."""

    size: Size | None = Field(
        None,
        description="pixels: one number, or [height, width]; "
        "default: 128, or what pretrained weights were made for",
    )
    resize: Resize | None = Field(
        None,
        description="keep the middle (crop), distort (stretch), add borders (pad); "
        "default: crop, or what pretrained weights were made for",
    )
    augment: Augment = Field(
        AugmentConfig(),
        description="random changes in training; false for none; frozen pretrained weights see none",
    )


class Fitting(NamedTuple):
    """How a picture is brought to one size.

    Attributes:
        height: pixels of the result.
        width: pixels of the result.
        resize: keep the middle, distort, or add borders.
        resample: the filter.
        shorter: crop: pixels to which the shorter side would be scaled before the middle is cut out, at whole
            pixels; None for the largest middle there is.
    """

    height: int
    width: int
    resize: Resize = "crop"
    resample: Image.Resampling = Image.Resampling.BILINEAR
    shorter: int | None = None

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) to which a whole picture of this width and height is scaled."""
        across, down = (self.shorter, self.shorter) if self.shorter else (self.width, self.height)
        return scaled_size(width, height, down, across, self.resize)

    def turned(self) -> Fitting:
        """The same for a picture that lies on its side."""
        return self._replace(height=self.width, width=self.height)


class OneSize:
    """The half of a column of pictures, or of films, that brings them to the recipe's size."""

    config: Any
    default_side: ClassVar[int]

    @cached_property
    def fitting(self) -> Fitting:
        """How pictures are brought to one size."""
        height, width = height_and_width(self.config.size or self.default_side)
        return Fitting(height, width, self.config.resize or "crop")

    @property
    def height(self) -> int:
        """H, pixels."""
        return self.fitting.height

    @property
    def width(self) -> int:
        """W, pixels."""
        return self.fitting.width


class ImageColumn(OneSize, Column):
    """Pictures, decoded to RGB uint8 `(3, H, W)`; a batch is `(B, 3, H, W)` uint8 with mask `(B, 1)`.

    Reads JPEG, PNG, WebP, GIF (its first frame), BMP and TIFF. EXIF orientation is applied, transparency
    is composed on white, 16 bit samples are scaled to 8, colour profiles are ignored.

    Args:
        config: what the recipe says.
    """

    Config: ClassVar[type[ColumnConfig]] = ImageConfig
    media: ClassVar[bool] = True
    default_side = DEFAULT_SIDE

    def __init__(self, config: ImageConfig) -> None:
        self.config = config

    def decode(self, cell: Source) -> Array:
        """One picture → uint8 `(3, H, W)`, RGB.

        Raises:
            CellError: not a picture of a known format, damaged or cut short, or above the pixel limit.
        """
        return fit(_read(cell, self.fitting), self.fitting)

    def collate(self, cells: Sequence[Array | None]) -> Cells:
        """Decoded pictures → `(B, 3, H, W)` uint8, mask `(B, 1)`; a missing picture is all zero."""
        values = np.zeros((len(cells), 3, self.height, self.width), np.uint8)
        mask = np.zeros((len(cells), 1), np.bool_)
        for row, cell in enumerate(cells):
            if cell is not None:
                values[row], mask[row] = cell, True
        return Cells(values, mask)

    @classmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        """Recognises a column whose cells look like pictures."""
        return recognise_media(profile, "image")

    def cache_key(self) -> str:
        """Changes whenever `decode` would return something else."""
        return f"image 2 {self.height}x{self.width} {self.fitting.resize}"


def height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    """A recipe's size as (height, width)."""
    return (size, size) if isinstance(size, int) else size


def scaled_size(width: int, height: int, to_height: int, to_width: int, resize: Resize) -> tuple[int, int]:
    """(width, height) of the whole picture once scaled: it covers the target (crop) or fits into it (pad)."""
    if resize == "stretch":
        return to_width, to_height
    across, down = to_width / width, to_height / height
    scale = max(across, down) if resize == "crop" else min(across, down)
    return max(1, math.ceil(width * scale - 1e-6)), max(1, math.ceil(height * scale - 1e-6))


def fit(picture: Picture, fitting: Fitting) -> Array:
    """An RGB picture → uint8 `(3, height, width)`, scaled with antialiasing; borders (pad) are black."""
    height, width = fitting.height, fitting.width
    if isinstance(picture, np.ndarray):
        if picture.shape[:2] == (height, width) and fitting.scaled(width, height) == (width, height):
            return np.ascontiguousarray(picture.transpose(2, 0, 1))
        picture = Image.fromarray(picture)
    inner = (width, height)
    if fitting.resize == "pad":
        fitted = fitting.scaled(picture.width, picture.height)
        inner = min(fitted[0], width), min(fitted[1], height)
    box = _kept(picture.width, picture.height, fitting)
    scaled = picture.resize(inner, fitting.resample, box=box, reducing_gap=3.0)
    if inner != (width, height):
        canvas = Image.new("RGB", (width, height))
        canvas.paste(scaled, ((width - inner[0]) // 2, (height - inner[1]) // 2))
        scaled = canvas
    return np.ascontiguousarray(np.asarray(scaled).transpose(2, 0, 1))


def thumbnail(source: Source, side: int) -> Image.Image:
    """A picture in RGB with its proportions kept, the longer side at most `side` pixels.

    Raises:
        CellError: as `ImageColumn.decode` does.
    """
    picture = _read(source, Fitting(side, side, "pad"))
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.thumbnail((side, side))
    return picture


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Refuses a picture by its header's size.

    Raises:
        CellError: when it has more pixels than allowed, or is longer than any picture is.
    """
    if max(width, height) > LONGEST_SIDE and width * height <= limits.max_pixels:
        raise CellError(
            f"{width:,} x {height:,} pixels: a side has more than {LONGEST_SIDE:,}", "cut the picture up"
        )
    if width * height > limits.max_pixels:
        raise CellError(
            f"{width:,} x {height:,} pixels are more than the limit of {limits.max_pixels:,}",
            "make the picture smaller or raise max_pixels",
        )


# The classes are called directly because Image.open warns about large pictures on its own terms, and
# silencing a warning is not safe among threads; our limit is checked on the header instead. It also
# means that no other format (PostScript runs a program) is ever tried.
_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}

# Pillow also logs what is wrong with some files, which without a handler goes to the user's terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# All that Pillow's readers raise on damaged files; OSError also when the content ends too early.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AttributeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,  # where the user turns warnings into errors: Pillow warns about damaged TIFF tags
)


def _read(source: Source, fitting: Fitting) -> Picture:
    """The picture upright, in RGB, at least as large as `fit` needs it."""
    title, _ = file_format(source.head())
    if title not in _READERS:
        raise CellError(
            "the file is not a picture of a known format", f"convert it to one of {', '.join(_READERS)}"
        )
    try:
        if title == "JPEG":
            _check_bytes(source)
            return _read_jpeg(source.read(), source.limits, fitting)
        with source.open() as stream, _READERS[title](stream) as picture:
            return _read_with_pillow(picture, source.limits, _enough(fitting))
    except MemoryError as error:
        raise CellError("the picture does not fit into memory", "make it smaller") from error
    except _DAMAGE as error:
        raise CellError(f"the {title} file is damaged or cut short", "replace the file") from error


def _check_bytes(source: Source) -> None:
    """Refuses a JPEG file that would fill the memory before it is decoded."""
    if source.size() > _JPEG_BYTES:
        raise CellError(f"a JPEG file of more than {_JPEG_BYTES:,} bytes", "save the picture again")


_JPEG_BYTES = 256 * 1024**2  # more than 100 million pixels take at the best quality


def _read_jpeg(content: bytes, limits: Limits, fitting: Fitting) -> Picture:
    """Decoded at the smallest of libjpeg's scales (n/8) that is still large enough."""
    rows, columns, colours, _ = simplejpeg.decode_jpeg_header(content, strict=False)
    check_pixels(columns, rows, limits)
    if colours not in ("YCbCr", "RGB", "Gray", "GRAY"):  # CMYK and YCCK
        return _read_jpeg_with_pillow(content, limits, _enough(fitting))
    orientation = exif_orientation(_jpeg_exif(content))
    sideways = orientation >= 5  # the file's rows are the picture's columns
    needed = (fitting.turned() if sideways else fitting).scaled(columns, rows)
    try:
        pixels = simplejpeg.decode_jpeg(content, "RGB", min_height=needed[1], min_width=needed[0])
    except ValueError as error:
        if any(words in str(error).lower() for words in _JPEG_DAMAGE):
            raise
        return _read_jpeg_with_pillow(content, limits, _enough(fitting))
    return _turned(Image.fromarray(pixels), orientation) if orientation in _TURNS else pixels


# libjpeg's warnings that mean lost pixels; others (stray bytes between segments, which cameras write) do not.
_JPEG_DAMAGE = ("premature end", "bad huffman", "instead of rst")


def _read_jpeg_with_pillow(content: bytes, limits: Limits, enough: int) -> Image.Image:
    with JpegImagePlugin.JpegImageFile(io.BytesIO(content)) as picture:
        return _read_with_pillow(picture, limits, enough)


def _read_with_pillow(picture: ImageFile.ImageFile, limits: Limits, enough: int) -> Image.Image:
    """The picture; a huge one is reduced, to no less than `enough` pixels on its shorter side."""
    check_pixels(picture.width, picture.height, limits)
    is_tiff = isinstance(picture, TiffImagePlugin.TiffImageFile)
    largest = Image.MAX_IMAGE_PIXELS
    if is_tiff and largest is not None and picture.width * picture.height > largest:
        # Only for TIFF does Pillow apply its own limit once more, with a warning that nobody could act on.
        raise CellError(f"a TIFF picture of more than {largest:,} pixels", "convert it to PNG or JPEG")
    picture.load()
    # Pillow turns a TIFF upright by itself; for the others the EXIF block is in `info`.
    return _turned(
        _reduced_rgb(picture, enough), exif_orientation(b"" if is_tiff else picture.info.get("exif", b""))
    )


_STRIP_PIXELS = 2**22


def _reduced_rgb(picture: Image.Image, enough: int) -> Image.Image:
    """RGB; of a huge picture strip by strip and reduced, as a copy or two of it could fill the memory."""
    factor = min(picture.size) // enough
    if picture.width * picture.height <= 4 * _STRIP_PIXELS or factor < 2:
        return _to_rgb(picture)
    whole = Image.new("RGB", (-(-picture.width // factor), -(-picture.height // factor)))
    step = factor * max(1, _STRIP_PIXELS // (picture.width * factor))
    for top in range(0, picture.height, step):
        strip = picture.crop((0, top, picture.width, min(top + step, picture.height)))
        whole.paste(_to_rgb(strip).reduce(factor), (0, top // factor))
    return whole


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode of Pillow's → RGB, with transparency composed on white and 16 bits scaled to 8."""
    if picture.mode.startswith("I"):
        return _from_16_bit(picture)
    if picture.mode == "F":
        raise CellError("the picture has floating-point samples", "convert it to 8 or 16 bits a sample")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _from_16_bit(picture: Image.Image) -> Image.Image:
    samples = np.asarray(picture).astype(np.int64)
    if samples.min() < 0 or samples.max() > 65535:
        raise CellError("the picture has 32 bit samples", "convert it to 8 or 16 bits a sample")
    return Image.fromarray(((samples + 128) // 257).astype(np.uint8)).convert("RGB")


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    """Upright, for an EXIF orientation from 1 to 8."""
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture


def exif_orientation(block: bytes) -> int:
    """The orientation an EXIF block says, 1 to 8; 1 where it is broken (CIPA DC-008 Exif 3.0, tag 0x0112).

    Read here because Pillow's parser warns about each damaged block, and photographs hold many.
    """
    block = block.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 10:
        return 1
    (start,) = struct.unpack_from(order + "I", block, 4)
    if start + 2 > len(block):
        return 1
    (count,) = struct.unpack_from(order + "H", block, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", block, entry)
        if tag == 0x0112 and kind == 3 and 1 <= value <= 8:
            return int(value)
    return 1


def _jpeg_exif(content: bytes) -> bytes:
    """The EXIF block of a JPEG file, b"" when it has none (ITU-T T.81, annex B: marker segments)."""
    position = 2
    for _ in range(_MARKERS):
        if position + 4 > len(content) or content[position] != 0xFF:
            break
        marker = content[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        if marker == 0xE1 and content[position + 4 : position + 10] == b"Exif\0\0":
            return content[position + 4 : position + 2 + length]
        if marker in (0xD9, 0xDA):  # end of the picture, start of the pixels
            return b""
        position += 2 + length
    return b""


_MARKERS = 1000  # EXIF stands among the first; a hostile file may have millions


def _enough(fitting: Fitting) -> int:
    """Pixels of the shorter side below which a picture is not reduced before it is scaled."""
    return 3 * max(fitting.height, fitting.width, fitting.shorter or 0)


def _kept(width: int, height: int, fitting: Fitting) -> tuple[float, float, float, float] | None:
    """The box (left, top, right, bottom) of a picture that stays; None for all of it.

    With `shorter`, as transformers' image processors cut: the longer side is scaled to whole pixels, rounded
    down, and the middle begins at a whole pixel of the scaled picture, so that nothing is half a pixel off.
    """
    if fitting.resize != "crop":
        return None
    if fitting.shorter is None:
        return _middle(width, height, fitting.width / fitting.height)
    factor = fitting.shorter / min(width, height)
    across, down = max(fitting.width, int(width * factor)), max(fitting.height, int(height * factor))
    left, top = (across - fitting.width) // 2, (down - fitting.height) // 2
    right, bottom = left + fitting.width, top + fitting.height
    box = left * width / across, top * height / down, right * width / across, bottom * height / down
    return box[0], box[1], min(box[2], width), min(box[3], height)


def _middle(width: int, height: int, aspect: float) -> tuple[float, float, float, float]:
    """The largest centred box (left, top, right, bottom) of the wanted width / height."""
    across, down = min(width, height * aspect), min(height, width / aspect)
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down
