"""An inverted file: measured, filtered, kept, and brought up to date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensorium.data.column import Array
from sensorium.index import nearest, recall
from sensorium.index.approximate import held, prepare
from sensorium.index.nearest import Allowed, Nearest, exact
from sensorium.index.neighbours import duplicates, outliers
from sensorium.index.recall import Vectors
from sensorium.index.results import Results, quality_words

ROWS, DIM = 3_000, 16


@pytest.fixture(scope="module")
def vectors() -> Array:
    return clusters(ROWS).astype(np.float16)


@pytest.fixture(scope="module")
def addresses() -> Array:
    """In no order, and far apart, as Lance gives them after changes."""
    return np.random.default_rng(1).permutation(ROWS).astype(np.int64) * 7 + (1 << 33)


def clusters(rows: int) -> Array:
    """Forty of them, in float32."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(40, DIM))
    drawn = centres[generator.integers(0, 40, rows)] + 0.6 * generator.normal(size=(rows, DIM))
    return nearest.unit(drawn)


def asked(vectors: Array, addresses: Array) -> list[Vectors]:
    rows = held(addresses, 300)
    return [Vectors(vectors[rows].astype(np.float32), rows)]


def made(
    vectors: Array,
    addresses: Array,
    folder: Path | None = None,
    version: int = 1,
    said: list[str] | None = None,
) -> Nearest:
    def read() -> Vectors:
        return Vectors(vectors, np.arange(len(vectors)))

    say = (said if said is not None else []).append
    return prepare(read, lambda: asked(vectors, addresses), addresses, folder, version, say)


def same(found: Nearest, vectors: Array) -> float:
    """Share of the ten nearest of some rows that exact search finds too."""
    queries = vectors[1::7].astype(np.float32)
    mine = found.search(queries, 10)[1]
    truth = exact(vectors, np.arange(len(vectors))).search(queries, 10)[1]
    return float(np.mean([len({*a} & {*b}) / 10 for a, b in zip(mine.tolist(), truth.tolist(), strict=True)]))


def test_its_recall_is_measured_and_said(vectors: Array, addresses: Array) -> None:
    found = made(vectors, addresses)
    assert found.quality.recall >= 0.99
    assert 8 <= found.quality.probes < found.quality.cells == int(4 * ROWS**0.5)
    words = quality_words(found.quality)
    assert words.startswith(f"approximate, recall@10 {found.quality.recall:.3f} (measured with 300 queries")
    assert "below" in quality_words(found.quality._replace(recall=0.5))


def test_what_was_measured_is_said_with_a_filter_and_without() -> None:
    quality = {"image": nearest.Quality(0.994, 0.992, 1000, 128, 8_960, 894)}
    found = Results("a bird", "vector", None, 50_000, 1, quality, [], {})
    assert found.header().endswith("(measured with 1000 queries against exact search; 128 of 894 cells)")
    filtered = Results("a bird", "vector", "price > 2", 50_000, 1, quality, [], {})
    assert filtered.header().endswith(
        "recall@10 0.992 (measured with 1000 queries against exact search; "
        "filters that keep half of the space; 8,960 rows that match)"
    )


def test_the_kind_of_queries_that_finds_least_counts(vectors: Array, addresses: Array) -> None:
    far = np.random.default_rng(5).normal(size=(100, DIM)).astype(np.float32)
    other = Vectors(nearest.unit(far), np.arange(100))
    easy = made(vectors, addresses)
    both = prepare(
        lambda: Vectors(vectors, np.arange(ROWS)),
        lambda: [*asked(vectors, addresses), other],
        addresses,
        None,
        1,
        lambda line: None,
    )
    assert both.quality.probes > easy.quality.probes
    assert both.quality.recall >= 0.99
    assert both.quality.queries == 400


