"""Build the clips: a stamp moves over a photograph, and is heard.

The films are synthetic: pictures and sounds of Tux Paint (Debian package tuxpaint-stamps-default) are moved
over parts of the two photographs that scikit-learn brings along. The picture alone shows how the thing
moves; picture and sound both tell what it is. Train and test take their backgrounds from different halves of
the photographs.

Run from the root of the repository: python -m examples.clips.build
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_sample_image

from examples import media

Frame = npt.NDArray[np.uint8]
"""Height, width and three colours."""

HERE = Path(__file__).parent
STAMPS = Path("/usr/share/tuxpaint/stamps")
PACKAGE = "tuxpaint-stamps-default"

WIDTH, HEIGHT = 128, 96
"""Size of a film, in pixels."""
FRAMES_PER_SECOND = 12
SECONDS = 2
LOUDNESS = 0.08
"""Root mean square of the sound a thing makes, while it makes it."""
NOISE = 0.008
"""Root mean square of the noise of the microphone."""

MOTIONS = ["left", "right", "up", "down", "grow", "still"]
# For each thing two stamps, each with the recording that it calls by.
THINGS = {
    "cow": [("animals/mammals/bovines/cow",) * 2, ("animals/mammals/bovines/cow_white",) * 2],
    "sheep": [("animals/mammals/bovines/sheep",) * 2, ("animals/mammals/bovines/sheep_lamb",) * 2],
    "pig": [("animals/mammals/pig",) * 2, ("animals/mammals/pig_golden",) * 2],
    "duck": [("animals/birds/duck",) * 2, ("animals/birds/drake",) * 2],
    "fire engine": [
        ("vehicles/emergency/firetruck",) * 2,
        ("vehicles/emergency/cartoon/fire_engine", "vehicles/emergency/firetruck"),
    ],
}
PHOTOGRAPHS = ["china.jpg", "flower.jpg"]
CLIPS = {"train": 4, "test": 2}
"""Clips for each thing and motion."""
WEBM_EVERY = 6
"""Every so many clips one is WebM (VP8 and Opus); the others are MP4 (H.264 and AAC)."""

# The bytes depend on the number of threads.
SINGLE_THREAD: dict[str, object] = {"threads": "1", "flags": "+bitexact"}
WEBM_OPTIONS: dict[str, object] = {"crf": "24", "b": "150k", "deadline": "good"}
MP4_OPTIONS: dict[str, object] = {"crf": "25", "preset": "veryslow"}


class Clip(NamedTuple):
    """One row of the table."""

    file_name: str
    motion: str
    thing: str
    split: str


# What is seen


def plan() -> list[Clip]:
    """List the clips: every thing with every motion, equally often, in an order that mixes them."""
    kinds = [
        (split, thing, motion, number)
        for split, count in CLIPS.items()
        for thing in THINGS
        for motion in MOTIONS
        for number in range(count)
    ]
    kinds.sort(key=lambda kind: media.stable_number(" ".join(map(str, kind))))
    return [
        Clip(f"{index:03d}.{'webm' if index % WEBM_EVERY == 0 else 'mp4'}", motion, thing, split)
        for index, (split, thing, motion, _) in enumerate(kinds)
    ]


def draw_background(split: str, random: np.random.Generator) -> Image.Image:
    """Cut a piece out of a photograph: the training from its left half, the test from its right."""
    photograph = Image.fromarray(load_sample_image(PHOTOGRAPHS[int(random.integers(len(PHOTOGRAPHS)))]))
    half = photograph.width // 2
    width = int(random.integers(WIDTH, half))
    height = width * HEIGHT // WIDTH
    left = int(random.integers(0, half - width + 1)) + (half if split == "test" else 0)
    top = int(random.integers(0, photograph.height - height + 1))
    return photograph.crop((left, top, left + width, top + height)).resize((WIDTH, HEIGHT))


def read_stamp(path: Path, random: np.random.Generator) -> Image.Image:
    """Read a transparent picture, looking to a side of no meaning."""
    stamp = Image.open(path).convert("RGBA")
    # Premultiplied, else shrinking would mix in the colour of the invisible pixels.
    stamp = stamp.crop(stamp.getbbox()).convert("RGBa")
    return stamp.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else stamp


def course(motion: str, random: np.random.Generator) -> list[tuple[float, float, float]]:
    """Say for each frame where the thing's centre is, in pixels, and how high it is, in pixels."""
    size = float(random.uniform(34, 46))
    x, y = WIDTH / 2 + random.uniform(-14, 14), HEIGHT / 2 + random.uniform(-10, 10)
    way = float(random.uniform(36, 56))
    steps = np.linspace(-0.5, 0.5, FRAMES_PER_SECOND * SECONDS)
    across, along = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}.get(motion, (0, 0))
    growth = 0.9 if motion == "grow" else 0.0
    return [(x + across * way * s, y + along * way * s, size * (1 + growth * s)) for s in steps]


