"""Nearest vectors: Sensorium's index with keys and filters against faiss and usearch used directly.

    python -m benchmarks.search --output benchmarks/results/search.json
    python -m benchmarks.search --rows 1000000 --few --output benchmarks/results/search_million.json

384 numbers a vector, of unit length. The vectors are made: a thousand clusters, the largest first (sizes fall
with the root of the rank), whose centres and whose spread (0.8 of the centres') fall with the root of the
coordinate's rank, so that most of what tells vectors apart lies in few directions, as in embeddings. Queries
are new vectors from the same clusters. Recall is the share of the exact 10 nearest that is found: among all
rows, among half of them by chance, and among those on one side of the space, whose first coordinate is above
the median: a filter that goes along with the vectors. With filters faiss looks into twice as many cells.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.common import Cost, circumstances, cost, in_turns, parser, rates, report, spread
from sensorium.data.column import Array
from sensorium.data.media import Limits
from sensorium.data.table import Table
from sensorium.errors import require
from sensorium.index import Index, build_index, open_index
from sensorium.index.embedder import EmbeddedInput
from sensorium.index.nearest import Allowed

faiss: Any = require("faiss", "search")
DIM, CLUSTERS, K = 384, 1000, 10
BASE = "faiss, inverted file, fp16"
SENSORIUM = "Sensorium, with keys"
_BLOCK = 50_000


class Filter(NamedTuple):
    """A condition, and the rows `(N,)` bool that it leaves."""

    column: str
    words: str
    mask: Array


Answer = Callable[[Array], Any]
"""Queries `(Q, E)` → rows `(Q, 10)`, or the keys of each query's rows."""


class Way(NamedTuple):
    """One way to search, and what it took to build."""

    answer: Answer
    seconds: float


