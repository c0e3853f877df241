"""What the build scripts of several examples share: tools, sound and pictures in bytes."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from PIL import Image

Samples = npt.NDArray[np.float32]

RATE = 16_000
"""Sample rate, in Hz, of every sound the examples hold: enough for speech."""


class MissingTool(SystemExit):
    """A program or a data package that a build needs is not installed."""

    def __init__(self, what: str, package: str) -> None:
        super().__init__(f"{what} is missing: install the Debian package {package} (apt install {package})")


def require_program(program: str, package: str) -> str:
    """Return the path of a program, or end with the name of the Debian package that holds it."""
    found = shutil.which(program)
    if found is None:
        raise MissingTool(f"The program {program}", package)
    return found


def require_folder(folder: Path, package: str) -> Path:
    """Return the folder, or end with the name of the Debian package that holds it."""
    if not folder.is_dir():
        raise MissingTool(f"The folder {folder}", package)
    return folder


def run(command: Sequence[str]) -> bytes:
    """Run a program and return what it prints."""
    return subprocess.run(command, check=True, capture_output=True).stdout


def stable_number(text: str) -> int:
    """Turn text into a large number that is the same on every machine; no secret depends on it."""
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16)


def read_sound(source: Path | bytes, rate: int = RATE) -> Samples:
    """Read a sound as mono float32 samples at `rate` Hz."""
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    samples, found_rate = soundfile.read(stream, dtype="float32", always_2d=True)
    resampled: Samples = soxr.resample(samples.mean(axis=1), found_rate, rate).astype(np.float32)
    return resampled


def opus(samples: Samples, rate: int = RATE, bits_per_second: int = 24_000) -> bytes:
    """Encode mono samples as Ogg/Opus.

    libsndfile would do it too, but stamps each stream with a random serial number; PyAV can be told not to.
    """
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1).astype(np.float32), format="flt", layout="mono")
    frame.sample_rate = rate
    frame.time_base = Fraction(1, rate)
    frame.pts = 0
    target = io.BytesIO()
    with av.open(target, "w", format="ogg", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=rate, layout="mono")
        stream.bit_rate = bits_per_second
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return target.getvalue()


def webp(picture: Image.Image, quality: int = 82) -> bytes:
    """Encode a picture as lossy WebP."""
    target = io.BytesIO()
    picture.save(target, "WEBP", quality=quality, method=6)
    return target.getvalue()


def png(picture: Image.Image) -> bytes:
    """Encode a picture as PNG."""
    target = io.BytesIO()
    picture.save(target, "PNG", optimize=True)
    return target.getvalue()


def on_white(picture: Image.Image) -> Image.Image:
    """Lay a picture, transparent or not, on white."""
    coloured = picture.convert("RGBA")
    white = Image.new("RGBA", coloured.size, "white")
    return Image.alpha_composite(white, coloured).convert("RGB")
