"""Pictures, sounds and films that are broken, hostile or merely odd, made on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import av
import numpy as np
import soundfile
from PIL import Image

from tests import made


def picture(form: str, mode: str = "RGB", **options: Any) -> bytes:
    """A small picture with some structure, saved by Pillow."""
    pixels = np.random.default_rng(0).integers(0, 255, (24, 36, 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels).convert(mode), form, **options)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def animation(form: str, frames: int) -> bytes:
    """An animated picture; neighbouring frames differ, so that none is dropped."""
    images = [Image.new("RGB", (16, 16), (number % 256, number // 256, 90)) for number in range(frames)]
    return saved(images[0], form, save_all=True, append_images=images[1:])


def deep_picture() -> bytes:
    """A PNG of 16 bits a sample."""
    return saved(Image.fromarray(np.arange(864, dtype=np.uint16).reshape(24, 36) * 70), "PNG")


def float_picture() -> bytes:
    """A TIFF of floating-point samples."""
    return saved(Image.fromarray(np.zeros((8, 8), dtype=np.float32)), "TIFF")


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG of grey pixels whose header may say anything; `rows` are its pixels, not compressed."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_part(*part) for part in parts)


def _png_part(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def gif(width: int, height: int) -> bytes:
    """A GIF of one pixel, on a screen that may be of any size."""
    screen = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(6)
    return screen + b"," + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0;"


def png_bomb() -> bytes:
    """100 kB that would unpack to 101 million pixels."""
    return png(10_050, 10_050, bytes(10_051 * 10_050))


def wave(
    rate: int = 8000, channels: int = 1, samples: bytes = b"\1\0" * 800, stated: int | None = None
) -> bytes:
    """A WAV of 16 bit samples whose header may say anything; `stated` is the size that it names, bytes."""
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2 % 2**32, channels * 2, 16)
    size = len(samples) if stated is None else stated
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def wave_of_chunks(count: int) -> bytes:
    """A WAV that never comes to its samples."""
    return b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * count


def sound(form: str, value: float = 0.2, **options: Any) -> bytes:
    """A tenth of a second of equal samples, saved by libsndfile."""
    target = io.BytesIO()
    soundfile.write(target, np.full(800, value, dtype=np.float32), 8000, format=form, **options)
    return target.getvalue()


def film_without_pictures() -> bytes:
    """An MP4 that holds a sound track alone."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return target.getvalue()


def film_without_frames() -> bytes:
    """An MP4 whose pictures are all overwritten: its index still names them."""
    whole = made.video(1)
    start = whole.index(b"mdat") + 4
    return whole[:start] + bytes(whole.index(b"moov") - 4 - start) + whole[whole.index(b"moov") - 4 :]
