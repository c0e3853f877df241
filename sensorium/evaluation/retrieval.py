"""Study: what inputs find by one another, shown: some questions with their nearest answers, and the worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.evaluation.previews import Preview
from sensorium.evaluation.ridge import Ridge, ridge_between
from sensorium.evaluation.rows import preview_of
from sensorium.evaluation.study import Study, Subject
from sensorium.heads.retrieval import Ranks, different, nearest
from sensorium.heads.similarity import SimilarityHead
from sensorium.inference import sample

SHOWN = 4
"""Questions of each kind that are shown."""
NEAREST = 5
"""Answers to each."""


@dataclass(frozen=True)
class Cell:
    """One cell of a row.

    Attributes:
        row: its position in the table.
        key: its key in words; "" where the recipe has none.
        preview: how it is shown; not part of report.json.
    """

    row: int
    key: str
    preview: Preview = field(repr=False, metadata={"json": False})


class Found(NamedTuple):
    """An answer: the cell, its cosine to the question, and whether it is right."""

    cell: Cell
    similarity: float
    right: bool


class Search(NamedTuple):
    """A question, the place of its first right answer, from 1, and the nearest answers."""

    query: Cell
    place: int
    nearest: list[Found]


class Direction(NamedTuple):
    """One input sought by another.

    Attributes:
        query: input that seeks.
        item: input that is found.
        items: how many different cells there are to find.
        median_place: of the first right one, over the rows that count.
        examples: some questions, a fixed sample.
        worst: those whose right answer comes last, these first.
    """

    query: str
    item: str
    items: int
    median_place: float
    examples: list[Search]
    worst: list[Search]


class Retrieval(NamedTuple):
    """Of one output: both directions of every pair of its inputs, and what a ridge regression finds."""

    directions: list[Direction]
    ridge: Ridge | None


def measure(subject: Subject) -> dict[str, Retrieval] | None:
    """Output → what is found; None without a similarity that can be scored."""
    found = {}
    for name, target in subject.collected.targets.items():
        head = subject.predictor.model.head(name)
        if isinstance(head, SimilarityHead) and head.scored(target).any():
            found[name] = Retrieval(_directions(subject, name, head), ridge_between(subject, name, head))
    return found or None


def _directions(subject: Subject, name: str, head: SimilarityHead) -> list[Direction]:
    target = subject.collected.targets[name]
    ranks = head.directions(subject.collected.predicted[name], target)
    inputs = head.config.between
    found = []
    for query, item in permutations(range(len(inputs)), 2):
        real = np.flatnonzero(target.mask[:, query] & target.mask[:, item])
        if len(real):
            own = ranks[f"{inputs[query]}_to_{inputs[item]}"]
            found.append(_direction(subject, name, (query, item), real, own))
    return found


def _direction(subject: Subject, name: str, sides: tuple[int, int], real: Array, ranks: Ranks) -> Direction:
    """Of the rows that have both sides; sides: positions of query and item in `between`."""
    identities = subject.collected.targets[name].values[:, sides]
    asked = real[different(identities[real, 0])[0]]  # equal questions have equal answers
    worst = asked[np.argsort(-ranks.first[asked], kind="stable")[:SHOWN]]
    examples = sample(np.setdiff1d(asked, worst), SHOWN)
    inputs = subject.predictor.recipe.outputs[name].between
    searches = _searches(subject, name, sides, real, np.concatenate([examples, worst]), ranks)
    return Direction(
        query=inputs[sides[0]],
        item=inputs[sides[1]],
        items=ranks.items,
        median_place=float(np.median(ranks.first[real])),
        examples=searches[: len(examples)],
        worst=searches[len(examples) :],
    )


def _searches(
    subject: Subject, name: str, sides: tuple[int, int], real: Array, asked: Array, ranks: Ranks
) -> list[Search]:
    """What the questions of some rows find."""
    embeddings = subject.collected.predicted[name]["embeddings"]
    identities = subject.collected.targets[name].values[:, sides]
    items = real[different(identities[real, 1])[0]]
    scores = embeddings[asked, sides[0]] @ embeddings[items, sides[1]].T
    top = nearest(scores, NEAREST)
    inputs = subject.predictor.recipe.outputs[name].between
    queries = _cells(subject, inputs[sides[0]], asked)
    answers = iter(_cells(subject, inputs[sides[1]], items[top].reshape(-1)))
    found = []
    for place, row in enumerate(asked.tolist()):
        right = identities[real[identities[real, 0] == identities[row, 0]], 1]
        own = [
            Found(next(answers), float(scores[place, one]), bool((identities[items[one], 1] == right).any()))
            for one in top[place]
        ]
        found.append(Search(queries[place], int(ranks.first[row]), own))
    return found


def _cells(subject: Subject, name: str, chosen: Array) -> list[Cell]:
    """An input's cells in the rows at these positions of `collected`."""
    rows: Sequence[int] = subject.collected.rows[chosen].tolist()
    decoded = subject.loader.batch(subject.collected.rows[chosen]).inputs[name]
    return [
        Cell(row, subject.loader.row_key(row), preview_of(subject, name, row, decoded, place))
        for place, row in enumerate(rows)
    ]


def view(answer: dict[str, Retrieval]) -> dict[str, Any]:
    """Nothing beside the answer."""
    return {}


def sentences(answer: dict[str, Retrieval]) -> list[str]:
    """How far down the right answer lies, and what a ridge regression reaches."""
    lines = []
    for name, found in answer.items():
        lines += [
            f"{name}, {one.query} to {one.item}: the right one of {one.items:,} stands at place "
            f"{one.median_place:g} in the middle of all rows."
            for one in found.directions
        ]
        if found.ridge is not None:
            lines.append(f"{name}: {found.ridge.words()}")
    return lines


RETRIEVAL = Study("What is found", measure, view, sentences)
