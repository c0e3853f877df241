"""The models of tutorials, trained from JPEG files: stock PyTorch, Keras and Sensorium on the same rows.

    python -m benchmarks.peers.setup keras
    python -m benchmarks.tutorial_models --output benchmarks/results/tutorial_models.json
    python -m benchmarks.tutorial_models --model all --output benchmarks/results/tutorial_models_all.json

Every library runs in a process of its own, and the parent asks them for epochs in turns: a first one,
from files that it has not decoded yet, then a later one. The models are those of examples/classic, without
augmentation. CPU time is that of all threads and of DataLoader's workers. Peers write the models as their
tutorials do; PyTorch decodes in every epoch, tf.data keeps decoded pictures in memory, Sensorium on disk.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks.common import Cost, circumstances, in_turns, parser, rates, report
from benchmarks.peers import setup
from benchmarks.tutorial_data import TEXT_LENGTH, write_table
from benchmarks.workers import ROOT, ask, start

EPOCHS = ("first epoch", "later epoch")
TORCH, KERAS, KERAS_BF16, OURS = (
    "stock PyTorch, fp32",
    "Keras, fp32",
    "Keras, mixed_bfloat16",
    "Sensorium",
)


class Model(NamedTuple):
    """A recipe of examples/classic as it is measured.

    Attributes:
        rows: an epoch has.
        side: of the pictures, pixels.
        keras: whether Keras takes part: it has no small residual network to take from the shelf.
    """

    rows: int
    side: int
    keras: bool = True


MODELS: Mapping[str, Model] = {
    "cnn_embedding_lstm": Model(128, 224),
    "mnist_cnn": Model(2048, 28),
    "cnn_lstm": Model(768, 64),
    "resnet_concat": Model(384, 64, keras=False),
    "resnet_decoupled": Model(384, 64, keras=False),
    "cnn_224": Model(64, 224),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures one model, or all."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--model", choices=[*MODELS, "all"], default="cnn_embedding_lstm")
    options.add_argument("--threads", type=int, default=2, help="threads of each library")
    chosen = options.parse_args(arguments)
    began = circumstances()
    content: dict[str, Any] = {"tables": {}, "bases": {}, "notes": {}, "costs": {}}
    for name in MODELS if chosen.model == "all" else [chosen.model]:
        model = MODELS[name]._replace(rows=16, side=16) if chosen.smoke else MODELS[name]
        costs, notes = measure(name, model, 1 if chosen.smoke else chosen.threads, chosen.repeats)
        for epoch, taken in costs.items():
            title = f"{name}, {epoch}, rows"
            content["tables"][title], content["bases"][title] = rates(taken, model.rows, TORCH), TORCH
            content["costs"][title] = taken
        content["notes"] |= {f"{name}, {about}": value for about, value in notes.items()}
        # After every model: one that needs more memory than there is must not take the others along.
        report("tutorial_models", content, chosen.output, began)


def measure(
    name: str, model: Model, threads: int, repeats: int
) -> tuple[dict[str, dict[str, list[Cost]]], dict[str, Any]]:
    """First and later epochs of every library, and what each says of its model at the end."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as opened:
        folder = Path(place)
        size = write_table(folder, model.rows, 64, model.side)
        variant = {"recipe": recipe(name, model.side), "folder": place, "threads": threads}
        workers = {own: opened.enter_context(it) for own, it in _start(variant, model.keras).items()}
        asked = {(own, epoch): partial(_cost, workers[own], epoch) for own in workers for epoch in EPOCHS}
        taken = in_turns({json.dumps(pair): ask_it for pair, ask_it in asked.items()}, repeats)
        about = {own: ask(worker, "about") for own, worker in workers.items()}
    costs = {epoch: {own: taken[json.dumps([own, epoch])] for own in workers} for epoch in EPOCHS}
    return costs, _notes(about, size, costs, model)


def recipe(name: str, side: int) -> dict[str, Any]:
    """A recipe of examples/classic over the made table, without augmentation.

    Dropout stays only where the recipe itself names it.
    """
    content = yaml.safe_load((ROOT / "examples" / "classic" / f"{name}.yaml").read_text(encoding="utf-8"))
    text = {"tokenizer": "word", "min_count": 1, "length": TEXT_LENGTH}
    own = {"image": {"size": side, "augment": False}, "text": text}
    inputs = {part["type"]: part | own[part["type"]] for part in content["inputs"].values()}
    for part in inputs.values():
        part["encoder"].setdefault("dropout", 0)
    return {
        "data": {"path": "table.csv", "split": {"column": "split", "validation": 0}},
        "inputs": inputs,
        "fusion": {"kind": "concat", "dropout": 0} | content.get("fusion", {}),
        "outputs": {"label": "category"},
        "training": {"batch_size": 32, "optimizer": {"schedule": "constant", "warmup": 0}},
    }


def _start(variant: dict[str, Any], keras: bool) -> dict[str, subprocess.Popen[str]]:
    """The libraries that are there, the base first."""
    workers = {TORCH: start("benchmarks.peers.torch_tutorial", json.dumps(variant))}
    if keras and setup.installed("keras"):
        for own, policy in ((KERAS, "float32"), (KERAS_BF16, "mixed_bfloat16")):
            told = json.dumps(variant | {"policy": policy})
            workers[own] = start(
                "benchmarks.peers.keras_tutorial", told, interpreter=setup.interpreter("keras")
            )
    elif keras:
        print("Keras is left out: python -m benchmarks.peers.setup keras installs it")
    return workers | {OURS: start("benchmarks.tutorial_sensorium", json.dumps(variant))}


def _cost(worker: subprocess.Popen[str], epoch: str) -> Cost:
    return Cost(*ask(worker, epoch))


def _notes(
    about: dict[str, dict[str, Any]], size: int, costs: dict[str, dict[str, list[Cost]]], model: Model
) -> dict[str, Any]:
    """Parameters and quality of every library, and the share of the bf16 matrix limit that Sensorium reaches.

    The limit: as many rows as the forward pass's convolutions and products, three times for a step, leave
    room for when all of it runs as fast as a product of two large matrices.
    """
    limit = about[OURS].pop("matrix_gflops") / (3 * about[TORCH].pop("forward_gflop"))
    best = min(cost.cpu for cost in costs[EPOCHS[1]][OURS])
    return {
        "pictures": f"{size} bytes on average",
        **about,
        "bf16 matrix limit": f"{limit:.4g} rows per CPU-second",
        "Sensorium's share of it": f"{model.rows / best / limit:.0%} in the best later epoch",
    }


if __name__ == "__main__":
    main()
