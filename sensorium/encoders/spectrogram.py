"""Sound → log-mel spectrogram on the model's device, in batch, as matrix products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from sensorium.batch import Raw, where_real
from sensorium.config import Config
from sensorium.errors import RecipeError

if TYPE_CHECKING:
    from sensorium.data.audio import AudioColumn

FLOOR = 1e-8
"""Least power that the logarithm sees: 74 dB below that of a full-scale sine in its bin, 1/4."""


class LogMelConfig(Config):
    """How a sound becomes a picture of its pitches over time."""

    mels: int = Field(64, description="bands", ge=1)
    window_ms: float = Field(25.0, description="length of a frame in milliseconds", gt=0)
    hop_ms: float = Field(10.0, description="from one frame's start to the next's, in milliseconds", gt=0)
    low: float = Field(20.0, description="lower edge of the lowest band in Hz", ge=0)
    high: float | None = Field(
        None, description="upper edge of the highest band in Hz; null for half the rate"
    )

    @model_validator(mode="after")
    def _edges_in_order(self) -> Self:
        if self.high is not None and self.high <= self.low:
            raise ValueError(f"high ({self.high:g} Hz) must be above low ({self.low:g} Hz)")
        return self


class MaskConfig(Config):
    """SpecAugment: bands and moments hidden in training."""

    bands: int = Field(8, description="most bands hidden by one mask; 0 for none", ge=0)
    band_masks: int = Field(1, description="masks over bands", ge=0)
    time: float = Field(
        0.1, description="largest share of a sound hidden by one mask; 0 for none", ge=0, le=1
    )
    time_masks: int = Field(1, description="masks over time", ge=0)


class LogMel(nn.Module):
    """The logarithm of the power in mel bands, normalised over each sound.

    The discrete Fourier transform is a product with a windowed matrix, which runs in bf16 under autocast
    (on a CPU 1.4 times as fast as `torch.stft`); power, bands and logarithm stay float32. Frames lie at
    multiples of the hop, without padding in front; the last frame is the first that reaches the end. Each
    sound is then shifted and scaled to mean 0 and deviation 1 over its real frames and all bands.

    Bands: triangles on the mel scale of O'Shaughnessy 1987, 2595 · log10(1 + f / 700), each of height 1.

    Attributes:
        mels: bands.

    Raises:
        RecipeError: when a frame holds no sample, or the highest band lies above half the rate.
    """

    transform: Tensor
    bands: Tensor

    def __init__(self, config: LogMelConfig, column: AudioColumn) -> None:
        super().__init__()
        rate = column.rate
        self.mels = config.mels
        self.window = round(config.window_ms / 1000 * rate)
        self.hop = round(config.hop_ms / 1000 * rate)
        high = rate / 2 if config.high is None else config.high
        if min(self.window, self.hop) < 1:
            raise RecipeError(f"window_ms and hop_ms must each be at least one sample, {1000 / rate:g} ms")
        if not config.low < high <= rate / 2:
            raise RecipeError(
                f"bands from {config.low:g} to {high:g} Hz do not fit a rate of {rate} Hz: "
                f"they must lie below {rate / 2:g} Hz"
            )
        size = 1 << (self.window - 1).bit_length()
        self.register_buffer("transform", fourier_matrix(self.window, size), persistent=False)
        bands = mel_matrix(rate, size, config.mels, config.low, high)
        # Twice, for cosines and sines: the product then also adds their squares to the power.
        self.register_buffer("bands", torch.cat([bands, bands]), persistent=False)

    def forward(self, raw: Raw) -> tuple[Tensor, Tensor]:
        """Samples `(B, S)` float32 → float32 `(B, T, mels)`, zero in the padding, and mask `(B, T)`."""
        samples = where_real(raw.values, raw.mask)
        total = self.frames(samples.shape[1])
        reach = (total - 1) * self.hop + self.window
        samples = nn.functional.pad(samples, (0, max(0, reach - samples.shape[1])))[:, :reach]
        spectrum = samples.unfold(1, self.window, self.hop) @ self.transform
        with torch.autocast(samples.device.type, enabled=False):
            values = (spectrum.float().square_() @ self.bands).clamp_(min=FLOOR).log_()
        # A frame is real when the one before it does not reach the sound's end, and the first always.
        reached = (torch.arange(total, device=samples.device) - 1) * self.hop + self.window
        reached[0] = 0
        mask = reached < raw.mask.sum(dim=1, keepdim=True)
        return normalise(values, mask), mask

    def frames(self, samples: int) -> int:
        """How many frames a sound of so many samples has; at least one."""
        return max(0, -((self.window - samples) // self.hop)) + 1


def normalise(values: Tensor, mask: Tensor) -> Tensor:
    """`(B, T, M)` → the same with mean 0 and deviation 1 over each row's real frames, zero in the padding."""
    count = (mask.sum(dim=1) * values.shape[2]).clamp(min=1).view(-1, 1, 1)
    centred = where_real(values - where_real(values, mask).sum(dim=(1, 2), keepdim=True) / count, mask)
    deviation = (centred.square().sum(dim=(1, 2), keepdim=True) / count).sqrt()
    return centred / (deviation + 1e-3)


