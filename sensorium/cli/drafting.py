"""Before a training: `init` drafts a recipe, `check` finds what can fail."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from sensorium.cli.options import RecipePath
from sensorium.errors import SensoriumError


def init(
    data: Annotated[Path, Argument(help="table: a file, a folder, or a glob in quotes")],
    target: Annotated[list[str], Option("--target", help="column to predict; may be given again")],
    output: Annotated[Path, Option("-o", "--output", help="where to write")] = Path("recipe.yaml"),
    force: Annotated[bool, Option("--force", help="write over an existing file")] = False,
) -> None:
    """Look at a table and write a commented recipe."""
    from sensorium.draft import draft_recipe

    _refuse_to_overwrite(output, force)
    draft = draft_recipe(data, target, output.resolve().parent)
    _write(output, draft.text)
    for line in draft.reasons:
        typer.echo(line)
    typer.echo(f"wrote {output}; next: sensorium check {output}")


def check(
    recipe: RecipePath,
    rows: Annotated[int, Option(help="rows decoded to test the media; 0 for all", min=0)] = 200,
) -> None:
    """Find everything that can fail, before anything runs."""
    from sensorium.check import check_recipe

    if not check_recipe(recipe, rows, typer.echo):
        raise typer.Exit(1)


def _refuse_to_overwrite(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise SensoriumError(f"{path} exists; --force writes over it")


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise SensoriumError(f"{path}: cannot be written ({error.strerror})") from None
