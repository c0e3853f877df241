"""Files spoiled at random: the decoders give an array of the promised form or a CellError, and never hang."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sensorium.data.audio import AudioColumn, AudioConfig
from sensorium.data.column import Column
from sensorium.data.image import ImageColumn, ImageConfig
from sensorium.data.media import Limits, Media
from sensorium.data.video import VideoColumn, VideoConfig
from sensorium.errors import CellError
from tests import made
from tests.bad_inputs import files

FILES = 40
"""Spoiled files of each format."""

IMAGE = ImageColumn(ImageConfig(size=8))
AUDIO = AudioColumn(AudioConfig(seconds=0.1, rate=8000, part="loudest"))
VIDEO = VideoColumn(VideoConfig(frames=2, size=8))
# So small that a header which lies is refused, and few bytes can make little work.
MEDIA = Media(None, Limits(max_pixels=1_000_000, max_seconds=60))

Whole = Callable[[], bytes]
FORMATS: dict[str, tuple[Column, Whole]] = {
    **{
        form: (IMAGE, lambda form=form: files.picture(form))  # type: ignore[misc]
        for form in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
    },
    "animated WebP": (IMAGE, lambda: files.animation("WEBP", 4)),
    "WAV": (AUDIO, files.wave),
    **{
        form: (AUDIO, lambda form=form: files.sound(form))  # type: ignore[misc]
        for form in ("FLAC", "OGG", "MP3", "AIFF")
    },
    "M4A": (AUDIO, files.film_without_pictures),
    "MP4": (VIDEO, lambda: made.video(0, frames=12)),
    "animated GIF": (VIDEO, lambda: files.animation("GIF", 12)),
}


def flip(content: bytearray, draw: random.Random) -> None:
    """Changes a few bytes, most of them near the start, where headers are."""
    for _ in range(draw.randint(1, 8)):
        reach = len(content) if draw.random() < 0.5 else min(200, len(content))
        content[draw.randrange(reach)] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))


def cut(content: bytearray, draw: random.Random) -> None:
    del content[draw.randint(1, len(content)) :]


def remove(content: bytearray, draw: random.Random) -> None:
    """Takes some bytes out of the middle; the first stays."""
    start = draw.randint(1, len(content))
    del content[start : start + draw.randint(1, 64)]


def repeat(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    content[start:start] = content[start : start + draw.randint(1, 256)] * draw.randint(1, 20)


def enlarge(content: bytearray, draw: random.Random) -> None:
    """Writes a number of four bytes that may be read as a size, a count or a rate."""
    start = draw.randrange(min(200, len(content)))
    number = draw.choice((0, 2**31 - 1, 2**32 - 1, 2**24, 65_535))
    content[start : start + 4] = number.to_bytes(4, draw.choice(("little", "big")))


SPOILS = (flip, flip, cut, remove, repeat, enlarge, enlarge)


@pytest.mark.parametrize("form", FORMATS)
def test_a_spoiled_file_is_read_or_refused(form: str) -> None:
    column, whole = FORMATS[form]
    draw = random.Random(form)
    original = whole()
    refused = 0
    for _ in range(FILES):
        content = bytearray(original)
        for _ in range(draw.randint(1, 2)):
            draw.choice(SPOILS)(content, draw)
        try:
            check(column, column.decode(MEDIA.source(bytes(content) or b"\0")))
        except CellError:
            refused += 1
    assert refused, "the spoils should break something"
    check(column, column.decode(MEDIA.source(original)))


def check(column: Column, decoded: Any) -> None:
    """The form that the column's docstring promises."""
    cells = column.collate([decoded])
    assert cells.mask.any()
    assert np.isfinite(cells.values).all()
    if column is IMAGE:
        assert decoded.shape == (3, 8, 8)
        assert decoded.dtype == np.uint8
    elif column is AUDIO:
        assert 0 < len(decoded) <= 800
        assert decoded.dtype == np.int16
    else:
        assert decoded.shape[1:] == (3, 8, 8)
        assert decoded.dtype == np.uint8
