"""A late fusion made of the model's own answers to single inputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sensorium.data.column import Array
from sensorium.encoded import Encoded, Predicted
from sensorium.recipe import Recipe

AVERAGED = frozenset({"category", "categories", "number"})
"""Types of output whose predictions can be averaged."""


def late_fusion(recipe: Recipe, alone: Mapping[str, Predicted], encoded: Mapping[str, Encoded]) -> Predicted:
    """The reference of effective robustness: the mean of what the model says of each input alone.

    MultiBench compares with a late fusion that was trained by itself; this one needs no second training.
    The mean is over the inputs that a row has, or over all where it has none.

    Args:
        recipe: of the model.
        alone: input → predictions with this input alone.
        encoded: input → which rows have it.

    Returns:
        The outputs of the types in `AVERAGED` with their arrays of floating point; none for one input.
    """
    if len(alone) < 2:
        return {}
    present = np.stack([encoded[name].present.numpy() for name in alone])
    weights = np.where(present.any(axis=0), present, True).astype(np.float32)
    weights /= weights.sum(axis=0)

    def mean(arrays: list[Array]) -> Array:
        shape = (*weights.shape, *[1] * (arrays[0].ndim - 1))
        return np.asarray((np.stack(arrays) * weights.reshape(shape)).sum(axis=0))

    return {
        name: {
            key: mean([predicted[name][key] for predicted in alone.values()])
            for key, array in next(iter(alone.values()))[name].items()
            if np.issubdtype(array.dtype, np.floating)
        }
        for name, config in recipe.outputs.items()
        if config.type in AVERAGED
    }
