"""Pictures: any common format → RGB of one size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field

from sensorium.config import Config
from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile, Recognised
from sensorium.data.media import Source, recognise_media
from sensorium.data.picture import read_picture
from sensorium.data.resize import Fitting, Resize, Size, fit, height_and_width

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
        return fit(read_picture(cell, self.fitting), self.fitting)

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
