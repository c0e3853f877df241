"""Sentences to vectors in Sensorium: the features of a frozen text encoder.

Run by benchmarks/embedding.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import cost
from benchmarks.embedding import WEIGHTS
from benchmarks.workers import serve
from sensorium.data.feature_table import FeatureTable
from sensorium.data.loader import Loader
from sensorium.data.media import Media
from sensorium.data.table import Table, read_table
from sensorium.embedding import open_embedder
from sensorium.encoders.pretrained.lazy import built
from sensorium.features import Extraction


def main() -> None:
    """A worker; its argument is JSON: folder, threads."""
    told = json.loads(sys.argv[1])
    torch.set_num_threads(told["threads"])
    folder = Path(told["folder"])
    sentences = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))
    encoding = Encoding(read_table({"sentence": sentences}), told["threads"])

    def describe() -> dict[str, Any]:
        vectors, _ = encoding.features().take(np.arange(len(sentences)))
        np.save(folder / "sensorium.npy", vectors[:, 0])
        return {"vectors": str(folder / "sensorium.npy"), **encoding.describe()}

    serve({"encode": lambda: cost(encoding.features), "about": describe})


class Encoding:
    """A text encoder over the sentences of a table.

    Args:
        table: has one column, `sentence`.
        threads: that cut texts into tokens.
    """

    def __init__(self, table: Table, threads: int) -> None:
        embedder = open_embedder(WEIGHTS, column="sentence")
        self.encoder, self.inputs = embedder.encoders["sentence"], embedder.inputs
        self.table, self.threads = table, threads

    def features(self) -> FeatureTable:
        """Of every sentence, computed anew."""
        loader = Loader(self.table, self.inputs, {}, Media(None), threads=self.threads)
        extraction = Extraction("sentence", self.encoder, loader, lambda line: None, torch.device("cpu"))
        return extraction.table(np.arange(len(self.table)))

    def describe(self) -> dict[str, Any]:
        """Tokens of a sentence and the precision of the backbone."""
        column = self.inputs["sentence"].column
        lengths = [len(column.decode(cell)) for cell in self.table.column("sentence")]
        backbone = built(self.encoder.backbone, torch.device("cpu"))
        precision = str(next(backbone.parameters()).dtype).removeprefix("torch.")
        return {"tokens_a_sentence": round(float(np.mean(lengths)), 1), "precision": precision}


if __name__ == "__main__":
    main()
