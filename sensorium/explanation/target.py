"""What is explained: one number that the model gives a row, such as the log-odds of a class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sensorium.batch import Fused
from sensorium.data.column import Array
from sensorium.errors import SensoriumError, did_you_mean
from sensorium.heads.head import Head

if TYPE_CHECKING:
    from sensorium.predict import Predictor


class Target(NamedTuple):
    """A score of one output.

    Attributes:
        output: its name.
        type: of the output, a key of `SCORES`.
        place: of the class among the classes; 0 where an output has none.
        label: the class; "" where an output has none.
        unit: of the score: "log-odds"; for numbers "units of the table", or "scaled units" where scaling is
            by rank; for similarity "cosine".
    """

    output: str
    type: str
    place: int = 0
    label: str = ""
    unit: str = "log-odds"

    @property
    def shown_unit(self) -> str:
        """Of what `shown` gives."""
        return "probability" if self.label else self.unit

    def score(self, head: Head, fused: Fused) -> Tensor:
        """`(B,)` float32, with gradients."""
        return SCORES[self.type](head, fused.for_output(self.output), self.place)

    def shown(self, scores: Array) -> Array:
        """Scores as a reader knows them: the probability of a class, any other score as it is."""
        return 1 / (1 + np.exp(-scores)) if self.label else scores


def choose_target(predictor: Predictor, output: str | None, label: str | None) -> tuple[str, str | None]:
    """Checks what the user wants explained.

    Args:
        predictor: the model.
        output: its name; None for the first that can be explained.
        label: a class of it; None for what the model predicts of each row.

    Returns:
        The output, and the class as it is written in the model.

    Raises:
        SensoriumError: when there is no such output or class, with the nearest; when the output has no
            classes; or when nothing of the model can be explained.
    """
    outputs = predictor.recipe.outputs
    known = [name for name, config in outputs.items() if config.type in SCORES]
    if not known:
        raise SensoriumError(f"no output of this model can be explained ({', '.join(outputs)})")
    if output is not None and output not in outputs:
        raise SensoriumError(f"output: there is no output {output!r}{did_you_mean(output, list(outputs))}")
    if output is not None and output not in known:
        raise SensoriumError(f"output: {output!r} is of type {outputs[output].type}, which is not explained")
    name = known[0] if output is None else output
    if label is None:
        return name, None
    labels = list(getattr(predictor.model.head(name), "labels", []))
    if not labels:
        raise SensoriumError(f"class: output {name!r} has no classes; leave it out")
    if label not in labels:
        raise SensoriumError(
            f"class: output {name!r} has no class {label[:40]!r}{did_you_mean(label, labels)}"
        )
    return name, label


def target_of(head: Any, kind: str, output: str, label: str | None, predicted: dict[str, Array]) -> Target:
    """What is explained of one row.

    Args:
        head: of the output.
        kind: type of the output.
        output: its name.
        label: the class asked for; None for the one that the row most likely has.
        predicted: arrays of this row alone, as the head predicts them.
    """
    labels = list(getattr(head, "labels", []))
    if kind == "similarity":
        return Target(output, kind, unit="cosine")
    if not labels:
        by_rank = head.column.quantiles is not None
        return Target(output, kind, unit="scaled units" if by_rank else "units of the table")
    place = int(predicted["probabilities"][0].argmax()) if label is None else labels.index(label)
    return Target(output, kind, place, labels[place])


def _class_score(head: Any, fused: Fused, place: int) -> Tensor:
    """Log-odds of one class against all others."""
    logits = head.forward(fused).float() / head.temperature
    chosen = torch.arange(logits.shape[1], device=logits.device) == place
    score: Tensor = logits[:, place] - logits.masked_fill(chosen, -torch.inf).logsumexp(dim=1)
    return score


def _label_score(head: Any, fused: Fused, place: int) -> Tensor:
    """Log-odds of having one label."""
    score: Tensor = head.forward(fused).float()[:, place] / head.temperature
    return score


def _number_score(head: Any, fused: Fused, place: int) -> Tensor:
    """The predicted number in the table's units, or scaled where its scaling is by rank."""
    values: Tensor = head.predict(fused)["values"]
    column = head.column
    return values if column.quantiles is not None else values * column.spread + column.centre


def _pair_score(head: Any, fused: Fused, place: int) -> Tensor:
    """The cosine between a row's own inputs, the mean over all pairs; 0 where it has fewer than two."""
    vectors = torch.stack(list(head.embed(fused).values()), dim=1)
    count = vectors.any(dim=2).sum(dim=1)
    both_ways = vectors.sum(dim=1).square().sum(dim=1) - count  # each vector with itself is 1
    score: Tensor = both_ways / (count * (count - 1)).clamp(min=1)
    return score


SCORES: dict[str, Callable[[Any, Fused, int], Tensor]] = {
    "category": _class_score,
    "categories": _label_score,
    "number": _number_score,
    "similarity": _pair_score,
}
"""By type of output: `(B,)` scores of fused rows."""