class Made:
    """A model whose vectors are there already, row by row."""

    folder: Path | None = None
    limits = Limits()
    digest = "0" * 64

    def __init__(self, vectors: Array) -> None:
        self.vectors = vectors
        self.key = ["id"]
        self.inputs = {"vector": EmbeddedInput("text", "id", "vector")}

    def embed(self, table: Table) -> dict[str, Array]:
        """The vectors of the rows whose numbers are given."""
        rows = [int(cell) for cell in table.column("id")]
        return {"vector": self.vectors[rows].astype(np.float32)}

    def save(self, folder: Path) -> None:
        """Nothing to save."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures all ways on the same vectors."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--rows", type=int, default=50_000)
    options.add_argument("--queries", type=int, default=500)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--few", action="store_true", help="without graphs, which take long to build")
    chosen = options.parse_args(arguments)
    began = circumstances()
    faiss.omp_set_num_threads(chosen.threads)
    rows, count = (60_000, 20) if chosen.smoke else (chosen.rows, chosen.queries)
    vectors, queries = clustered(rows, count)
    filters = [
        Filter("half", "a filter that leaves half", np.random.default_rng(2).random(rows) < 0.5),
        Filter("side", "a filter that leaves one side", vectors[:, 0] > np.median(vectors[:, 0])),
    ]
    with tempfile.TemporaryDirectory() as folder:
        place, made = Path(folder) / "index", Made(vectors)
        built = cost(lambda: build_index(place, made, table(filters)).prepare())
        index = open_index(place, made)
        by_index(index, None, queries)
        alone = peak_memory()
        content = measured(index, built, vectors, queries, filters, chosen)
    content["notes"] |= {
        "index built": f"{built.wall:.0f} s, {built.cpu:.0f} CPU-s",
        "peak memory, index built and searched": alone,
        "peak memory with the other ways": peak_memory(),
    }
    report("search", content, chosen.output, began)


def measured(
    index: Index, built: Cost, vectors: Array, queries: Array, filters: list[Filter], chosen: Any
) -> dict[str, Any]:
    """Times, recalls and building times of all ways."""
    nearest = index.view.nearest("vector")
    assert nearest is not None  # noqa: S101 - every row has a vector
    quality = nearest.quality
    probes = quality.probes or 64
    file, seconds = faiss_file(vectors)
    title = f"{len(vectors):,} x {DIM}, queries"
    compared = {
        title: {
            BASE: Way(partial(by_faiss, file, probes, None), seconds),
            SENSORIUM: Way(partial(by_index, index, None), built.cpu),
            **({} if chosen.few or chosen.smoke else others(vectors)),
        }
    }
    for one in filters:
        compared[f"{title} with {one.words}"] = {
            f"{BASE}, selector": Way(
                partial(by_faiss, file, min(file.nlist, 2 * probes), Allowed(one.mask)), seconds
            ),
            f"{SENSORIUM} and filter": Way(partial(by_index, index, f"{one.column} = 1"), built.cpu),
        }
    tables, bases, costs, figures = {}, {}, {}, {}
    for (title, ways), mask in zip(compared.items(), [None, *(one.mask for one in filters)], strict=True):
        for batch, suffix in ((1, "one by one"), (len(queries), "all at once")):
            named, base = f"{title}, {suffix}", next(iter(ways))
            costs[named] = in_turns(
                {name: partial(timed, way.answer, queries, batch) for name, way in ways.items()},
                chosen.repeats,
            )
            bases[named], tables[named] = base, rates(costs[named], len(queries), base)
        figures[f"{title}: recall and building"] = recalls(ways, queries, exact(vectors, queries, mask))
    notes = {
        "recall that the index measured itself": f"{quality.recall:.4f}, {quality.queries} queries",
        "the same with filters": f"{quality.filtered:.4f}, {quality.matching} matching rows compared",
        "cells looked into": f"{quality.probes} of {quality.cells}",
        "threads": chosen.threads,
    }
    return {"tables": tables, "bases": bases, "figures": figures, "notes": notes, "costs": costs}


def recalls(ways: dict[str, Way], queries: Array, truth: Array) -> dict[str, dict[str, Any]]:
    """What each way finds, and what it took to build."""
    return {
        name: {
            "recall@10": spread([recall(way.answer(queries), truth)]),
            "CPU-s to build": spread([way.seconds]),
        }
        for name, way in ways.items()
    }


def clustered(rows: int, count: int) -> tuple[Array, Array]:
    """Vectors `(rows, 384)` float16 and queries `(count, 384)` float32, as the head of this file says."""
    generator = np.random.default_rng(0)
    falling = (np.arange(1, DIM + 1) ** -0.5).astype(np.float32)
    centres = generator.standard_normal((CLUSTERS, DIM), dtype=np.float32) * falling
    shares = np.arange(1, CLUSTERS + 1) ** -0.5
    vectors = np.empty((rows + count, DIM), np.float16)
    for start in range(0, len(vectors), _BLOCK):
        size = min(_BLOCK, len(vectors) - start)
        drawn = centres[generator.choice(CLUSTERS, size, p=shares / shares.sum())]
        drawn += 0.8 * generator.standard_normal((size, DIM), dtype=np.float32) * falling
        vectors[start : start + size] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return vectors[:rows], vectors[rows:].astype(np.float32)


def peak_memory() -> str:
    """The most memory that this process has held at once, made vectors and all, as the system counts it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return f"{kib / 1024**2:.2f} GiB"


def table(filters: list[Filter]) -> dict[str, list[Any]]:
    """Keys, and the columns to filter by."""
    keys = list(map(str, range(len(filters[0].mask))))
    return {"id": keys, **{one.column: one.mask.astype(int).tolist() for one in filters}}


