"""Contrastive losses: by hand, in chunks, over processes, and what counts as right."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing
from torch.nn import functional

from sensorium.heads.contrastive import Loss, Pairs, contrast, info_nce, siglip

SCALE = torch.tensor(5.0)
LOSSES: dict[str, Loss] = {
    "info_nce": partial(info_nce, scale=SCALE, hardness=0.0),
    "siglip": partial(siglip, scale=SCALE, bias=torch.tensor(-2.0), hardness=0.0),
    "info_nce, hard": partial(info_nce, scale=SCALE, hardness=0.7),
    "siglip, hard": partial(siglip, scale=SCALE, bias=torch.tensor(-2.0), hardness=0.7),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def made(rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, rows, 6, generator=generator)
    return values.requires_grad_(), torch.arange(1, rows + 1).repeat(2, 1).T.clone()


def pairs_of(values: Tensor, identities: Tensor, real: Tensor | None = None) -> Pairs:
    first, second = functional.normalize(values, dim=-1)
    return Pairs(first, second, identities, torch.ones(len(first), dtype=torch.bool) if real is None else real)


def plane(*degrees: float) -> Tensor:
    return torch.tensor([[math.cos(math.radians(one)), math.sin(math.radians(one))] for one in degrees])


def test_info_nce_by_hand():
    pairs = Pairs(plane(0, 90), plane(0, 60), torch.tensor([[1, 1], [2, 2]]), torch.tensor([True, True]))
    cosines = [[1.0, 0.5], [0.0, math.sqrt(3) / 2]]
    power = [[math.exp(5 * one) for one in row] for row in cosines]
    forth = -math.log(power[0][0] / (power[0][0] + power[0][1]))
    back = -math.log(power[0][0] / (power[0][0] + power[1][0]))
    losses = contrast(LOSSES["info_nce"], pairs, 10)
    assert losses[0].item() == pytest.approx((forth + back) / 2, rel=1e-5)


def test_siglip_by_hand():
    pairs = Pairs(plane(0, 90), plane(0, 60), torch.tensor([[1, 1], [2, 2]]), torch.tensor([True, True]))
    right = -math.log(1 / (1 + math.exp(-(5 * 1.0 - 2))))
    wrong = -math.log(1 - 1 / (1 + math.exp(-(5 * 0.5 - 2))))
    assert contrast(LOSSES["siglip"], pairs, 10)[0].item() == pytest.approx(right + wrong, rel=1e-5)


def test_hard_negatives_weigh_by_their_logit_and_one_on_average():
    pairs = Pairs(plane(0, 90, 45), plane(0, 30, 60), torch.arange(1, 4).repeat(2, 1).T, torch.ones(3).bool())
    logits = [5 * math.cos(math.radians(one)) - 2 for one in (0, 30, 60)]
    raised = [math.exp(0.7 * one) for one in logits[1:]]
    weights = [2 * one / sum(raised) for one in raised]
    expected = math.log1p(math.exp(-logits[0]))
    expected += sum(weight * math.log1p(math.exp(one)) for weight, one in zip(weights, logits[1:], strict=True))
    assert contrast(LOSSES["siglip, hard"], pairs, 10)[0].item() == pytest.approx(expected, rel=1e-5)


@each_loss
def test_chunks_give_the_same_loss_and_gradient(loss: Loss):
    values, identities = made(11)
    identities[3] = identities[7]
    real = torch.arange(11) != 5
    weights = torch.linspace(0.5, 2, 11)
    whole = contrast(loss, pairs_of(values, identities, real), 11)
    (expected,) = torch.autograd.grad((whole * weights).sum(), values)
    for chunk in (1, 4):
        parts = contrast(loss, pairs_of(values, identities, real), chunk)
        (gradient,) = torch.autograd.grad((parts * weights).sum(), values)
        torch.testing.assert_close(parts, whole)
        torch.testing.assert_close(gradient, expected)


@each_loss
def test_a_row_that_lacks_an_input_is_as_if_it_were_not_there(loss: Loss):
    values, identities = made(8)
    real = torch.tensor([True, False, True, True, False, True, True, True])
    losses = contrast(loss, pairs_of(values, identities, real), 3)
    alone = contrast(loss, pairs_of(values[:, real], identities[real]), 3)
    torch.testing.assert_close(losses[real], alone)
    assert losses[~real].tolist() == [0, 0]
    (gradient,) = torch.autograd.grad(losses.sum(), values)
    assert not gradient[:, ~real].any()


@each_loss
@pytest.mark.parametrize("side", [0, 1])
def test_equal_cells_are_right_answers(loss: Loss, side: int):
    """Moving a twin's answer closer lowers the loss; without the equal cell it raises it."""
    query, answers = plane(0, 180), plane(10, 40)
    apart, twins = torch.tensor([[1, 1], [2, 2]]), torch.tensor([[1, 1], [2, 2]])
    twins[1, side] = 1

    def loss_with(identities: Tensor, angle: float) -> float:
        moved = torch.cat([answers[:1], plane(angle)])
        return contrast(loss, Pairs(query, moved, identities, torch.tensor([True, True])), 5)[0].item()

    assert loss_with(twins, 20) < loss_with(twins, 60)
    assert loss_with(apart, 20) > loss_with(apart, 60)


def test_two_processes_have_the_loss_and_gradient_of_one(tmp_path: Path):
    """Batches of five and of three rows, against one process with all eight."""
    multiprocessing.spawn(_one_process, args=(tmp_path,), nprocs=2)
    for name, loss in LOSSES.items():
        values, identities = made(8)
        identities[6] = identities[1]
        losses = contrast(loss, pairs_of(values, identities, torch.arange(8) != 2), 3)
        (gradient,) = torch.autograd.grad(losses.sum(), values)
        found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True)[name] for rank in range(2)]
        torch.testing.assert_close(torch.cat([one for one, _ in found]), losses.detach())
        torch.testing.assert_close(sum(one for _, one in found), gradient)


def _one_process(rank: int, folder: Path) -> None:
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    own = slice(0, 5) if rank == 0 else slice(5, 8)
    found = {}
    for name, loss in LOSSES.items():
        values, identities = made(8)
        identities[6] = identities[1]
        real = torch.arange(8) != 2
        losses = contrast(loss, pairs_of(values[:, own], identities[own], real[own]), 3)
        (gradient,) = torch.autograd.grad(losses.sum(), values)
        found[name] = (losses.detach(), gradient)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()
