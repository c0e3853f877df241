"""Every manner of tuning through the real columns of text, pictures, sound and video."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from sensorium.encoders import ENCODERS
from sensorium.encoders.pretrained.lazy import built
from sensorium.features import Say, use_features
from sensorium.inference import batch_to_device, collect
from sensorium.model import Model
from sensorium.predict import load
from sensorium.prepare import Prepared, prepare
from sensorium.recipe import Recipe, parse_recipe
from sensorium.training.loop import Trainer
from sensorium.training.progress import Silent
from sensorium.training.run import RunFolder
from tests import made
from tests.made_checkpoints import ARCHITECTURES, made_checkpoint

pytest.importorskip("transformers")

ROWS = 16
CELLS: dict[str, Callable[[int], Any]] = {
    "text": made.text,
    "image": lambda row: made.picture(row, size=32),
    "audio": made.sound,
    "video": made.video,
}
"""Type of column → the cell of a row."""
SOUNDS = ("whisper", "wav2vec2", "hubert", "audio-spectrogram-transformer", "clap")
TEXTS = ("bert", "modernbert", "roberta", "xlm-roberta", "deberta-v2", "distilbert", "qwen3", "llama")
CONVOLUTIONAL = ("resnet", "efficientnet")
"""Without linear layers in their blocks, so that lora is refused."""
KEEP_ALL = ("resnet", "convnext", "convnextv2", "dinov3_convnext", "efficientnet", "clap")
"""Whose activations transformers does not compute twice."""


class Case(NamedTuple):
    """A type of column with an architecture.

    Attributes:
        type: of the column.
        architecture: of the checkpoint.
        last: what the names of the weights begin with that last-1 may move.
        unused: the names of weights on which no token rests.
        attention: linear layers of attention in all blocks.
    """

    type: str
    architecture: str
    last: tuple[str, ...]
    unused: str = "nothing"
    attention: int = 8


CASES = (
    Case("text", "bert", ("encoder.layer.1.",), unused=r"pooler\..*"),
    Case("image", "vit", ("model.layers.1.", "model.layernorm.")),
    Case("image", "resnet", ("model.encoder.stages.1.",), attention=0),
    Case("audio", "wav2vec2", ("encoder.layers.1.",), unused="masked_spec_embed"),
    Case("video", "videomae", ("model.encoder.layer.1.", "model.layernorm.")),
    Case("video", "vit", ("model.layers.1.", "model.layernorm.")),
)
MANNERS = ("frozen", "head", "lora", "last-1", "full")
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.type}-{case.architecture}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tuning")


@cache
def rows_of(kind: str) -> dict[str, list[Any]]:
    """A table of one input; the last cell is missing, the one before is that of row 0."""
    cells = [CELLS[kind](row) for row in range(ROWS - 2)]
    return {"cell": [*cells, cells[0], None], "label": [made.label(row) for row in range(ROWS)]}


def input_of(home: Path, kind: str, architecture: str, **encoder: Any) -> dict[str, Any]:
    """An input through a tiny checkpoint."""
    if not (home / architecture).exists():
        made_checkpoint(home / architecture, architecture)
    return {"type": kind, "encoder": {"kind": "pretrained", "weights": architecture, **encoder}}


def recipe_of(home: Path, **inputs: dict[str, Any]) -> Recipe:
    """Inputs to a label."""
    content = {
        "name": "tuned",
        "inputs": inputs,
        "fusion": {"kind": "concat", "width": 8},
        "outputs": {"label": "category"},
        "data": {"split": {"validation": 0.25, "test": 0}},
        "training": {"epochs": 2, "batch_size": 6, "precision": "fp32", "device": "cpu"},
    }
    return parse_recipe(content, folder=home)


def pretrained(home: Path, kind: str, architecture: str) -> Model:
    """A model with the weights of a checkpoint as they are."""
    recipe = recipe_of(home, cell=input_of(home, kind, architecture, tune="full"))
    return prepare(recipe, rows_of(kind)).new_model()


def trained(
    recipe: Recipe, rows: dict[str, list[Any]], folder: Path, say: Say = lambda line: None
) -> Trainer:
    """After training as `fit` does it, from features where the weights are frozen."""
    prepared = prepare(recipe, rows)
    model = prepared.new_model()  # it lives on, so that the models that follow share its frozen backbone
    use_features(model, prepared.loader, np.arange(ROWS), say)
    trainer = Trainer(prepared, RunFolder(folder), Silent())
    trainer.run()
    return trainer


def moved_weights(trained: Model, pretrained: Model, name: str = "cell") -> set[str]:
    """Weights and statistics of an input's backbone that training changed; frozen ones may be bfloat16."""
    cpu = torch.device("cpu")
    after = built(trained.encoder(name).backbone, cpu).state_dict()
    before = pretrained.encoder("cell").backbone.state_dict()
    assert after.keys() == before.keys()
    return {key for key in before if not torch.equal(before[key].bfloat16(), after[key].bfloat16())}


def probabilities(model: Model, prepared: Prepared) -> Tensor:
    found = collect(model, prepared.loader, np.arange(ROWS)).predicted["label"]["probabilities"]
    return torch.from_numpy(found)


