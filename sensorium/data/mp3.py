"""The beginning of an MP3 file whose frames are whole: FFmpeg's decoder without its reader of files."""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import Any, NamedTuple

import av
import numpy as np

from sensorium.data.container import DAMAGE, check_seconds
from sensorium.data.media import Source, Stream
from sensorium.data.sound import Samples, mono

LARGEST_FRAME = 1441
"""Bytes: 320 kbit/s at 32 kHz, and one of padding."""

# kbit/s by the index in a frame's header, layer III (ISO/IEC 11172-3 and 13818-3); None is not allowed here.
_KILOBITS_1 = (None, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, None)
_KILOBITS_2 = (None, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, None)
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


class _Frame(NamedTuple):
    """What a frame's header says: bytes with the header, samples a second, samples, and channels."""

    size: int
    rate: int
    samples: int
    channels: int


class _Info(NamedTuple):
    """What the first frame says of the sound: frames after it, and samples to drop before and after."""

    frames: int
    skipped: int
    padded: int


def mp3_start(source: Source, stream: Stream, seconds: float) -> tuple[Samples, int] | None:
    """The first seconds of the sound, mono, and its rate in Hz, as FFmpeg gives them.

    Args:
        source: the file.
        stream: its content, open.
        seconds: the most to read.

    Returns:
        None where FFmpeg's reader is needed: without a header that counts the frames (Xing, 2000), or
        where a frame that is wanted is not whole or not where it should be.

    Raises:
        CellError: above the limit of duration.
    """
    begin = _tag_size(stream)
    file_size = source.size() - begin
    stream.seek(begin)
    first_bytes = stream.read(LARGEST_FRAME)
    first = _frame(first_bytes[:4])
    info = _info(first_bytes, first, file_size) if first else None
    if first is None or info is None:
        return None
    check_seconds(info.frames * first.samples / first.rate, source.limits)
    wanted = math.ceil(seconds * first.rate)
    count = min(info.frames, (info.skipped + wanted) // first.samples + 2)
    stream.seek(begin + first.size)
    content = stream.read(min((count + 1) * LARGEST_FRAME, file_size))
    frames = _frames(content, first, count, to_the_end=count == info.frames)
    samples = None if frames is None else _decoded(frames, first, count)
    if samples is None:
        return None
    end = min(info.skipped + wanted, info.frames * first.samples - max(0, info.padded))
    return (samples[info.skipped : end], first.rate) if info.skipped < end else None


def _tag_size(stream: Stream) -> int:
    """Bytes of the ID3v2 tag before the first frame, with its footer where it has one."""
    stream.seek(0)
    head = stream.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    footer = 10 * (head[5] >> 4 & 1)
    return 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(head[6:]))) + footer


@lru_cache(maxsize=1024)
def _frame(four_bytes: bytes) -> _Frame | None:
    """The header of a layer III frame; None where there is none, or its size is not stated."""
    header = int.from_bytes(four_bytes, "big")
    version, rate = header >> 19 & 3, header >> 10 & 3
    if header >> 21 != 0x7FF or header >> 17 & 3 != 1 or version == 1 or rate == 3:
        return None
    kilobits = (_KILOBITS_1 if version == 3 else _KILOBITS_2)[header >> 12 & 15]
    if kilobits is None:
        return None
    hertz, samples = _RATES[version][rate], 1152 if version == 3 else 576
    size = samples // 8 * kilobits * 1000 // hertz + (header >> 9 & 1)
    return _Frame(size, hertz, samples, 1 if header >> 6 & 3 == 3 else 2)


def _info(content: bytes, frame: _Frame, file_size: int) -> _Info | None:
    """The Xing header in the first frame, with the encoder's delay (LAME's tag)."""
    side = {(1152, 2): 32, (1152, 1): 17, (576, 2): 17, (576, 1): 9}[frame.samples, frame.channels]
    name, flags, frames, size = struct.unpack_from(">4s3I", content.ljust(LARGEST_FRAME), 4 + side)
    # All but files that lack the count of frames or of bytes; other sizes are of files joined or cut.
    if name not in (b"Xing", b"Info") or flags & 3 != 3 or not frames or abs(file_size - size) > size >> 4:
        return None
    tag = content[4 + side + 16 + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1) :][:24]
    if tag[:4] not in (b"LAME", b"Lavf", b"Lavc") or len(tag) < 24:
        return None
    delay, padding = divmod(int.from_bytes(tag[21:], "big"), 4096)
    return _Info(frames, delay + 529, padding - 529)  # a decoder adds 529 samples of its own


def _frames(content: bytes, first: _Frame, count: int, to_the_end: bool) -> bytes | None:
    """So many frames, one after the other, each whole and like the first."""
    place = 0
    for _ in range(count):
        frame = _frame(content[place : place + 4])
        if frame is None or frame[1:] != first[1:] or place + frame.size > len(content):
            return None
        place += frame.size
    rest = content[place:]
    tag_alone = len(rest) == 128 and rest[:3] == b"TAG"
    return content[:place] if not to_the_end or not rest or tag_alone else None


def _decoded(frames: bytes, first: _Frame, count: int) -> Samples | None:
    """Their samples, mono; None where one is damaged. FFmpeg takes all frames as one packet."""
    decoder: Any = av.CodecContext.create("mp3float", "r")
    try:
        blocks = [mono(frame) for frame in decoder.decode(av.Packet(frames))]
    except DAMAGE:
        return None
    whole = len(blocks) == count and all(len(block) == first.samples for block in blocks)
    return np.concatenate(blocks) if whole else None
