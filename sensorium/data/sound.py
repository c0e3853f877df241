"""Files of sound, opened and read as mono blocks: libsndfile where it can, FFmpeg for the rest."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from sensorium.data.container import DAMAGE, check_seconds, decoded_frames, open_container, stream_seconds
from sensorium.data.media import Source, Stream
from sensorium.errors import CellError

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """What a header says, and how to read on.

    Attributes:
        rate: samples a second, Hz.
        seconds: duration; None when the header does not say.
        blocks: start in seconds → consecutive mono blocks from there to the end, read as they are asked for.
    """

    rate: int
    seconds: float | None
    blocks: Callable[[float], Generator[Samples, None, None]]


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


@contextmanager
def with_soundfile(source: Source) -> Iterator[Sound]:
    """A sound read through libsndfile, mixed down block by block so that memory is bounded.

    Raises:
        soundfile.SoundFileError: when libsndfile cannot read it.
    """
    with source.open() as stream, soundfile.SoundFile(_fastest(stream), closefd=False) as file:

        def blocks(start: float) -> Generator[Samples, None, None]:
            if (first := round(start * file.samplerate)) != file.tell():
                file.seek(first)
            frames = max(1, _BLOCK_SAMPLES // file.channels)
            while len(block := file.read(frames, dtype="float32", always_2d=True)):
                yield _mixed(block)

        yield Sound(file.samplerate, file.frames / max(1, file.samplerate), blocks)


def _mixed(block: Samples) -> Samples:
    """`(samples, channels)` → mono `(samples,)`."""
    mono: Samples = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
    return mono


def _fastest(stream: Stream) -> _Stream | int:
    """The descriptor of a file that lies on disk: libsndfile then reads it without asking Python."""
    return stream.fileno() if isinstance(stream, BufferedReader) else _Stream(stream)


@contextmanager
def with_ffmpeg(source: Source) -> Iterator[Sound]:
    """The first sound track of a file that FFmpeg reads.

    Raises:
        CellError: when there is none, or FFmpeg does not know the format or the codec.
    """
    with ExitStack() as opened:
        container = opened.enter_context(open_container(source, "sound"))
        if not container.streams.audio:
            has_pictures = bool(container.streams.video)
            raise CellError(
                "the video has no sound track" if has_pictures else "the file holds no sound",
                "leave the cell missing, or give a file with sound",
            )
        stream = container.streams.audio[0]
        if stream.codec_context is None or not stream.rate:
            raise CellError("the sound's codec is not known", "convert it to WAV, FLAC or MP3")
        rate, unread = stream.rate, [container]

        def blocks(start: float) -> Generator[Samples, None, None]:
            # What was read before is opened anew: not every file can be sought back to its beginning.
            again = unread.pop() if unread else opened.enter_context(open_container(source, "sound"))
            yield from _ffmpeg_blocks(again, rate, start)

        yield Sound(rate, stream_seconds(container, stream), blocks)


def _ffmpeg_blocks(container: Any, rate: int, start: float) -> Generator[Samples, None, None]:
    stream = container.streams.audio[0]
    origin = float((stream.start_time or 0) * stream.time_base)
    if start > 1:  # a second earlier, as decoders need some packets before they are exact
        with suppress(*DAMAGE):  # where it cannot be sought, all before the part is decoded
            container.seek(int((start - 1 + origin) * 1_000_000))
    position, begun = 0.0, False
    for frame in decoded_frames(container, stream):
        if frame.sample_rate != rate:
            raise CellError("the sound changes its rate midway", "export the sound again")
        block = mono(frame)
        if begun:  # from here on every sample counts, whatever the timestamps say
            yield block
            continue
        if frame.time is not None:
            position = frame.time - origin
        skip = max(0, round((start - position) * rate))
        position += len(block) / rate
        if skip < len(block):
            begun = True
            yield block[skip:]


def mono(frame: Any) -> Samples:
    """One frame of any sample format → float32 mono, full scale 1.0."""
    if frame.format.name == "fltp" and len(frame.planes) == 1:
        return np.frombuffer(frame.planes[0], np.float32, frame.samples)
    values: npt.NDArray[Any] = frame.to_ndarray()
    channels = values if frame.format.is_planar else values.reshape(-1, len(frame.layout.channels)).T
    mixed: npt.NDArray[np.float64] = channels.mean(axis=0, dtype=np.float64)
    if values.dtype == np.uint8:
        mixed = (mixed - 128) / 128
    elif values.dtype.kind == "i":
        mixed = mixed / -float(np.iinfo(values.dtype).min)
    return mixed.astype(np.float32)


class Wave(NamedTuple):
    """Where the samples of a WAV file lie, and how they are written; zero where its header does not say."""

    coding: int = 0
    channels: int = 0
    rate: int = 0
    bytes_a_second: int = 0
    bytes_a_moment: int = 0
    bits: int = 0
    start: int = 0
    size: int = 0


def wave_header(stream: Stream) -> Wave:
    """What the header of a WAV file states, even where the file holds less.

    Raises:
        CellError: when there is no end to what stands before the samples.
    """
    wave = Wave()
    stream.seek(12)
    for _ in range(_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            return wave
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            return wave._replace(start=stream.tell(), size=size)
        body = stream.read(min(size, 16))
        if name == b"fmt " and len(body) == 16:
            wave = Wave(*struct.unpack("<HHIIHH", body))
        stream.seek(size - len(body) + size % 2, 1)
    raise CellError(f"the WAV file has no samples in its first {_CHUNKS:,} chunks", "export the sound again")


def wave_sound(source: Source, stream: Stream) -> Sound | None:
    """A WAV file of whole 16 bit samples, which need no decoder; None for any other.

    Raises:
        CellError: when its header states more than the limit of duration, even where the file holds less.
    """
    wave = wave_header(stream)
    # Programs that write into a pipe put the largest number there.
    if wave.bytes_a_second and wave.size < 0x7FFFFF00:
        check_seconds(wave.size / wave.bytes_a_second, source.limits)
    width = max(1, wave.channels) * 2
    if (wave.coding, wave.bits, wave.bytes_a_moment) != (1, 16, width) or not wave.rate:
        return None
    if not wave.size or wave.size % width or wave.start + wave.size > source.size():
        return None

    def blocks(start: float) -> Generator[Samples, None, None]:
        first = min(round(start * wave.rate) * width, wave.size)
        stream.seek(wave.start + first)
        for place in range(first, wave.size, 32768 * width):
            values = np.frombuffer(stream.read(min(32768 * width, wave.size - place)), "<i2")
            block = values.astype(np.float32)
            block *= np.float32(1 / 32768)
            yield _mixed(block.reshape(-1, wave.channels))

    return Sound(wave.rate, wave.size / width / wave.rate, blocks)
