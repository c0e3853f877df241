"""Where a similarity of two frozen encoders begins: at the canonical correlations of their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sensorium.batch import Raw, masked_mean
from sensorium.data.column import Array
from sensorium.data.loader import Loader, Rows, plan_batches
from sensorium.fusion.project import Projection
from sensorium.heads.similarity import SimilarityHead
from sensorium.inference import sample
from sensorium.model import Model

MOST_ROWS = 5_000
"""Training rows that are looked at; of more, a fixed sample is taken."""
LENGTH = 10.0
"""Of a projected row, on average, so that a step of the optimizer is small beside it."""


class Affine(NamedTuple):
    """`x @ weight + bias`.

    Attributes:
        weight: `(D, E)` float64.
        bias: `(E,)` float64.
    """

    weight: Array
    bias: Array


def align(model: Model, loader: Loader, rows: Rows) -> None:
    """Gives the projections of every similarity that can begin so their first weights.

    These are similarities of two inputs with frozen encoders, whose features the loader serves, and without
    projections of their own. All others keep the weights that were drawn.

    Args:
        model: as made, on the CPU; its fusion's projections are changed in place.
        loader: of the table, with features.
        rows: positions of the training rows.
    """
    projection = getattr(model.fusion, "projection", None)
    for name in model.outputs:
        head = model.head(name)
        if isinstance(head, SimilarityHead) and isinstance(projection, Projection):
            between = head.config.between
            if head.config.start == "canonical" and _can_begin(head, loader):
                layers: list[Any] = [projection.layers[model.inputs.index(one)] for one in between]
                _begin(layers, _features(model, loader, between, sample(rows, MOST_ROWS)))


def _can_begin(head: SimilarityHead, loader: Loader) -> bool:
    between = head.config.between
    plain = all(isinstance(one, nn.Dropout) for one in head.projections)
    return plain and len(between) == 2 and all(one in loader.features for one in between)


def _features(model: Model, loader: Loader, between: list[str], rows: Rows) -> list[Array]:
    """`(N, D)` float64 of both inputs, of those rows that have both: what the projections are given."""
    parts: list[list[Tensor]] = []
    training = model.training
    model.eval()
    for some in plan_batches(rows, 256):
        cells = [loader.features[name].take(some) for name in between]
        raws = [Raw(torch.from_numpy(one.values), torch.from_numpy(one.mask)) for one in cells]
        both = raws[0].present & raws[1].present
        with torch.no_grad():
            encoded = [model.encode(name, raw, raw.present) for name, raw in zip(between, raws, strict=True)]
        parts.append([masked_mean(*tokens)[both] for tokens in encoded])
    model.train(training)
    return [torch.cat(own).double().numpy() for own in zip(*parts, strict=True)]


def _begin(layers: Sequence[nn.Linear], features: list[Array]) -> None:
    """Sets the weights of two linear layers, `D → H`."""
    if len(features[0]) < 2:
        return
    first, second = features
    for layer, own in zip(layers, canonical(first, second, layers[0].out_features), strict=True):
        found = own.weight.shape[1]
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.zero_()
            layer.weight[:found] = torch.from_numpy(own.weight.T)
            layer.bias[:found] = torch.from_numpy(own.bias)


def canonical(first: Array, second: Array, width: int) -> tuple[Affine, Affine]:
    """Canonical correlation analysis (Hotelling 1936, Relations between two sets of variates) with a ridge.

    Each side's covariance gets its mean variance added on the diagonal (Vinod 1976, Canonical ridge and
    econometrics of joint production), and every direction counts by its correlation.

    Args:
        first: `(N, D)` features.
        second: `(N, F)` features of the same rows.
        width: directions at most.

    Returns:
        What brings each side to `(N, E)`, E at most `width`, D and F; rows have length `LENGTH` on average.
    """
    sides = [one - one.mean(axis=0) for one in (first, second)]
    white = [_whitening(one) for one in sides]
    left, correlations, right = np.linalg.svd(
        (sides[0] @ white[0]).T @ (sides[1] @ white[1]), full_matrices=False
    )
    kept = correlations[:width]
    turned = white[0] @ left[:, :width] * kept, white[1] @ right[:width].T * kept
    one, other = (
        _scaled(features, side, weight)
        for features, side, weight in zip((first, second), sides, turned, strict=True)
    )
    return one, other


def _whitening(side: Array) -> Array:
    """`(D, D)`: makes the variance of centred features alike in all directions, but for the ridge."""
    variances, directions = np.linalg.eigh(side.T @ side)
    variances = np.maximum(variances, 0.0)
    ridge = variances.sum() / max(1, min(len(side) - 1, side.shape[1]))
    return np.asarray(directions / np.sqrt(variances + ridge + 1e-12))


def _scaled(features: Array, side: Array, weight: Array) -> Affine:
    lengths = np.linalg.norm(side @ weight, axis=1)
    weight = weight * (LENGTH / max(1e-12, float(lengths.mean())))
    return Affine(weight, -features.mean(axis=0) @ weight)
