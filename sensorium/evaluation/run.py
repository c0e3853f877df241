"""The evaluation of a run, on the part of its table that training held back."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sensorium.data.loader import Rows
from sensorium.data.table import Table, read_table
from sensorium.errors import SensoriumError
from sensorium.evaluation.evaluate import Evaluation, evaluate
from sensorium.evaluation.studies import STUDIES
from sensorium.evaluation.study import Training
from sensorium.predict import Predictor, load
from sensorium.prepare import open_table, split_table
from sensorium.training.run import RunFolder


def evaluate_run(
    folder: str | Path,
    data: Any = None,
    media_root: str | Path | None = None,
    studies: Collection[str] = tuple(STUDIES),
    coverage: float = 0.9,
    slices: Sequence[str] = (),
) -> Evaluation:
    """Measures the model of a run folder, or a saved model.

    Args:
        folder: runs/NAME, or what `Predictor.save` wrote.
        data: whatever `read_table` reads; default: the table that the run was trained on. Of that table,
            only the test part is measured, or the validation part where it has no test part.
        media_root: the folder that media paths of `data` start from; default: the table's.
        studies: which of `sensorium.evaluation.studies.STUDIES` to make.
        coverage: asked of sets of classes and of intervals, between 0 and 1.
        slices: columns and expressions whose rows are scored apart.

    Raises:
        SensoriumError: when there is no whole model, or its table cannot be found or has changed.
    """
    run = RunFolder(Path(folder))
    predictor = load(run.path)
    manifest = _manifest(run)
    history, notes = _history(run)
    if data is None:
        table = _training_table(run, predictor, manifest)
    else:
        table = predictor.open(read_table(data, media_root))
    if data is not None and table.digest() != manifest.get("table", {}).get("digest"):
        training = _training_elsewhere(run, predictor, manifest)
        part, rows = None, None
    else:
        training = _training(predictor, table)
        part, rows = held_back(table, training.parts)
    evaluation = evaluate(predictor, table, rows, part, training, studies, coverage, slices)
    return replace(evaluation, history=history, manifest=manifest, notes=notes)


def open_held_back(folder: str | Path) -> tuple[Predictor, Table, Rows]:
    """The model of a run, the table that it was trained on, and the rows of it that were held back.

    Raises:
        SensoriumError: when there is no whole model, its table cannot be found or has changed, or every row
            was trained on.
    """
    run = RunFolder(Path(folder))
    predictor = load(run.path)
    table = _training_table(run, predictor, _manifest(run))
    _, rows = held_back(table, _training(predictor, table).parts)
    return predictor, table, rows


def _history(run: RunFolder) -> tuple[list[dict[str, Any]], list[str]]:
    """The records, and no note; or no records where one is damaged, and a note that says so."""
    try:
        lines = run.history.read_text(encoding="utf-8").splitlines() if run.history.exists() else []
        return [_json(run.history, line) for line in lines if line.strip()], []
    except (SensoriumError, UnicodeDecodeError):
        return [], [f"The learning curves are left out, as {run.history} is damaged."]


def _manifest(run: RunFolder) -> dict[str, Any]:
    text = _text(run.manifest)
    return _json(run.manifest, text) if text else {}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise SensoriumError(
            f"{path} is damaged ({error}): move it away, and give the table to measure on"
        ) from None
    if not isinstance(content, dict):
        raise SensoriumError(
            f"{path} is damaged (it holds no mapping): move it away, and give the table to measure on"
        )
    return content


def _training_table(run: RunFolder, predictor: Predictor, manifest: dict[str, Any]) -> Table:
    """The table of the run, read again and compared with what was trained on."""
    about = manifest.get("table", {})
    if not about:
        raise SensoriumError(f"{run.path} is no run folder and knows no table: give the table to measure on")
    recipe = replace(predictor.recipe, folder=Path(manifest.get("recipe_folder", predictor.recipe.folder)))
    if "recipe_folder" not in manifest and not Path(about["source"]).exists():
        raise SensoriumError(
            f"{run.path} was trained on {about['source']}, which cannot be read again: "
            "give the table to measure on"
        )
    table = open_table(recipe, None if "recipe_folder" in manifest else about["source"])
    if table.digest() != about["digest"]:
        raise SensoriumError(
            f"{table.source} has changed since the training, so which rows were held back is not known: "
            "give the table to measure on"
        )
    return table


def _training(predictor: Predictor, table: Table) -> Training:
    return Training(table, split_table(predictor.recipe, table, predictor.targets))


def _training_elsewhere(run: RunFolder, predictor: Predictor, manifest: dict[str, Any]) -> Training | None:
    """The training's table beside the one that is measured; None where it cannot be read as it was."""
    try:
        return _training(predictor, _training_table(run, predictor, manifest))
    except SensoriumError:
        return None


def held_back(table: Table, parts: dict[str, Rows]) -> tuple[str, Rows]:
    """ "test" with its rows, or "validation" with its own where there is no test part.

    Raises:
        SensoriumError: when every row was trained on.
    """
    part = next((name for name in ("test", "validation") if len(parts[name])), None)
    if part is None:
        raise SensoriumError(
            f"{table.source}: every row was trained on (data.split holds none back): "
            "give a table of other rows, or hold some back"
        )
    return part, parts[part]
