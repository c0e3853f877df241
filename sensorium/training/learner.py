"""What the optimizer sees: a model's loss, each input's own loss, and gradients kept in balance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sensorium.batch import Batch, Fused
from sensorium.data.column import Column
from sensorium.heads import HEADS
from sensorium.model import Model, module_name
from sensorium.recipe import Recipe


class Learner(nn.Module):
    """A model and, where the recipe asks for them, one more head per input and output.

    The extra heads see one input alone. They give the auxiliary loss of each input, and the scores by
    which OGM-GE knows the input that learns fastest; without an auxiliary loss no gradient passes from
    them into the model. They are not part of the saved model. A row that lacks an input teaches that
    input's heads nothing. A similarity, which compares inputs, gets no such heads.

    What a head reads as one input's vector is its column, which knows of no other input. A head that reads
    tokens gets the input's part of the fused tokens; where the fusion is `transformer`, `cross_attention` or
    `bottleneck`, these have already looked at the other inputs.

    Args:
        recipe: names the outputs, `auxiliary` and `balance`.
        model: the model itself.
        targets: output name → fitted target column.
    """

    def __init__(self, recipe: Recipe, model: Model, targets: Mapping[str, Column]) -> None:
        super().__init__()
        self.model = model
        self.auxiliary = recipe.training.auxiliary
        self.strength = recipe.training.balance_strength
        self.balanced = recipe.training.balance == "ogm_ge" and len(model.inputs) > 1
        self.heads = nn.ModuleDict()
        if self.auxiliary or self.balanced:
            width = model.fusion.width
            for name, config in recipe.outputs.items():
                if config.compared:  # what compares inputs learns nothing from one alone
                    continue
                parts = [HEADS[config.type](config, targets[name], width, width) for _ in model.inputs]
                self.heads[module_name(name)] = nn.ModuleList(parts)

    def forward(self, batch: Batch, counts: Mapping[str, int]) -> tuple[Tensor, Tensor, Tensor]:
        """The losses of some rows and the scores of the inputs.

        Args:
            batch: the rows of one forward pass.
            counts: output name → rows with a target in the whole step, so that its parts add up.

        Returns:
            The loss to learn from, a scalar; the model's own part of it, a scalar without gradient, which
            is the loss to report; and `(2, M)`: per input the sum of exp(-own loss), which for a category
            is the probability that the input by itself gives to the right class, and how many were added.
            They run over the outputs, and over the rows that have the input and a target from which
            there is something to learn.
        """
        fused, losses = self.model(batch)
        total = torch.stack(
            [losses[n].sum() * (self.model.weights[n] / max(1, counts[n])) for n in losses]
        ).sum()
        main = total.detach()
        scores = torch.zeros(2, len(self.model.inputs), device=total.device)
        if not self.heads:
            return total, main, scores
        present = torch.stack([batch.inputs[name].present for name in self.model.inputs])
        factor = self.auxiliary or 1.0
        for name in losses:
            if module_name(name) not in self.heads:
                continue
            own = self._alone(fused, name, batch.targets[name])
            weight = factor * self.model.weights[name] / max(1, counts[name])
            total = total + torch.where(present, own, 0).sum() * weight / len(self.model.inputs)
            scores = scores + _scores(own.detach(), present)
        return total, main, scores

    def balance_gradients(self, scores: Tensor) -> None:
        """Slows down the inputs that lead, as OGM-GE does (Peng et al. 2022, arXiv:2203.15332).

        An input whose mean score is ρ > 1 times the mean of the others' has the gradients of its encoder
        multiplied by 1 - tanh(α · ρ). As in the authors' code, Gaussian noise with the spread of the
        gradient before that goes to the encoders of all inputs, to make up for the generalisation that
        smaller steps lose.

        The authors know two inputs, compare sums over the same rows, and treat the kernels of convolutions
        alone; here all weights but vectors are treated. Noise is kept off numbers whose gradient is
        zero: the vectors of words that the step did not read stay where they are.

        Args:
            scores: `(2, M)`, the sum of `forward`'s over the step. An input without any score is
                neither slowed down nor compared with.
        """
        if not self.balanced:
            return
        for name, ratio in zip(self.model.inputs, _leads(scores).tolist(), strict=True):
            factor = 1 - math.tanh(self.strength * ratio) if ratio > 1 else 1.0
            for parameter in self.model.encoder(name).parameters():
                # The spread of a single number is NaN.
                if parameter.grad is not None and parameter.dim() > 1 and parameter.numel() > 1:
                    _slow_down(parameter.grad, factor)

    def _alone(self, fused: Fused, output: str, target: Any) -> Tensor:
        """The losses `(M, B)` of every input by itself."""
        heads: Any = self.heads[module_name(output)]
        losses = []
        for head, name in zip(heads, self.model.inputs, strict=True):
            alone = fused.only(name)
            losses.append(head.loss(alone if self.auxiliary else alone.detach(), target))
        return torch.stack(losses)


def _scores(own: Tensor, present: Tensor) -> Tensor:
    """Losses `(M, B)` of one output and the inputs that rows have, `(M, B)` bool → `(2, M)`: sums, counts.

    Where there is no target to learn from, the loss is exactly zero for every input; for one input alone
    it can also be zero because the input is sure and right.
    """
    counted = present & (own > 0).any(dim=0)
    return torch.stack([torch.where(counted, (-own).exp(), 0).sum(dim=1), counted.sum(dim=1).float()])


def _leads(scores: Tensor) -> Tensor:
    """Sums and counts `(2, M)` → `(M,)`: each mean over the mean of the others; 0 without a comparison."""
    sums, counts = scores
    known = (counts > 0).to(sums.dtype)
    means = sums / counts.clamp(min=1)
    rivals = known.sum() - known
    others = (means.sum() - means) / rivals.clamp(min=1)
    return torch.where(rivals > 0, means / others.clamp(min=1e-8), 0)


def _slow_down(gradient: Tensor, factor: float) -> None:
    """Multiplies a gradient in place, and adds noise of its own spread where it is not zero."""
    noise = torch.randn_like(gradient) * (gradient.std() + 1e-8)
    noise = torch.where(gradient == 0, 0, noise)
    gradient.mul_(factor).add_(noise)
