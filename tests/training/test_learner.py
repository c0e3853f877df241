"""What the optimizer sees: losses that add up, each input's own loss, gradients in balance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from sensorium.batch import Batch
from sensorium.inference import batch_to_device
from sensorium.model import Model
from sensorium.prepare import Prepared, prepare
from sensorium.recipe import parse_recipe
from sensorium.training.learner import Learner, _leads, _scores
from tests import made


def prepared(**training: Any) -> Prepared:
    data = made.simple_rows(24)
    data["label"][3] = data["amount"][5] = None
    data["words"][2] = None
    data["picture"] = [None if row % 5 == 4 else made.picture(row) for row in range(24)]
    recipe = made.simple_recipe(**training)
    recipe["data"] = {"split": {"validation": 0, "test": 0}}
    recipe["inputs"]["picture"] = {
        "type": "image",
        "size": 16,
        "encoder": {"kind": "cnn", "channels": [4]},
    }
    recipe["outputs"] = {"label": "category", "amount": {"type": "number", "weight": 0.5}}
    return prepare(parse_recipe(recipe), data)


def learner_of(data: Prepared, seed: int = 0) -> Learner:
    torch.manual_seed(seed)
    loader = data.loader
    targets = {name: bound.column for name, bound in loader.targets.items()}
    model = Model(data.recipe, {name: bound.column for name, bound in loader.inputs.items()}, targets)
    return Learner(data.recipe, model, targets).eval()  # without dropout, so that two passes compare


def batch_of(data: Prepared) -> Batch:
    return batch_to_device(data.loader.batch(np.arange(24)), torch.device("cpu"))


def counts_of(batch: Batch) -> dict[str, int]:
    return {name: int(raw.present.sum()) for name, raw in batch.targets.items()}


def gradients(learner: Learner, parts: list[Batch], counts: dict[str, int]) -> dict[str, torch.Tensor]:
    learner.zero_grad()
    for part in parts:
        learner(part, counts)[0].backward()
    return {name: p.grad.clone() for name, p in learner.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("training", [{}, {"auxiliary": 0.3}, {"balance": "ogm_ge"}])
@pytest.mark.parametrize("size", [1, 5, 8])
def test_micro_batches_give_the_gradients_of_the_whole(training: dict[str, Any], size: int) -> None:
    data = prepared(**training)
    learner, batch = learner_of(data), batch_of(data)
    whole = gradients(learner, [batch], counts_of(batch))
    parts = [batch.part(slice(start, start + size)) for start in range(0, 24, size)]
    added = gradients(learner, parts, counts_of(batch))
    assert whole.keys() == added.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(added[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_the_loss_is_the_mean_over_rows_with_a_target() -> None:
    data = prepared()
    learner, batch = learner_of(data), batch_of(data)
    loss, main, _ = learner(batch, counts_of(batch))
    _, losses = learner.model(batch)
    assert counts_of(batch) == {"label": 23, "amount": 23}
    assert losses["label"][3] == 0
    expected = losses["label"].sum() / 23 + 0.5 * losses["amount"].sum() / 23
    torch.testing.assert_close(loss, expected)
    assert torch.equal(main, loss.detach())


def test_no_target_at_all_is_no_loss() -> None:
    data = prepared()
    learner, batch = learner_of(data), batch_of(data)
    part = batch.part(slice(3, 4))
    part.targets["amount"].mask[:] = False
    loss, _, _ = learner(part, counts_of(part))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(float(p.grad.abs().sum()) == 0 for p in learner.parameters() if p.grad is not None)


def test_extra_heads_without_auxiliary_loss_leave_the_model_alone() -> None:
    plain, balanced = prepared(), prepared(balance="ogm_ge")
    batch = batch_of(plain)
    without = gradients(learner_of(plain), [batch], counts_of(batch))
    learner = learner_of(balanced)
    with_heads = gradients(learner, [batch], counts_of(batch))
    assert set(with_heads) > set(without)
    for name, gradient in without.items():
        assert torch.equal(with_heads[name], gradient), name
    assert any(float(with_heads[name].abs().sum()) > 0 for name in set(with_heads) - set(without))


def test_the_auxiliary_loss_reaches_the_encoders() -> None:
    with_loss, without = prepared(auxiliary=0.5), prepared()
    batch = batch_of(without)
    name = "model.encoders.column_words."
    pairs = zip(
        gradients(learner_of(with_loss), [batch], counts_of(batch)).items(),
        gradients(learner_of(without), [batch], counts_of(batch)).items(),
        strict=False,
    )
    assert any(not torch.equal(one, other) for (key, one), (_, other) in pairs if key.startswith(name))


@pytest.mark.parametrize("training", [{"auxiliary": 0.5}, {"balance": "ogm_ge"}])
def test_the_reported_loss_is_the_models_own(training: dict[str, Any]) -> None:
    data = prepared(**training)
    learner, batch = learner_of(data), batch_of(data)
    total, main, _ = learner(batch, counts_of(batch))
    expected, _, _ = learner_of(prepared())(batch, counts_of(batch))
    torch.testing.assert_close(main, expected.detach())
    assert not main.requires_grad
    assert float(total.detach()) > float(main)


def test_auxiliary_losses_and_scores_count_rows_that_have_the_input_and_a_target() -> None:
    data = prepared(balance="ogm_ge", auxiliary=0.5)
    learner, batch = learner_of(data), batch_of(data)
    batch.targets["label"].values[7] = 0  # a class that was not learned
    counts = counts_of(batch)
    total, main, (sums, rows) = learner(batch, counts)
    fused, _ = learner.model(batch)
    added = 0.0
    for position, name in enumerate(learner.model.inputs):
        expected, number = 0.0, 0
        for output, unknown in (("label", [3, 7]), ("amount", [5])):
            head = learner.heads[f"column_{output}"][position]
            own = head.loss(fused.only(name), batch.targets[output]).detach()
            counted = batch.inputs[name].present.clone()
            counted[unknown] = False
            expected += float((-own).exp()[counted].sum())
            number += int(counted.sum())
            weight = 0.5 * learner.model.weights[output] / counts[output] / len(learner.model.inputs)
            added += weight * float(own[counted].sum())
        assert float(sums[position]) == pytest.approx(expected, rel=1e-5)
        assert int(rows[position]) == number
    assert len(set(rows.tolist())) > 1
    assert float(total.detach() - main) == pytest.approx(added, rel=1e-4)


def test_a_row_that_an_input_knows_for_sure_counts() -> None:
    """Its loss is zero as well, but not that of the others."""
    own = torch.tensor([[0.0, 0.0, math.log(2)], [math.log(4), 0.0, 0.0]])
    present = torch.tensor([[True, True, True], [True, True, False]])
    torch.testing.assert_close(_scores(own, present), torch.tensor([[1.5, 0.25], [2.0, 1.0]]))


def test_leads_compare_means_and_leave_out_what_has_no_score() -> None:
    scores = torch.tensor([[6.0, 1.0, 3.0, 0.0], [6.0, 2.0, 12.0, 0.0]])  # means 1, 1/2, 1/4 and none
    torch.testing.assert_close(_leads(scores)[:3], torch.tensor([1 / 0.375, 0.5 / 0.625, 0.25 / 0.75]))
    assert _leads(torch.tensor([[5.0, 0.0], [5.0, 0.0]])).tolist() == [0, 0]


def test_the_leading_input_is_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Means 0.6, 0.1, 0.25, 0.25: the first is three times the mean of the others, no other leads."""
    data = prepared(balance="ogm_ge", balance_strength=0.5)
    learner, batch = learner_of(data), batch_of(data)
    before = gradients(learner, [batch], counts_of(batch))
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)  # the noise apart
    learner.balance_gradients(torch.tensor([[6.0, 1.0, 2.5, 5.0], [10.0, 10.0, 10.0, 20.0]]))
    factor = 1 - math.tanh(0.5 * 3)
    leading = "model.encoders.column_words."
    seen = 0
    for name, parameter in learner.named_parameters():
        if parameter.grad is None:
            continue
        slowed = name.startswith(leading) and parameter.dim() > 1
        seen += slowed
        torch.testing.assert_close(parameter.grad, before[name] * (factor if slowed else 1.0))
    assert seen


