"""A trained model in use: load once; rows in, predictions out, row for row."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sensorium.data.column import Array, Column
from sensorium.data.loader import BadCell, BoundColumn, Loader
from sensorium.data.table import Table, read_table
from sensorium.errors import SensoriumError, TableError
from sensorium.inference import Collected, collect
from sensorium.model import Model, load_model
from sensorium.prepare import new_loader
from sensorium.recipe import Recipe


class Predictor:
    """A trained model with everything that it needs to read a table.

    Attributes:
        recipe: what was trained.
        model: in evaluation mode, on the CPU, in float32.
        about: epoch, table digest and versions of the training.
        unreadable: the cells that the last call could not read; each counted as missing.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        columns: dict[str, Column],
        targets: dict[str, Column],
        model: Model,
        about: dict[str, Any],
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.model = model
        self.about = about
        self.inputs = {
            name: BoundColumn(recipe.inputs[name].column.column or name, column)
            for name, column in columns.items()
        }
        self.targets = {
            name: BoundColumn(recipe.outputs[name].column or name, column) for name, column in targets.items()
        }
        self.unreadable: list[BadCell] = []

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs."""
        return list(self.recipe.outputs)

    @property
    def classes_(self) -> list[str] | dict[str, list[str]]:
        """The labels in the order of `predict_proba`'s columns; by output where there are several."""
        labels = {name: list(getattr(bound.column, "labels", [])) for name, bound in self.targets.items()}
        return labels[self.outputs[0]] if len(self.outputs) == 1 else labels

    def predict(self, data: Any) -> Any:
        """The answers for every row, in the order of the rows.

        Args:
            data: whatever `read_table` reads: a path, a dataframe, a dict of lists.

        Returns:
            A numpy array of N labels or numbers (a list of lists for multi-label outputs); a dict by
            output name where the model has several outputs.
        """
        answers = self.answers(self.collect(self.open(data)))
        shaped = {name: _as_array(columns["prediction"]) for name, columns in answers.items()}
        return shaped[self.outputs[0]] if len(shaped) == 1 else shaped

    def predict_proba(self, data: Any) -> Any:
        """Probabilities `(N, classes)` float32 in the order of `classes_`; a dict of several outputs.

        Raises:
            SensoriumError: when no output has classes.
        """
        collected = self.collect(self.open(data))
        found = {
            name: arrays["probabilities"]
            for name, arrays in collected.predicted.items()
            if "probabilities" in arrays
        }
        if not found:
            raise SensoriumError("this model has no output with classes, so it has no probabilities")
        return found[self.outputs[0]] if len(self.outputs) == 1 else found

    def predict_table(self, data: Any) -> pa.Table:
        """Everything about every row: its key, answers, probabilities, and what was missing.

        Returns:
            The key columns (or `row`, the position from 0, where the recipe has no key); for each output
            `<output>_prediction` and its further columns; `missing`, the inputs that the row lacked; and
            `unreadable`, those of them whose cell was there but could not be read.
        """
        table = self.open(data)
        collected = self.collect(table)
        columns: dict[str, Any] = self._keys(table)
        for name, answers in self.answers(collected).items():
            for suffix, values in answers.items():
                columns[f"{name}_{suffix}"] = values if isinstance(values, list) else pa.array(values)
        columns["missing"] = pa.array(
            [
                [name for name, there in zip(self.inputs, row, strict=True) if not there]
                for row in collected.present
            ],
            type=pa.list_(pa.string()),
        )
        columns["unreadable"] = pa.array(
            self._unreadable_inputs(collected.present), type=pa.list_(pa.string())
        )
        return pa.table(columns)

    def evaluate(self, data: Any) -> Any:
        """Metrics with 95 % intervals, and the table of present and absent inputs.

        Returns:
            A `sensorium.evaluation.Evaluation`.
        """
        from sensorium.evaluation import evaluate

        return evaluate(self, self.open(data))

    def save(self, folder: str | Path) -> None:
        """Copies the saved model: weights, recipe and fitted columns.

        Raises:
            SensoriumError: when the folder exists and holds something else, or cannot be written.
        """
        folder = Path(folder)
        if folder.is_file():
            raise SensoriumError(f"{folder} is a file; give a folder to save the model in")
        if folder.exists() and any(folder.iterdir()) and not (folder / "model.safetensors").exists():
            raise SensoriumError(f"{folder} is not empty and holds no model; nothing was written")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for file in ("model.safetensors", "columns.json", "recipe.yaml", "model.json"):
                if (self.folder / file).resolve() != (folder / file).resolve():
                    shutil.copyfile(self.folder / file, folder / file)
        except OSError as error:
            raise SensoriumError(f"{folder}: the model cannot be written ({error.strerror})") from None

    def open(self, data: Any) -> Table:
        """Reads a table for this model.

        Raises:
            TableError: when it has none of the inputs' columns.
        """
        table = data if isinstance(data, Table) else read_table(data, None)
        sources = [bound.source for bound in self.inputs.values()]
        if not set(sources) & set(table.names):
            raise TableError(f"{table.source}: has none of the model's input columns ({', '.join(sources)})")
        return table

    def loader(self, table: Table) -> Loader:
        """A loader over a table, with those targets that it has."""
        targets = {name: bound for name, bound in self.targets.items() if bound.source in table.names}
        return new_loader(_without_relative_cache(self.recipe), table, self.inputs, targets)

    def collect(self, table: Table, rows: Array | None = None, hidden: Collection[str] = ()) -> Collected:
        """Runs the model over rows of a table; all of them by default."""
        loader = self.loader(table)
        rows = np.arange(len(table)) if rows is None else rows
        collected = collect(self.model, loader, rows, hidden=hidden)
        self.unreadable = loader.quarantine.cells()
        return collected

    def answers(self, collected: Collected) -> dict[str, dict[str, Any]]:
        """Output name → columns in the user's words and units."""
        return {name: self.model.head(name).answers(arrays) for name, arrays in collected.predicted.items()}

    def _keys(self, table: Table) -> dict[str, Any]:
        names = [name for name in self.recipe.data.key if name in table.names]
        if not names:
            return {"row": pa.array(np.arange(len(table)))}
        return {name: pa.array([table.cell(name, row) for row in range(len(table))]) for name in names}

    def _unreadable_inputs(self, present: Array) -> list[list[str]]:
        """Of every row the inputs that it lacks because their cell could not be read."""
        found: list[list[str]] = [[] for _ in present]
        for cell in self.unreadable:
            for position, (name, bound) in enumerate(self.inputs.items()):
                # One cell may serve two inputs, and only one of them fail: a film without sound.
                if bound.source == cell.column and not present[cell.row, position]:
                    found[cell.row].append(name)
        return found


def load(folder: str | Path) -> Predictor:
    """Loads a saved model, or the model of a finished run.

    Args:
        folder: what `Predictor.save` wrote, or runs/NAME.

    Raises:
        SensoriumError: when there is no whole model.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SensoriumError(f"{folder}: there is no such folder")
    home = folder / "model" if (folder / "model" / "model.safetensors").exists() else folder
    return Predictor(home, *load_model(home))


def _without_relative_cache(recipe: Recipe) -> Recipe:
    """A cache beside the recipe of the training is not looked for beside the saved model."""
    if isinstance(recipe.data.cache, bool) or Path(recipe.data.cache).is_absolute():
        return recipe
    return replace(recipe, data=recipe.data.model_copy(update={"cache": True}))


def _as_array(values: Any) -> Any:
    """Labels and numbers as a numpy array; lists of labels stay lists."""
    if isinstance(values, np.ndarray):
        return values
    return values if values and isinstance(values[0], list) else np.array(values)
