"""Arguments and options that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

RecipePath = Annotated[Path, Argument(help="recipe.yaml")]
RunPath = Annotated[Path, Argument(help="runs/NAME, or a saved model")]
RunsFolder = Annotated[Path, Option(help="folder of the run folders")]
MediaRoot = Annotated[Path | None, Option(help="folder that media paths start from")]
