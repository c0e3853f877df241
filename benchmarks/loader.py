"""The loader alone: files to batches, against a DataLoader and against the bare decoder.

    python -m benchmarks.loader --output benchmarks/results/loader.json

Media are made, and lie on disk. An epoch gives every file in batches of 32. The DataLoader has two workers
and reads with Pillow, soundfile and PyAV as people write it; Sensorium's loader has two threads. The bare
decoder is a loop over the files in one thread: simplejpeg at the scale that the size needs, soundfile, and
PyAV decoding all frames without looking at them. Both run in this process, which keeps the memory that it
frees, as training does: otherwise every batch pays for fresh pages.
"""

from __future__ import annotations

import io
import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import simplejpeg
import soundfile

from benchmarks.common import Cost, circumstances, cost, in_turns, parser, rates, report
from benchmarks.decoding import jpeg
from benchmarks.workers import ask, start
from sensorium.data.audio import AudioColumn, AudioConfig
from sensorium.data.cache import Cache
from sensorium.data.column import Column
from sensorium.data.image import ImageColumn, ImageConfig
from sensorium.data.loader import BoundColumn, Loader, plan_batches
from sensorium.data.media import Media
from sensorium.data.table import read_table
from sensorium.data.video import VideoColumn, VideoConfig
from sensorium.training.machine import keep_freed_memory

BATCH_SIZE, THREADS = 32, 2
SIDE, RATE, SECONDS = 224, 16_000, 2
FRAME_SIDE, FRAMES = 96, 8
DATALOADER, OURS, CACHED, DECODER = (
    "DataLoader, 2 workers",
    "Sensorium",
    "Sensorium, from the cache",
    "decoder alone",
)


class Kind(NamedTuple):
    """One kind of media.

    Attributes:
        column: reads it.
        make: seed → content of a file.
        ending: of the files.
        decode: the bare decoder, from a path.
        files: different ones.
        times: each stands in the table.
    """

    column: Callable[[], Column]
    make: Callable[[int], bytes]
    ending: str
    decode: Callable[[Path], object]
    files: int
    times: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every kind of media."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--only", default="", help="kinds whose name contains this")
    chosen = options.parse_args(arguments)
    began = circumstances()
    keep_freed_memory()
    content: dict[str, Any] = {"tables": {}, "bases": {}, "notes": {}, "costs": {}}
    kinds = {name: kind for name, kind in KINDS.items() if chosen.only in name}
    if chosen.smoke:
        kinds = {name: kind._replace(files=2, times=1) for name, kind in kinds.items()}
    with tempfile.TemporaryDirectory() as place:
        paths = {name: write_files(kind, Path(place, str(n))) for n, (name, kind) in enumerate(kinds.items())}
        told = {name: _told(kind.column(), paths[name]) for name, kind in kinds.items()}
        with start("benchmarks.peers.torch_loader", json.dumps(told)) as worker:
            for name, kind in kinds.items():
                title, costs = f"{name}, rows", measure(name, kind, paths[name], worker, chosen.repeats)
                content["tables"][title] = rates(costs, len(paths[name]), DATALOADER)
                content["bases"][title], content["costs"][title] = DATALOADER, costs
                shares = [alone.cpu / own.cpu for alone, own in zip(costs[DECODER], costs[OURS], strict=True)]
                content["notes"][f"{name}: share of the decoder alone"] = f"{np.median(shares):.0%}"
    report("loader", content, chosen.output, began)


def measure(
    name: str, kind: Kind, paths: Sequence[Path], worker: subprocess.Popen[str], repeats: int
) -> dict[str, list[Cost]]:
    """Epochs in turns."""
    ours, cached = (loader(kind, paths, cache) for cache in (None, Cache(paths[0].parent / "cache")))
    ways: dict[str, Callable[[], Cost]] = {
        DATALOADER: lambda: Cost(*ask(worker, name)),
        OURS: lambda: cost(partial(epoch, ours)),
        CACHED: lambda: cost(partial(epoch, cached)),  # the first, which fills it, is not counted
        DECODER: lambda: cost(lambda: [kind.decode(path) for path in paths]),
    }
    return in_turns(ways, repeats)