def draw_frames(clip: Clip, stamp_path: Path, random: np.random.Generator) -> Iterator[Frame]:
    """Draw the film, frame by frame."""
    background = draw_background(clip.split, random)
    stamp = read_stamp(stamp_path, random)
    for x, y, size in course(clip.motion, random):
        scale = size / max(stamp.height, stamp.width * HEIGHT / WIDTH)
        shape = (max(1, round(stamp.width * scale)), max(1, round(stamp.height * scale)))
        small = stamp.resize(shape, Image.Resampling.LANCZOS).convert("RGBA")
        frame = background.copy()
        frame.paste(small, (round(x - shape[0] / 2), round(y - shape[1] / 2)), small)
        yield np.asarray(frame)


# What is heard


def make_sound(path: Path, random: np.random.Generator) -> media.Samples:
    """Let the thing call once, at some moment, over the noise of a microphone."""
    call = media.read_sound(path)
    loud = np.flatnonzero(np.abs(call) > 0.05 * np.abs(call).max())
    call = call[loud[0] : loud[0] + round(1.5 * media.RATE)]
    fade = np.minimum(1, np.arange(len(call), 0, -1) / (0.05 * media.RATE))
    call = call * fade * LOUDNESS / np.sqrt(np.mean(call**2))
    sound = random.normal(scale=NOISE, size=SECONDS * media.RATE)
    start = int(random.integers(0, len(sound) - len(call) + 1))
    sound[start : start + len(call)] += call
    return np.clip(sound, -1, 1).astype(np.float32)


# The files


def encode(path: Path, frames: Iterator[Frame], sound: media.Samples) -> None:
    """Write film and sound into one file, the same bytes on every run."""
    webm = path.suffix == ".webm"
    container = av.open(str(path), "w", container_options={"fflags": "+bitexact"})
    with container:
        film = container.add_stream("libvpx" if webm else "libx264", rate=FRAMES_PER_SECOND)
        track = container.add_stream("libopus" if webm else "aac", rate=media.RATE, layout="mono")
        film.width, film.height, film.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        film.options = SINGLE_THREAD | (WEBM_OPTIONS if webm else MP4_OPTIONS)
        track.bit_rate = 24_000
        track.options = {"flags": "+bitexact"}
        for frame in frames:
            container.mux(film.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(film.encode(None))
        container.mux(track.encode(audio_frame(sound)))
        container.mux(track.encode(None))


def audio_frame(sound: media.Samples) -> av.AudioFrame:
    """Hand the samples to the encoder."""
    frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="fltp", layout="mono")
    frame.sample_rate = media.RATE
    frame.time_base = Fraction(1, media.RATE)
    frame.pts = 0
    return frame


def write(clips: list[Clip], stamps: Path, folder: Path) -> None:
    """Write the films and the table that names them, afresh."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for clip in clips:
        random = np.random.default_rng(media.stable_number(repr(clip)))
        choices = THINGS[clip.thing]
        picture, call = choices[int(random.integers(len(choices)))]
        frames = draw_frames(clip, stamps / f"{picture}.png", random)
        encode(folder / clip.file_name, frames, make_sound(stamps / f"{call}.ogg", random))
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(Clip._fields)
        table.writerows(clips)


def main() -> None:
    """Build the clips and say how many there are."""
    parser = argparse.ArgumentParser(description="Build the clips.")
    parser.add_argument("--source", type=Path, default=STAMPS, help="folder of Tux Paint's stamps")
    parser.add_argument("--output", type=Path, default=HERE / "data", help="folder of the films")
    arguments = parser.parse_args()
    clips = plan()
    write(clips, media.require_folder(arguments.source, PACKAGE), arguments.output)
    size = sum(path.stat().st_size for path in arguments.output.iterdir())
    print(f"{len(clips)} clips, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
