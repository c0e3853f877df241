"""Which rows make which batch of which epoch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sensorium.data.loader import Loader, Rows, plan_batches, row_lengths
from sensorium.errors import RecipeError
from sensorium.prepare import Prepared


class Sampler:
    """Draws the batches of every epoch: the same for the same seed and epoch, whenever asked.

    Args:
        prepared: the training rows and their columns.

    Raises:
        RecipeError: when classes are to be balanced and no output has classes.
    """

    def __init__(self, prepared: Prepared) -> None:
        config = prepared.recipe.training
        self.rows = prepared.parts["train"]
        self.batch_size, self.seed = config.batch_size, config.seed
        inputs = prepared.loader.inputs.values()
        media = prepared.loader.media
        # Rows of one length would be each other's wrong answers epoch after epoch.
        bucket = config.bucket and not any(one.compared for one in prepared.recipe.outputs.values())
        self.lengths = row_lengths(prepared.table, self.rows, inputs, media) if bucket else None
        self.chances = _class_chances(prepared) if config.sampling == "balanced" else None
        self.batches = math.ceil(len(self.rows) / self.batch_size)

    def epoch(self, epoch: int) -> list[Rows]:
        """The batches of an epoch, from 0."""
        generator = np.random.default_rng([self.seed, epoch])
        rows, lengths = self.rows, self.lengths
        if self.chances is not None:
            drawn = generator.choice(len(rows), size=len(rows), p=self.chances)
            rows, lengths = rows[drawn], None if lengths is None else lengths[drawn]
        return plan_batches(rows, self.batch_size, lengths, generator)


def _class_chances(prepared: Prepared) -> npt.NDArray[np.float64]:
    """The chance of every training row to be drawn, so that the classes come equally often.

    A row without a class, or with one that is not learned, is drawn as often as without balance.
    """
    outputs: dict[str, Any] = prepared.recipe.outputs
    names = [name for name, config in outputs.items() if config.type == "category"]
    if not names:
        raise RecipeError("training.sampling: balanced needs an output of type category")
    loader, rows = prepared.loader, prepared.parts["train"]
    target = {names[0]: loader.targets[names[0]]}
    codes, mask = Loader(prepared.table, {}, target, loader.media).batch(rows).targets[names[0]]
    classes = np.where(mask[:, 0], codes[:, 0], 0)
    counts = np.bincount(classes)
    known = classes > 0
    chances = np.full(len(rows), 1 / len(rows))
    chances[known] = known.mean() / (np.count_nonzero(counts[1:]) * counts[classes[known]])
    return chances
