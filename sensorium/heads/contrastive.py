"""Losses that draw what belongs together close and push all else of a batch apart.

Symbols: B rows of this process, G rows of all processes, E width of the embeddings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, distributed
from torch.distributed.nn import functional as collective
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class Pairs(NamedTuple):
    """Two inputs of some rows.

    Attributes:
        first: `(B, E)` float32 unit vectors.
        second: `(B, E)` likewise.
        identities: `(B, 2)` int64; equal cells of an input have equal numbers.
        real: `(B,)` bool, True where the row has both.
    """

    first: Tensor
    second: Tensor
    identities: Tensor
    real: Tensor

    def rows(self, rows: slice) -> Pairs:
        """Some of the rows."""
        return Pairs(*(part[rows] for part in self))


Loss = Callable[[Pairs, Pairs], Tensor]
"""B rows, the G rows that they are compared with → `(B,)`."""


def contrast(loss: Loss, pairs: Pairs, chunk: int) -> Tensor:
    """One loss a row, `(B,)` float32, against the rows of all processes; 0 where a row lacks an input.

    The similarities of `chunk` rows are held at a time, and made again on the way back: the loss and the
    gradient are those of all rows at once. Where a process group is initialised, the embeddings of all
    processes are gathered with their gradients, so that the losses of all processes together have the
    gradient that one process would have on the joined batch; batches may differ in size.

    Args:
        loss: `info_nce` or `siglip` with its settings.
        pairs: of this process.
        chunk: rows, at least 1.
    """
    everywhere = _of_all_processes(pairs)
    if chunk >= len(pairs.real):
        losses = loss(pairs, everywhere)
    else:
        starts = range(0, len(pairs.real), chunk)
        parts = [pairs.rows(slice(start, start + chunk)) for start in starts]
        losses = torch.cat([checkpoint(loss, part, everywhere, use_reentrant=False) for part in parts])
    return torch.where(pairs.real, losses, torch.zeros_like(losses))


def info_nce(rows: Pairs, others: Pairs, scale: Tensor, hardness: float) -> Tensor:
    """Cross-entropy of finding what belongs to a row among all rows, the mean of both directions, `(B,)`.

    Source: van den Oord, Li, Vinyals (2018), arXiv:1807.03748; both directions with a learned scale: Radford
    et al. (2021), arXiv:2103.00020. Where several rows belong to one, the loss is the mean of theirs, as in
    Khosla et al. (2020), arXiv:2004.11362.

    Args:
        rows: to find for.
        others: to be found.
        scale: () what similarities are multiplied by, 1 / temperature.
        hardness: see `_log_weights`; 0 weighs every negative alike.
    """
    positive = same(rows, others)
    forth = _cross_entropy(scale * rows.first @ others.second.T, positive, others.real, hardness)
    back = _cross_entropy(scale * rows.second @ others.first.T, positive, others.real, hardness)
    return (forth + back) / 2


def siglip(rows: Pairs, others: Pairs, scale: Tensor, bias: Tensor, hardness: float) -> Tensor:
    """Every pair of the batch as a question of its own: do these two belong together? Summed a row, `(B,)`.

    Source: Zhai, Mustafa, Kolesnikov, Beyer (2023), arXiv:2303.15343.

    Args:
        rows: one side of the pairs.
        others: the other side.
        scale: () what similarities are multiplied by.
        bias: () what is added; far below zero, as nearly all pairs do not belong together.
        hardness: see `_log_weights`; 0 weighs every negative alike.
    """
    positive = same(rows, others)
    logits = scale * rows.first @ others.second.T + bias
    losses = functional.softplus(torch.where(positive, -logits, logits))
    weights = torch.where(positive, 0.0, _log_weights(logits, others.real & ~positive, hardness)).exp()
    return torch.where(others.real, weights * losses, 0.0).sum(dim=1)


def same(rows: Pairs, others: Pairs) -> Tensor:
    """`(B, G)` bool: which rows belong together, as they have an equal cell on one of the two sides."""
    equal = rows.identities.unsqueeze(1) == others.identities.unsqueeze(0)
    return equal.any(dim=2) & others.real


def _cross_entropy(logits: Tensor, positive: Tensor, real: Tensor, hardness: float) -> Tensor:
    """`(B, G)` logits → `(B,)`, the mean over the positives."""
    weighed = torch.where(positive, logits, logits + _log_weights(logits, real & ~positive, hardness))
    total = weighed.masked_fill(~real, torch.finfo(logits.dtype).min).logsumexp(dim=1, keepdim=True)
    losses = torch.where(positive, total - logits, 0.0).sum(dim=1)
    return losses / positive.sum(dim=1).clamp(min=1)


def _log_weights(logits: Tensor, negative: Tensor, hardness: float) -> Tensor:
    """Logarithm of what each negative counts, `(B, G)`, without gradient; the mean weight of a row is 1.

    A negative counts in proportion to exp(hardness · logit), so that those taken for right count most:
    Robinson, Chuang, Sra, Jegelka (2021), arXiv:2010.04592, their β; without their correction for negatives
    that are right after all, as equal cells are known here.
    """
    if hardness == 0:
        return torch.zeros_like(logits)
    lowest = torch.finfo(logits.dtype).min
    scores = (hardness * logits.detach()).masked_fill(~negative, lowest)
    count = negative.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(negative, scores - scores.logsumexp(dim=1, keepdim=True) + count.log(), 0.0)


def _of_all_processes(pairs: Pairs) -> Pairs:
    """The rows of every process, in the order of the processes; what pads a smaller batch is not real."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return pairs
    most = torch.tensor(len(pairs.real), device=pairs.real.device)
    distributed.all_reduce(most, distributed.ReduceOp.MAX)
    missing = int(most) - len(pairs.real)
    padded = [functional.pad(part, (0, 0, 0, missing)) for part in pairs[:3]]
    real = functional.pad(pairs.real.to(torch.uint8), (0, missing))
    first, second = (torch.cat(collective.all_gather(part)) for part in padded[:2])  # type: ignore[no-untyped-call]
    identities, everywhere = (_gather(part) for part in (padded[2], real))
    return Pairs(first, second, identities, everywhere.bool())


def _gather(values: Tensor) -> Tensor:
    """Rows of every process, without a gradient."""
    parts = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, values)
    return torch.cat(parts)
