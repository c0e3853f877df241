"""Everything that can fail, found before anything runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sensorium.data.loader import Rows
from sensorium.errors import CellError, SensoriumError
from sensorium.frozen import count_parameters, parameter_words
from sensorium.needed_weights import check_weights
from sensorium.prepare import Prepared, check_inputs_readable, check_target_known, doubts, prepare
from sensorium.recipe import read_recipe
from sensorium.training.machine import (
    choose_device,
    choose_micro_batch,
    choose_precision,
    looks_across_rows,
    whole_batch_words,
)
from sensorium.training.memory import MemoryBudget, measure_step, size_words
from sensorium.training.metric import check_stop_metric

Say = Callable[[str], None]

_SHOWN = 5


def check_recipe(path: Path, sample: int, say: Say) -> bool:
    """Checks schema, weights, table, files, media, targets, sizes, memory and disk, one line each.

    Args:
        path: of the recipe.
        sample: rows whose media are decoded, spread over the table; 0 for all.
        say: takes one line.

    Returns:
        Whether training can start. Cells that cannot be read are named, and stop it only where
        `data.on_error` is "raise".

    Raises:
        SensoriumError: where nothing further can be checked.
    """
    recipe = read_recipe(path)
    say(f"ok    recipe: {len(recipe.inputs)} inputs, {recipe.fusion.kind}, {len(recipe.outputs)} outputs")
    check_weights(recipe, say)
    prepared = prepare(recipe)
    check_target_known(prepared)
    check_inputs_readable(prepared)
    sizes = ", ".join(f"{len(rows):,} {name}" for name, rows in prepared.parts.items())
    say(f"ok    table: {len(prepared.table):,} rows ({sizes})")
    for line in [*doubts(prepared), *(report.line() for report in prepared.duplicates)]:
        say(f"warn  {line}")
    prepared.loader.on_error = "mark"  # so that all are found, not the first alone
    fine = _check_files(prepared, say)
    fine &= _check_cells(prepared, sample, say)
    fine &= _check_model(prepared, say)
    return _check_disk(say) and fine


def _check_files(prepared: Prepared, say: Say) -> bool:
    """Looks for every file that a media column names."""
    loader, problems, files = prepared.loader, [], 0
    for name, bound in loader.inputs.items():
        if not bound.column.media:
            continue
        for row, cell in enumerate(prepared.table.column(bound.source)):
            if isinstance(cell, str) and not cell.startswith("data:"):
                files += 1
                try:
                    loader.media.source(cell)
                except CellError as error:
                    problems.append(f"inputs.{name}, row {row}, file {cell[:200]}: {error.cause}")
    if not problems:
        say(f"ok    files: {files:,} named, all there" if files else "ok    files: the table names none")
        return True
    return _problems("files", problems, prepared, say)


def _check_cells(prepared: Prepared, sample: int, say: Say) -> bool:
    """Decodes cells of rows spread over the table."""
    count = len(prepared.table)
    rows: Rows = np.unique(np.linspace(0, count - 1, min(sample or count, count)).astype(np.int64))
    loader = prepared.loader
    for _ in loader.batches(np.array_split(rows, max(1, len(rows) // 64))):
        continue
    cells = [cell.line() for cell in loader.quarantine.cells()]
    if not cells:
        say(f"ok    cells: {len(rows):,} rows decoded, all readable")
        return True
    return _problems("cells", cells, prepared, say)


def _problems(what: str, lines: list[str], prepared: Prepared, say: Say) -> bool:
    fatal = prepared.recipe.data.on_error == "raise"
    consequence = "training would stop there" if fatal else "each counts as missing"
    say(f"{'fail' if fatal else 'warn'}  {what}: {len(lines):,} cannot be read; {consequence}")
    for line in lines[:_SHOWN]:
        say(f"      {line}")
    if len(lines) > _SHOWN:
        say(f"      ... and {len(lines) - _SHOWN:,} more")
    return not fatal


def _check_model(prepared: Prepared, say: Say) -> bool:
    """Builds the model, runs one batch through it, and estimates the memory of a step."""
    recipe, loader = prepared.recipe, prepared.loader
    device = choose_device(recipe.training.device)
    precision, reason = choose_precision(recipe.training.precision, device)
    model = prepared.new_model()
    check_stop_metric(recipe, model, loader, torch.device("cpu"))
    parameters = parameter_words(*count_parameters(model))
    micro = choose_micro_batch(recipe.training.micro_batch, recipe.training.batch_size, model, device)
    say(f"ok    model: {parameters}, {precision} ({reason}), {micro} rows a pass")
    if isinstance(recipe.training.micro_batch, int) and micro > recipe.training.micro_batch:
        say(f"warn  {whole_batch_words(recipe.training.micro_batch, micro)}")
    step, memory = measure_step(model, prepared), MemoryBudget(recipe.training.memory_gb, device)
    try:
        fitting = memory.rows_that_fit(step, micro, divisible=not looks_across_rows(model))
    except SensoriumError as error:
        say(f"fail  memory: {error}")
        return False
    needed = f"about {size_words(step.of(fitting))} a step"
    free = "" if memory.free is None else f" of {size_words(memory.free)} free"
    less = f"; {fitting} rows a pass, as {micro} need {size_words(step.of(micro))}" if fitting < micro else ""
    say(f"{'warn' if less else 'ok  '}  memory: {needed}{free}{less}")
    return True


def _check_disk(say: Say) -> bool:
    """Whether runs/ can be made here, and how much room there is."""
    here = Path.cwd()
    if not os.access(here, os.W_OK):
        say(
            f"fail  disk: {here} cannot be written, and run folders are made there; "
            "choose another with --runs"
        )
        return False
    free = shutil.disk_usage(here).free
    if free < 2**30:
        say(f"fail  disk: only {size_words(free)} free here")
        return False
    say(f"ok    disk: {size_words(free)} free")
    return True
