"""Pictures as a pretrained encoder sees them: of the size and cut that its weights were made for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from sensorium.data.from_checkpoint import FromCheckpoint
from sensorium.data.image import ImageColumn, ImageConfig
from sensorium.data.resize import Fitting, Resize, Size, height_and_width
from sensorium.errors import WeightsError
from sensorium.weights import Checkpoint

_CUT_BELOW = 384
"""Pixels: transformers' ConvNeXt processor cuts the middle out for smaller sizes, and distorts for others."""
_CONVNEXT_SHARE = 224 / 256


class PretrainedImageColumn(FromCheckpoint, ImageColumn):
    """Pictures, RGB uint8 `(3, H, W)`, prepared as preprocessor_config.json says.

    What the recipe says of `size` and `resize` goes before what the checkpoint says; the filter is always the
    checkpoint's. With a size alone, the share that is cut away stays the checkpoint's. Normalisation is left
    to the encoder.

    Args:
        config: what the recipe says.
        weights: names the checkpoint.
        base: what a relative folder starts from.
    """

    types = ("image",)

    def __init__(self, config: ImageConfig, weights: str, base: Path) -> None:
        super().__init__(config)
        self._weights, self.base = weights, base

    @cached_property
    def fitting(self) -> Fitting:
        """How pictures are brought to one size.

        Raises:
            WeightsError: when the checkpoint does not say it.
        """
        return fitting_of(self.checkpoint, self.config.size, self.config.resize)

    def cache_key(self) -> str:
        return f"{super().cache_key()} {filter_and_cut(self.fitting)}"


class Normalisation(NamedTuple):
    """How pixels from 0 to 255 become what a model takes: `(pixel · factor - mean) / deviation`.

    Attributes:
        factor: of every pixel.
        mean: of red, green and blue.
        deviation: of red, green and blue.
    """

    factor: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def normalisation_of(checkpoint: Checkpoint) -> Normalisation:
    """What preprocessor_config.json says of pixels.

    Raises:
        WeightsError: when it does not say the mean and deviation.
    """
    said = _said(checkpoint)
    factor = float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 1.0
    if not said.get("do_normalize", True):
        return Normalisation(factor, (0.0,) * 3, (1.0,) * 3)
    mean, deviation = _three(said, "image_mean", checkpoint), _three(said, "image_std", checkpoint)
    if said.get("rescale_offset"):  # EfficientNet: from -1 to 1
        mean = tuple(one + 1 for one in mean)
    if said.get("include_top"):  # EfficientNet: divided once more for its classifier
        deviation = tuple(one**2 for one in deviation)
    return Normalisation(factor, mean, deviation)


def fitting_of(checkpoint: Checkpoint, size: Size | None, resize: Resize | None) -> Fitting:
    """How pictures are brought to one size.

    Args:
        checkpoint: says it in its preprocessor_config.json.
        size: of the recipe, which goes before.
        resize: of the recipe, which goes before; the checkpoint's cut then counts no more.

    Raises:
        WeightsError: when it is not said, or in a way that is not known.
    """
    own = _own_fitting(checkpoint)
    height, width = height_and_width(size) if size else (own.height, own.width)
    if resize is not None:
        return own._replace(height=height, width=width, resize=resize, shorter=None)
    shorter = own.shorter and round(own.shorter * min(height, width) / min(own.height, own.width))
    return own._replace(height=height, width=width, shorter=shorter)


def filter_and_cut(fitting: Fitting) -> str:
    """What a key of the cache must say of a fitting besides size and manner."""
    return f"{fitting.resample.name.lower()} {fitting.shorter or ''}".strip()


def _own_fitting(checkpoint: Checkpoint) -> Fitting:
    """As transformers' image processors read the same fields (5.24, image_processing_pil_*.py)."""
    said = _said(checkpoint)
    resample = Image.Resampling(said.get("resample", Image.Resampling.BILINEAR))
    if "max_num_patches" in said:  # SigLIP 2 of any shape: the square that has so many patches
        side = int(said["patch_size"]) * math.isqrt(int(said["max_num_patches"]))
        return Fitting(side, side, "stretch", resample)
    size, crops = said.get("size"), bool(said.get("do_center_crop"))
    share = said.get("crop_pct") or (_CONVNEXT_SHARE if _is_convnext(said) else None)
    if isinstance(size, int):
        size = {"shortest_edge": size} if crops or share else {"height": size, "width": size}
    if not isinstance(size, dict):
        raise _unknown(checkpoint, "size")
    if shortest := size.get("shortest_edge"):
        if share and shortest >= _CUT_BELOW:
            return Fitting(shortest, shortest, "stretch", resample)
        if share:
            return Fitting(shortest, shortest, "crop", resample, int(shortest / share))
        height, width = _sides(said.get("crop_size", shortest), checkpoint) if crops else (shortest, shortest)
        return Fitting(height, width, "crop", resample, max(shortest, height, width))
    height, width = _sides(size, checkpoint)
    if crops and _sides(said.get("crop_size", size), checkpoint) != (height, width):
        raise _unknown(checkpoint, "crop_size after a size of height and width")
    return Fitting(height, width, "stretch", resample)


def _is_convnext(said: dict[str, Any]) -> bool:
    names = str(said.get("image_processor_type", "")), str(said.get("feature_extractor_type", ""))
    return any(name.startswith("ConvNext") for name in names)


def _sides(size: Any, checkpoint: Checkpoint) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if not isinstance(size, dict) or not {"height", "width"} <= set(size):
        raise _unknown(checkpoint, "size")
    return int(size["height"]), int(size["width"])


def _three(said: dict[str, Any], name: str, checkpoint: Checkpoint) -> tuple[float, ...]:
    value = said.get(name)
    values: Sequence[Any] = [value] * 3 if isinstance(value, int | float) else value or ()
    if len(values) != 3:
        raise _unknown(checkpoint, name)
    return tuple(float(one) for one in values)


def _said(checkpoint: Checkpoint) -> dict[str, Any]:
    if not checkpoint.processor:
        raise WeightsError(
            f"{checkpoint.name}: preprocessor_config.json is missing, so how pictures are prepared is not "
            "known; give a checkpoint of pictures, or fetch that file too"
        )
    return checkpoint.processor


def _unknown(checkpoint: Checkpoint, what: str) -> WeightsError:
    return WeightsError(f"{checkpoint.name}: preprocessor_config.json says {what} in no way that is known")
