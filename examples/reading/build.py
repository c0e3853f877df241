"""Build the reading table: short synthetic texts about people, questions, and the words that answer them.

Everything is made from templates. An answer stands in its text, beside others of the same kind that belong
to other people, so that the question has to be read. The result is committed, so nobody needs to build it.

Run from the root of the repository: python -m examples.reading.build
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
TRAIN, TEST = 3000, 500

NAMES = ("Anna", "Boris", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Klara", "Leo")
FIRST, SECOND = ("River", "North", "Old", "Stone", "Green", "Sun"), ("ford", "ton", "field", "bridge", "port")
THINGS = ("boat", "violin", "bicycle", "telescope", "garden", "camera")
COLOURS = ("red", "blue", "green", "silver")
FACTS = {
    "town": ("{name} lives in {answer}.", "Where does {name} live?"),
    "thing": ("{name} owns {answer}.", "What does {name} own?"),
    "room": ("{name} works in room {answer}.", "In which room does {name} work?"),
}


def answer_of(kind: str, dice: random.Random) -> str:
    """A town, a coloured thing, or the number of a room: one to four words or parts of words."""
    if kind == "town":
        return dice.choice(FIRST) + dice.choice(SECOND)
    if kind == "thing":
        return f"a {dice.choice(COLOURS)} {dice.choice(THINGS)}"
    return str(dice.randint(100, 999))


def row(people: int, kinds: Sequence[str], dice: random.Random) -> dict[str, str]:
    """So many people, each with a fact of every kind, in any order; one of the facts is asked for."""
    names = dice.sample(NAMES, people)
    told = {(name, kind): answer_of(kind, dice) for name in names for kind in kinds}
    order = dice.sample(sorted(told), len(told))
    text = " ".join(FACTS[kind][0].format(name=name, answer=told[name, kind]) for name, kind in order)
    name, kind = dice.choice(order)
    return {"text": text, "question": FACTS[kind][1].format(name=name), "answer": told[name, kind]}


def rows(
    train: int, test: int, people: int = 2, kinds: Sequence[str] = tuple(FACTS), seed: int = 0
) -> list[dict[str, str]]:
    """So many rows: `text`, `question`, `answer` and `split`."""
    dice = random.Random(seed)
    return [
        {**row(people, kinds, dice), "split": "train" if place < train else "test"}
        for place in range(train + test)
    ]


def main() -> None:
    """Write data/reading.csv."""
    folder = HERE / "data"
    folder.mkdir(exist_ok=True)
    with (folder / "reading.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "question", "answer", "split"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows(TRAIN, TEST))


if __name__ == "__main__":
    main()
