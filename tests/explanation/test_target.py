"""Scores by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from sensorium.batch import Fused
from sensorium.explanation import Target

NOTHING = Fused(torch.zeros(2, 1), torch.zeros(2, 1, 1), torch.ones(2, 1, dtype=torch.bool), {})


def head(logits: list[list[float]], temperature: float = 1.0) -> SimpleNamespace:
    """Gives these logits whatever it is asked."""
    return SimpleNamespace(temperature=temperature, forward=lambda fused: torch.tensor(logits))


def test_the_score_of_a_class_is_its_log_odds():
    target = Target("kind", "category", 0, "a")
    score = target.score(head([[math.log(3), 0, 0], [0, 0, 0]]), NOTHING)
    assert score.tolist() == pytest.approx([math.log(3 / 2), math.log(1 / 2)])
    assert target.shown(score.numpy()) == pytest.approx([3 / 5, 1 / 3])  # softmax of the same logits


def test_the_temperature_counts_as_in_predictions():
    target = Target("kind", "category", 1, "b")
    score = target.score(head([[0.0, 2.0]], temperature=2.0), NOTHING)
    assert score.tolist() == pytest.approx([1.0])


def test_a_label_has_its_own_logit():
    target = Target("tags", "categories", 1, "b")
    assert target.score(head([[5.0, -1.0]]), NOTHING).tolist() == [-1.0]


def test_a_pair_has_the_cosine_of_its_inputs():
    def embed(fused: Fused) -> dict[str, Tensor]:
        return {"a": torch.tensor([[0.6, 0.8], [1.0, 0.0]]), "b": torch.tensor([[1.0, 0.0], [0.0, 0.0]])}

    target = Target("match", "similarity", unit="cosine")
    score = target.score(SimpleNamespace(embed=embed), NOTHING)
    assert score.tolist() == pytest.approx([0.6, 0.0])
    assert target.shown(np.array([0.6])).tolist() == [0.6]
