"""Sound: any common format, or the sound track of a video → mono at one rate and loudness."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from pydantic import Field

from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile, Recognised
from sensorium.data.container import DAMAGE, check_seconds, decoded_frames, open_container, stream_seconds
from sensorium.data.media import Limits, Source, Stream, file_format, recognise_media
from sensorium.errors import CellError

Samples = npt.NDArray[np.float32]
Part = Literal["start", "centre", "loudest"]

LARGEST = 32767
"""The int16 value that stands for a sample of 1.0."""

SILENCE = 10 ** (-70 / 20)
"""RMS below which a sound is silence and is not amplified: -70 dBFS, the gate of ITU-R BS.1770-5."""


class AudioConfig(ColumnConfig):
    """What a recipe may say about a column of sound."""

    rate: int = Field(16000, description="samples a second kept, Hz", ge=1000, le=192_000)
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

    Attributes:
        rate: samples a second, Hz.
        length: the most samples kept.
    """

    Config: ClassVar[type[ColumnConfig]] = AudioConfig
    media: ClassVar[bool] = True

    def __init__(self, config: AudioConfig) -> None:
        self.config = config
        self.rate = config.rate
        self.length = max(1, round(config.seconds * config.rate))

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
        lengths = [0 if cell is None else len(cell) for cell in cells]
        longest = max(lengths, default=0) or max(1, self.rate // 10)
        values = np.zeros((len(cells), longest), np.float32)
        for row, cell in enumerate(cells):
            if cell is not None:
                np.divide(cell, LARGEST, out=values[row, : len(cell)], casting="unsafe")
        return Cells(values, np.arange(longest) < np.asarray(lengths, dtype=np.int64)[:, None])

    @classmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        """Recognises a column whose cells look like sound."""
        return recognise_media(profile, "audio")

    def cache_key(self) -> str:
        """Changes whenever `decode` would return something else."""
        settings = self.config
        return f"audio 1 {settings.rate} {settings.seconds} {settings.part} {settings.loudness}"


def levelled(samples: Samples, loudness: float | None) -> Samples:
    """Brings the RMS to `loudness` dBFS (1.0 full scale), or less where the peak would exceed full scale.

    Silence, and a `loudness` of None, leave the level as it is; only what exceeds full scale is scaled down.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    level = math.sqrt(float(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
    gain = 1.0
    if loudness is not None and level >= SILENCE:
        gain = 10 ** (loudness / 20) / level
    if peak * gain > 1:
        gain = 1 / peak
    return (samples * np.float32(gain)).astype(np.float32, copy=False)


def to_int16(samples: Samples) -> npt.NDArray[np.int16]:
    """Samples in [-1, 1] → int16, rounded; 1.0 becomes 32767."""
    return np.rint(np.clip(samples, -1, 1) * LARGEST).astype(np.int16)


@dataclass(frozen=True)
class _Sound:
    """What a header says, and how to read on.

    Attributes:
        rate: samples a second, Hz.
        seconds: duration; None when the header does not say.
        blocks: start in seconds → consecutive mono blocks from there to the end, read as they are asked for.
    """

    rate: int
    seconds: float | None
    blocks: Callable[[float], Generator[Samples, None, None]]


def _read(source: Source, seconds: float, part: Part) -> tuple[Samples, int]:
    """The wanted part of the sound, mono, and its rate in Hz."""
    title, _ = file_format(source.head())
    if title == "WAV":
        _check_wave_header(source)
    if title in ("WAV", "FLAC", "Ogg", "AIFF", "AU"):
        try:
            sound = _with_soundfile(source)
            if sound.seconds:
                return _wanted(sound, source.limits, seconds, part)
        except soundfile.SoundFileError:
            # Cut short, or a codec that libsndfile lacks: FFmpeg reads what can be read.
            return _wanted(_with_ffmpeg(source), source.limits, seconds, part)
    return _wanted(_with_ffmpeg(source), source.limits, seconds, part)


def _wanted(sound: _Sound, limits: Limits, seconds: float, part: Part) -> tuple[Samples, int]:
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
    return np.concatenate(kept) if kept else np.zeros(0, np.float32)


def _start(sound: _Sound, limits: Limits, seconds: float, part: Part) -> float:
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


def _powers(sound: _Sound, limits: Limits) -> npt.NDArray[np.float64]:
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


class _Stream:
    """A binary stream as libsndfile calls it: a damaged header sends it to before the start, where none goes.

    What is raised in such a call can be caught nowhere; Python prints it to the user.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.read, self.readinto, self.tell = stream.read, stream.readinto, stream.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._stream.seek(offset, whence)
        except (ValueError, OSError):
            return self._stream.tell()


_BLOCK_SAMPLES = 131_072  # of all channels, decoded at a time
_CHUNKS = 1000  # of a WAV file before its samples; real ones have a dozen, a hostile one may have millions


def _with_soundfile(source: Source) -> _Sound:
    """A sound read through libsndfile, mixed down block by block so that memory is bounded."""

    def blocks(start: float) -> Generator[Samples, None, None]:
        with source.open() as stream, soundfile.SoundFile(_Stream(stream)) as file:
            if start > 0:
                file.seek(round(start * file.samplerate))
            frames = max(1, _BLOCK_SAMPLES // file.channels)
            while len(block := file.read(frames, dtype="float32", always_2d=True)):
                yield block.mean(axis=1, dtype=np.float32)

    with source.open() as stream, soundfile.SoundFile(_Stream(stream)) as file:
        return _Sound(file.samplerate, file.frames / max(1, file.samplerate), blocks)


def _with_ffmpeg(source: Source) -> _Sound:
    """The first sound track of a file that FFmpeg reads."""
    with open_container(source, "sound") as container:
        if not container.streams.audio:
            has_pictures = bool(container.streams.video)
            raise CellError(
                "the video has no sound track" if has_pictures else "the file holds no sound",
                "leave the cell missing, or give a file with sound",
            )
        stream = container.streams.audio[0]
        if stream.codec_context is None or not stream.rate:
            raise CellError("the sound's codec is not known", "convert it to WAV, FLAC or MP3")
        rate = stream.rate
        return _Sound(
            rate, stream_seconds(container, stream), lambda start: _ffmpeg_blocks(source, rate, start)
        )


def _ffmpeg_blocks(source: Source, rate: int, start: float) -> Generator[Samples, None, None]:
    with open_container(source, "sound") as container:
        stream = container.streams.audio[0]
        origin = float((stream.start_time or 0) * stream.time_base)
        if start > 1:  # a second earlier, as decoders need some packets before they are exact
            with suppress(*DAMAGE):  # where it cannot be sought, all before the part is decoded
                container.seek(int((start - 1 + origin) * 1_000_000))
        position, begun = 0.0, False
        for frame in decoded_frames(container, stream):
            if frame.sample_rate != rate:
                raise CellError("the sound changes its rate midway", "export the sound again")
            block = _mono(frame)
            if frame.time is not None:
                position = frame.time - origin
            skip = 0 if begun else max(0, round((start - position) * rate))
            position += len(block) / rate
            if skip < len(block):
                begun = True  # from here on every sample counts, whatever the timestamps say
                yield block[skip:]


def _mono(frame: Any) -> Samples:
    """One frame of any sample format → float32 mono, full scale 1.0."""
    values = frame.to_ndarray()
    channels = values if frame.format.is_planar else values.reshape(-1, len(frame.layout.channels)).T
    mixed: npt.NDArray[np.float64] = channels.mean(axis=0, dtype=np.float64)
    if values.dtype == np.uint8:
        mixed = (mixed - 128) / 128
    elif values.dtype.kind == "i":
        mixed = mixed / -float(np.iinfo(values.dtype).min)
    return mixed.astype(np.float32)


def _check_wave_header(source: Source) -> None:
    """Refuses a WAV file by the duration that its header states, even where the file holds less."""
    with source.open() as stream:
        bytes_a_second = 0
        stream.seek(12)
        for _ in range(_CHUNKS):
            head = stream.read(8)
            if len(head) < 8:
                return
            name, size = struct.unpack("<4sI", head)
            if name == b"data":
                # Programs that write into a pipe put the largest number there.
                if bytes_a_second and size < 0x7FFFFF00:
                    check_seconds(size / bytes_a_second, source.limits)
                return
            body = stream.read(min(size, 16))
            if name == b"fmt " and len(body) == 16:
                (bytes_a_second,) = struct.unpack_from("<I", body, 8)
            stream.seek(size - len(body) + size % 2, 1)
    raise CellError(f"the WAV file has no samples in its first {_CHUNKS:,} chunks", "export the sound again")