@pytest.mark.parametrize("tune", MANNERS)
@every_case
def test_what_may_move_moves_and_the_saved_model_answers_alike(
    home: Path, tmp_path: Path, case: Case, tune: str
) -> None:
    if tune == "lora" and case.architecture in CONVOLUTIONAL:
        pytest.skip("lora is refused, which tests/encoders/test_pretrained_tune.py shows")
    encoder = {"tune": tune} if tune in ("frozen", "head") else {"tune": tune, "lr": 0.01}
    recipe = recipe_of(home, cell=input_of(home, case.type, case.architecture, **encoder))
    trainer = trained(recipe, rows_of(case.type), tmp_path)
    untrained = pretrained(home, case.type, case.architecture)
    weights = dict(untrained.encoder("cell").backbone.named_parameters())

    saved = load(tmp_path)

    moved = moved_weights(saved.model, untrained)
    unused = {name for name in weights if re.fullmatch(f"(model\\.)?({case.unused})", name)}
    of_attention = {name for name, one in weights.items() if "attention" in name and one.dim() == 2}
    assert (
        moved & weights.keys()
        == {
            "frozen": set(),
            "head": set(),
            "lora": of_attention,
            "last-1": {name for name in weights if name.startswith(case.last)},
            "full": weights.keys() - unused,
        }[tune]
    )
    if tune == "lora":
        assert len(of_attention) == case.attention
    statistics = moved - weights.keys()
    assert bool(statistics) == (case.architecture == "resnet" and tune in ("last-1", "full"))
    assert all(name.startswith(case.last) for name in statistics) or tune == "full"
    answers = probabilities(saved.model, trainer.prepared)
    torch.testing.assert_close(answers, probabilities(trainer.state.candidate, trainer.prepared))
    # From the cells themselves, where features are not rounded as they lie in the cache of another batch.
    of_cells = torch.from_numpy(saved.predict_proba(rows_of(case.type)))
    torch.testing.assert_close(of_cells, answers, atol=5e-3, rtol=0)


@every_case
def test_other_runs_read_the_features_of_the_first_run(
    home: Path, tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(home, cell=input_of(home, case.type, case.architecture))
    other = recipe_of(home, cell=input_of(home, case.type, case.architecture, tune="head"))
    rows, said = rows_of(case.type), []
    first = trained(recipe, rows, tmp_path / "first", said.append)
    count = len(set(rows["cell"]) - {None})
    assert said[0].startswith(
        f"features of cell: {count} different cells, {count} computed and 0 from the cache"
    )

    def refuse(*_: Any) -> None:
        raise AssertionError("a cell passed the backbone")

    monkeypatch.setattr(ENCODERS[case.type]["pretrained"], "features", refuse)
    trained(other, rows, tmp_path / "head")
    again = trained(recipe, rows, tmp_path / "again")
    answers = [probabilities(one.state.candidate, one.prepared) for one in (first, again)]
    assert torch.equal(*answers)


def test_every_input_is_tuned_in_its_own_manner(home: Path, tmp_path: Path) -> None:
    words = input_of(home, "text", "bert", tune="lora", lr=0.01, rank=2)
    photo = input_of(home, "image", "vit", tune="lora", lr=0.01, rank=5)
    call = input_of(home, "audio", "wav2vec2", tune="last-1", lr=0.01)
    rows = {
        name: rows_of(kind)["cell"] for name, kind in zip(("words", "photo", "call"), CELLS, strict=False)
    }
    trainer = trained(
        recipe_of(home, words=words, photo=photo, call=call),
        rows | {"label": rows_of("text")["label"]},
        tmp_path,
    )
    saved = load(tmp_path).model
    ranks = {
        name: {len(one) for key, one in trainer.model.encoder(name).named_parameters() if "lora_A" in key}
        for name in rows
    }
    assert ranks == {"words": {2}, "photo": {5}, "call": set()}
    for name, kind, architecture in (("words", "text", "bert"), ("photo", "image", "vit")):
        moved = moved_weights(saved, pretrained(home, kind, architecture), name)
        assert len(moved) == 8
        assert all("attention" in key for key in moved)
    moved = moved_weights(saved, pretrained(home, "audio", "wav2vec2"), "call")
    assert moved
    assert all(key.startswith("encoder.layers.1.") for key in moved)
    torch.testing.assert_close(
        probabilities(saved, trainer.prepared), probabilities(trainer.state.candidate, trainer.prepared)
    )


def type_of(architecture: str) -> str:
    """The column that an architecture reads."""
    kinds = {"text": TEXTS, "audio": SOUNDS, "video": ("videomae",)}
    return next((kind for kind, names in kinds.items() if architecture in names), "image")


@pytest.mark.parametrize("tune", ["lora", "full"])
@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_a_gradient_reaches_all_that_is_tuned_of_every_architecture(
    home: Path, architecture: str, tune: str
) -> None:
    if tune == "lora" and architecture in CONVOLUTIONAL:
        pytest.skip("lora is refused")
    kind = type_of(architecture)
    checkpointing = architecture not in KEEP_ALL
    encoder = input_of(home, kind, architecture, tune=tune, gradient_checkpointing=checkpointing)
    recipe = recipe_of(home, cell=encoder)
    prepared = prepare(recipe, rows_of(kind))
    torch.manual_seed(0)
    model = prepared.new_model().train()
    backbone = model.encoder("cell").backbone
    with torch.no_grad():  # updates begin at zero, and half of their gradients with them
        for name, one in backbone.named_parameters():
            if "lora_B" in name:
                one.normal_(std=0.1)
    batch = batch_to_device(prepared.loader.batch(np.arange(2)), torch.device("cpu"))

    model(batch)[1]["label"].sum().backward()

    tuned = {name: one for name, one in backbone.named_parameters() if one.requires_grad}
    assert tuned
    assert [name for name, one in tuned.items() if one.grad is None] == []
    if tune == "lora":
        assert [name for name, one in tuned.items() if one.grad is None or not one.grad.any()] == []
        updates = [name for name, _ in backbone.named_parameters() if "lora_" in name]
        assert sorted(tuned) == sorted(updates), "an update on which no token rests"
