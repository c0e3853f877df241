"""What a search found: rows with their scores, keys, fields, and the way back to their files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sensorium.evaluation.words import count
from sensorium.index.nearest import NEIGHBOURS, RECALL, Quality


@dataclass(frozen=True)
class Hit:
    """One row that was found.

    Attributes:
        rank: from 1.
        score: cosine of the query and the row's best vector; BM25 for full text; of several rankings, the sum
            of reciprocal ranks.
        key: key column → value.
        fields: column → value, those of the key and of media too.
        media: media column → path of the original file, or of the index's copy; None where there is none.
        inputs: the inputs whose vectors were as near as that; empty for full text alone.
    """

    rank: int
    score: float
    key: dict[str, Any]
    fields: dict[str, Any]
    media: dict[str, str | None]
    inputs: list[str]


@dataclass(frozen=True)
class Results:
    """Of one search.

    Attributes:
        query: in words.
        mode: "vector", "text" or "hybrid".
        where: the filter; None: there was none.
        rows: of the index.
        version: of the index.
        quality: input → how good the search of its vectors is.
        hits: the best first.
        kinds: media column → its type.
    """

    query: str
    mode: str
    where: str | None
    rows: int
    version: int
    quality: dict[str, Quality]
    hits: list[Hit]
    kinds: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """As JSON types, but for dates and the like among the fields."""
        content = asdict(self)
        content["quality"] = {name: one._asdict() for name, one in self.quality.items()}
        return content

    def header(self) -> str:
        """How many of how many, and how far the search can be relied on."""
        where = f" where {self.where}" if self.where else ""
        found = f"{len(self.hits)} of {count(self.rows, 'row')}{where}"
        if not any(one.cells for one in self.quality.values()):
            return f"{found}; exact" if self.quality else found
        filtered = self.where is not None
        words = [f"{name}: {quality_words(one, filtered)}" for name, one in self.quality.items()]
        return "; ".join([found, *words])


def quality_words(quality: Quality, filtered: bool = False) -> str:
    """One input's search in words.

    Args:
        quality: of the search.
        filtered: whether it had a filter.
    """
    if not quality.cells:
        return "exact"
    recall = quality.filtered if filtered else quality.recall
    short = f", below the {RECALL} asked for" if recall < RECALL else ""
    reach = f"{quality.probes} of {quality.cells:,} cells"
    if filtered:
        reach = f"filters that keep half of the space; {quality.matching:,} rows that match"
    return (
        f"approximate, recall@{NEIGHBOURS} {recall:.3f}{short} (measured with "
        f"{quality.queries} queries against exact search; {reach})"
    )


def shown(value: Any, longest: int = 80) -> str:
    """A field's value for a reader."""
    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if isinstance(value, float):
        text = f"{value:.6g}"
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def file_name(path: str | None) -> str:
    """The last part of a path; "" without one."""
    return Path(path).name if path else ""
