"""One search: rankings by vector and by word, made one, and the rows that they name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.errors import SensoriumError
from sensorium.index.embedder import Embedder
from sensorium.index.media import FOLDER, locate
from sensorium.index.query import Part, query_vectors
from sensorium.index.ranks import fuse
from sensorium.index.results import Hit, Results
from sensorium.index.storage import DIGEST, MEDIA_ROOT
from sensorium.index.view import View

MODES = ("vector", "text", "hybrid")
_DEPTH = 100  # of rankings that are fused; a row further down adds less than 1/160


class Request(NamedTuple):
    """What is asked.

    Attributes:
        parts: what is looked for.
        where: a condition in SQL; None: every row may be found.
        k: rows.
        mode: one of `MODES`.
        inputs: those whose vectors are searched.
    """

    parts: list[Part]
    where: str | None
    k: int
    mode: str
    inputs: list[str]


class Ranking(NamedTuple):
    """Rows in order: `(n,)` positions, `(n,)` scores, and for each row the input that it was found by."""

    positions: list[int]
    scores: list[float]
    inputs: list[list[str]]


def check_request(request: Request) -> None:
    """Refuses what no index could answer.

    Raises:
        SensoriumError: naming what is wrong.
    """
    if request.k < 1:
        raise SensoriumError(f"k is {request.k}: ask for 1 row at least")
    if request.mode not in MODES:
        raise SensoriumError(f"the mode {request.mode!r} is not known: one of {', '.join(MODES)}")
    if request.mode != "vector" and not _texts(request):
        raise SensoriumError(f"mode {request.mode} looks for words: give a text")
    if request.mode == "text" and len(request.parts) > len(_texts(request)):
        raise SensoriumError("mode text looks for the words of a text alone; use --mode hybrid")


def answer(request: Request, view: View, embedder: Callable[[], Embedder], folder: Path | None) -> Results:
    """Searches a version of an index.

    Args:
        request: checked.
        view: the version.
        embedder: gives the model; called only where something must be embedded.
        folder: of the index; None on an object store.
    """
    rankings = []
    if request.mode != "text":
        rankings += by_vector(request, view, embedder)
    if request.mode != "vector":
        rankings.append(by_words(request, view))
    ranking = rankings[0] if len(rankings) == 1 else _fused(rankings)
    manifest = view.storage.manifest
    used = {} if request.mode == "text" else {name: view.nearest(name) for name in request.inputs}
    return Results(
        query=" ".join(map(_part_words, request.parts)),
        mode=request.mode,
        where=request.where,
        rows=len(view),
        version=view.version,
        quality={name: one.quality for name, one in used.items() if one is not None},
        hits=hits(_first(ranking, request.k), view, folder),
        kinds=dict(manifest.media),
    )


def by_vector(request: Request, view: View, embedder: Callable[[], Embedder]) -> list[Ranking]:
    """A ranking for each space that the query has a vector in."""
    manifest = view.storage.manifest
    vectors = query_vectors(request.parts, embedder, manifest, view, request.inputs)
    own = {view.position(part.content) for part in request.parts if part.kind == "row"}
    depth = len(own) + (
        request.k if request.mode == "vector" and len(vectors) == 1 else max(_DEPTH, request.k)
    )
    return [
        _without(best_rows(view, _searched(request, manifest, space), vector, depth, request.where), own)
        for space, vector in vectors.items()
    ]


def best_rows(view: View, inputs: Sequence[str], vector: Array, depth: int, where: str | None) -> Ranking:
    """The rows of which any of these inputs is most like a vector; a row counts by its best.

    Args:
        view: the version that is searched.
        inputs: of one space.
        vector: `(E,)` of unit length.
        depth: rows.
        where: a condition in SQL.
    """
    allowed = view.allowed(where) if where is not None else None
    found: dict[int, tuple[float, list[str]]] = {}
    for name in inputs:
        nearest = view.nearest(name)
        if nearest is None:
            continue
        scores, positions = nearest.search(vector[None], depth, allowed)
        for score, position in zip(scores[0].tolist(), positions[0].tolist(), strict=True):
            if position >= 0 and (position not in found or score > found[position][0]):
                found[position] = (score, [name])
    ordered = sorted(found.items(), key=lambda item: -item[1][0])[:depth]
    return Ranking(
        [one[0] for one in ordered], [one[1][0] for one in ordered], [one[1][1] for one in ordered]
    )


def by_words(request: Request, view: View) -> Ranking:
    """Full text, by BM25."""
    depth = request.k if request.mode == "text" else max(_DEPTH, request.k)
    addresses, scores = view.storage.match(" ".join(_texts(request)), depth, request.where)
    positions = view.positions(addresses).tolist()
    return Ranking(positions, scores.tolist(), [[] for _ in positions])


def hits(ranking: Ranking, view: View, folder: Path | None) -> list[Hit]:
    """Everything about the rows of a ranking."""
    manifest = view.storage.manifest
    digests = [DIGEST + name for name in manifest.media]
    taken = view.storage.take(np.array(ranking.positions, np.int64), [*manifest.fields, *digests, MEDIA_ROOT])
    copies = folder / FOLDER if folder is not None else None
    return [
        Hit(
            rank=place + 1,
            score=ranking.scores[place],
            key={name: taken[name][place] for name in manifest.key},
            fields={name: taken[name][place] for name in manifest.fields},
            media={
                name: _text(
                    locate(taken[name][place], taken[DIGEST + name][place], taken[MEDIA_ROOT][place], copies)
                )
                for name in manifest.media
            },
            inputs=ranking.inputs[place],
        )
        for place in range(len(ranking.positions))
    ]


def _fused(rankings: Sequence[Ranking]) -> Ranking:
    inputs: dict[int, list[str]] = {}
    for ranking in rankings:
        for position, names in zip(ranking.positions, ranking.inputs, strict=True):
            inputs.setdefault(position, []).extend(names)
    fused = fuse([ranking.positions for ranking in rankings])
    return Ranking(
        [one for one, _ in fused], [score for _, score in fused], [inputs[one] for one, _ in fused]
    )


def _without(ranking: Ranking, positions: set[int]) -> Ranking:
    kept = [place for place, position in enumerate(ranking.positions) if position not in positions]
    return _taken(ranking, kept)


def _first(ranking: Ranking, k: int) -> Ranking:
    return _taken(ranking, range(min(k, len(ranking.positions))))


def _taken(ranking: Ranking, places: Sequence[int]) -> Ranking:
    return Ranking(
        [ranking.positions[place] for place in places],
        [ranking.scores[place] for place in places],
        [ranking.inputs[place] for place in places],
    )


def _searched(request: Request, manifest: Any, space: str) -> list[str]:
    return [name for name in request.inputs if manifest.inputs[name].space == space]


def _texts(request: Request) -> list[str]:
    return [part.content for part in request.parts if part.kind == "text" and part.weight > 0]


def _part_words(part: Part) -> str:
    content = f"“{part.content}”" if part.kind == "text" else f"{part.kind} {part.content}"
    weight = "" if abs(part.weight) == 1 else f"^{abs(part.weight):g}"
    return f"{'minus ' if part.weight < 0 else ''}{content}{weight}"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