def test_the_noise_has_the_spread_of_the_gradient() -> None:
    data = prepared(balance="ogm_ge", balance_strength=100.0)  # the factor is 0: what is left is noise
    learner, batch = learner_of(data), batch_of(data)
    before = gradients(learner, [batch], counts_of(batch))
    learner.balance_gradients(torch.tensor([[1.0, 1.0, 1.0, 9.0], [10.0] * 4]))
    for name, parameter in learner.model.encoder("picture").named_parameters():
        if parameter.dim() > 1 and parameter.numel() > 50:
            spread = before[f"model.encoders.column_picture.{name}"].std()
            assert float(parameter.grad.std()) == pytest.approx(float(spread), rel=0.4)


def test_noise_goes_to_every_encoder_and_to_nothing_else() -> None:
    data = prepared(balance="ogm_ge")
    learner, batch = learner_of(data), batch_of(data)
    before = gradients(learner, [batch], counts_of(batch))
    learner.balance_gradients(torch.ones(2, 4))
    noisy = set()
    for name, parameter in learner.named_parameters():
        if parameter.grad is None:
            continue
        still = before[name] == 0
        treated = name.startswith("model.encoders.") and parameter.dim() > 1 and not bool(still.all())
        assert torch.equal(parameter.grad, before[name]) != treated, name
        assert not parameter.grad[still].any(), name
        if treated:
            noisy.add(name.split(".")[2])
    assert noisy == {f"column_{name}" for name in learner.model.inputs}


def test_a_weight_of_one_number_stays_finite() -> None:
    learner = learner_of(prepared(balance="ogm_ge"))
    weight = torch.nn.Parameter(torch.ones(1, 1))
    weight.grad = torch.full((1, 1), 2.0)
    learner.model.encoder("words").register_parameter("one", weight)
    learner.balance_gradients(torch.tensor([[9.0, 1.0, 1.0, 1.0], [10.0] * 4]))
    assert weight.grad.tolist() == [[2.0]]
