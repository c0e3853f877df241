"""What a comparison found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sensorium.comparison.paired import Difference
from sensorium.comparison.variants import Variant
from sensorium.evaluation.evaluate import plain
from sensorium.evaluation.metrics import Interval


@dataclass(frozen=True)
class Comparison:
    """Variants of a recipe, compared.

    Attributes:
        name: of the recipe.
        source: the table's name.
        part: "test", or "validation" where the table has no test part.
        over: the fields that differ.
        variants: in the order of the values.
        parameters: name of a variant → how many numbers it learned.
        reference: the variant that the others are compared with: the recipe as it is, where that is one of
            them, else the first.
        seeds: `training.seed` of the runs.
        resamples: behind the intervals.
        outputs: output → scores.
    """

    name: str
    source: str
    part: str
    over: list[str]
    variants: list[Variant]
    parameters: dict[str, int]
    reference: str
    seeds: list[int]
    resamples: int
    outputs: dict[str, OutputComparison]

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON types; what is not a finite number is null."""
        variants = [
            {"name": one.name, "settings": one.settings, "refused": one.refused, "dropped": one.dropped}
            for one in self.variants
        ]
        content: dict[str, Any] = plain({**vars(self), "variants": variants})
        return content

    def __str__(self) -> str:
        """A table for the terminal."""
        from sensorium.comparison.terminal import as_text

        return as_text(self)


@dataclass(frozen=True)
class OutputComparison:
    """One output.

    Attributes:
        type: such as "category".
        metric: its main metric.
        goal: whether more or less of it is better.
        rows: that every run scored.
        variants: name of a variant → its scores; without the refused ones.
    """

    type: str
    metric: str
    goal: Literal["max", "min"]
    rows: int
    variants: dict[str, VariantScores]


@dataclass(frozen=True)
class VariantScores:
    """One variant on one output.

    Attributes:
        seeds: the main metric of each seed.
        score: their mean, with the interval over rows and seeds.
        difference: from the reference; None for the reference itself.
    """

    seeds: list[float]
    score: Interval
    difference: Difference | None
