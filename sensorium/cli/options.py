"""Arguments and options that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipePath = Annotated[Path, typer.Argument(help="recipe.yaml")]
RunPath = Annotated[Path, typer.Argument(help="runs/NAME, or a saved model")]
RunsFolder = Annotated[Path, typer.Option(help="folder of the run folders")]
MediaRoot = Annotated[Path | None, typer.Option(help="folder that media paths start from")]
