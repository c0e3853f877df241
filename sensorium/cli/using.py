"""A trained model in use: `evaluate`, `predict`, `explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from sensorium.cli.options import MediaRoot, RunPath


def evaluate(
    run: RunPath,
    data: Annotated[Path | None, Argument(help="table; default: the test part of the training table")] = None,
    output: Annotated[Path | None, Option("-o", "--output", help="default: RUN/evaluation")] = None,
    media_root: MediaRoot = None,
    slices: Annotated[
        list[str] | None,
        Option("--slice", help="column, or condition such as 'price > 10'; may be given again"),
    ] = None,
    skip: Annotated[
        list[str] | None, Option("--skip", help="study to leave out, such as noise; may be given again")
    ] = None,
    coverage: Annotated[float, Option(help="asked of sets and intervals, between 0 and 1")] = 0.9,
) -> None:
    """Measure a model; writes report.html and report.json."""
    from rich.console import Console

    from sensorium.evaluation import (
        check_folder,
        choose_studies,
        evaluate_run,
        print_evaluation,
        write_report,
    )

    studies = choose_studies(skip or ())
    if run.is_dir():
        check_folder(output or run / "evaluation")
    evaluation = evaluate_run(run, data, media_root, studies, coverage, slices or ())
    report = write_report(evaluation, output or run / "evaluation")
    print_evaluation(evaluation, Console())
    typer.echo(f"wrote {report}")


def predict(
    run: RunPath,
    data: Annotated[Path, Argument(help="table of new rows")],
    output: Annotated[Path, Option("-o", "--output", help=".parquet, .csv or .jsonl")],
    media_root: MediaRoot = None,
    coverage: Annotated[
        float | None,
        Option(help="share of rows whose truth added sets and intervals hold, such as 0.9"),
    ] = None,
) -> None:
    """Predict every row of a table, in its order, under its key."""
    from sensorium.calibration import unlimited_words
    from sensorium.data.table import files_of, read_table
    from sensorium.data.write import check_writable, refuse_to_replace, write_parts
    from sensorium.predict import load

    check_writable(output)
    predictor = load(run)
    table = predictor.open(read_table(data, media_root))
    refuse_to_replace(files_of(data), output)
    if predictor.absent_columns(table):
        typer.echo(predictor.absent_words(table), err=True)
    for note in table.notes:
        typer.echo(note, err=True)
    rows = write_parts(predictor.tabulate_in_parts(table, coverage), output)
    if predictor.unlimited and coverage is not None:
        typer.echo(unlimited_words(predictor.unlimited, coverage), err=True)
    for cell in predictor.unreadable[:20]:
        typer.echo(cell.line(), err=True)
    if len(predictor.unreadable) > 20:
        typer.echo(f"... and {len(predictor.unreadable) - 20} more cells that could not be read", err=True)
    typer.echo(f"wrote {rows} rows to {output}")


def explain(
    run: RunPath,
    data: Annotated[Path | None, Argument(help="table; default: the test part of the training table")] = None,
    rows: Annotated[str | None, Option(help="positions in the table, such as 3,7 or 3-7")] = None,
    key: Annotated[
        list[str] | None, Option(help="column and value, such as id=7; may be given again")
    ] = None,
    output: Annotated[str | None, Option("--output", help="of the model; default: its first")] = None,
    label: Annotated[str | None, Option("--class", help="explained in place of the predicted class")] = None,
    method: Annotated[str | None, Option(help="how parts are weighed")] = None,
    page: Annotated[Path | None, Option("-o", help="default: RUN/explanation.html")] = None,
    media_root: MediaRoot = None,
) -> None:
    """Show what carried predictions: inputs, words, patches, seconds."""
    from sensorium.evaluation.explain_run import explain_run

    for line in explain_run(run, data, rows, key or (), output, label, method, page, media_root):
        typer.echo(line)
