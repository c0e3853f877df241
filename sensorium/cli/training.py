"""Training: `train` one recipe, `compare` variants of it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from sensorium.cli.options import RecipePath, RunsFolder


def train(
    context: typer.Context,
    recipe: RecipePath,
    runs: RunsFolder = Path("runs"),
    fresh: Annotated[bool, Option("--fresh", help="throw away what the run folder holds")] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="a few steps, to see that it runs and how long")
    ] = False,
    minutes: Annotated[
        float | None,
        Option(help="training.minutes in place of the recipe's: the time of the whole run"),
    ] = None,
) -> None:
    """Train, or go on where training stopped; writes runs/NAME."""
    with _importing():
        from rich.console import Console

        import sensorium.training.loop  # noqa: F401 - needed later, and large
        from sensorium.fitting import dry_run_recipe, train_recipe, with_training
        from sensorium.recipe import read_recipe
        from sensorium.training.progress import Terminal

    reporter = Terminal(Console())
    chosen = with_training(read_recipe(recipe), None if minutes is None else {"minutes": minutes})
    if dry_run:
        dry_run_recipe(chosen, reporter)
        return
    with _kept_when_stopped():
        folder = train_recipe(chosen, runs, reporter, fresh=fresh, began=context.obj)
    typer.echo(f"trained; next: sensorium evaluate {folder}")


def compare(
    recipe: RecipePath,
    over: Annotated[
        list[str],
        Option(
            help="field and its values: fusion.kind=concat,late or training.batch_size=16..64:16, "
            "or fusion.kind for all that there are; may be given again, for the grid"
        ),
    ],
    seeds: Annotated[int, Option(help="trainings of each variant", min=1)] = 3,
    runs: RunsFolder = Path("runs"),
    output: Annotated[
        Path | None,
        Option("-o", "--output", help="default: RUNS/NAME-compare/FIELD, with + between several"),
    ] = None,
    fresh: Annotated[bool, Option("--fresh", help="train again what is finished")] = False,
) -> None:
    """Train variants of a recipe and test which differ; writes compare.html and compare.json."""
    from rich.console import Console

    from sensorium.comparison import compare_in, print_comparison, question_folder, write_comparison
    from sensorium.fitting import terminal
    from sensorium.recipe import read_recipe

    chosen = read_recipe(recipe)
    home = runs / f"{chosen.name}-compare"
    fields = {
        name: values if equals else None for name, equals, values in (one.partition("=") for one in over)
    }
    with _kept_when_stopped():
        comparison = compare_in(home, chosen, fields, seeds, terminal(), fresh=fresh)
    page = write_comparison(comparison, output or question_folder(home, comparison.over))
    print_comparison(comparison, Console())
    typer.echo(f"wrote {page}")


@contextmanager
def _kept_when_stopped() -> Iterator[None]:
    """Says at a Ctrl-C what is left: a training goes on where it stopped."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped; what was trained is saved: give the same command to go on", err=True)
        raise typer.Exit(130) from None


@contextmanager
def _importing() -> Iterator[None]:
    """While large packages are imported, which stay, no time goes into looking for what could be freed."""
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # once a process: what is frozen, rubbish too, stays to its end
            gc.freeze()
        gc.enable()
