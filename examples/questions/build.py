"""Build the questions tables: templated questions about composed scenes, and about stamps.

The questions are synthetic: they are made from templates, and their answers from what the scene was drawn
with, or from the name and the category of a stamp. Answers of a template are balanced as far as it goes, so
that the question alone tells little.

Scenes are committed. The table of the stamps repeats their pictures, and is built where it is wanted.

Run from the root of the repository: python -m examples.questions.build
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from examples import media

HERE = Path(__file__).parent
STAMPS = HERE.parent / "stamps" / "data"
TRAIN, TEST = 2000, 300
"""Scenes."""

SIDE, CELL, THING = 48, 16, 11
"""Of a canvas, of a cell of its grid of 3 × 3, and of a thing, in pixels."""
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 160, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 200, 40),
}
SHAPES = ("circle", "square", "triangle")
LONGEST_NAME = 3
"""Of a stamp, in words; longer descriptions are sentences."""
NUMBERS = ("none", "one", "two", "three")


class Thing(NamedTuple):
    """A shape on the canvas, by its cell of the grid, 0 to 8."""

    shape: str
    colour: str
    cell: int


class Asked(NamedTuple):
    """A question and its answer; kind is the template's name."""

    kind: str
    question: str
    answer: str


def scene(dice: random.Random) -> list[Thing]:
    """One to three things in different cells."""
    cells = dice.sample(range(9), dice.randint(1, 3))
    return [Thing(dice.choice(SHAPES), dice.choice(list(COLOURS)), cell) for cell in cells]


def drawn(things: Iterable[Thing], dice: random.Random) -> bytes:
    """The scene as a PNG; every thing is a little shifted in its cell."""
    canvas = Image.new("RGB", (SIDE, SIDE), "white")
    pencil = ImageDraw.Draw(canvas)
    for thing in things:
        left = thing.cell % 3 * CELL + dice.randint(1, CELL - THING - 1)
        top = thing.cell // 3 * CELL + dice.randint(1, CELL - THING - 1)
        right, bottom = left + THING, top + THING
        box, colour = (left, top, right, bottom), COLOURS[thing.colour]
        if thing.shape == "circle":
            pencil.ellipse(box, fill=colour)
        elif thing.shape == "square":
            pencil.rectangle(box, fill=colour)
        else:
            pencil.polygon([(left, bottom), (right, bottom), ((left + right) // 2, top)], fill=colour)
    return media.png(canvas)


def questions(things: Sequence[Thing], dice: random.Random) -> list[Asked]:
    """What, which colour, how many, is there: one of each where the scene has a single answer."""
    asked = [how_many(things, dice), is_there(things, dice)]
    colours = Counter(thing.colour for thing in things)
    shapes = Counter(thing.shape for thing in things)
    lone = [thing for thing in things if colours[thing.colour] == 1]
    if lone:
        thing = dice.choice(lone)
        asked.append(Asked("what", f"what is {thing.colour}?", thing.shape))
    lone = [thing for thing in things if shapes[thing.shape] == 1]
    if lone:
        thing = dice.choice(lone)
        asked.append(Asked("colour", f"which colour is the {thing.shape}?", thing.colour))
    return asked


def how_many(things: Sequence[Thing], dice: random.Random) -> Asked:
    """A count of a shape, of a colour, or of everything."""
    wanted = dice.choice([*SHAPES, *COLOURS, "thing"])
    number = sum(wanted in (thing.shape, thing.colour, "thing") for thing in things)
    named = f"{wanted} things" if wanted in COLOURS else f"{wanted}s"
    return Asked("how many", f"how many {named} are there?", NUMBERS[number])


def is_there(things: Sequence[Thing], dice: random.Random) -> Asked:
    """Whether a coloured shape is there; half of the answers are yes."""
    there = {(thing.colour, thing.shape) for thing in things}
    others = [(colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in there]
    yes = dice.random() < 0.5
    colour, shape = dice.choice(sorted(there) if yes else others)
    return Asked("is there", f"is there a {colour} {shape}?", "yes" if yes else "no")


def scenes(train: int, test: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of so many different scenes; a scene's questions stand on one side of the split."""
    dice = random.Random(seed)
    seen: dict[bytes, list[Thing]] = {}
    while len(seen) < train + test:
        things = scene(dice)
        seen.setdefault(drawn(things, dice), things)
    rows: list[dict[str, Any]] = []
    for number, (picture, things) in enumerate(seen.items()):
        shared = {"scene": number, "picture": picture, "split": "train" if number < train else "test"}
        rows += [{**shared, **asked._asdict()} for asked in questions(things, dice)]
    return rows


def about_stamps(every: int = 1, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of every so-many-th stamp; a stamp's questions stand on its side of the split."""
    dice = random.Random(seed)
    columns = ["id", "image", "text_en", "category", "split"]
    stamps = pyarrow.dataset.dataset(STAMPS).to_table(columns).to_pylist()
    kinds = sorted({stamp["category"] for stamp in stamps})
    rows: list[dict[str, Any]] = []
    for stamp in stamps[::every]:
        shared = {"scene": stamp["id"], "picture": stamp["image"], "split": stamp["split"]}
        asked = asked_of(stamp["text_en"], stamp["category"], kinds, dice)
        rows += [{**shared, **each._asdict()} for each in asked]
    return rows


def asked_of(text: str, kind: str, kinds: Sequence[str], dice: random.Random) -> list[Asked]:
    """What it is, where its description is a short name; its category; whether it is of one."""
    yes = dice.random() < 0.5
    named = kind if yes else dice.choice([other for other in kinds if other != kind])
    asked = [
        Asked("which group", "which group does it belong to?", kind),
        Asked("is it", f"does it belong to {named}?", "yes" if yes else "no"),
    ]
    name = re.sub(r"^(a|an|the) ", "", text.lower()).rstrip(".!")
    return [*asked, Asked("name", "what is it?", name)] if len(name.split()) <= LONGEST_NAME else asked


def write(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """A Parquet file; a picture that comes again is stored once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path, compression="zstd", use_dictionary=True)


def main() -> None:
    """Write data/scenes.parquet and data/stamps.parquet."""
    write(scenes(TRAIN, TEST), HERE / "data" / "scenes.parquet")
    write(about_stamps(), HERE / "data" / "stamps.parquet")


if __name__ == "__main__":
    main()
