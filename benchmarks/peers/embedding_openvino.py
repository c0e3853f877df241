"""Sentences to vectors in OpenVINO: the same model converted, in bf16, with the mean over tokens inside.

Run by benchmarks/embedding.py, in the environment of `python -m benchmarks.peers.setup embedding`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.common import cost
from benchmarks.peers.embedding_sentence_transformers import packaged
from benchmarks.workers import serve

BATCH_SIZE = 32


def main() -> None:
    """A worker; its argument is JSON: folder, threads."""
    told = json.loads(sys.argv[1])
    folder, encoding = Path(told["folder"]), Encoding(told["threads"])
    sentences = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))

    def describe() -> dict[str, Any]:
        np.save(folder / "openvino.npy", encoding.vectors(sentences))
        precision = encoding.compiled.get_property("INFERENCE_PRECISION_HINT")
        return {"vectors": str(folder / "openvino.npy"), "precision": precision.to_string()}

    serve({"encode": lambda: cost(lambda: encoding.vectors(sentences)), "about": describe})


class Encoding:
    """MiniLM, compiled.

    Args:
        threads: of the CPU.
    """

    def __init__(self, threads: int) -> None:
        model = packaged(threads)
        self.tokenizer, self.width = model.tokenizer, model[0].model.config.hidden_size
        example = dict(self.tokenizer(["a few words", "one"], padding=True, return_tensors="pt"))
        converted = openvino.convert_model(Mean(model[0].model).eval(), example_input=example)
        hints = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.compiled = openvino.Core().compile_model(converted, "CPU", hints)

    def vectors(self, sentences: list[str]) -> NDArray[np.float32]:
        """`(sentences, D)`, those of similar length together."""
        ids = self.tokenizer(sentences, truncation=True)["input_ids"]
        order = np.argsort([len(one) for one in ids], kind="stable")
        result = np.zeros((len(sentences), self.width), dtype=np.float32)
        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            batch = self.tokenizer.pad({"input_ids": [ids[one] for one in chosen]}, return_tensors="np")
            batch["token_type_ids"] = np.zeros_like(batch["input_ids"])
            result[chosen] = self.compiled(dict(batch))[0]
        return result


class Mean(nn.Module):
    """The mean over the tokens of each sentence.

    Args:
        backbone: a language model of transformers.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Ids `(B, L)` int64 → `(B, D)` float32."""
        states = self.backbone(input_ids, attention_mask, token_type_ids).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        mean: Tensor = (states * weights).sum(dim=1) / weights.sum(dim=1)
        return mean


if __name__ == "__main__":
    main()
