"""Moving pictures: any common format → a few RGB frames of one size, spread over the clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from PIL import Image
from pydantic import Field

from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile, Recognised
from sensorium.data.container import (
    DAMAGE,
    check_seconds,
    decoded_frames,
    open_container,
    stream_seconds,
)
from sensorium.data.image import Augment, AugmentConfig, OneSize
from sensorium.data.media import Limits, Source, recognise_media
from sensorium.data.picture import check_pixels
from sensorium.data.resize import Resize, Size, fit
from sensorium.errors import CellError

DEFAULT_FRAMES = 8
"""Where neither the recipe nor pretrained weights say a number."""
DEFAULT_SIDE = 96
"""Pixels, where neither the recipe nor pretrained weights say a size."""
SEEK_GAP = 5.0
"""Seconds to the next wanted frame above which seeking a key frame is tried instead of decoding on."""


class VideoConfig(ColumnConfig):
    """What a recipe may say about a column of videos."""

    frames: int | None = Field(
        None,
        description="frames kept; a clip that has fewer keeps all; "
        "default: 8, or what pretrained weights were made for",
        ge=1,
        le=1024,
    )
    size: Size | None = Field(
        None,
        description="pixels: one number, or [height, width]; "
        "default: 96, or what pretrained weights were made for",
    )
    resize: Resize | None = Field(
        None,
        description="keep the middle (crop), distort (stretch), add borders (pad); "
        "default: crop, or what pretrained weights were made for",
    )
    sampling: Literal["uniform", "window"] = Field(
        "uniform", description="spread over the whole clip, or over a window in its middle"
    )
    window_seconds: float = Field(2.0, description="length of the window, seconds", gt=0)
    augment: Augment = Field(
        AugmentConfig(),
        description="random changes in training; false for none; frozen pretrained weights see none",
    )


class VideoColumn(OneSize, Column):
    """Videos: uint8 `(frames, 3, H, W)` RGB decoded, `(B, frames, 3, H, W)` in a batch, mask `(B, frames)`.

    Reads MP4, WebM, Matroska, AVI, QuickTime, MPEG and animated GIF. Frames are taken at the middles of
    equal parts of the clip (or of the window), as in temporal segment networks (Wang et al., 2016,
    arXiv:1608.00859, in test), and turned upright. No more than the kept frames and one other are held,
    and only kept frames are converted to RGB, at the size kept. A clip that was cut short gives the
    frames that can still be read, so fewer.

    Args:
        config: what the recipe says.
    """

    Config: ClassVar[type[ColumnConfig]] = VideoConfig
    media: ClassVar[bool] = True
    default_side = DEFAULT_SIDE

    def __init__(self, config: VideoConfig) -> None:
        self.config = config

    @property
    def frames(self) -> int:
        """The most frames kept."""
        return self.config.frames or DEFAULT_FRAMES

    def decode(self, cell: Source) -> Array:
        """One video → uint8 `(frames, 3, H, W)`, RGB, in the order shown; fewer frames if the clip has fewer.

        Raises:
            CellError: not a video of a known format, without pictures, too damaged to give one frame, or
                above the limits of pixels or duration.
        """
        with open_container(cell, "video") as container:
            stream = _video_stream(container)
            check_pixels(stream.codec_context.width, stream.codec_context.height, cell.limits)
            seconds = stream_seconds(container, stream)
            check_seconds(seconds, cell.limits)
            times = self._times(seconds or _measured_seconds(cell))
            scaler = VideoReformatter()  # one a clip: what it prepares serves all its frames
            frames = _frames_at(container, stream, times)
            kept = [self._picture(frame, scaler, cell.limits) for frame in frames]
        if not kept:
            raise CellError("the video has no frame that can be read", "replace the file")
        return np.stack(kept)

    def collate(self, cells: Sequence[Array | None]) -> Cells:
        """Decoded videos → `(B, frames, 3, H, W)` uint8, mask `(B, frames)`; absent frames are all zero."""
        values = np.zeros((len(cells), self.frames, 3, self.height, self.width), np.uint8)
        mask = np.zeros((len(cells), self.frames), np.bool_)
        for row, cell in enumerate(cells):
            if cell is not None:
                values[row, : len(cell)], mask[row, : len(cell)] = cell, True
        return Cells(values, mask)

    @classmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        """Recognises a column whose cells look like videos."""
        return recognise_media(profile, "video")

    def cache_key(self) -> str:
        """Changes whenever `decode` would return something else."""
        settings = self.config
        window = settings.window_seconds if settings.sampling == "window" else ""
        size = f"{self.height}x{self.width} {self.fitting.resize}"
        return f"video 1 {self.frames} {size} {settings.sampling} {window}"

    def _times(self, seconds: float) -> list[float]:
        """The moments wanted, seconds from the clip's start, rising."""
        length = seconds
        if self.config.sampling == "window":
            length = min(seconds, self.config.window_seconds)
        start = (seconds - length) / 2
        return [start + (part + 0.5) * length / self.frames for part in range(self.frames)]

    def _picture(self, frame: Any, scaler: VideoReformatter, limits: Limits) -> Array:
        """One frame → uint8 `(3, H, W)`, converted to RGB at the size kept and turned upright."""
        check_pixels(frame.width, frame.height, limits)
        turns = round(frame.rotation / 90) % 4
        fitting = self.fitting if turns % 2 == 0 else self.fitting.turned()
        across, down = fitting.scaled(frame.width, frame.height)
        if across * down > frame.width * frame.height:  # enlarged: `fit` does it, after cutting
            across, down = frame.width, frame.height
        scaled = scaler.reformat(frame, across, down, "rgb24", interpolation="BILINEAR", threads=1)
        pixels = scaled.to_ndarray()
        upright = Image.fromarray(np.ascontiguousarray(np.rot90(pixels, turns)))
        return fit(upright, self.fitting)


