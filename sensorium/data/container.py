"""Opens files of sound and moving pictures through FFmpeg (PyAV), confined to the one file that was given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import av.container
import av.error

from sensorium.data.media import Limits, Source
from sensorium.errors import CellError

# Only formats that hold their content themselves: playlists (HLS, concat) would make FFmpeg open other
# files and addresses. No protocol is allowed either, as the content comes through a Python stream.
_OPTIONS = {
    "format_whitelist": "mov,mp4,matroska,webm,avi,mp3,aac,ogg,flac,wav,w64,aiff,au,caf,amr,"
    "mpegts,mpeg,flv,asf,gif",
    "protocol_whitelist": "",
}

DAMAGE: tuple[type[Exception], ...] = (av.error.FFmpegError, OSError, ValueError, LookupError, EOFError)
"""What PyAV raises on files that FFmpeg cannot make sense of."""


@contextmanager
def open_container(source: Source, media: str) -> Iterator[Any]:
    """An open `av.container.InputContainer`, closed at the end.

    Args:
        source: the file.
        media: what it should be, "sound" or "video", for the message.

    Raises:
        CellError: when FFmpeg does not know the format, or the file is too damaged to be opened.
    """
    # Decoders refuse larger frames too, as a stream may hold others than its header says: those that look at
    # the stream when it is opened, and below those that decode it. A GIF says its size only while decoding.
    options = {"max_pixels": str(source.limits.max_pixels)}
    problem = CellError(
        f"the file is not a {media} of a known format, or it is damaged or cut short",
        "replace the file or convert it",
    )
    with source.open() as stream:
        try:
            container = av.open(stream, options=options, container_options=_OPTIONS, metadata_errors="ignore")
        except DAMAGE as error:
            raise problem from error
        with container:
            if not container.streams:
                raise problem
            roomy = {"max_pixels": str(2 * source.limits.max_pixels + 2**16)}  # they count their borders too
            for pictures in container.streams.video:
                if pictures.codec_context is not None:
                    pictures.codec_context.options = roomy
            yield container


def decoded_frames(container: Any, stream: Any) -> Iterator[Any]:
    """Every frame that can be decoded; packets that cannot are left out, and a cut ends the stream."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except DAMAGE:
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except DAMAGE:
            continue
        yield from frames


def stream_seconds(container: Any, stream: Any) -> float | None:
    """How long the file says that it lasts; None when it does not say."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / 1_000_000


def check_seconds(seconds: float | None, limits: Limits) -> None:
    """Refuses a sound or video by its header's duration.

    Raises:
        CellError: when it is longer than allowed.
    """
    if seconds is not None and seconds > limits.max_seconds:
        raise CellError(
            f"it lasts {seconds:,.0f} seconds, more than the limit of {limits.max_seconds:,.0f}",
            "cut it shorter or raise max_seconds",
        )
