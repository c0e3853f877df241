"""How a picture is brought to one size: cut, distorted or given borders."""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from sensorium.data.column import Array

Resize = Literal["crop", "stretch", "pad"]
Side = Annotated[int, Field(ge=1, le=8192)]
Size = Side | tuple[Side, Side]
Picture = Image.Image | npt.NDArray[np.uint8]
"""RGB; an array is `(height, width, 3)`, as a JPEG's decoder gives it."""


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
