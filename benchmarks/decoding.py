"""From files to arrays: pictures, sound, and what the cache of decoded media saves.

    python -m benchmarks.decoding --output benchmarks/results/decoding.json

Pictures are made (blurred noise at several scales with grain, JPEG quality 90), and so are sounds (tones
and noise). Everything is read from memory, and decoded in one thread.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image

from benchmarks.common import Cost, circumstances, cost, in_turns, parser, rates, report
from sensorium.data.audio import AudioColumn, AudioConfig
from sensorium.data.cache import Cache
from sensorium.data.image import ImageColumn, ImageConfig
from sensorium.data.loader import BoundColumn, Loader, plan_batches
from sensorium.data.media import Media
from sensorium.data.table import read_table

SIDE = 224
PLAIN, DRAFT, OURS = "Pillow", "Pillow with draft", "Sensorium"
AV, SCIPY = "PyAV (FFmpeg's resampler)", "soundfile and scipy.signal.resample_poly"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures pictures of two sizes, sounds, and two epochs."""
    chosen = parser(__doc__ or "", repeats=7).parse_args(arguments)
    began = circumstances()
    tables: dict[str, Any] = {}
    bases: dict[str, str] = {}
    notes: dict[str, Any] = {}
    sizes = (
        {"tiny": (64, 48)} if chosen.smoke else {"12 megapixels": (4000, 3000), "1 megapixel": (1224, 816)}
    )
    for name, (width, height) in sizes.items():
        title = f"JPEG of {name} to {SIDE} pixels, pictures"
        content, times = (
            jpeg(0, width, height),
            max(1, 8_000_000 // (width * height)) if not chosen.smoke else 1,
        )
        ways = {PLAIN: with_pillow, DRAFT: with_draft, OURS: with_column}
        costs = in_turns(
            {way: partial(_timed, run, content, times) for way, run in ways.items()}, chosen.repeats
        )
        tables[title], bases[title] = rates(costs, times, PLAIN), PLAIN
        exact = with_pillow(content).astype(np.float64)
        for way in (DRAFT, OURS):
            off = np.abs(ways[way](content) - exact)
            notes[f"{title}: {way} differs from {PLAIN} by"] = f"{off.mean():.2f} of 255 on average"
    title = "sound of 10 s, 44.1 kHz stereo FLAC to 16 kHz mono, sounds"
    content, times = sound(0, 0.2 if chosen.smoke else 10), 1 if chosen.smoke else 5
    ways = {AV: with_pyav, SCIPY: with_scipy, OURS: with_audio_column}
    costs = in_turns({way: partial(_timed, run, content, times) for way, run in ways.items()}, chosen.repeats)
    tables[title], bases[title] = rates(costs, times, AV), AV
    title = "loading pictures of 1 megapixel and sounds of 10 s, rows"
    rows = 2 if chosen.smoke else 16
    tables[title], bases[title] = epochs(rows, chosen.smoke, chosen.repeats), "first epoch"
    report("decoding", {"tables": tables, "bases": bases, "notes": notes}, chosen.output, began)


def _timed(run: Callable[[bytes], object], content: bytes, times: int) -> Cost:
    return cost(lambda: [run(content) for _ in range(times)])


def jpeg(seed: int, width: int, height: int) -> bytes:
    """A picture with structure at every scale, as photographs have."""
    generator = np.random.default_rng(seed)
    pixels = generator.normal(0, 4, (height, width, 3))
    for side in (4, 16, 64, 256):
        coarse = generator.integers(0, 64, (side * height // width + 1, side, 3), dtype=np.uint8)
        pixels += np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    target = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(target, "JPEG", quality=90)
    return target.getvalue()


def sound(seed: int, seconds: float) -> bytes:
    """Two channels of tones and noise, FLAC."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(44_100 * seconds)) / 44_100
    tones = 0.2 * np.sin(2 * np.pi * np.outer(time, [220, 331]) * (1 + seed))
    target = io.BytesIO()
    soundfile.write(target, tones + generator.normal(0, 0.02, tones.shape), 44_100, format="FLAC")
    return target.getvalue()


def with_column(content: bytes) -> npt.NDArray[Any]:
    """As Sensorium decodes a cell."""
    column = ImageColumn(ImageConfig(size=SIDE))
    return column.decode(Media(None).source(content))


def with_pillow(content: bytes) -> npt.NDArray[Any]:
    """The whole picture decoded, its middle cut out and scaled with antialiasing."""
    with Image.open(io.BytesIO(content)) as picture:
        return _middle(picture.convert("RGB"))


def with_draft(content: bytes) -> npt.NDArray[Any]:
    """Pillow's own way to libjpeg's scales."""
    with Image.open(io.BytesIO(content)) as picture:
        picture.draft("RGB", (SIDE, SIDE))
        return _middle(picture.convert("RGB"))


def _middle(picture: Image.Image) -> npt.NDArray[Any]:
    side = min(picture.size)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    box = (left, top, left + side, top + side)
    small = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def with_audio_column(content: bytes) -> npt.NDArray[Any]:
    """As Sensorium decodes a cell, with its loudness."""
    column = AudioColumn(AudioConfig(rate=16_000, seconds=10))
    return column.decode(Media(None).source(content))


def with_scipy(content: bytes) -> npt.NDArray[Any]:
    """Decoded with libsndfile, resampled by a polyphase filter."""
    from scipy.signal import resample_poly

    samples, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    mono = resample_poly(samples.mean(axis=1), 160, 441)
    whole: npt.NDArray[Any] = np.rint(mono.clip(-1, 1) * 32767).astype(np.int16)
    return whole


def with_pyav(content: bytes) -> npt.NDArray[Any]:
    """Decoded and resampled by FFmpeg."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    with av.open(io.BytesIO(content), mode="r") as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def epochs(rows: int, smoke: bool, repeats: int) -> dict[str, Any]:
    """A table read without a cache, with an empty one, and with a full one by another loader."""
    table = {
        "picture": [jpeg(row, *((64, 48) if smoke else (1224, 816))) for row in range(rows)],
        "sound": [sound(row, 0.2 if smoke else 10) for row in range(rows)],
    }
    costs: dict[str, list[Cost]] = {"first epoch": [], "second epoch, from the cache": [], "no cache": []}
    for number in range(repeats + 1):
        with tempfile.TemporaryDirectory() as folder:
            taken = [cost(lambda: read(table, Cache(Path(folder)))) for _ in range(2)]
            taken.append(cost(lambda: read(table, None)))
        for name, one in zip(costs, taken, strict=True):
            costs[name] += [one] if number else []
    return rates(costs, rows, "first epoch")


def read(cells: dict[str, list[bytes]], cache: Cache | None) -> None:
    """All rows of a table, in batches of 8."""
    table = read_table(cells)
    columns = {
        "picture": BoundColumn("picture", ImageColumn(ImageConfig(size=SIDE))),
        "sound": BoundColumn("sound", AudioColumn(AudioConfig(rate=16_000, seconds=10))),
    }
    loader = Loader(table, columns, {}, Media(None), cache=cache, threads=1)
    for _ in loader.batches(plan_batches(np.arange(len(table)), 8)):
        continue
    if cache is not None:
        cache.close()


if __name__ == "__main__":
    main()
