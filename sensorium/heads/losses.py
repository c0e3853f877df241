"""Losses, one value a row or a label, always computed in float32.

Under autocast the logits come in half precision: every function widens them first, because a sum of
exponentials or a square in bfloat16 keeps three digits only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def softmax_loss(
    logits: Tensor, classes: Tensor, weights: Tensor, focal: float = 0.0, smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of one class a row, weighted by class, focal and smoothed as wanted.

    `w[y] * (1 - p[y])**focal * ((1 - smoothing) * -log p[y] + smoothing * mean(-log p))`

    Focal factor: Lin et al. 2017, arXiv:1708.02002. Label smoothing: Szegedy et al. 2015,
    arXiv:1512.00567.

    Args:
        logits: `(B, C)`.
        classes: `(B,)` int64 in 0..C-1.
        weights: `(C,)` float32, one factor a class.
        focal: gamma; 0 is plain cross-entropy.
        smoothing: share of the target spread evenly over all classes.

    Returns:
        `(B,)` float32.
    """
    logarithms = logits.float().log_softmax(dim=-1)
    chosen = logarithms.gather(1, classes.unsqueeze(1)).squeeze(1)
    loss = -(1 - smoothing) * chosen - smoothing * logarithms.mean(dim=-1)
    return weights[classes] * _focal_factor(chosen, focal) * loss


def sigmoid_loss(logits: Tensor, truth: Tensor, weights: Tensor, focal: float = 0.0) -> Tensor:
    """Binary cross-entropy of many labels a row, mean over the labels.

    Args:
        logits: `(B, C)`.
        truth: `(B, C)`, 1 where the label applies and 0 where it does not.
        weights: `(C,)` float32, factor of the loss where the label applies.
        focal: gamma of Lin et al. 2017, arXiv:1708.02002; 0 is plain cross-entropy.

    Returns:
        `(B,)` float32.
    """
    applies = truth > 0.5
    wide = logits.float()
    # log p of what is true: log sigmoid(z) where the label applies, log sigmoid(-z) where it does not
    chosen = functional.logsigmoid(torch.where(applies, wide, -wide))
    loss = -chosen * _focal_factor(chosen, focal)
    return torch.where(applies, weights * loss, loss).mean(dim=-1)


def _focal_factor(logarithm: Tensor, focal: float) -> Tensor:
    """`(1 - p)**focal` of log p; bounded from below, as its slope at p = 1 is infinite for focal < 1."""
    if focal == 0:
        return torch.ones_like(logarithm)
    return (-torch.expm1(logarithm)).clamp(min=torch.finfo(torch.float32).eps).pow(focal)


def squared(error: Tensor) -> Tensor:
    """Square of the error, elementwise."""
    return error.float().square()


def absolute(error: Tensor) -> Tensor:
    """Size of the error, elementwise."""
    return error.float().abs()


def huber(error: Tensor) -> Tensor:
    """Half the square up to 1, then linear (Huber 1964), elementwise."""
    wide = error.float()
    return functional.huber_loss(wide, torch.zeros_like(wide), reduction="none", delta=1.0)


def log_cosh(error: Tensor) -> Tensor:
    """Logarithm of the hyperbolic cosine, elementwise: half the square near 0, linear far away."""
    size = error.float().abs()
    # log cosh x = |x| + log(1 + exp(-2|x|)) - log 2 does not overflow; softplus is its middle term
    return size + functional.softplus(-2 * size) - torch.log(torch.tensor(2.0, device=size.device))


def pinball(prediction: Tensor, truth: Tensor, levels: Tensor) -> Tensor:
    """Pinball loss of several quantiles, mean over the quantiles (Koenker and Bassett 1978).

    Args:
        prediction: `(B, Q)`, one column a quantile.
        truth: `(B, 1)`.
        levels: `(Q,)` float32 between 0 and 1.

    Returns:
        `(B,)` float32.
    """
    error = truth.float() - prediction.float()
    return torch.maximum(levels * error, (levels - 1) * error).mean(dim=-1)


POINT_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "mse": squared,
    "mae": absolute,
    "huber": huber,
    "log_cosh": log_cosh,
}
