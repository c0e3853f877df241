"""Videos as a pretrained encoder sees them: so many frames, of the size that its weights were made for."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from sensorium.data.from_checkpoint import FromCheckpoint
from sensorium.data.pretrained_image import filter_and_cut, fitting_of
from sensorium.data.resize import Fitting
from sensorium.data.video import DEFAULT_FRAMES, VideoColumn, VideoConfig


class PretrainedVideoColumn(FromCheckpoint, VideoColumn):
    """Videos, RGB uint8 `(frames, 3, H, W)`, their frames prepared as preprocessor_config.json says.

    What the recipe says of `frames`, `size` and `resize` goes before what the checkpoint says.

    Args:
        config: what the recipe says.
        weights: names the checkpoint, of videos or of pictures.
        base: what a relative folder starts from.
    """

    types = ("video", "image")

    def __init__(self, config: VideoConfig, weights: str, base: Path) -> None:
        super().__init__(config)
        self._weights, self.base = weights, base

    @property
    def frames(self) -> int:
        """The most frames kept: as the recipe says, else the checkpoint; of one of pictures, 8."""
        return self.config.frames or int(self.checkpoint.config.get("num_frames", DEFAULT_FRAMES))

    @cached_property
    def fitting(self) -> Fitting:
        """How frames are brought to one size.

        Raises:
            WeightsError: when the checkpoint does not say it.
        """
        return fitting_of(self.checkpoint, self.config.size, self.config.resize)

    def cache_key(self) -> str:
        return f"{super().cache_key()} {filter_and_cut(self.fitting)}"
