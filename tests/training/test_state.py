"""The moving average of the weights, and what is clipped with what."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sensorium.prepare import prepare
from sensorium.recipe import parse_recipe
from sensorium.training.average import MovingAverage
from sensorium.training.state import TrainingState
from tests import made


def test_the_average_warms_up_and_copies_counts() -> None:
    model = nn.BatchNorm1d(1)
    average = MovingAverage(model, 0.2)
    seen = []
    for step in range(4):
        with torch.no_grad():
            model.weight.fill_(float(step))
            model.num_batches_tracked.fill_(step)
        average.update(model)
        seen.append(float(average.module.weight.detach()))
    first = 9 / 11  # from 0 to 1 with decay (1 + 1) / (10 + 1)
    second = 0.2 * first + 0.8 * 2  # (1 + 2) / (10 + 2) is 0.25: from here on the decay is 0.2
    assert seen == pytest.approx([0.0, first, second, 0.2 * second + 0.8 * 3])
    assert int(average.module.num_batches_tracked) == 3


def test_gradients_of_the_extra_heads_do_not_shorten_the_models_step(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = made.simple_recipe(balance="ogm_ge", optimizer={"kind": "sgd", "clip": 1.0})
    state = TrainingState(prepare(parse_recipe(recipe), made.simple_rows(24)))
    parts = (list(state.model.parameters()), list(state.learner.heads.parameters()))
    for parameters, size in zip(parts, (0.5, 100.0), strict=True):
        parameters[0].grad = torch.zeros_like(parameters[0])
        parameters[0].grad.view(-1)[0] = size
    for optimizer in state.optimizers:  # the gradients are still to be looked at
        monkeypatch.setattr(optimizer, "zero_grad", lambda set_to_none: None)
    state.update()
    norms = [float(parameters[0].grad.norm()) for parameters in parts if parameters[0].grad is not None]
    assert norms == pytest.approx([0.5, 1.0], rel=1e-4)
