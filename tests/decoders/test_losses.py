"""Cross-entropy in chunks equals cross-entropy in one piece."""

import pytest
import torch
from torch.nn import functional

from sensorium.decoders.losses import mean_of_rows, token_losses


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_chunks_change_neither_losses_nor_gradients(chunk, smoothing):
    torch.manual_seed(0)
    states = torch.randn(3, 5, 4, requires_grad=True)
    weight = torch.randn(7, 4, requires_grad=True)
    targets, real = torch.randint(7, (3, 5)), torch.rand(3, 5) > 0.3
    losses = token_losses(states, weight, targets, real, smoothing, chunk)
    mean_of_rows(losses, real).sum().backward()
    own = states.grad, weight.grad
    states.grad = weight.grad = None
    logits = functional.linear(states, weight).transpose(1, 2)
    whole = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing) * real
    torch.testing.assert_close(losses, whole)
    mean_of_rows(whole, real).sum().backward()
    torch.testing.assert_close(own[0], states.grad)
    torch.testing.assert_close(own[1], weight.grad)


def test_without_a_real_token_there_is_no_loss():
    states = torch.randn(2, 3, 4, requires_grad=True)
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    losses = token_losses(states, torch.randn(7, 4), torch.zeros(2, 3, dtype=torch.int64), nothing)
    assert losses.tolist() == [[0.0] * 3] * 2
    assert mean_of_rows(losses, nothing).tolist() == [0.0, 0.0]


def test_a_mean_by_hand():
    losses = torch.tensor([[1.0, 3.0, 0.0], [2.0, 0.0, 0.0]])
    real = torch.tensor([[True, True, False], [True, False, False]])
    assert mean_of_rows(losses, real).tolist() == [2.0, 2.0]
