"""One step of training, or one loading, of a causal language model; run by benchmarks/text_generation.py."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import torch

from benchmarks.common import cost
from sensorium.decoders.language_model import LanguageModel, open_writer
from sensorium.decoders.losses import token_losses
from sensorium.weights import find

_MEGABYTE = 2**20


def step(weights: str, tokens: int, chunk: int) -> dict[str, float]:
    """A gradient down to the vectors of words, through a frozen model that computes its activations twice.

    Args:
        weights: of the model.
        tokens: of the text.
        chunk: tokens whose logits are held at a time.
    """
    model = LanguageModel(find(weights, Path()))
    model.backbone.activation_checkpointing_enable({"use_reentrant": False})
    model.backbone.train()
    ids = torch.arange(tokens).unsqueeze(0) % model.output_weight.shape[0]
    vectors = model.embed(ids).requires_grad_()
    mask = torch.ones_like(ids, dtype=torch.bool)

    def work() -> None:
        states = model.states(vectors, mask)
        token_losses(states, model.output_weight, ids, mask, chunk=chunk).mean().backward()

    before = _resident()
    taken = cost(work)
    return {"peak, MB": _peak(), "MB beyond the loaded model": _peak() - before, "CPU-seconds": taken.cpu}


def load(weights: str) -> dict[str, float]:
    """From files to a model that writes."""
    taken = cost(lambda: open_writer(find(weights, Path())))
    return {"seconds": taken.wall, "CPU-seconds": taken.cpu, "peak, MB": _peak()}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MEGABYTE


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / _MEGABYTE


if __name__ == "__main__":
    torch.manual_seed(0)
    kind, name, *numbers = sys.argv[1:]
    found = load(name) if kind == "load" else step(name, *map(int, numbers))
    print(json.dumps(found))
