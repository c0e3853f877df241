"""Build the pairs table: sentences of a small English grammar, and what they are in a made-up language.

Everything is synthetic. The made-up language has the verb last, the adjective after its noun, and endings
for gender and number that adjective, article and verb share with the noun; every English sentence has
exactly one translation. A model that has found the rules translates every test sentence, none of which is
in the training part. The result is committed, so nobody needs to build it.

Run from the root of the repository: python -m examples.pairs.build
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
TRAIN, TEST = 4000, 500


class Noun(NamedTuple):
    """A noun: one and several in English, the stem in the made-up language, its gender, "a" or "o"."""

    one: str
    several: str
    stem: str
    gender: str


NOUNS = [
    Noun("dog", "dogs", "kan", "o"),
    Noun("cat", "cats", "mir", "a"),
    Noun("horse", "horses", "equ", "o"),
    Noun("bird", "birds", "pel", "a"),
    Noun("child", "children", "din", "o"),
    Noun("woman", "women", "sor", "a"),
    Noun("man", "men", "vir", "o"),
    Noun("house", "houses", "tal", "a"),
    Noun("tree", "trees", "arb", "o"),
    Noun("river", "rivers", "flum", "a"),
    Noun("boat", "boats", "nav", "o"),
    Noun("book", "books", "lib", "a"),
    Noun("apple", "apples", "pom", "a"),
    Noun("fish", "fishes", "pis", "o"),
    Noun("mountain", "mountains", "mon", "o"),
    Noun("star", "stars", "stel", "a"),
]
ADJECTIVES = {
    "red": "rub",
    "blue": "azur",
    "small": "pik",
    "big": "gran",
    "old": "vet",
    "young": "nov",
    "happy": "fel",
    "quiet": "trank",
    "white": "blan",
    "strange": "mirab",
}
VERBS = {
    ("sees", "see"): "vid",
    ("finds", "find"): "trov",
    ("likes", "like"): "am",
    ("carries", "carry"): "port",
    ("follows", "follow"): "sek",
    ("draws", "draw"): "des",
    ("hears", "hear"): "aud",
    ("paints", "paint"): "pint",
}
PREPOSITIONS = {"near": "apud", "behind": "post", "above": "sur", "with": "kun"}
ARTICLES = {"the": "l", "one": "un", "some": "kelk", "my": "m", "two": "du", "three": "tri"}
ONE, SEVERAL = ("the", "one", "my"), ("the", "some", "my", "two", "three")


class Grammar(NamedTuple):
    """Which words sentences are made of; fewer, and no prepositions, make a table that is learned sooner."""

    nouns: Sequence[Noun] = NOUNS
    adjectives: Sequence[str] = tuple(ADJECTIVES)
    verbs: Sequence[tuple[str, str]] = tuple(VERBS)
    prepositions: Sequence[str] = tuple(PREPOSITIONS)


def phrase(grammar: Grammar, dice: random.Random) -> tuple[str, str, bool]:
    """An article, perhaps an adjective, a noun: in English, in the made-up language, and whether several."""
    noun, several = dice.choice(grammar.nouns), dice.random() < 0.5
    article = dice.choice(SEVERAL if several else ONE)
    ending = noun.gender + ("s" if several else "")
    english, made = [article], [ARTICLES[article] + ending, noun.stem + ending]
    if dice.random() < 0.5:
        adjective = dice.choice(grammar.adjectives)
        english.append(adjective)
        made.append(ADJECTIVES[adjective] + ending)
    return " ".join([*english, noun.several if several else noun.one]), " ".join(made), several


def sentence(grammar: Grammar, dice: random.Random) -> tuple[str, str]:
    """Subject, verb, object and perhaps a place → subject, place, object, verb."""
    subject, made_subject, several = phrase(grammar, dice)
    verb = dice.choice(grammar.verbs)
    thing, made_thing, _ = phrase(grammar, dice)
    english = [subject, verb[several], thing]
    made = [made_subject, made_thing, VERBS[verb] + ("en" if several else "et")]
    if grammar.prepositions and dice.random() < 0.5:
        preposition = dice.choice(grammar.prepositions)
        place, made_place, _ = phrase(grammar, dice)
        english += [preposition, place]
        made.insert(1, f"{PREPOSITIONS[preposition]} {made_place}")
    return " ".join(english), " ".join(made)


def rows(train: int, test: int, grammar: Grammar, seed: int = 0) -> list[dict[str, str]]:
    """So many different sentences: `english`, `made` and `split`."""
    dice = random.Random(seed)
    pairs: dict[str, str] = {}
    while len(pairs) < train + test:
        pairs.update([sentence(grammar, dice)])
    return [
        {"english": english, "made": made, "split": "train" if place < train else "test"}
        for place, (english, made) in enumerate(pairs.items())
    ]


def main() -> None:
    """Write data/pairs.csv."""
    folder = HERE / "data"
    folder.mkdir(exist_ok=True)
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["english", "made", "split"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows(TRAIN, TEST, Grammar()))


if __name__ == "__main__":
    main()