def fourier_matrix(window: int, size: int) -> Tensor:
    """`(window, size + 2)` float32: a Hann window times cosines, then sines, of frequencies 0 to rate / 2.

    Divided by the window's sum, so that a full-scale sine has power 1/4 in its bin.
    """
    time = torch.arange(window, dtype=torch.float64)
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi * time / window)
    angle = 2 * math.pi / size * time.unsqueeze(1) * torch.arange(size // 2 + 1, dtype=torch.float64)
    weight = (hann / hann.sum().clamp(min=1e-12)).unsqueeze(1)
    return torch.cat([weight * angle.cos(), weight * angle.sin()], dim=1).float()


def mel_matrix(rate: int, size: int, mels: int, low: float, high: float) -> Tensor:
    """`(size // 2 + 1, mels)` float32: overlapping triangles, evenly spaced in mel from `low` to `high` Hz.

    A band narrower than the distance of two bins gets its nearest bin, so that no band is always silent.
    """
    edges = 700 * (10 ** (torch.linspace(_mel(low), _mel(high), mels + 2, dtype=torch.float64) / 2595) - 1)
    bins = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64).unsqueeze(1)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = torch.minimum(rising, falling).clamp(min=0)
    empty = (weights.sum(dim=0) == 0).nonzero().squeeze(1)
    weights[(bins - edges[1:-1]).abs().argmin(dim=0)[empty], empty] = 1.0
    return weights.float()


def _mel(frequency: float) -> float:
    return 2595 * math.log10(1 + frequency / 700)


class SpecMask(nn.Module):
    """SpecAugment (Park et al. 2019, arXiv 1904.08779): bands and moments set to the mean, in training only.

    Draws from torch's global generator of the values' device.
    """

    def __init__(self, config: MaskConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Normalised log-mel `(B, T, M)` and its mask `(B, T)` → `(B, T, M)`."""
        if not self.training:
            return values
        config = self.config
        frames = mask.sum(dim=1).to(values.dtype)
        bands = torch.full_like(frames, values.shape[2])
        hidden = torch.zeros((*values.shape[:1], 1, 1), dtype=torch.bool, device=values.device)
        for _ in range(config.band_masks if config.bands else 0):
            hidden = hidden | _span(bands, bands.clamp(max=config.bands), values.shape[2]).unsqueeze(1)
        for _ in range(config.time_masks if config.time else 0):
            hidden = hidden | _span(frames, frames * config.time, values.shape[1]).unsqueeze(2)
        return values.masked_fill(hidden, 0.0)


def _span(length: Tensor, most: Tensor, size: int) -> Tensor:
    """`(B, size)` bool: in each row a run of 0 to `most` places, evenly drawn, within the first `length`."""
    most = most.floor()  # a part of a place must not become a whole one
    draws = torch.rand(2, len(length), device=length.device)
    run = (draws[0] * (most + 1)).floor()
    start = (draws[1] * (length - run + 1)).floor()
    place = torch.arange(size, device=length.device)
    return (place >= start.unsqueeze(1)) & (place < (start + run).unsqueeze(1))
