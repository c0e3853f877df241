"""A comparison: every variant trained with every seed, and scored on the rows held back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.comparison.paired import differences, interval, resampled
from sensorium.comparison.results import Comparison, OutputComparison, VariantScores
from sensorium.comparison.runs import Announcer, Runs, with_seed
from sensorium.comparison.scores import ROW_SCORES, Answers, counted, mean_scorer, row_scores_of, scorer
from sensorium.comparison.variants import Over, Variant, variants_of
from sensorium.errors import SensoriumError
from sensorium.evaluation.run import held_back
from sensorium.fitting import as_recipe, random_states_kept, terminal
from sensorium.prepare import bind_columns, open_table, split_table
from sensorium.recipe import Recipe
from sensorium.training.progress import Reporter, Silent

RESAMPLES = 2000
"""Of the rows, where a metric is a mean over them."""
FEW_RESAMPLES = 1000
"""Where a metric is worked out anew for each."""


def compare(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    over: Over,
    *,
    seeds: int = 3,
    data: Any = None,
    folder: str | Path | None = None,
    verbose: bool = True,
) -> Comparison:
    """Trains variants of a recipe and says which differ, and by how much.

    All have the same table, the same split and the same budget. A run that is finished is not trained again,
    and one that was stopped goes on.

    Args:
        recipe: a path to a recipe, its content, or a `Recipe`.
        over: dotted path of a field → its values, such as `{"fusion.kind": ["concat", "late"]}`; None for all
            that the field offers, or a text as the command line has it, such as "16..64:16". Several fields
            make a grid.
        seeds: how many times each variant is trained, with `training.seed` 0, 1, ...
        data: a path, a dataframe or a dict of lists, in place of the recipe's table.
        folder: of the run folders; default: runs/NAME-compare.
        verbose: say how it goes.

    Raises:
        SensoriumError: naming what is wrong with the recipe, a field or the table, or why every variant was
            refused.
    """
    chosen = as_recipe(recipe)
    home = Path("runs") / f"{chosen.name}-compare" if folder is None else Path(folder)
    with random_states_kept():
        return compare_in(home, chosen, over, seeds, terminal() if verbose else Silent(), data)


def compare_in(
    home: Path,
    recipe: Recipe,
    over: Over,
    seeds: int,
    reporter: Reporter,
    data: Any = None,
    fresh: bool = False,
) -> Comparison:
    """`compare` with run folders in `home`; `fresh` throws away what they hold.

    Raises:
        SensoriumError: see `compare`.
    """
    if seeds < 1:
        raise SensoriumError("a comparison needs one seed at least")
    variants = variants_of(recipe, over)
    table = open_table(recipe, data)
    part, rows = held_back(table, split_table(recipe, table, bind_columns(recipe)[1]))
    runs = Runs(home, table, rows, data, fresh, Announcer(reporter, len(variants) * seeds))
    tried = [runs.try_variant(variant, range(seeds)) for variant in variants]
    trained = {one.variant.name: one for one in tried if one.answers}
    if not trained:
        raise SensoriumError(tried[0].variant.refused)
    reference = _reference(recipe, [one.variant for one in trained.values()])
    resamples = (
        RESAMPLES if all(part.type in ROW_SCORES for part in recipe.outputs.values()) else FEW_RESAMPLES
    )
    return Comparison(
        name=recipe.name,
        source=table.source,
        part=part,
        over=list(over),
        variants=[one.variant for one in tried],
        parameters={name: one.parameters for name, one in trained.items()},
        reference=reference,
        seeds=list(range(seeds)),
        resamples=resamples,
        outputs={
            name: _compare_output(
                config.type,
                {one: [answers[name] for answers in each.answers] for one, each in trained.items()},
                reference,
                resamples,
            )
            for name, config in recipe.outputs.items()
        },
    )


def _reference(recipe: Recipe, variants: Sequence[Variant]) -> str:
    own = with_seed(recipe, 0).digest()
    same = [one.name for one in variants if one.recipe and with_seed(one.recipe, 0).digest() == own]
    return (same or [variants[0].name])[0]


def _compare_output(
    kind: str, answers: Mapping[str, Sequence[Answers]], reference: str, resamples: int
) -> OutputComparison:
    head = answers[reference][0].head
    rows = counted(list(answers.values()))
    if not len(rows):
        raise SensoriumError(f"no row held back has a target of type {kind} that can be scored")
    row_scores = row_scores_of(kind, list(answers.values()), rows)
    score_of = scorer(list(answers.values()), rows) if row_scores is None else mean_scorer(row_scores)
    seeds = score_of(np.arange(len(rows)))
    drawn = resampled(score_of, len(rows), resamples)
    over_seeds = None if row_scores is None else row_scores.mean(axis=1)
    found = differences(seeds, drawn, list(answers).index(reference), over_seeds, len(rows))
    return OutputComparison(
        type=kind,
        metric=head.metric,
        goal=head.metric_goal,
        rows=len(rows),
        variants={
            name: VariantScores(
                seeds=[float(value) for value in seeds[position]],
                score=interval(head.metric, seeds[position], drawn[:, position], len(rows)),
                difference=found[position],
            )
            for position, name in enumerate(answers)
        },
    )
