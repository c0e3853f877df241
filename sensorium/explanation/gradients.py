"""Integrated gradients: the score's gradient, added up on the way from the baseline to the cell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sensorium.batch import Raw, Tokens
from sensorium.data.column import Array
from sensorium.explanation.parts import Partition
from sensorium.explanation.scores import RowScores, Weights
from sensorium.frozen import lazy_parts

STEPS = 32
"""Points on the way."""
MOST_MISSING = 0.1
"""Of the weights' sum, beside which it no longer adds up."""
AT_ONCE = 8
"""Points whose gradients are held at once."""
NO_GRADIENT = "its encoder lets no gradient through"
FROZEN = "its weights are frozen, and no gradient passes through them"
NO_SUM = "its gradients do not add up to what the score loses without it"
"""Why an input is weighed by occlusion."""


def integrated_gradients(scores: RowScores) -> Weights:
    """The weights of all parts, input by input, all other inputs as they are.

    Sundararajan, Taly and Yan 2017, arXiv 1703.01365. The weights of an input's parts add up to the score
    minus the score with all of them taken away, but for what `STEPS` points on the way leave out. Numbers,
    pixels and samples are changed themselves, words and labels by their vectors. An input whose encoder lets
    no gradient through (a choice of tokens, frozen weights), or whose weights do not add up, is weighed by
    occlusion instead: a sound that is brought to one loudness is the same at all points but the first.
    """
    found = np.zeros(scores.size)
    occluded = {}
    for name in scores.present:
        own = _of_input(scores, name)
        reason = _reason_against(scores, name, own)
        if reason:
            occluded[name] = reason
        found[scores.slices[name]] = scores.lost_without(scores.slices[name]) if reason else own
    return Weights(found, occluded)


def _reason_against(scores: RowScores, name: str, weights: Array | None) -> str:
    """Why an input's weights do not hold; "" where they do."""
    if weights is None:
        return FROZEN if getattr(scores.model.encoder(name), "frozen", False) else NO_GRADIENT
    return "" if _adds_up(scores, name, weights) else NO_SUM


def _adds_up(scores: RowScores, name: str, weights: Array) -> bool:
    """Whether the weights of an input's parts are together what all of them bring about."""
    removed = np.zeros((2, scores.size), dtype=np.bool_)
    removed[1, scores.slices[name]] = True
    whole, none = scores.without_parts(removed)
    size = max(abs(whole - none), float(np.abs(weights).sum()))
    return bool(abs(weights.sum() - (whole - none)) <= MOST_MISSING * size)


def _of_input(scores: RowScores, name: str) -> Array | None:
    """None where no gradient passes."""
    own = scores.partitions[name]
    everything = torch.tensor([[one.present for one in scores.partitions.values()]])
    none = {other: np.zeros((1, len(one.parts)), dtype=np.bool_) for other, one in scores.partitions.items()}
    with torch.no_grad():
        fixed = {
            other: scores.tokens(other, none[other], np.array([one.present]))
            for other, one in scores.partitions.items()
            if other != name
        }
    total: Array | None = None
    steps = (torch.arange(STEPS, dtype=torch.float32) + 0.5) / STEPS
    for chosen in torch.split(steps, AT_ONCE):
        path = _Path(scores.model.encoder(name), own, chosen)
        with torch.enable_grad(), path.entered():
            encoded = scores.model.encode(name, path.raw(), torch.ones(len(chosen), dtype=torch.bool))
            tokens = {
                other: encoded if other == name else _repeated(fixed[other], len(chosen))
                for other in scores.partitions
            }
            score = scores.score(tokens, everything.expand(len(chosen), -1))
        part = path.weights(score)
        if part is None:
            return None
        total = part if total is None else total + part
    return None if total is None else own.by_part(total[None] / STEPS)


class _Path:
    """Points between the baseline of a cell and the cell itself, where the encoder takes them in.

    Args:
        encoder: of the input.
        own: the cell.
        steps: `(N,)` float32 between 0, the baseline, and 1, the cell.
    """

    def __init__(self, encoder: nn.Module, own: Partition, steps: Tensor) -> None:
        self.encoder = encoder
        self.own = own
        self.steps = steps
        self.points: Tensor | None = None
        self.change: Tensor | None = None

    def raw(self) -> Raw:
        """The column of N rows: whole numbers, which stand for vectors, as they are."""
        mask = torch.from_numpy(self.own.mask).expand(len(self.steps), -1)
        values = torch.from_numpy(self.own.values)
        if values.dtype == torch.int64:
            return Raw(values.expand(len(self.steps), -1), mask)
        baseline = torch.from_numpy(self.own.baseline).float()
        return Raw(self._between(baseline, values.float()), mask)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """While the encoder runs: the vectors of ids become those between baseline and cell."""
        parts = [self.encoder, *(lazy.on(self.steps.device) for lazy in lazy_parts(self.encoder))]
        tables = [one for part in parts for one in part.modules() if isinstance(one, nn.Embedding)]
        hooks = [one.register_forward_hook(self._replace_vectors) for one in tables]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def weights(self, score: Tensor) -> Array | None:
        """Change times gradient, added up over the points and each vector: of the shape of one cell."""
        if self.points is None or self.change is None or not score.requires_grad:
            return None
        gradient: Tensor | None = torch.autograd.grad(score.sum(), self.points, allow_unused=True)[0]
        if gradient is None:
            return None
        found = (gradient.double().sum(dim=0) * self.change[0].double()).numpy()
        return found.sum(axis=-1) if self.own.values.dtype == np.int64 else found

    def _between(self, baseline: Tensor, values: Tensor) -> Tensor:
        self.change = (values - baseline).detach()
        steps = self.steps.view(-1, *[1] * (values.dim() - 1))
        self.points = (baseline.detach() + steps * self.change).requires_grad_()
        return self.points * 1.0  # encoders may change their input in place, which a leaf does not allow

    def _replace_vectors(self, table: Any, given: tuple[Any, ...], vectors: Tensor) -> Tensor | None:
        ids = torch.from_numpy(self.own.values).expand(len(self.steps), -1)
        if self.points is not None or not torch.equal(given[0], ids):
            return None
        torch.set_grad_enabled(True)  # a frozen encoder turned it off for itself
        baseline = table.forward(torch.from_numpy(self.own.baseline))
        return self._between(baseline, vectors[:1]).to(vectors.dtype)


def _repeated(tokens: Tokens, count: int) -> Tokens:
    return Tokens(tokens.values.expand(count, -1, -1), tokens.mask.expand(count, -1))
