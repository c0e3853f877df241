"""Pretrained encoders: `weights` lists and fetches them, `embed` writes what they make of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from sensorium.cli.options import MediaRoot
from sensorium.errors import RecipeError


def weights(
    recipe: Annotated[
        Path | None, Argument(help="recipe.yaml; without one, all that is on this machine")
    ] = None,
    bring: Annotated[bool, Option("--fetch", help="bring what the recipe needs and is not here")] = False,
) -> None:
    """List pretrained weights: where they are, size, parameters, licence."""
    from rich.console import Console

    from sensorium.needed_weights import describe_needed, fetch_needed, print_weights
    from sensorium.recipe import read_recipe
    from sensorium.weights import weights_here

    if recipe is None:
        if bring:
            raise RecipeError("--fetch needs a recipe, whose weights are then fetched")
        print_weights(weights_here(), Console())
        return
    chosen = read_recipe(recipe)
    if bring:
        fetch_needed(chosen, typer.echo)
    print_weights(describe_needed(chosen), Console())


def embed(
    source: Annotated[str, Argument(help="runs/NAME, recipe.yaml, or the id of pretrained weights")],
    data: Annotated[Path, Argument(help="table: a file, a folder, or a glob in quotes")],
    output: Annotated[Path, Option("-o", "--output", help=".parquet, .lance, .npy, or a folder")],
    inputs: Annotated[
        list[str] | None, Option("--input", help="input wanted; may be given again; default: all")
    ] = None,
    column: Annotated[str | None, Option(help="column to read, where weights are named")] = None,
    kind: Annotated[str, Option("--type", help="of that column: text, image, audio, video")] = "text",
    media_root: MediaRoot = None,
) -> None:
    """Write the features of pretrained encoders as vectors, row for row, through the cache."""
    from sensorium.data.table import files_of, read_table
    from sensorium.data.write import refuse_to_replace
    from sensorium.embedding import open_embedder, write_embeddings

    refuse_to_replace(files_of(data), output)
    embedder = open_embedder(source, inputs or (), column, kind)
    rows = write_embeddings(embedder, read_table(data, media_root), output, typer.echo)
    typer.echo(f"wrote {rows} rows to {output}")