def _video_stream(container: Any) -> Any:
    """The first track of moving pictures; a cover picture is not one."""
    for stream in container.streams.video:
        if Disposition.attached_pic in stream.disposition:
            continue
        if stream.codec_context is None:
            raise CellError("the video's codec is not known", "convert it to MP4 or WebM")
        stream.codec_context.thread_count = 1  # the loader already decodes in several threads
        return stream
    raise CellError("the file has no video track", "leave the cell missing, or give a file with pictures")


def _measured_seconds(source: Source) -> float:
    """Duration of a clip whose header does not say, by decoding it once without converting a frame."""
    end = 0.0
    with open_container(source, "video") as container:
        stream = _video_stream(container)
        for end, _ in _timed(container, stream):
            check_seconds(end, source.limits)
    return end


def _frames_at(container: Any, stream: Any, times: list[float]) -> Iterator[Any]:
    """The frames on show at some rising moments, each frame once; at least one where any can be read."""
    frames, end, spare = _timed(container, stream), 0.0, None
    wanted, given, may_seek = 0, 0, True
    while wanted < len(times):
        before = end
        if sought := may_seek and times[wanted] - end > SEEK_GAP:
            may_seek = _seek(container, stream, times[wanted])
            frames = _timed(container, stream)
        for end, frame in frames:
            if sought and end < before:  # key frames are so rare that seeking goes back: decode on instead
                may_seek = False
            if end > times[wanted]:
                break
            spare = frame
        else:  # the clip ends before its header says
            break
        yield frame
        given += 1
        wanted += sum(time < end for time in times[wanted:])
    if not given and spare is not None:
        yield spare


def _timed(container: Any, stream: Any) -> Iterator[tuple[float, Any]]:
    """Frames from here on, each with the moment at which it gives way to the next, seconds from the start."""
    origin = float((stream.start_time or 0) * stream.time_base)
    usual = float(1 / (stream.average_rate or stream.guessed_rate or 25))
    end = 0.0
    for frame in decoded_frames(container, stream):
        start = end if frame.time is None else frame.time - origin
        end = start + (float(frame.duration * frame.time_base) if frame.duration else usual)
        yield end, frame


def _seek(container: Any, stream: Any, seconds: float) -> bool:
    """Moves to the last key frame before a moment; False where the file cannot be sought."""
    origin = float((stream.start_time or 0) * stream.time_base)
    try:
        container.seek(int((seconds + origin) * 1_000_000))
    except DAMAGE:
        return False
    return True
