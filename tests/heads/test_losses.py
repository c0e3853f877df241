import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from sensorium.heads.losses import absolute, huber, log_cosh, pinball, sigmoid_loss, softmax_loss, squared

HALF = torch.tensor([[math.log(3.0), 0.0]])  # softmax 0.75, 0.25
ONES = torch.ones(2)


def test_softmax_loss_by_hand():
    loss = softmax_loss(HALF.repeat(2, 1), torch.tensor([0, 1]), ONES)
    assert loss.tolist() == pytest.approx([-math.log(0.75), -math.log(0.25)])


def test_softmax_loss_weighted_by_class():
    loss = softmax_loss(HALF.repeat(2, 1), torch.tensor([0, 1]), torch.tensor([2.0, 0.5]))
    assert loss.tolist() == pytest.approx([-2 * math.log(0.75), -0.5 * math.log(0.25)])


def test_focal_loss_by_hand():
    loss = softmax_loss(HALF, torch.tensor([0]), ONES, focal=2.0)
    assert loss.item() == pytest.approx(0.25**2 * -math.log(0.75))


def test_label_smoothing_by_hand():
    loss = softmax_loss(HALF, torch.tensor([0]), ONES, smoothing=0.2)
    assert loss.item() == pytest.approx(-0.9 * math.log(0.75) - 0.1 * math.log(0.25))


def test_softmax_loss_agrees_with_torch():
    torch.manual_seed(0)
    logits, classes = torch.randn(20, 5), torch.randint(5, (20,))
    ours = softmax_loss(logits, classes, torch.ones(5), smoothing=0.3)
    theirs = functional.cross_entropy(logits, classes, reduction="none", label_smoothing=0.3)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("focal", [0.0, 0.5, 1.0, 2.0])
def test_certain_answers_have_finite_losses_and_gradients(focal):
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = softmax_loss(logits, torch.tensor([0, 0]), ONES, focal=focal)
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([0.0, 400.0])
    assert bool(torch.isfinite(logits.grad).all())


def test_sigmoid_loss_by_hand():
    # sigmoid(log 3) = 0.75: right for the first label, wrong for the second
    loss = sigmoid_loss(torch.full((1, 2), math.log(3.0)), torch.tensor([[1.0, 0.0]]), ONES)
    assert loss.item() == pytest.approx((-math.log(0.75) - math.log(0.25)) / 2)


def test_sigmoid_loss_weighs_only_labels_that_apply():
    loss = sigmoid_loss(
        torch.full((1, 2), math.log(3.0)), torch.tensor([[1.0, 0.0]]), torch.tensor([4.0, 4.0])
    )
    assert loss.item() == pytest.approx((-4 * math.log(0.75) - math.log(0.25)) / 2)


def test_sigmoid_focal_loss_by_hand():
    loss = sigmoid_loss(torch.full((1, 2), math.log(3.0)), torch.tensor([[1.0, 0.0]]), ONES, focal=1.0)
    assert loss.item() == pytest.approx((-0.25 * math.log(0.75) - 0.75 * math.log(0.25)) / 2)


def test_sigmoid_loss_agrees_with_torch():
    torch.manual_seed(0)
    logits, truth, weights = torch.randn(20, 5), torch.rand(20, 5).round(), torch.rand(5)
    theirs = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none", pos_weight=weights)
    torch.testing.assert_close(sigmoid_loss(logits, truth, weights), theirs.mean(dim=1))


def test_point_losses_by_hand():
    error = torch.tensor([-3.0, 0.0, 0.5])
    assert squared(error).tolist() == [9.0, 0.0, 0.25]
    assert absolute(error).tolist() == [3.0, 0.0, 0.5]
    assert huber(error).tolist() == [2.5, 0.0, 0.125]
    assert log_cosh(error).tolist() == pytest.approx(
        [math.log(math.cosh(3)), 0.0, math.log(math.cosh(0.5))], abs=1e-6
    )


def test_log_cosh_does_not_overflow():
    assert log_cosh(torch.tensor([1e4])).item() == pytest.approx(1e4 - math.log(2))


def test_pinball_by_hand():
    levels = torch.tensor([0.1, 0.9])
    above = pinball(torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0]]), levels)
    below = pinball(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]]), levels)
    assert above.item() == pytest.approx((0.1 * 3 + 0.9 * 2) / 2)
    assert below.item() == pytest.approx((0.9 * 1 + 0.1 * 2) / 2)


@given(st.lists(st.floats(-100, 100, width=32), min_size=5, max_size=40), st.sampled_from([0.1, 0.5, 0.8]))
def test_the_best_constant_under_the_pinball_loss_is_the_quantile(values, level):
    truth = torch.tensor(values).unsqueeze(1)
    levels = torch.tensor([level])
    losses = [pinball(torch.full_like(truth, value), truth, levels).mean().item() for value in sorted(values)]
    quantile = torch.tensor(sorted(values)[math.ceil(len(values) * level) - 1])
    best = pinball(quantile.expand_as(truth), truth, levels).mean().item()
    assert best == pytest.approx(min(losses), abs=1e-4)


@pytest.mark.parametrize("loss", [squared, absolute, huber, log_cosh])
def test_point_losses_widen_half_precision(loss):
    assert loss(torch.tensor([1.5], dtype=torch.bfloat16)).dtype == torch.float32


def test_other_losses_widen_half_precision():
    half = HALF.to(torch.bfloat16)
    assert softmax_loss(half, torch.tensor([0]), ONES, 2.0, 0.1).dtype == torch.float32
    assert sigmoid_loss(half, torch.tensor([[1.0, 0.0]]), ONES, 2.0).dtype == torch.float32
    assert pinball(half, torch.zeros(1, 1), torch.tensor([0.1, 0.9])).dtype == torch.float32
