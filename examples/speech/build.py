"""Build tables of made speech: sentences of a small grammar, spoken by flite and espeak-ng.

The speech is synthetic, and the sentences are made up by a grammar of about 130 words. No sentence stands on
both sides of the split. `known.parquet` is spoken by eight voices, of which each speaks on both sides;
`stranger.parquet` holds sentences of the test, spoken by voices that are nowhere else.

Run from the root of the repository: python -m examples.speech.build
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from examples import media

HERE = Path(__file__).parent
ROWS = 3000
"""Sentences of the training; of the test there are an eighth as many, of which strangers speak the half."""


class Voice(NamedTuple):
    """Who speaks: a program, and what it calls the voice."""

    program: str
    name: str


KNOWN = [
    Voice("flite", "slt"),
    Voice("flite", "rms"),
    Voice("flite", "awb"),
    Voice("espeak-ng", "en-us"),
    Voice("espeak-ng", "en-us+f2"),
    Voice("espeak-ng", "en-gb+f4"),
    Voice("espeak-ng", "en-gb-x-rp+m3"),
    Voice("espeak-ng", "en-gb-scotland+m7"),
]
STRANGERS = [Voice("flite", "kal16"), Voice("espeak-ng", "en-gb-x-gbclan+f5")]

WORDS = {
    "adjective": "red, green, yellow, heavy, quiet, young, old, tiny, clever, hungry, wooden, broken, "
    "silver, frozen, gentle, lonely, famous, curious, sleepy, golden",
    "noun": "bird, horse, teacher, farmer, window, garden, river, mountain, lantern, kettle, bridge, "
    "captain, doctor, spider, rabbit, violin, basket, feather, engine, pumpkin, sailor, dragon, wizard, "
    "pillow, ladder, camel, tiger, turtle, baker, painter",
    "verb": "follows, carries, watches, paints, finds, hears, pushes, visits, remembers, catches, washes, "
    "covers, draws, lifts, repairs, sells, answers, borrows, chases, forgets",
    "place": "behind the house, under the table, near the station, in the forest, on the island, "
    "above the clouds, beside the road, across the valley, inside the castle, at the market",
    "time": "every morning, before lunch, at midnight, on sunday, in july, after school, all winter, "
    "once a year",
    "number": "two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, twenty",
    "question": "why, when, how often, since when",
}

SCHEMA = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("id", "text", "voice", "split")])
SCHEMA = SCHEMA.append(pa.field("speech", pa.binary(), nullable=False))


def sentences() -> Iterator[str]:
    """Make sentences without end, the same ones every time; some come again."""
    random = np.random.default_rng(0)

    choices = {kind: words.split(", ") for kind, words in WORDS.items()}

    def one(kind: str) -> str:
        return choices[kind][int(random.integers(len(choices[kind])))]

    while True:
        subject, thing = f"the {one('adjective')} {one('noun')}", f"the {one('noun')}"
        patterns = [
            f"{subject} {one('verb')} {thing} {one('place')}",
            f"{one('time')} {subject} {one('verb')} {thing}",
            f"{one('number')} {one('adjective')} {one('noun')}s are {one('place')}",
            f"{one('question')} is {subject} {one('place')}",
            f"{thing} and {subject} are {one('place')} {one('time')}",
        ]
        yield patterns[int(random.integers(len(patterns)))]


def distinct_sentences(count: int) -> list[str]:
    """Make as many sentences, each of them once."""
    found: dict[str, None] = {}
    for sentence in sentences():
        found[sentence] = None
        if len(found) == count:
            break
    return list(found)


def speak(text: str, voice: Voice, number: int = 0) -> media.Samples:
    """Say a text; its speed follows from text, voice and number, within what is usual."""
    program = media.require_program(voice.program, voice.program)
    random = np.random.default_rng(media.stable_number(f"{text} {voice}") + number)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "speech.wav"
        if voice.program == "flite":
            stretch = f"duration_stretch={random.uniform(0.85, 1.15):.2f}"
            media.run([program, "-voice", voice.name, "--setf", stretch, "-t", text, "-o", str(target)])
        else:
            speed, pitch = str(random.integers(140, 190)), str(random.integers(35, 65))
            media.run([program, "-v", voice.name, "-s", speed, "-p", pitch, "-w", str(target), text])
        return media.read_sound(target)


def build_row(text: str, voice: Voice, split: str) -> dict[str, str | bytes]:
    """Speak one row, as Ogg/Opus."""
    name = f"{media.stable_number(text) % 2**32:08x}-{voice.name}"
    speech = media.opus(speak(text, voice), bits_per_second=20_000)
    return {"id": name, "text": text, "voice": voice.name, "split": split, "speech": speech}


def build_table(texts: list[tuple[str, str]], voices: list[Voice], path: Path, threads: int) -> None:
    """Speak texts, each with its split, by the voices in turn, and write the table."""
    chosen = [voices[position % len(voices)] for position in range(len(texts))]
    with ThreadPoolExecutor(threads) as pool:
        rows = list(
            pool.map(lambda pair: build_row(pair[0][0], pair[1], pair[0][1]), zip(texts, chosen, strict=True))
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, compression="zstd", row_group_size=500)
    print(f"{path}: {len(rows)} rows, {len(voices)} voices")


def main() -> None:
    """Build both tables."""
    parser = argparse.ArgumentParser(description="Build tables of made speech.")
    parser.add_argument("--output", type=Path, default=HERE / "data", help="folder of the Parquet files")
    parser.add_argument("--rows", type=int, default=ROWS, help="sentences of the training")
    parser.add_argument("--threads", type=int, default=2, help="programs that speak at one time")
    arguments = parser.parse_args()
    train, test = arguments.rows, arguments.rows // 8
    sides = ["train"] * train + ["test"] * test
    texts = list(zip(distinct_sentences(train + test), sides, strict=True))
    build_table(texts, KNOWN, arguments.output / "known.parquet", arguments.threads)
    strangers = texts[train : train + test // 2]
    build_table(strangers, STRANGERS, arguments.output / "stranger.parquet", arguments.threads)


if __name__ == "__main__":
    main()
