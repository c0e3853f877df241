"""The command line: one verb, one function."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="sensorium",
    help="From a table of text, pictures, sound, video and numbers to a trained, evaluated model.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

RecipePath = Annotated[Path, typer.Argument(help="recipe.yaml")]
RunPath = Annotated[Path, typer.Argument(help="runs/NAME, or a saved model")]


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="table: a file, a folder, or a glob in quotes")],
    target: Annotated[list[str], typer.Option("--target", help="column to predict; may be given again")],
    output: Annotated[Path, typer.Option("-o", "--output", help="where to write")] = Path("recipe.yaml"),
    force: Annotated[bool, typer.Option("--force", help="write over an existing file")] = False,
) -> None:
    """Look at a table and write a commented recipe."""
    from sensorium.draft import draft_recipe

    _refuse_to_overwrite(output, force)
    draft = draft_recipe(data, target, output.resolve().parent)
    _write(output, draft.text)
    for line in draft.reasons:
        typer.echo(line)
    typer.echo(f"wrote {output}; next: sensorium check {output}")


@app.command()
def check(
    recipe: RecipePath,
    rows: Annotated[int, typer.Option(help="rows decoded to test the media; 0 for all", min=0)] = 200,
) -> None:
    """Find everything that can fail, before anything runs."""
    from sensorium.check import check_recipe

    if not check_recipe(recipe, rows, typer.echo):
        raise typer.Exit(1)


@app.command()
def train(
    recipe: RecipePath,
    runs: Annotated[Path, typer.Option(help="folder of the run folders")] = Path("runs"),
    fresh: Annotated[bool, typer.Option("--fresh", help="throw away what the run folder holds")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="a few steps, to see that it runs and how long")
    ] = False,
) -> None:
    """Train, or go on where training stopped; writes runs/NAME."""
    from rich.console import Console

    from sensorium.fitting import dry_run_recipe, train_recipe
    from sensorium.recipe import read_recipe
    from sensorium.training.progress import Terminal

    reporter = Terminal(Console())
    if dry_run:
        dry_run_recipe(read_recipe(recipe), reporter)
        return
    try:
        folder = train_recipe(read_recipe(recipe), runs, reporter, fresh=fresh)
    except KeyboardInterrupt:  # here, as typer would end the program without a word
        typer.echo("stopped; what was trained is saved: give the same command to go on", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"trained; next: sensorium evaluate {folder}")


@app.command()
def evaluate(
    run: RunPath,
    data: Annotated[
        Path | None, typer.Argument(help="table; default: the test part of the training table")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="default: RUN/evaluation")] = None,
    media_root: Annotated[Path | None, typer.Option(help="folder that media paths start from")] = None,
) -> None:
    """Measure a model; writes report.html and report.json."""
    from rich.console import Console

    from sensorium.evaluation import evaluate_run, print_evaluation, write_report

    evaluation = evaluate_run(run, data, media_root)
    report = write_report(evaluation, output or run / "evaluation")
    print_evaluation(evaluation, Console())
    typer.echo(f"wrote {report}")


@app.command()
def predict(
    run: RunPath,
    data: Annotated[Path, typer.Argument(help="table of new rows")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".parquet, .csv or .jsonl")],
    media_root: Annotated[Path | None, typer.Option(help="folder that media paths start from")] = None,
) -> None:
    """Predict every row of a table, in its order, under its key."""
    from sensorium.data.table import read_table
    from sensorium.data.write import check_writable, write_parts
    from sensorium.predict import load

    check_writable(output)
    predictor = load(run)
    table = predictor.open(read_table(data, media_root))
    if predictor.absent_columns(table):
        typer.echo(predictor.absent_words(table), err=True)
    for note in table.notes:
        typer.echo(note, err=True)
    rows = write_parts(predictor.tabulate_in_parts(table), output)
    for cell in predictor.unreadable[:20]:
        typer.echo(cell.line(), err=True)
    if len(predictor.unreadable) > 20:
        typer.echo(f"... and {len(predictor.unreadable) - 20} more cells that could not be read", err=True)
    typer.echo(f"wrote {rows} rows to {output}")


def _refuse_to_overwrite(path: Path, force: bool) -> None:
    from sensorium.errors import SensoriumError

    if path.exists() and not force:
        raise SensoriumError(f"{path} exists; --force writes over it")


def _write(path: Path, text: str) -> None:
    from sensorium.errors import SensoriumError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SensoriumError(f"{path}: cannot be written ({error.strerror})") from None


def _version(show: bool) -> None:
    if show:
        from sensorium import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    """Runs before every verb."""


def main(arguments: list[str] | None = None) -> Any:
    """Runs the command line; an error meant for the user becomes one line, and exit code 1."""
    from sensorium.errors import SensoriumError

    # Threads that wait for each other should sleep, not spin: beside other work on the same cores, spinning
    # makes training several times slower (benchmarks/README.md). Read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app(arguments)
    except (MemoryError, RuntimeError) as error:
        told = (
            isinstance(error, MemoryError) or "out of memory" in str(error) or "allocate memory" in str(error)
        )
        if not told:
            raise
        typer.echo("error: the memory is used up; lower training.batch_size or micro_batch", err=True)
        sys.exit(1)
    except SensoriumError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        advice = f"{error.name} is not installed and is needed here: pip install 'sensorium[train]'"
        typer.echo(f"error: {advice}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
