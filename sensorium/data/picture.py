"""Files of pictures, read upright in RGB: libjpeg where it can, Pillow for the rest."""

from __future__ import annotations

import io
import logging
import struct
import zlib

import numpy as np
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

from sensorium.data.media import Limits, Source, file_format
from sensorium.data.resize import Fitting, Picture
from sensorium.errors import CellError

LONGEST_SIDE = 65_535
"""Pixels; what JPEG allows. Pillow keeps some bytes a row, so a picture of no width could fill the memory."""


def read_picture(source: Source, fitting: Fitting) -> Picture:
    """A picture upright, in RGB, at least as large as `fit` needs it.

    Args:
        source: the file.
        fitting: what it will be brought to.

    Raises:
        CellError: as `ImageColumn.decode` does.
    """
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


def thumbnail(source: Source, side: int) -> Image.Image:
    """A picture in RGB with its proportions kept, the longer side at most `side` pixels.

    Raises:
        CellError: as `ImageColumn.decode` does.
    """
    picture = read_picture(source, Fitting(side, side, "pad"))
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.thumbnail((side, side))
    return picture


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
