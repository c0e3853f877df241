"""A comparison in plain sentences, the same for the page and the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sensorium.comparison.paired import FEW_DIFFERING, LEVEL, Difference
from sensorium.evaluation.metrics import Interval
from sensorium.evaluation.words import FEW_ROWS, count, limits, metric_name, number

if TYPE_CHECKING:
    from sensorium.comparison.results import Comparison, OutputComparison, VariantScores

Verdict = Literal["better", "worse", "uncertain", "undecided"]


def summary(comparison: Comparison) -> list[str]:
    """What was compared, on which rows, and what speaks against trusting it."""
    seeds = len(comparison.seeds)
    lines = [
        f"{', '.join(comparison.over)}: {count(len(comparison.variants), 'variant')} of {comparison.name}, "
        f"{count(seeds, 'seed')} each, scored on the {comparison.part} part of {comparison.source}."
    ]
    if comparison.part == "validation":
        lines.append("These rows chose which weights were kept, so the scores lean to the good side.")
    if seeds == 1:
        lines.append(
            "One seed says nothing of how far another would move these scores: give more with --seeds."
        )
    for variant in comparison.variants:
        if variant.refused:
            lines.append(f"{variant.name}: refused: {variant.refused}")
        elif variant.dropped:
            lines.append(f"{variant.name}: left out, as it does not know them: {', '.join(variant.dropped)}")
    return lines


def sentences(comparison: Comparison, name: str) -> list[str]:
    """One output: which variants differ from the reference, and which cannot be told from it."""
    output = comparison.outputs[name]
    less = ", less is better" if output.goal == "min" else ""
    lines = [
        f"{metric_name(output.metric)}{less}; {count(output.rows, 'row')}; "
        f"the reference is {comparison.reference}."
    ]
    if output.rows < FEW_ROWS:
        lines.append(f"Fewer than {FEW_ROWS} rows: the intervals and p-values themselves are rough.")
    groups: dict[Verdict, list[str]] = {"better": [], "worse": [], "uncertain": [], "undecided": []}
    for variant, scores in output.variants.items():
        if scores.difference is not None:
            groups[verdict(scores.difference, output.goal)].append(variant)
    # One seed tells of the models that were trained, and nothing of what another training would give.
    of_models = "Of these trained models alone, not of the variants: " if len(comparison.seeds) == 1 else ""
    better, worse = ("better", "worse") if of_models else ("Better", "Worse")
    said = {
        "better": f"{of_models}{better} than {comparison.reference}",
        "worse": f"{of_models}{worse} than {comparison.reference}",
        "uncertain": f"Apart from {comparison.reference} when tested alone, but not after the correction "
        f"for {count(sum(map(len, groups.values())), 'comparison')}",
        "undecided": f"Not to be told from {comparison.reference} by these rows and seeds",
    }
    return lines + [f"{said[key]}: {'; '.join(names)}." for key, names in groups.items() if names]


def verdict(difference: Difference, goal: Literal["max", "min"]) -> Verdict:
    """Which side of the reference a variant is on, if any."""
    if difference.p > 1 - LEVEL:
        return "undecided"
    if difference.corrected_p > 1 - LEVEL:
        return "uncertain"
    return "better" if (difference.value > 0) == (goal == "max") else "worse"


def headings(comparison: Comparison) -> list[str]:
    """The columns of the table."""
    return ["mean", "95 % interval", "seeds", f"against {comparison.reference}", "p", "parameters"]


def cells(comparison: Comparison, output: OutputComparison, variant: str) -> list[str]:
    """The table's line of one variant, without its name; dashes where it was refused."""
    scores = output.variants.get(variant)
    if scores is None:
        return ["refused", *["–"] * 5]
    return [
        number(scores.score.value),
        limits(scores.score),
        _spread(scores),
        _difference(scores.difference),
        "–" if scores.difference is None else probability(scores.difference.corrected_p),
        f"{comparison.parameters[variant]:,}",
    ]


def notes(comparison: Comparison) -> list[str]:
    """How the intervals and the p-values were made."""
    drawn = f"{comparison.resamples:,} resamples of the rows, the same rows for every variant"
    several = len(comparison.seeds) > 1
    from_seeds = ", and from the spread of the seeds, by Student's t" if several else ""
    wilson = "a share that rests on fewer than five rows has Wilson's interval"
    return [
        f"Intervals cover 95 % and come from {drawn}{from_seeds}; {wilson}"
        f"{', widened where the seeds spread more' if several else ''}.",
        "p is two-sided, for no difference from the reference, by Student's t, and by the exact sign test "
        f"where fewer than {FEW_DIFFERING} rows differ; after Holm's correction for the number of variants.",
        *(["Seeds: the least and the most of a single seed."] if several else []),
    ]


def probability(value: float) -> str:
    """A p-value in three digits."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _spread(scores: VariantScores) -> str:
    return f"{number(min(scores.seeds))} to {number(max(scores.seeds))}"


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return "reference"
    span = limits(Interval(difference.value, difference.low, difference.high, 0, 0, "bootstrap"))
    sign = "+" if difference.value > 0 else ""
    return f"{sign}{number(difference.value)} ({span})"
