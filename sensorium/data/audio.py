"""Sound: any common format, or the sound track of a video → mono at one rate and loudness."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from pydantic import Field

from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile, Recognised
from sensorium.data.container import check_seconds
from sensorium.data.media import Limits, Source, file_format, recognise_media
from sensorium.data.mp3 import mp3_start
from sensorium.data.sound import Samples, Sound, wave_sound, with_ffmpeg, with_soundfile
from sensorium.errors import CellError

Part = Literal["start", "centre", "loudest"]

RATE = 16000
"""Samples a second where nothing else is said, Hz."""

LARGEST = 32767
"""The int16 value that stands for a sample of 1.0."""

SILENCE = 10 ** (-70 / 20)
"""RMS below which a sound is silence and is not amplified: -70 dBFS, the gate of ITU-R BS.1770-5."""


class AudioConfig(ColumnConfig):
    """What a recipe may say about a column of sound."""

    rate: int | None = Field(
        None,
        description="samples a second kept, Hz; default: 16000, or what pretrained weights were made for",
        ge=1000,
        le=192_000,
    )
    seconds: float = Field(10.0, description="longest part kept, seconds", gt=0, le=4 * 3600)
    part: Part = Field("start", description="which part of a longer sound is kept: start, centre or loudest")
    loudness: float | None = Field(-23.0, description="RMS brought to this, dBFS; null: as recorded", le=0)


class AudioColumn(Column):
    """Sound, decoded to int16 `(samples,)` mono; a batch is `(B, samples)` float32 in [-1, 1], zero padded.

    Reads WAV, FLAC, Ogg (Vorbis, Opus), MP3, M4A and the sound track of MP4, WebM, Matroska and AVI files,
    at any rate and with any number of channels, which are averaged. A file that was cut short is read as
    far as it goes.

    Args:
        config: what the recipe says.

    """

    Config: ClassVar[type[ColumnConfig]] = AudioConfig
    media: ClassVar[bool] = True

    def __init__(self, config: AudioConfig) -> None:
        self._said = config

    @property
    def config(self) -> AudioConfig:
        """What the recipe says."""
        return self._said

    @property
    def rate(self) -> int:
        """Samples a second, Hz."""
        return self.config.rate or RATE

    @property
    def length(self) -> int:
        """The most samples kept."""
        return max(1, round(self.config.seconds * self.rate))

    def decode(self, cell: Source) -> Array:
        """One sound → int16 `(samples,)`, mono, `rate` samples a second; 32767 stands for 1.0.

        Raises:
            CellError: not a sound of a known format, without samples or without a sound track, damaged,
                above the limit of duration, or holding samples that are not finite numbers.
        """
        samples, rate = _read(cell, self.config.seconds, self.config.part)
        if not np.isfinite(samples).all():
            raise CellError("the sound holds samples that are not finite numbers", "export the sound again")
        if rate != self.rate:
            samples = soxr.resample(samples, rate, self.rate)
        return to_int16(levelled(samples[: self.length], self.config.loudness))

    def collate(self, cells: Sequence[Array | None]) -> Cells:
        """Decoded sounds → `(B, samples)` float32 in [-1, 1], mask `(B, samples)`, as long as the longest.

        When every cell is missing, samples is a tenth of a second.
        """
        longest = max((len(cell) for cell in cells if cell is not None), default=0)
        shape = len(cells), longest or max(1, self.rate // 10)
        values, mask = np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
        for row, cell in enumerate(cells):
            if cell is not None:
                np.divide(cell, np.float32(LARGEST), out=values[row, : len(cell)])
                mask[row, : len(cell)] = True
        return Cells(values, mask)

    @classmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        """Recognises a column whose cells look like sound."""
        return recognise_media(profile, "audio")

    def cache_key(self) -> str:
        """Changes whenever `decode` would return something else."""
        settings = self.config
        return f"audio 2 {self.rate} {settings.seconds} {settings.part} {settings.loudness}"


def levelled(samples: Samples, loudness: float | None) -> Samples:
    """Brings the RMS to `loudness` dBFS (1.0 full scale), or less where the peak would exceed full scale.

    Silence, and a `loudness` of None, leave the level as it is; only what exceeds full scale is scaled down.
    """
    peak = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
    level = math.sqrt(_mean_square(samples))
    gain = 1.0
    if loudness is not None and level >= SILENCE:
        gain = 10 ** (loudness / 20) / level
    if peak * gain > 1:
        gain = 1 / peak
    return np.multiply(samples, np.float32(gain), dtype=np.float32)


def _mean_square(samples: Samples) -> float:
    """Blocks are short, so that float32 loses nothing that matters within one; their sums are float64."""
    blocks = (samples[start : start + 65536] for start in range(0, len(samples), 65536))
    return sum(float(block @ block) for block in blocks) / max(1, len(samples))


def to_int16(samples: Samples) -> npt.NDArray[np.int16]:
    """Samples in [-1, 1] → int16, rounded; 1.0 becomes 32767."""
    scaled = np.multiply(samples, np.float32(LARGEST))
    return np.rint(scaled, out=scaled).astype(np.int16)


def _read(source: Source, seconds: float, part: Part) -> tuple[Samples, int]:
    """The wanted part of the sound, mono, and its rate in Hz."""
    with source.open() as stream:
        title, _ = file_format(stream.read(512))
        if title == "WAV" and (plain := wave_sound(source, stream)):
            return _wanted(plain, source.limits, seconds, part)
        if title == "MP3" and part == "start" and (beginning := mp3_start(source, stream, seconds)):
            return beginning
    if title in ("WAV", "FLAC", "Ogg", "AIFF", "AU"):
        # Cut short, or a codec that libsndfile lacks: FFmpeg reads what can be read.
        with suppress(soundfile.SoundFileError), with_soundfile(source) as sound:
            if sound.seconds:
                return _wanted(sound, source.limits, seconds, part)
    with with_ffmpeg(source) as sound:
        return _wanted(sound, source.limits, seconds, part)


def _wanted(sound: Sound, limits: Limits, seconds: float, part: Part) -> tuple[Samples, int]:
    """Reads no more than the part needs; only "loudest" reads the whole sound, in bounded memory."""
    if not 100 <= sound.rate <= 1_000_000:
        raise CellError(f"its rate is {sound.rate:,} Hz, not between 100 and 1,000,000", "export it again")
    check_seconds(sound.seconds, limits)
    start = _start(sound, limits, seconds, part)
    with closing(sound.blocks(start)) as blocks:
        samples = _first(blocks, math.ceil(seconds * sound.rate))
    if not len(samples):
        raise CellError("the sound holds no samples", "replace the file, or leave the cell missing")
    return samples, sound.rate


def _first(blocks: Iterator[Samples], count: int) -> Samples:
    """The first `count` samples; blocks after them are not asked for."""
    kept: list[Samples] = []
    total = 0
    for block in blocks:
        kept.append(block[: count - total])
        total += len(kept[-1])
        if total >= count:
            break
    if len(kept) == 1:
        return kept[0]
    return np.concatenate(kept) if kept else np.zeros(0, np.float32)


def _start(sound: Sound, limits: Limits, seconds: float, part: Part) -> float:
    """Where the wanted part starts, seconds."""
    if part == "start":
        return 0.0
    if part == "centre" and sound.seconds is not None:
        return max(0.0, (sound.seconds - seconds) / 2)
    powers = _powers(sound, limits)
    window = max(1, round(seconds * 10))
    if len(powers) <= window:
        return 0.0
    if part == "centre":
        return (len(powers) - window) / 20
    sums = np.concatenate([[0.0], np.cumsum(powers)])
    return float(np.argmax(sums[window:] - sums[:-window])) / 10


def _powers(sound: Sound, limits: Limits) -> npt.NDArray[np.float64]:
    """Mean square of every tenth of a second, over the whole sound."""
    step = sound.rate // 10
    powers: list[npt.NDArray[np.float64]] = []
    rest, count = np.zeros(0, np.float32), 0
    for block in sound.blocks(0.0):
        count += len(block)
        check_seconds(count / sound.rate, limits)
        joined = np.concatenate([rest, block])
        whole = len(joined) // step * step
        powers.append(np.square(joined[:whole].reshape(-1, step), dtype=np.float64).mean(axis=1))
        rest = joined[whole:]
    if len(rest):
        powers.append(np.square(rest, dtype=np.float64).sum(keepdims=True) / step)
    everything = np.concatenate(powers) if powers else np.zeros(0)
    if not np.isfinite(everything).all():
        raise CellError("the sound holds samples that are not finite numbers", "export the sound again")
    return everything
