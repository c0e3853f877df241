"""Sentences to vectors: MiniLM in sentence-transformers, OpenVINO and Sensorium, on the same sentences.

    python -m benchmarks.peers.setup embedding
    python -m benchmarks.embedding --output benchmarks/results/embedding.json

Sentences of 15 to 25 words, 20 on average, each different, drawn from the words that are one token of the
vocabulary. Every library runs in a process of its own, and the parent asks them in turns for the vectors of
all sentences: tokens, backbone, mean over tokens. sentence-transformers encodes all in one call, as it comes:
fp32, sorted by length, 32 at a time. OpenVINO compiles the same model with the mean inside, for bf16 and for
latency (one request on all threads), and gets what the same tokenizer gives, sorted and 32 at a time too.
Sensorium computes features as training and `embed` have them computed, without a cache; its texts are cut
into tokens by as many threads more, which counts as CPU time but shortens the time on the clock.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import Cost, circumstances, in_turns, parser, rates, report
from benchmarks.peers import setup
from benchmarks.workers import ask, start
from sensorium.weights import find

WEIGHTS = "sentence-transformers/all-MiniLM-L6-v2"
BASE, OPENVINO, OURS = "sentence-transformers, fp32", "OpenVINO, bf16", "Sensorium"
PEERS = {BASE: "embedding_sentence_transformers", OPENVINO: "embedding_openvino"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every library with every number of threads."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of each library")
    options.add_argument("--sentences", type=int, default=2048, help="that each library encodes in a repeat")
    chosen = options.parse_args(arguments)
    began = circumstances()
    sentences = made_sentences(32 if chosen.smoke else chosen.sentences)
    content: dict[str, Any] = {"tables": {}, "bases": {}, "notes": {}, "costs": {}}
    for threads in [1] if chosen.smoke else chosen.threads:
        title = f"{threads} {'thread' if threads == 1 else 'threads'}, sentences"
        costs, notes = measure(sentences, threads, chosen.repeats)
        base = next(iter(costs))
        content["tables"][title], content["bases"][title] = rates(costs, len(sentences), base), base
        content["costs"][title], content["notes"] = costs, notes
    report("embedding", content, chosen.output, began)


def made_sentences(count: int) -> list[str]:
    """Words that are one token each."""
    vocabulary = json.loads(find(WEIGHTS, Path()).tokenizer)["model"]["vocab"]
    words = sorted(word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 2)
    random = np.random.default_rng(0)
    return [" ".join(random.choice(words, random.integers(15, 26))) for _ in range(count)]


def measure(
    sentences: Sequence[str], threads: int, repeats: int
) -> tuple[dict[str, list[Cost]], dict[str, Any]]:
    """All sentences in turns, and how near the vectors are to those of sentence-transformers."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as opened:
        folder = Path(place)
        (folder / "sentences.json").write_text(json.dumps(sentences), encoding="utf-8")
        told = json.dumps({"folder": place, "threads": threads})
        workers = {name: opened.enter_context(worker) for name, worker in _start(told).items()}
        ways = {name: partial(_cost, worker) for name, worker in workers.items()}
        costs = in_turns(ways, repeats)
        about = {name: ask(worker, "about") for name, worker in workers.items()}
        vectors = {name: np.load(one.pop("vectors")) for name, one in about.items()}
    return costs, about | _agreement(vectors)


def _start(told: str) -> dict[str, subprocess.Popen[str]]:
    """The libraries that are there, the base first."""
    workers = {}
    if setup.installed("embedding"):
        python = setup.interpreter("embedding")
        for name, module in PEERS.items():
            workers[name] = start(f"benchmarks.peers.{module}", told, interpreter=python)
    else:
        print("sentence-transformers and OpenVINO are left out: python -m benchmarks.peers.setup embedding")
    return workers | {OURS: start("benchmarks.embedding_sensorium", told)}


def _cost(worker: subprocess.Popen[str]) -> Cost:
    return Cost(*ask(worker, "encode"))


def _agreement(vectors: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, str]:
    """Cosines to the vectors of the base, where it takes part."""
    unit = {name: own / np.linalg.norm(own, axis=1, keepdims=True) for name, own in vectors.items()}
    if BASE not in unit:
        return {}
    cosines = {name: (own * unit[BASE]).sum(axis=1) for name, own in unit.items() if name != BASE}
    return {
        f"cosine of {name} to {BASE}": f"{own.mean():.5f} on average, {own.min():.5f} at least"
        for name, own in cosines.items()
    }


if __name__ == "__main__":
    main()
