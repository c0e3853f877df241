"""From a recipe or a table with a target to a trained model: the whole way, in one call."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensorium.errors import RecipeError, SensoriumError, require
from sensorium.predict import Predictor, load
from sensorium.prepare import Prepared, check_inputs_readable, check_target_known, prepare
from sensorium.recipe import Recipe, parse_recipe, read_recipe
from sensorium.training.progress import Reporter, Silent, Terminal


def fit(
    data: Any = None,
    target: str | list[str] | None = None,
    *,
    recipe: str | Path | Mapping[str, Any] | Recipe | None = None,
    folder: str | Path | None = None,
    training: Mapping[str, Any] | None = None,
    verbose: bool = True,
) -> Predictor:
    """Trains a model.

    Args:
        data: a path, a dataframe or a dict of lists; may be left out where the recipe names its table.
        target: the column or columns to predict; the recipe is then drafted from the table.
        recipe: a path to a recipe, or its content, in place of `target`.
        folder: the run folder; default: one that goes when the process ends, so `save` what you want to keep.
        training: fields of the recipe's `training` that replace what it says, such as `{"epochs": 5}`.
        verbose: say how it goes.

    Returns:
        The trained model.

    Raises:
        SensoriumError: naming what is wrong with the table, the recipe or the target.
    """
    reporter = _terminal() if verbose else Silent()
    chosen = _with_training(_choose_recipe(data, target, recipe), training)
    if folder is None:
        folder = _folder_for_a_while() / chosen.name
    return load(train_in(chosen, Path(folder), reporter, data=data))


def train_recipe(recipe: Recipe, runs: Path, reporter: Reporter, fresh: bool = False) -> Path:
    """Trains a recipe on its own table in runs/NAME; returns that folder."""
    return train_in(recipe, runs / recipe.name, reporter, fresh=fresh)


def train_in(recipe: Recipe, folder: Path, reporter: Reporter, data: Any = None, fresh: bool = False) -> Path:
    """Trains in a run folder, or goes on there; a finished run is left as it is.

    Returns:
        The run folder.

    Raises:
        SensoriumError: when the folder is in use, or holds a run of another recipe or table.
    """
    require("accelerate", "train")
    from sensorium.evaluation.plots import draw_learning_curves
    from sensorium.training.loop import Trainer
    from sensorium.training.run import RunFolder

    run = RunFolder(folder)
    with run.locked():
        run.start(recipe, fresh)
        if run.finished:
            reporter.say(f"{folder}: this run is finished; --fresh trains again")
            return folder
        prepared = _prepare(recipe, data, reporter)
        trainer = Trainer(prepared, run, reporter)
        trainer.run()
        _tell_unreadable(prepared, run, reporter)
        draw_learning_curves(trainer.state.progress.history, folder / "learning_curves.png")
    return folder


def dry_run_recipe(recipe: Recipe, reporter: Reporter, steps: int = 3) -> None:
    """Trains a few steps in a folder that is thrown away, and says how long the whole would take."""
    from sensorium.training.loop import Trainer
    from sensorium.training.run import RunFolder

    prepared = _prepare(recipe, None, reporter)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(prepared, RunFolder(Path(folder)), Silent())
        seconds = trainer.try_steps(steps)
    parameters = trainer.state.parameters()
    reporter.say(f"{parameters:,} parameters; {len(prepared.parts['train']):,} training rows")
    reporter.say(
        f"{seconds:.2f} s a step; {trainer.steps:,} steps at most, "
        f"about {seconds * trainer.steps / 60:.1f} minutes without validation"
    )


def _prepare(recipe: Recipe, data: Any, reporter: Reporter) -> Prepared:
    """Reads and splits, and says what was found."""
    began = time.monotonic()
    prepared = prepare(recipe, data)
    check_target_known(prepared)
    check_inputs_readable(prepared)
    sizes = ", ".join(f"{len(rows)} {name}" for name, rows in prepared.parts.items())
    reporter.say(
        f"{prepared.table.source}: {len(prepared.table)} rows ({sizes}), {time.monotonic() - began:.1f} s"
    )
    for report in prepared.duplicates:
        reporter.say(f"warning: {report.line()}")
    return prepared


def _tell_unreadable(prepared: Prepared, run: Any, reporter: Reporter) -> None:
    cells = prepared.loader.quarantine.cells()
    for cell in cells[:5]:
        reporter.say(f"unreadable: {cell.line()}")
    if cells:
        reporter.say(f"{len(cells)} cells could not be read and counted as missing: see {run.quarantine}")
    cache = prepared.loader.cache
    if cache is None:
        return
    cache.flush()
    for note in cache.notes:
        reporter.say(note)
    has_media = any(bound.column.media for bound in prepared.loader.inputs.values())
    if has_media and cache.cached_bytes > 5 * cache.source_bytes:
        reporter.say(
            f"the cache of decoded media in {cache.folder} is {cache.cached_bytes / 1e6:.0f} MB, more than "
            f"5 times its source files ({cache.source_bytes / 1e6:.0f} MB); "
            "data.cache: false keeps none, a smaller size or rate keeps less"
        )


def _choose_recipe(data: Any, target: str | list[str] | None, recipe: Any) -> Recipe:
    if recipe is not None and target is not None:
        raise RecipeError("give either a target or a recipe, not both")
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        return parse_recipe(recipe)
    if recipe is not None:
        return read_recipe(recipe)
    if target is None:
        if isinstance(data, str | Path) and Path(data).suffix in {".yaml", ".yml"}:
            raise RecipeError(f"to train a recipe, write fit(recipe={str(data)!r})")
        raise RecipeError("name the column to predict: fit(data, target=...), or give a recipe")
    if data is None:
        raise SensoriumError("there is no data: fit(data, target=...)")
    from sensorium.draft import draft_recipe

    targets = [target] if isinstance(target, str) else list(target)
    return parse_recipe(draft_recipe(data, targets, Path.cwd(), test=0.0).content)


def _with_training(recipe: Recipe, training: Mapping[str, Any] | None) -> Recipe:
    if not training:
        return recipe
    content = recipe.as_dict()
    return parse_recipe({**content, "training": {**content["training"], **training}}, folder=recipe.folder)


def _folder_for_a_while() -> Path:
    """A new folder that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="sensorium-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _terminal() -> Reporter:
    from rich.console import Console

    return Terminal(Console())
