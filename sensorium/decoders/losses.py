"""Cross-entropy over a vocabulary, in pieces, so that its logits never fill the memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

CHUNK = 256
"""Tokens whose logits are held at a time: 50 MB in float32 for a vocabulary of 50,000."""


def token_losses(
    states: Tensor, weight: Tensor, targets: Tensor, real: Tensor, smoothing: float = 0.0, chunk: int = CHUNK
) -> Tensor:
    """Cross-entropy of every real token.

    The logits of a chunk are made again in the backward pass: a tenth more work, and memory for one chunk in
    place of the whole `(B, L, V)`.

    Args:
        states: `(B, L, D)`, what the decoder makes of the tokens before.
        weight: `(V, D)`, the output layer.
        targets: `(B, L)` int64, the right tokens; whatever stands where nothing is real.
        real: `(B, L)` bool.
        smoothing: share of the target spread over all tokens.
        chunk: tokens at a time.

    Returns:
        `(B, L)` float32, exactly 0 where nothing is real.
    """
    places = real.flatten().nonzero().squeeze(1)
    flat = states.flatten(0, 1)[places]
    wanted = targets.flatten()[places]
    parts = [
        checkpoint(
            _losses, flat[at : at + chunk], weight, wanted[at : at + chunk], smoothing, use_reentrant=False
        )
        for at in range(0, len(places), chunk)
    ]
    losses = torch.cat(parts) if parts else states.new_zeros(0, dtype=torch.float32)
    return torch.zeros(real.numel(), device=states.device).index_copy(0, places, losses).view_as(real)


def _losses(states: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    logits = functional.linear(states, weight).float()
    return functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)


def mean_of_rows(losses: Tensor, real: Tensor) -> Tensor:
    """`(B, L)` losses of tokens → `(B,)` means over the real ones; 0 for a row without any."""
    return losses.sum(dim=1) / real.sum(dim=1).clamp(min=1)