@pytest.mark.parametrize(("least", "first"), [(0.0, 1), (0.0, 4), (0.99, 8)])
def test_new_queries_meet_the_recall_that_is_said(
    addresses: Array, least: float, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries of the same clusters that are not in the index, against float32 vectors, by row."""
    monkeypatch.setattr(recall, "RECALL", least)
    monkeypatch.setattr(recall, "FIRST_PROBES", first)
    drawn = clusters(ROWS + 1_000)
    vectors, queries = drawn[:ROWS].astype(np.float16), drawn[ROWS:]
    found = made(vectors, addresses)
    mine = found.search(queries, 10)[1]
    truth = np.argsort(-(queries @ drawn[:ROWS].T), axis=1)[:, :10]
    shares = [len({*a} & {*b}) / 10 for a, b in zip(mine.tolist(), truth.tolist(), strict=True)]
    assert np.mean(shares) >= least
    assert abs(found.quality.recall - np.mean(shares)) < (0.03 if least == 0 else 0.005)


def test_of_equal_vectors_any_will_do(addresses: Array) -> None:
    vectors = np.repeat(clusters(ROWS // 30), 30, axis=0).astype(np.float16)
    assert made(vectors, addresses).quality[:4] == (1.0, 1.0, 300, 8)


@pytest.mark.parametrize("exact_below", [2, 10_000])
def test_a_filter_never_starves(
    vectors: Array, addresses: Array, exact_below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only rows left are the furthest from the query, in cells that it does not look into."""
    monkeypatch.setattr(nearest, "FILTERED_EXACT_BELOW", exact_below)
    found = made(vectors, addresses)
    query = vectors[:1].astype(np.float32)
    similarity = (vectors.astype(np.float32) @ query[0]).argsort()
    mask = np.zeros(ROWS, np.bool_)
    mask[similarity[:25]] = True
    scores, positions = found.search(query, 20, Allowed(mask))
    cosines = vectors.astype(np.float32) @ query[0]
    assert cosines[positions[0]] == pytest.approx(cosines[similarity[:25][::-1][:20]], abs=1e-3)
    assert len(set(positions[0].tolist())) == 20
    assert (np.diff(scores[0]) <= 1e-4).all()
    few = np.zeros(ROWS, np.bool_)
    few[similarity[:3]] = True
    assert found.search(query, 20, Allowed(few))[1][0].tolist() == [*similarity[:3][::-1], *[-1] * 17]


@pytest.mark.parametrize("coordinate", [0, 1])
def test_a_filter_that_goes_along_with_the_vectors_finds_as_much(
    addresses: Array, coordinate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New queries from both sides of the space, of which one is filtered out; among a part of the rows."""
    monkeypatch.setattr(nearest, "FILTERED_EXACT_BELOW", 2)
    drawn = clusters(ROWS + 1_000)
    vectors, queries = drawn[:ROWS].astype(np.float16), drawn[ROWS:]
    found = made(vectors, addresses)
    assert found.quality.filtered >= 0.99
    for mask in (drawn[:ROWS, coordinate] > 0, drawn[:ROWS, coordinate] < 0):
        assert found.quality.matching < mask.sum() / 2
        mine = found.search(queries, 10, Allowed(mask))[1]
        truth = np.argsort(-np.where(mask, queries @ drawn[:ROWS].T, -np.inf), axis=1)[:, :10]
        shares = [len({*a} & {*b}) / 10 for a, b in zip(mine.tolist(), truth.tolist(), strict=True)]
        assert np.mean(shares) >= 0.99


def test_each_query_is_answered_as_if_it_were_alone(
    vectors: Array, addresses: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "FILTERED_EXACT_BELOW", 2)
    found, queries = made(vectors, addresses), vectors[:40].astype(np.float32)
    allowed = Allowed(vectors[:, 0] > 0)
    together = found.search(queries, 10, allowed)[1]
    alone = [found.search(query[None], 10, allowed)[1][0] for query in queries]
    assert together.tolist() == [one.tolist() for one in alone]


def test_it_is_kept_and_brought_up_to_date(vectors: Array, addresses: Array, tmp_path: Path) -> None:
    folder = tmp_path / "approximate" / "image"
    said: list[str] = []
    made(vectors, addresses, folder, 1, said)
    assert said == ["building an approximate index of 3,000 vectors"]
    unread: Any = lambda: pytest.fail("nothing needs reading")  # noqa: E731
    again = prepare(unread, unread, addresses, folder, 1, said.append)
    assert same(again, vectors) >= 0.95
    # a hundred rows are gone, fifty are new, and their order is another
    kept = np.random.default_rng(3).permutation(np.arange(100, ROWS))
    new = -vectors[:50]
    changed = np.concatenate([vectors[kept], new])
    named = np.concatenate([addresses[kept], np.arange(50) + (1 << 40)])
    later = made(changed, named, folder, 2, said)
    assert len(later) == len(changed)
    assert len(said) == 1
    assert same(later, changed) >= 0.95
    assert later.search(new[:1].astype(np.float32), 1)[1][0, 0] == len(kept)
    assert len(list(folder.glob("*.faiss"))) == 1


def test_what_is_cut_short_is_made_again(vectors: Array, addresses: Array, tmp_path: Path) -> None:
    folder = tmp_path / "approximate" / "image"
    made(vectors, addresses, folder)
    about: dict[str, Any] = json.loads((folder / "about.json").read_text())
    (folder / about["file"]).write_bytes((folder / about["file"]).read_bytes()[:1000])
    assert same(made(vectors, addresses, folder), vectors) >= 0.95
    (folder / "about.json").write_text("{")
    assert same(made(vectors, addresses, folder), vectors) >= 0.95


class OneInput:
    """What `duplicates` and `outliers` need of a view."""

    def __init__(self, vectors: Array) -> None:
        self._vectors = vectors.astype(np.float16)

    def vectors(self, name: str) -> tuple[Array, Array]:
        return self._vectors, np.arange(len(self._vectors))

    def nearest(self, name: str) -> Nearest:
        return exact(self._vectors, np.arange(len(self._vectors)))


def turned(*degrees: float) -> Array:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_duplicates_by_hand() -> None:
    """Rows 0, 1, 2 are 5° apart, so 0 and 2 meet through 1; cos 5° = 0.9962, cos 10° = 0.9848."""
    view: Any = OneInput(turned(0, 5, 10, 90, 90, 200))
    groups = duplicates(view, ["angle"], 0.99)
    assert [group.positions for group in groups] == [[0, 1, 2], [3, 4]]
    assert groups[0].least == pytest.approx(np.cos(np.radians(5)), abs=1e-3)
    assert groups[1].most == pytest.approx(1, abs=1e-6)
    assert [group.positions for group in duplicates(view, ["angle"], 1.0)] == [[3, 4]]


def test_outliers_by_hand() -> None:
    view: Any = OneInput(turned(0, 0, 0, 90))
    found = outliers(view, ["angle"], 2)["angle"]
    assert [(one.position, round(one.distance, 3)) for one in found] == [(3, 1.0), (0, 0.333)]


def test_the_same_rows_are_held_back_in_every_version(addresses: Array) -> None:
    first = addresses[held(addresses, 50)]
    later = np.concatenate([addresses[::-1][:-100], np.arange(20) + (1 << 41)])
    second = later[held(later, 50)]
    new = np.setdiff1d(second, addresses)
    assert len(np.intersect1d(first, second)) >= 50 - 100 * 50 / ROWS * 4 - len(new)
    assert np.isin(second, addresses[held(addresses, 100)]).sum() + len(new) == 50
