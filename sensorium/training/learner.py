"""What the optimizer sees: a model's loss, each input's own loss, and gradients kept in balance."""

from __future__ import annotations

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
    them into the model. They are not part of the saved model.

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
                parts = [HEADS[config.type](config, targets[name], width, width) for _ in model.inputs]
                self.heads[module_name(name)] = nn.ModuleList(parts)

    def forward(self, batch: Batch, counts: Mapping[str, int]) -> tuple[Tensor, Tensor]:
        """The loss of some rows and the scores of the inputs.

        Args:
            batch: the rows of one forward pass.
            counts: output name → rows with a target in the whole step, so that its parts add up.

        Returns:
            The loss, a scalar; and `(M,)`, per input the sum over rows and outputs of exp(-own loss),
            which for a category is the probability that the input by itself gives to the right class.
        """
        fused, losses = self.model(batch)
        total = torch.stack(
            [losses[n].sum() * (self.model.weights[n] / max(1, counts[n])) for n in losses]
        ).sum()
        scores = torch.zeros(len(self.model.inputs), device=total.device)
        if not self.heads:
            return total, scores
        alone = {name: self._alone(fused, name, batch.targets[name]) for name in losses}
        factor = self.auxiliary or 1.0
        for name, own in alone.items():
            weight = factor * self.model.weights[name] / max(1, counts[name])
            total = total + own.sum() * weight / len(self.model.inputs)
            known = batch.targets[name].present
            scores = scores + torch.where(known, (-own.detach()).exp(), 0).sum(dim=1)
        return total, scores

    def balance_gradients(self, scores: Tensor) -> None:
        """Slows down the inputs that lead, as OGM-GE does (Peng et al. 2022, arXiv:2203.15332).

        An input whose score is ρ > 1 times the mean of the others' has the gradients of its encoder
        multiplied by 1 - tanh(α · ρ); Gaussian noise with the gradient's own spread makes up for the
        generalisation that smaller steps lose.
        """
        if not self.balanced:
            return
        others = (scores.sum() - scores) / (len(scores) - 1)
        ratios = scores / others.clamp(min=1e-8)
        for name, ratio in zip(self.model.inputs, ratios.tolist(), strict=True):
            if ratio <= 1:
                continue
            factor = 1 - float(torch.tanh(torch.tensor(self.strength * ratio)))
            for parameter in self.model.encoder(name).parameters():
                if parameter.grad is not None and parameter.dim() > 1:
                    spread = parameter.grad.std()
                    parameter.grad.mul_(factor).add_(torch.randn_like(parameter.grad) * spread)

    def _alone(self, fused: Fused, output: str, target: Any) -> Tensor:
        """The losses `(M, B)` of every input by itself."""
        heads: Any = self.heads[module_name(output)]
        losses = []
        for head, name in zip(heads, self.model.inputs, strict=True):
            alone = fused.only(name)
            losses.append(head.loss(alone if self.auxiliary else alone.detach(), target))
        return torch.stack(losses)
