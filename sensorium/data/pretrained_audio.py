"""Sound as a pretrained encoder hears it: at the rate it was trained with, and as loud as it was recorded."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from sensorium.data.audio import AudioColumn, AudioConfig
from sensorium.data.from_checkpoint import FromCheckpoint
from sensorium.errors import RecipeError, WeightsError

_FRAME, _HOP = 0.025, 0.010
"""Length of a frame, and from one's start to the next's, seconds, where filters are Kaldi's."""


class PretrainedAudioColumn(FromCheckpoint, AudioColumn):
    """Sound, mono, at the rate of a checkpoint, not louder or softer than recorded.

    `decode` gives int16 `(samples,)`, no longer than `seconds` of the recipe and than the checkpoint hears;
    `collate` gives `(B, samples)` float32 in [-1, 1], zero padded, and the mask.

    Args:
        config: what the recipe says; of rate and loudness, which are the checkpoint's, it may say nothing.
        weights: names the checkpoint.
        base: what a relative folder starts from.

    Raises:
        RecipeError: when the recipe asks for a loudness.
    """

    Config: ClassVar[type[AudioConfig]] = AudioConfig
    types = ("audio",)

    def __init__(self, config: AudioConfig, weights: str, base: Path) -> None:
        if config.loudness not in (None, AudioConfig().loudness):
            raise RecipeError("loudness: pretrained weights hear sounds as recorded; leave it out")
        super().__init__(config)
        self._weights, self.base = weights, base

    @cached_property
    def config(self) -> AudioConfig:
        """What the recipe says, with the checkpoint's rate, and no longer than it hears.

        Raises:
            RecipeError: when the recipe asks for another rate.
            WeightsError: when the checkpoint does not say its rate.
        """
        rate = self.checkpoint.processor.get("sampling_rate")
        if not isinstance(rate, int):
            raise WeightsError(
                f"{self._weights}: preprocessor_config.json is missing or gives no sampling_rate, so sound "
                "cannot be prepared; fetch the checkpoint again"
            )
        if self._said.rate not in (None, rate):
            raise RecipeError(f"rate: {self._weights} was made for {rate} Hz; leave it out")
        seconds = min(self._said.seconds, _longest(self.checkpoint.processor))
        return self._said.model_copy(update={"rate": rate, "seconds": seconds, "loudness": None})


def _longest(processor: dict[str, Any]) -> float:
    """Seconds that a checkpoint hears at once: 30 for Whisper, some 10 for AST and CLAP, else without end."""
    if "chunk_length" in processor:
        return float(processor["chunk_length"])
    if "max_length_s" in processor:
        return float(processor["max_length_s"])
    if "num_mel_bins" in processor:
        return float((processor["max_length"] - 1) * _HOP + _FRAME)
    return float("inf")