def write_files(kind: Kind, folder: Path) -> list[Path]:
    """Makes the files; the paths of a table's rows, in which each stands several times."""
    folder.mkdir()
    paths = [folder / f"{number}{kind.ending}" for number in range(kind.files)]
    for number, path in enumerate(paths):
        path.write_bytes(kind.make(number))
    return paths * kind.times


def _told(column: Column, paths: Sequence[Path]) -> dict[str, Any]:
    """What the DataLoader's process needs to know of a kind."""
    kind = {ImageColumn: "image", AudioColumn: "audio", VideoColumn: "video"}[type(column)]
    size = FRAME_SIDE if kind == "video" else SIDE
    about = {"size": size, "frames": FRAMES, "samples": RATE * SECONDS, "batch_size": BATCH_SIZE}
    return {"paths": [str(path) for path in paths], "kind": kind, **about}


def loader(kind: Kind, paths: Sequence[Path], cache: Cache | None) -> Loader:
    """Sensorium's loader over the files."""
    table = read_table({"file": [path.name for path in paths]})
    column = {"file": BoundColumn("file", kind.column())}
    return Loader(table, column, {}, Media(paths[0].parent), cache=cache, threads=THREADS)


def epoch(own: Loader) -> None:
    """All rows once."""
    for _ in own.batches(plan_batches(np.arange(len(own.table)), BATCH_SIZE)):
        continue


def encoded_sound(seed: int, codec: str) -> bytes:
    """A tone of 2 s with noise at 16 kHz, as 16 bit WAV or as MP3 of 64 kbit/s."""
    generator = np.random.default_rng(seed)
    tone = 0.3 * np.sin(2 * np.pi * (220 + 10 * seed) * np.arange(RATE * SECONDS) / RATE)
    samples = ((tone + generator.normal(0, 0.03, len(tone))) * 32767).astype(np.int16)
    target = io.BytesIO()
    if codec == "wav":
        soundfile.write(target, samples, RATE, format="WAV")
        return target.getvalue()
    with av.open(target, "w", format=codec) as container:
        stream: Any = container.add_stream(codec, rate=RATE, layout="mono")
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16p", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return target.getvalue()


def encoded_video(seed: int) -> bytes:
    """2 s of 320 × 240 pixels, 15 frames a second, a texture that moves, as MP4."""
    texture = simplejpeg.decode_jpeg(jpeg(seed, 400, 300))
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=15)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 240, "yuv420p", 800_000
        for moment in range(30):
            pixels = np.ascontiguousarray(texture[moment : moment + 240, 2 * moment : 2 * moment + 320])
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return target.getvalue()


def decode_jpeg(path: Path) -> object:
    """At libjpeg's smallest scale of at least the wanted size."""
    return simplejpeg.decode_jpeg(path.read_bytes(), "RGB", min_height=SIDE, min_width=SIDE)


def decode_sound(path: Path) -> object:
    """As fp32 samples."""
    return soundfile.read(path, dtype="float32")


def decode_video(path: Path) -> object:
    """Every frame, without converting it."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return sum(1 for _ in container.decode(video=0))


def _picture() -> Column:
    return ImageColumn(ImageConfig(size=SIDE))


def _sound() -> Column:
    return AudioColumn(AudioConfig(rate=RATE, seconds=SECONDS))


def _video() -> Column:
    return VideoColumn(VideoConfig(frames=FRAMES, size=FRAME_SIDE))


KINDS: Mapping[str, Kind] = {
    "JPEG of 224 pixels": Kind(_picture, partial(jpeg, width=SIDE, height=SIDE), ".jpg", decode_jpeg, 64, 16),
    "JPEG of 1280 × 960": Kind(_picture, partial(jpeg, width=1280, height=960), ".jpg", decode_jpeg, 32, 4),
    "WAV of 2 s": Kind(_sound, partial(encoded_sound, codec="wav"), ".wav", decode_sound, 64, 32),
    "MP3 of 2 s": Kind(_sound, partial(encoded_sound, codec="mp3"), ".mp3", decode_sound, 64, 16),
    "MP4 of 320 × 240": Kind(_video, encoded_video, ".mp4", decode_video, 16, 8),
}


if __name__ == "__main__":
    main()
