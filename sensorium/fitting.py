"""From a recipe or a table with a target to a trained model: the whole way, in one call."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensorium.data.table import read_table
from sensorium.errors import RecipeError, SensoriumError, require
from sensorium.frozen import parameter_words
from sensorium.predict import Predictor, load
from sensorium.prepare import Prepared, check_inputs_readable, check_target_known, doubts, open_table, prepare
from sensorium.recipe import Recipe, parse_recipe, read_recipe
from sensorium.training.progress import Reporter, Silent, Terminal

_MUCH = 50_000_000
"""Bytes of decoded media below which it is not said how many were kept."""

if TYPE_CHECKING:
    from sensorium.model import Model
    from sensorium.training.loop import Trainer
    from sensorium.training.run import RunFolder


def fit(
    data: Any = None,
    target: str | list[str] | None = None,
    *,
    recipe: str | Path | Mapping[str, Any] | Recipe | None = None,
    folder: str | Path | None = None,
    training: Mapping[str, Any] | None = None,
    media_root: str | Path | None = None,
    verbose: bool = True,
) -> Predictor:
    """Trains a model.

    Args:
        data: a path, a dataframe or a dict of lists; may be left out where the recipe names its table.
        target: the column or columns to predict; the recipe is then drafted from the table.
        recipe: a path to a recipe, or its content, in place of `target`.
        folder: the run folder; default: one that goes with the result, so `save` what you want to keep.
        training: fields of the recipe's `training` that replace what it says, such as `{"epochs": 5}`.
        media_root: the folder that media paths of `data` start from; default: the recipe's, or the folder of
            the table's file.
        verbose: say how it goes.

    Returns:
        The trained model.

    Raises:
        SensoriumError: naming what is wrong with the table, the recipe or the target.
    """
    reporter = terminal() if verbose else Silent()
    if media_root is not None and data is not None:
        data = read_table(data, media_root)
    chosen = with_training(_choose_recipe(data, target, recipe), training)
    predictor = _fit(chosen, data, folder, reporter)
    predictor.media_root = chosen.media_root() if media_root is None else Path(media_root)
    return predictor


def _fit(chosen: Recipe, data: Any, folder: str | Path | None, reporter: Reporter) -> Predictor:
    with random_states_kept():
        if folder is not None:
            return load(train_in(chosen, Path(folder), reporter, data=data))
        passing = Path(tempfile.mkdtemp(prefix="sensorium-"))
        try:
            predictor = load(train_in(chosen, passing / chosen.name, reporter, data=data))
        except BaseException:
            shutil.rmtree(passing, ignore_errors=True)
            raise
    for part in ("checkpoints", "tensorboard", "steps"):
        shutil.rmtree(passing / chosen.name / part, ignore_errors=True)
    weakref.finalize(predictor, shutil.rmtree, passing, ignore_errors=True)
    return predictor


def train_recipe(
    recipe: Recipe, runs: Path, reporter: Reporter, fresh: bool = False, began: float | None = None
) -> Path:
    """Trains a recipe on its own table in runs/NAME; returns that folder. See `train_in`."""
    return train_in(recipe, runs / recipe.name, reporter, fresh=fresh, began=began)


def train_in(
    recipe: Recipe,
    folder: Path,
    reporter: Reporter,
    data: Any = None,
    fresh: bool = False,
    began: float | None = None,
) -> Path:
    """Trains in a run folder, or goes on there; a finished run is left as it is.

    Args:
        recipe: what to train.
        folder: of the run.
        reporter: hears of progress.
        data: a path or a dataframe in place of the recipe's table.
        fresh: throw away what the folder holds of an earlier run, as soon as it is known that this one can
            begin; the earlier model stays until the first checkpoint.
        began: the moment from which `training.minutes` count, as `time.monotonic` gives it; default: now.

    Returns:
        The run folder.

    Raises:
        SensoriumError: when the folder is in use, or holds a run of another recipe or table.
    """
    began = time.monotonic() if began is None else began
    require("accelerate", "train")
    from sensorium.training.learning_curves import draw_learning_curves
    from sensorium.training.loop import Trainer
    from sensorium.training.run import RunFolder

    run = RunFolder(folder)
    with run.locked():
        if not fresh:
            run.refuse_another(recipe)
        if not fresh and run.finished:
            _refuse_another_table(recipe, data, run)
            over = " (its minutes were over)" if run.read_manifest().get("ended_by") == "time" else ""
            reporter.say(f"{folder}: this run is finished{over}; --fresh trains again")
            return folder
        if recipe.climbs:
            _climb(recipe, run, reporter, data, fresh, began)
            return folder
        prepared = _prepare(recipe, data, reporter)
        _use_features(prepared.new_model(), prepared, reporter)
        trainer = Trainer(prepared, run, reporter, began)
        if fresh:
            trainer.time.require_time()
        run.start(recipe, fresh)
        trainer.run()
        _tell_unreadable(prepared, run, reporter)
        draw_learning_curves(trainer.state.progress.history, folder / "learning_curves.svg")
    return folder


def _climb(recipe: Recipe, run: RunFolder, reporter: Reporter, data: Any, fresh: bool, began: float) -> None:
    """Trains the steps of `tune: auto`; the first counts its time from `began`, others from their start."""
    from sensorium.ladder import STEPS, Ladder, step_recipe

    moments = iter([began])
    prepared = prepare(step_recipe(recipe, STEPS[0]), data)

    def train(step: Recipe, folder: Path) -> Path:
        return train_in(step, folder, reporter, data=data, began=next(moments, None))

    def seconds_an_epoch(step: Recipe) -> float:
        trainer, seconds = _try(step, data, Silent())
        return seconds * trainer.steps_an_epoch

    ladder = Ladder(prepared, recipe, run, reporter, train, seconds_an_epoch)
    run.start(recipe, fresh)
    ladder.climb()


def dry_run_recipe(recipe: Recipe, reporter: Reporter) -> None:
    """Trains a few steps in a folder that is thrown away, and says how long the whole would take."""
    if recipe.climbs:
        from sensorium.ladder import STEPS, step_recipe

        recipe = step_recipe(recipe, STEPS[0], recipe.training.minutes)
        reporter.say(f"tune: auto begins with the step {STEPS[0]}, which is tried here")
    trainer, seconds = _try(recipe, None, reporter)
    prepared = trainer.prepared
    parameters = parameter_words(*trainer.state.parameters())
    reporter.say(f"{parameters}; {len(prepared.parts['train']):,} training rows")
    reporter.say(
        f"{seconds:.2f} s a step; {trainer.steps:,} steps at most, "
        f"about {seconds * trainer.steps / 60:.1f} minutes without validation"
    )


def _try(recipe: Recipe, data: Any, reporter: Reporter, steps: int = 3) -> tuple[Trainer, float]:
    """Trains a few steps in a folder that is thrown away; returns what did, and the seconds of a step."""
    from sensorium.training.loop import Trainer
    from sensorium.training.run import RunFolder

    prepared = _prepare(recipe, data, reporter)
    _use_features(prepared.new_model(), prepared, reporter)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(prepared, RunFolder(Path(folder)), Silent())
        return trainer, trainer.try_steps(steps)


def _refuse_another_table(recipe: Recipe, data: Any, run: RunFolder) -> None:
    """A finished run answers for its own table alone."""
    if open_table(recipe, data).digest() != run.read_manifest().get("table", {}).get("digest"):
        raise SensoriumError(
            f"{run.path} holds a finished run on another table; give another folder, or "
            "start over with --fresh"
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
    for note in prepared.table.notes:
        reporter.say(note)
    for line in [*doubts(prepared), *(report.line() for report in prepared.duplicates)]:
        reporter.say(f"warning: {line}")
    return prepared


def _use_features(model: Model, prepared: Prepared, reporter: Reporter) -> None:
    """Computes the features of frozen encoders, or finds them in the cache, for all rows of training."""
    from sensorium.features import use_features
    from sensorium.training.machine import choose_device

    rows = np.sort(np.concatenate([prepared.parts["train"], prepared.parts["validation"]]))
    device = choose_device(prepared.recipe.training.device)
    use_features(model, prepared.loader, rows, reporter.say, device)


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
    if cache.added_source_bytes and cache.added_bytes > max(_MUCH, 5 * cache.added_source_bytes):
        reporter.say(
            f"this run added {cache.added_bytes / 1e6:.0f} MB of decoded media to {cache.folder}, more than "
            f"5 times their source files ({cache.added_source_bytes / 1e6:.1f} MB); "
            "data.cache: false keeps none, a smaller size or rate keeps less"
        )


def _choose_recipe(data: Any, target: str | list[str] | None, recipe: Any) -> Recipe:
    if recipe is not None and target is not None:
        raise RecipeError("give either a target or a recipe, not both")
    if recipe is not None:
        return as_recipe(recipe)
    if target is None:
        if isinstance(data, str | Path) and Path(data).suffix in {".yaml", ".yml"}:
            raise RecipeError(f"to train a recipe, write fit(recipe={str(data)!r})")
        raise RecipeError("name the column to predict: fit(data, target=...), or give a recipe")
    if data is None:
        raise SensoriumError("there is no data: fit(data, target=...)")
    from sensorium.draft import draft_recipe

    if not isinstance(target, str) and not (
        isinstance(target, Iterable) and all(isinstance(name, str) for name in target)
    ):
        raise RecipeError(
            "target is the name of a column: put the values into the table, and name their column"
        )
    targets = [target] if isinstance(target, str) else list(target)
    return parse_recipe(draft_recipe(data, targets, Path.cwd(), test=0.0).content)


def as_recipe(recipe: str | Path | Mapping[str, Any] | Recipe) -> Recipe:
    """A recipe, or the path or content of one, checked.

    Raises:
        RecipeError: see `read_recipe`.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, str | Path | Mapping):
        raise RecipeError(f"recipe is a {type(recipe).__name__}: give its path, or its content as a dict")
    return parse_recipe(recipe) if isinstance(recipe, Mapping) else read_recipe(recipe)


def with_training(recipe: Recipe, training: Mapping[str, Any] | None) -> Recipe:
    """The recipe with some fields of its `training` replaced.

    Raises:
        RecipeError: when a field is unknown or its value cannot be used.
    """
    if not training:
        return recipe
    if not isinstance(training, Mapping):
        raise RecipeError(
            f"training is a {type(training).__name__}: give fields with their values, such as {{'epochs': 5}}"
        )
    content = recipe.as_dict()
    return parse_recipe({**content, "training": {**content["training"], **training}}, folder=recipe.folder)


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Gives the caller's random generators back as they were: training seeds them for itself."""
    import torch

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - the global one
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


def terminal() -> Reporter:
    """Writes to the terminal how it goes."""
    from rich.console import Console

    return Terminal(Console())
