"""Build two tables of made speech in noise: command words, and stamps' names beside the stamp's picture.

`commands.parquet`: one of ten words in noise, the speech from 15 dB above it to 5 dB below. No voice of the
test is heard in training. `stamps.parquet`: the English names of the stamps of examples/stamps, as loud as
the noise (0 dB). Names and pictures are the same in training and test; voice, pace and noise are not. So the
picture tells which of the known names is likely, and the sound which it is.

Run from the root of the repository: python -m examples.speech.noisy
"""

from __future__ import annotations

import argparse
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from examples import media
from examples.digits.build import root_mean_square, rumble, trim
from examples.speech.build import KNOWN, STRANGERS, Voice, speak

HERE = Path(__file__).parent
STAMPS = HERE.parent / "stamps" / "data"
COMMANDS = "left right up down stop go forward back open close"
ROWS_PER_VOICE = 12
"""Times that a voice says a command."""
MARGIN = 0.15
"""Seconds of noise before and after the speech."""
LOUDNESS = 0.1
"""Root mean square of every sound after the noise was added: loudness tells nothing."""
_NAME = re.compile(r"[A-Za-z]+( [A-Za-z]+){1,3}\.")


def in_noise(speech: media.Samples, decibels: float, random: np.random.Generator) -> bytes:
    """Put speech into noise that is so many decibels below it, as Ogg/Opus."""
    spoken = np.pad(trim(speech), round(MARGIN * media.RATE)).astype(np.float64)
    spoken /= root_mean_square(trim(speech))
    sound = spoken + rumble(len(spoken), random) * 10 ** (-decibels / 20)
    sound *= LOUDNESS / root_mean_square(sound)
    return media.opus(np.clip(sound, -1, 1).astype(np.float32), bits_per_second=20_000)


class Wanted(NamedTuple):
    """A row to be built.

    Attributes:
        text: that is said.
        voice: that says it.
        number: of the time that it does.
        split: the side.
        decibels: the lowest and the highest distance from the noise.
    """

    text: str
    voice: Voice
    number: int
    split: str
    decibels: tuple[float, float]


def build_row(wanted: Wanted) -> dict[str, Any]:
    """Speak a text in noise; pace and noise follow from text, voice and number."""
    text, voice, number, split, decibels = wanted
    random = np.random.default_rng(media.stable_number(f"{text} {voice} {number}"))
    return {
        "id": f"{media.stable_number(text) % 2**32:08x}-{voice.name}-{number}",
        "text": text,
        "speech": in_noise(speak(text, voice, number), random.uniform(*decibels), random),
        "split": split,
    }


def build_rows(wanted: list[Wanted], threads: int) -> list[dict[str, Any]]:
    """Build rows, several at one time."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(build_row, wanted))


def build_commands(rows: int, threads: int) -> list[dict[str, Any]]:
    """Build `rows` rows a word and voice."""
    sides = [(voice, "train") for voice in KNOWN] + [(voice, "test") for voice in STRANGERS]
    wanted = [
        Wanted(word, voice, number, side, (-5.0, 15.0))
        for word in COMMANDS.split()
        for voice, side in sides
        for number in range(rows)
    ]
    return build_rows(wanted, threads)


def build_stamps(stamps: int | None, threads: int) -> list[dict[str, Any]]:
    """Build five rows a stamp whose name has two to four words: four voices of training, one of the test."""
    table = pq.read_table(STAMPS, columns=["text_en", "image"])
    named = dict(zip(*(column.to_pylist() for column in table.columns), strict=True))
    names = sorted(filter(_NAME.fullmatch, named), key=media.stable_number)[:stamps]
    wanted = [
        Wanted(name, KNOWN[(place + turn) % len(KNOWN)], 0, "test" if turn == 4 else "train", (0.0, 0.0))
        for place, name in enumerate(names)
        for turn in range(5)
    ]
    return [row | {"image": named[row["text"]]} for row in build_rows(wanted, threads)]


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """Write a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd", row_group_size=500)
    print(f"{path}: {len(rows)} rows")


def main() -> None:
    """Build both tables."""
    parser = argparse.ArgumentParser(description="Build tables of made speech in noise.")
    parser.add_argument("--output", type=Path, default=HERE / "data", help="folder of the Parquet files")
    parser.add_argument("--rows", type=int, default=ROWS_PER_VOICE, help="rows a command and voice")
    parser.add_argument("--stamps", type=int, help="stamps whose names are spoken; default: all")
    parser.add_argument("--threads", type=int, default=2, help="programs that speak at one time")
    arguments = parser.parse_args()
    write(build_commands(arguments.rows, arguments.threads), arguments.output / "commands.parquet")
    write(build_stamps(arguments.stamps, arguments.threads), arguments.output / "stamps.parquet")


if __name__ == "__main__":
    main()