def exact(vectors: Array, queries: Array, allowed: Array | None) -> Array:
    """The rows `(Q, 10)` that are nearest, by comparing all."""
    scores = np.full((len(queries), K), -np.inf, np.float32)
    rows = np.zeros((len(queries), K), np.int64)
    for start in range(0, len(vectors), _BLOCK):
        block = queries @ vectors[start : start + _BLOCK].astype(np.float32).T
        if allowed is not None:
            block[:, ~allowed[start : start + _BLOCK]] = -np.inf
        best = np.argpartition(-block, K, axis=1)[:, :K]
        scores = np.concatenate([scores, np.take_along_axis(block, best, axis=1)], axis=1)
        rows = np.concatenate([rows, best + start], axis=1)
        order = np.argsort(-scores, axis=1)[:, :K]
        scores, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
    return rows


def recall(found: Any, truth: Array) -> float:
    """Share of the nearest that was found; a key is its row's number."""
    rows = (
        found.tolist() if isinstance(found, np.ndarray) else [[int(key) for (key,) in keys] for keys in found]
    )
    return float(np.mean([len({*a} & {*b}) / K for a, b in zip(rows, truth.tolist(), strict=True)]))


def timed(answer: Answer, queries: Array, batch: int) -> Cost:
    """All queries, some at a time."""
    return cost(lambda: [answer(queries[start : start + batch]) for start in range(0, len(queries), batch)])


def by_index(index: Index, where: str | None, queries: Array) -> list[list[tuple[Any, ...]]]:
    """Through the index, which answers with keys."""
    return index.view.neighbours("vector", queries, K, where)[0]


def by_faiss(file: Any, probes: int, allowed: Allowed | None, queries: Array) -> Array:
    """The inverted file used directly."""
    chosen = {"sel": allowed.selector} if allowed is not None else {}
    rows: Array = file.search(queries, K, params=faiss.SearchParametersIVF(nprobe=probes, **chosen))[1]
    return rows


def faiss_file(vectors: Array) -> tuple[Any, float]:
    """faiss's inverted file, as its own guide advises: 4 √n cells; and the CPU-seconds that it took."""
    start = time.process_time()
    index = faiss.index_factory(DIM, f"IVF{int(4 * len(vectors) ** 0.5)},SQfp16", faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(3).choice(len(vectors), min(len(vectors), 40 * index.nlist), replace=False)
    index.train(vectors[np.sort(sample)].astype(np.float32))
    add(index, vectors)
    return index, time.process_time() - start


def others(vectors: Array) -> dict[str, Way]:
    """Exact search, and graphs (HNSW: Malkov & Yashunin 2016, arXiv:1603.09320)."""
    usearch: Any = require("usearch.index", "test")

    start = time.process_time()
    flat = faiss.IndexFlatIP(DIM)
    add(flat, vectors)
    ways = {"faiss, exact, fp32": Way(lambda asked: flat.search(asked, K)[1], time.process_time() - start)}
    start = time.process_time()
    graph = faiss.IndexHNSWSQ(DIM, faiss.ScalarQuantizer.QT_fp16, 16, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = 100, 64
    graph.train(vectors[:1000].astype(np.float32))
    add(graph, vectors)
    ways["faiss, graph, fp16"] = Way(lambda asked: graph.search(asked, K)[1], time.process_time() - start)
    for kind, reach in (("bf16", 128), ("i8", 256)):
        start = time.process_time()
        other = usearch.Index(ndim=DIM, metric="ip", dtype=kind, connectivity=16, expansion_add=128)
        other.expansion_search = reach
        other.add(np.arange(len(vectors)), vectors.astype(np.float32), threads=1)
        ways[f"usearch, graph, {kind}"] = Way(partial(by_graph, other), time.process_time() - start)
    return ways


def by_graph(graph: Any, queries: Array) -> Array:
    """usearch answers one query with one row of keys."""
    found = graph.search(queries, K, threads=1).keys
    return np.asarray(found, np.int64).reshape(len(queries), -1)


def add(index: Any, vectors: Array) -> None:
    """In blocks, so that no second copy of all vectors is made."""
    for start in range(0, len(vectors), _BLOCK):
        index.add(vectors[start : start + _BLOCK].astype(np.float32))


if __name__ == "__main__":
    main()
