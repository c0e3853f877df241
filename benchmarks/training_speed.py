"""How many rows a CPU trains on: the tutorial model in stock PyTorch and in Sensorium, part by part.

    python -m benchmarks.training_speed --output benchmarks/results/training_speed.json
    python -m benchmarks.training_speed --models small --output benchmarks/results/training_speed_small.json

Every variant runs in a process of its own, because the allocator is set per process; the parent asks them
for one step after the other, in turns. What is measured is one optimizer step over 32 rows in memory:
forward, backward, clipping and AdamW, without decoding. One thread by default: threads that wait for each
other spin, and what others do on the machine would then count as CPU time of ours.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Cost, circumstances, cost, in_turns, parser, rates, report
from benchmarks.workers import ask, serve, start

MICRO_BATCHES = (4, 8, 16, 32)
TUTORIAL: dict[str, dict[str, Any]] = {
    "stock PyTorch, fp32": {"stock": "fp32"},
    "stock PyTorch, bf16 autocast": {"stock": "bf16"},
    "Sensorium": {},
    **{f"Sensorium, micro_batch {size}": {"micro_batch": size} for size in MICRO_BATCHES},
    "Sensorium, torch's max-pooling": {"onednn": False},
    **{
        f"Sensorium, allocator left alone, micro_batch {size}": {"allocator": False, "micro_batch": size}
        for size in (4, 32)
    },
    "Sensorium, fp32": {"precision": "fp32"},
    "Sensorium, augment and group norm": {"recipe": "tutorial_defaults"},
}
SMALL: dict[str, dict[str, Any]] = {
    f"{recipe}, {f'micro_batch {size}' if size else 'as it comes'}": {
        "recipe": recipe,
        **({"micro_batch": size} if size else {}),
    }
    for recipe in ("stamps", "stamps_without_batch_norm", "picture_and_lstm")
    for size in (None, *MICRO_BATCHES)
}
MODELS = {"tutorial": TUTORIAL, "small": SMALL}
LABELS = 13


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the variants of one group of models."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--models", choices=MODELS, default="tutorial")
    options.add_argument("--threads", type=int, default=1, help="threads of each process")
    options.add_argument("--only", default="", help="variants whose name contains this, and the first")
    options.add_argument("--worker", default="", help=argparse.SUPPRESS)
    chosen = options.parse_args(arguments)
    if chosen.worker:
        work(json.loads(chosen.worker))
        return
    began = circumstances()
    variants = MODELS[chosen.models]
    base = next(iter(variants))
    names = [base, *(name for name in variants if chosen.only in name and name != base)]
    common = {"rows": 32, "side": 224 if chosen.models == "tutorial" else 96, "threads": chosen.threads}
    if chosen.smoke:
        names, common = [names[0], names[-1]], {"rows": 4, "side": 16, "threads": 1}
    costs, notes = measure({name: common | variants[name] for name in names}, chosen.repeats)
    title = f"{chosen.models} model{'s' if chosen.models == 'small' else ''}, rows"
    content = {
        "tables": {title: rates(costs, common["rows"], base)},
        "bases": {title: base},
        "notes": notes,
        "costs": costs,
    }
    report("training_speed", content, chosen.output, began)


def measure(
    variants: dict[str, dict[str, Any]], repeats: int
) -> tuple[dict[str, list[Cost]], dict[str, Any]]:
    """One process a variant, asked in turns; also what each says of itself at the end."""
    with ExitStack() as opened:
        workers = {name: opened.enter_context(_start(variant)) for name, variant in variants.items()}
        costs = in_turns({name: partial(_step, worker) for name, worker in workers.items()}, repeats)
        return costs, {name: ask(own, "about") for name, own in workers.items()}


def _step(worker: subprocess.Popen[str]) -> Cost:
    return Cost(*ask(worker, "step"))


def _start(variant: dict[str, Any]) -> subprocess.Popen[str]:
    return start("benchmarks.training_speed", "--worker", json.dumps(variant))


def work(variant: dict[str, Any]) -> None:
    """A worker: builds its variant, then makes a step whenever it is asked to."""
    import torch

    torch.set_num_threads(variant["threads"])
    with tempfile.TemporaryDirectory() as folder:
        step, about = (stock_step if "stock" in variant else sensorium_step)(variant, Path(folder))

        def describe() -> dict[str, Any]:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            return {**about, "peak_gib": round(peak, 2)}

        serve({"step": lambda: cost(step), "about": describe})


def recipe(name: str, side: int, training: dict[str, Any]) -> dict[str, Any]:
    """The recipes that are measured, with pictures of `side` pixels."""
    plain = {
        "kind": "cnn",
        "channels": [64, 128, 256],
        "norm": "none",
        "pool": "mean",
        "dense": None,
        "dropout": 0,
    }
    lstm = {"kind": "lstm", "hidden": 64, "bidirectional": False, "pool": "last", "dropout": 0}
    words = {"type": "text", "tokenizer": "word", "min_count": 1, "length": 100}
    sound = {"type": "audio", "seconds": 3, "rate": 16000}
    small = {
        "image": {"type": "image", "size": side, "encoder": {"kind": "cnn"}},
        "text": {**words, "encoder": {"kind": "mean"}},
        "sound": {**sound, "encoder": {"kind": "cnn"}},
    }
    inputs: dict[str, dict[str, Any]] = {
        "tutorial": {
            "image": {"type": "image", "size": side, "augment": False, "encoder": plain},
            "text": {**words, "encoder": lstm},
        },
        "tutorial_defaults": {
            "image": {"type": "image", "size": side, "encoder": {"kind": "cnn", "channels": [64, 128, 256]}},
            "text": {**words, "encoder": lstm},
        },
        "picture_and_lstm": {
            "image": {"type": "image", "size": side, "encoder": {"kind": "cnn"}},
            "text": {**words, "encoder": {**lstm, "bidirectional": True, "pool": "tokens"}},
        },
        "stamps": small,
        "stamps_without_batch_norm": {
            **small,
            "sound": {**sound, "encoder": {"kind": "cnn", "norm": "none"}},
        },
    }
    return {
        "data": {"split": {"validation": 0, "test": 0}, "cache": False},
        "inputs": inputs[name],
        "fusion": {"kind": "concat", "dropout": 0},
        "outputs": {"label": "category"},
        "training": training,
    }


def table(rows: int) -> dict[str, list[Any]]:
    """Made rows: a picture of 224 pixels, a text of 100 words, a sound of 3 s, a label."""
    import soundfile
    from PIL import Image

    generator = np.random.default_rng(0)
    made: dict[str, list[Any]] = {"image": [], "text": [], "sound": [], "label": []}
    for row in range(rows):
        coarse = Image.fromarray(generator.integers(0, 256, (14, 14, 3), dtype=np.uint8))
        picture, sound = io.BytesIO(), io.BytesIO()
        coarse.resize((224, 224), Image.Resampling.BICUBIC).save(picture, "PNG")
        soundfile.write(sound, 0.1 * generator.standard_normal(48_000), 16_000, format="WAV")
        made["image"].append(picture.getvalue())
        made["sound"].append(sound.getvalue())
        made["text"].append(" ".join(f"w{word}" for word in generator.integers(0, 2000, 100)))
        made["label"].append(f"label {row % LABELS}")
    return made


def sensorium_step(variant: dict[str, Any], folder: Path) -> tuple[Callable[[], object], dict[str, Any]]:
    """One step of the trainer that `sensorium train` uses, over one batch."""
    from sensorium.encoders import image
    from sensorium.inference import batch_to_device
    from sensorium.prepare import prepare
    from sensorium.recipe import parse_recipe
    from sensorium.training import loop, state
    from sensorium.training.progress import Silent
    from sensorium.training.run import RunFolder

    if not variant.get("allocator", True):
        vars(state)["keep_freed_memory"] = lambda: False
    if not variant.get("onednn", True):
        vars(image)["_onednn_is_fast"] = lambda pixels: False
    rows = variant["rows"]
    training: dict[str, Any] = {key: variant[key] for key in ("micro_batch", "precision") if key in variant}
    content = recipe(variant.get("recipe", "tutorial"), variant["side"], {"batch_size": rows, **training})
    prepared = prepare(parse_recipe(content, folder=folder), table(rows))
    trainer = loop.Trainer(prepared, RunFolder(folder), Silent())
    batch = batch_to_device(prepared.loader.batch(prepared.parts["train"]), trainer.state.device)
    about = {"micro_batch": trainer.micro_batch, "precision": trainer.state.precision}
    return lambda: trainer._step([batch]), about


def stock_step(variant: dict[str, Any], folder: Path) -> tuple[Callable[[], object], dict[str, Any]]:
    """The same model as a tutorial writes it: contiguous memory, ReLU before max-pooling."""
    import torch
    from torch import nn

    class Tutorial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            blocks: list[nn.Module] = []
            for inputs, outputs in ((3, 64), (64, 128), (128, 256)):
                blocks += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            self.convolutions = nn.Sequential(*blocks)
            self.words = nn.Embedding(2004, 128, padding_idx=0)
            self.lstm = nn.LSTM(128, 64, batch_first=True)
            self.image, self.text = nn.Linear(256, 128), nn.Linear(64, 128)
            self.head = nn.Sequential(nn.Linear(256, 128), nn.GELU(), nn.Linear(128, LABELS))

        def forward(self, pixels: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
            image = self.convolutions(pixels.float() / 255).mean(dim=(2, 3))
            text = self.lstm(self.words(words))[0][:, -1]
            logits: torch.Tensor = self.head(torch.cat([self.image(image), self.text(text)], dim=1))
            return logits

    torch.manual_seed(0)
    rows, side, model = variant["rows"], variant["side"], Tutorial()
    pixels = torch.randint(0, 256, (rows, 3, side, side), dtype=torch.uint8)
    words, labels = torch.randint(4, 2004, (rows, 100)), torch.arange(rows) % LABELS
    optimizer = torch.optim.AdamW(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=variant["stock"] == "bf16"):
            loss = nn.functional.cross_entropy(model(pixels, words), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step, {"micro_batch": rows, "precision": variant["stock"]}


if __name__ == "__main__":
    main()
