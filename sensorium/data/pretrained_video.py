"""Videos as a pretrained encoder sees them: so many frames, of the size that its weights were made for."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from sensorium.data.image import Fitting
from sensorium.data.pretrained_image import filter_and_cut, fitting_of
from sensorium.data.video import DEFAULT_FRAMES, VideoColumn, VideoConfig
from sensorium.weights import Checkpoint, find, refuse_other_modality


class PretrainedVideoColumn(VideoColumn):
    """Videos, RGB uint8 `(frames, 3, H, W)`, their frames prepared as preprocessor_config.json says.

    What the recipe says of `frames`, `size` and `resize` goes before what the checkpoint says.

    Args:
        config: what the recipe says.
        weights: names the checkpoint, of videos or of pictures.
        base: what a relative folder starts from.
    """

    def __init__(self, config: VideoConfig, weights: str, base: Path) -> None:
        super().__init__(config)
        self._weights, self._base = weights, base

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """What the encoder is made of; looked for when it is first needed."""
        return refuse_other_modality(find(self._weights, self._base), "video", "image")

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

    def state(self) -> dict[str, Any]:
        return {"checkpoint": self.checkpoint.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.checkpoint = Checkpoint.from_state(state["checkpoint"])

    def cache_key(self) -> str:
        return f"{super().cache_key()} {filter_and_cut(self.fitting)}"
