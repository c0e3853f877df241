"""Optimizers lower a loss; the learning rate follows its schedule."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sensorium.fusion import FUSIONS
from sensorium.sections import OptimizerConfig
from sensorium.training.optimizer import (
    DEFAULT_LR,
    build_optimizers,
    hidden_matrices,
    learning_rate_factor,
)


class Small(nn.Module):
    """An embedding, a hidden matrix, a bias and an output."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(8, 6)
        self.hidden = nn.Linear(6, 6)
        self.output = nn.Linear(6, 1)

    @property
    def inner(self) -> list[nn.Module]:
        """What lies before the output."""
        return [self.words, self.hidden]

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.output(self.hidden(self.words(ids)).relu())
        return values[:, 0]


@pytest.mark.parametrize("kind", ["adamw", "sgd", "lion", "muon"])
def test_each_lowers_a_loss(kind: str) -> None:
    torch.manual_seed(0)
    model = Small()
    ids, truth = torch.arange(8), torch.linspace(-1, 1, 8)
    optimizers = build_optimizers(OptimizerConfig(kind=kind, lr=0.02), model, model.inner)
    first = last = 0.0
    for step in range(60):
        loss = (model(ids) - truth).square().mean()
        first, last = (loss.item() if step == 0 else first), loss.item()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert last < 0.3 * first


@pytest.mark.parametrize("kind", ["adamw", "sgd", "lion", "muon"])
def test_every_parameter_has_one_optimizer_and_vectors_no_decay(kind: str) -> None:
    model = Small()
    optimizers = build_optimizers(OptimizerConfig(kind=kind, weight_decay=0.1), model, model.inner)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(map(id, model.parameters()))
    for group in groups:
        assert group["lr"] == DEFAULT_LR[kind]
        decays = {parameter.dim() >= 2 for parameter in group["params"]}
        assert decays == {group["weight_decay"] == 0.1}


def test_muon_takes_the_hidden_matrices_alone() -> None:
    model = Small()
    muon, others = build_optimizers(OptimizerConfig(kind="muon"), model, model.inner)
    assert isinstance(muon, torch.optim.Muon)
    assert [id(p) for p in muon.param_groups[0]["params"]] == [id(model.hidden.weight)]
    left = {id(p) for group in others.param_groups for p in group["params"]}
    assert {id(model.words.weight), id(model.output.weight)} <= left


def test_hidden_matrices_are_those_of_linear_and_recurrent_layers() -> None:
    transformer = FUSIONS["transformer"](
        FUSIONS["transformer"].Config(width=4, heads=2, layers=1), {"a": 1, "b": 3}, ["kind"]
    )
    names = {id(parameter): name for name, parameter in transformer.named_parameters()}
    assert {names[id(parameter)] for parameter in hidden_matrices([transformer])} == {
        "sequences.projection.layers.1.weight",  # that of layers.0 has one column
        "transformer.blocks.0.projection.weight",
        "transformer.blocks.0.output.weight",
        "transformer.blocks.0.feed_forward.1.weight",
        "transformer.blocks.0.feed_forward.3.weight",
    }
    lstm = nn.LSTM(3, 2)
    assert [id(p) for p in hidden_matrices([lstm])] == [id(lstm.weight_ih_l0), id(lstm.weight_hh_l0)]
    assert hidden_matrices([nn.Embedding(3, 3), nn.Conv1d(2, 2, 3), nn.LayerNorm(4)]) == []


def test_sgd_without_momentum() -> None:
    (optimizer,) = build_optimizers(OptimizerConfig(kind="sgd", momentum=0.0), Small(), [])
    assert optimizer.param_groups[0]["nesterov"] is False


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("cosine", 0, 0.1),  # 100 steps, of which 10 warm up
        ("cosine", 4, 0.5),
        ("cosine", 9, 1.0),
        ("cosine", 10, 1.0),
        ("cosine", 55, 0.5),
        ("cosine", 40, 0.5 * (1 + math.cos(math.pi / 3))),
        ("cosine", 100, 0.0),
        ("linear", 9, 1.0),
        ("linear", 55, 0.5),
        ("linear", 91, 0.1),
        ("constant", 0, 0.1),
        ("constant", 99, 1.0),
    ],
)
def test_schedules(schedule: str, step: int, expected: float) -> None:
    config = OptimizerConfig(schedule=schedule, warmup=0.1)
    assert learning_rate_factor(config, step, 100) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 1.0])
def test_short_runs_move(steps: int, warmup: float) -> None:
    """Even of a single step, the rate is positive: a model that is trained learns."""
    config = OptimizerConfig(warmup=warmup)
    factors = [learning_rate_factor(config, step, steps) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
