"""A trained model in use: load once; rows in, predictions out, row for row."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sensorium.calibration import FILE, Calibration, check_coverage, load_calibration, unlimited_words
from sensorium.data.column import Array, Column
from sensorium.data.loader import BadCell, Loader
from sensorium.data.table import Table, read_table
from sensorium.data.tabular import CategoryColumn
from sensorium.encoders.pretrained.kept import WEIGHTS
from sensorium.errors import SensoriumError, TableError, did_you_mean
from sensorium.inference import Collected, collect
from sensorium.model import Model, load_model
from sensorium.prepare import bind, new_loader
from sensorium.recipe import Recipe

_ROWS_AT_ONCE = 4096  # a multiple of the rows that the model takes at once


class Predictor:
    """A trained model with everything that it needs to read a table.

    Attributes:
        recipe: what was trained.
        model: in evaluation mode, on the CPU, in float32.
        about: epoch, table digest and versions of the training.
        media_root: the folder that media paths of dataframes start from; `fit` sets it to its own.
        unreadable: the cells that the last call could not read; each counted as missing.
        calibration: what the validation rows taught; None where there were none.
        unlimited: output → rows of the last table whose set holds everything, for want of validation rows.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        columns: dict[str, Column],
        targets: dict[str, Column],
        model: Model,
        about: dict[str, Any],
        calibration: Calibration | None = None,
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.model = model
        self.about = about
        self.inputs, self.targets = bind(recipe, columns, targets)
        self.unreadable: list[BadCell] = []
        self.calibration = calibration
        self.unlimited: dict[str, int] = {}
        self.media_root: Path | None = None

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs."""
        return list(self.recipe.outputs)

    @property
    def classes_(self) -> list[Any] | dict[str, list[Any]]:
        """The labels in the order of `predict_proba`'s columns; by output where there are several.

        They have the type that the training table gave them: 0 and 1, True and False, or text.
        """
        labels = {name: _classes(bound.column) for name, bound in self.targets.items()}
        return labels[self.outputs[0]] if len(self.outputs) == 1 else labels

    def predict(self, data: Any, media_root: str | Path | None = None) -> Any:
        """The answers for every row, in the order of the rows.

        Args:
            data: whatever `read_table` reads: a path, a dataframe, a dict of lists.
            media_root: the folder that media paths start from; default: the table's own folder, or for a
                dataframe the attribute `media_root`.

        Returns:
            A numpy array of N labels, in the type that the training table gave them, or numbers (a list of
            lists of text for multi-label outputs); a dict by output name where the model has several outputs.

        Warns:
            UserWarning: naming the inputs' columns that the table lacks, or of which no cell can be read;
                they count as missing everywhere.
        """
        table = self.open(data, media_root)
        self._warn_of_absent_columns(table)
        collected = self.collect(table)
        self._warn_of_unreadable_columns(table)
        answers = self.answers(collected)
        shaped = {name: _as_array(columns["prediction"]) for name, columns in answers.items()}
        return shaped[self.outputs[0]] if len(shaped) == 1 else shaped

    def predict_proba(self, data: Any, media_root: str | Path | None = None) -> Any:
        """Probabilities `(N, classes)` float32 in the order of `classes_`; a dict of several outputs.

        Raises:
            SensoriumError: when no output has classes.

        Warns:
            UserWarning: as `predict` does.
        """
        table = self.open(data, media_root)
        self._warn_of_absent_columns(table)
        collected = self.collect(table)
        self._warn_of_unreadable_columns(table)
        found = {
            name: arrays["probabilities"]
            for name, arrays in collected.predicted.items()
            if "probabilities" in arrays
        }
        if not found:
            raise SensoriumError("this model has no output with classes, so it has no probabilities")
        return found[self.outputs[0]] if len(self.outputs) == 1 else found

    def predict_table(
        self, data: Any, media_root: str | Path | None = None, coverage: float | None = None
    ) -> pa.Table:
        """Everything about every row: its key, answers, probabilities, and what was missing.

        Args:
            data: as for `predict`.
            media_root: as for `predict`.
            coverage: share of rows, between 0 and 1, whose truth the sets are to hold; None gives no sets.
                See `sensorium.calibration.Calibration` for when that can be relied on.

        Returns:
            The key columns (or `row`, the position from 0, where the recipe has no key); for each output
            `<output>_prediction` and its further columns; `missing`, the inputs that the row lacked; and
            `unreadable`, those of them whose cell was there but could not be read. With a coverage also, for
            a category, `<output>_set`, a list of classes, and `<output>_abstain`, True where that is not one
            class; for a number `<output>_low` and `<output>_high`, the ends of an interval.

        Raises:
            SensoriumError: when two of these columns would have the same name, or the model cannot give sets.

        Warns:
            UserWarning: as `predict` does, and when too few validation rows stand behind the coverage, so
                that sets hold every class and intervals are infinite.
        """
        table = self.open(data, media_root)
        self._warn_of_absent_columns(table)
        tabulated = self.tabulate(table, coverage)
        self._warn_of_unreadable_columns(table)
        if self.unlimited and coverage is not None:
            warnings.warn(unlimited_words(self.unlimited, coverage), UserWarning, stacklevel=2)
        return tabulated

    def embed(self, data: Any, media_root: str | Path | None = None) -> dict[str, Array]:
        """Every row's inputs as vectors, to be searched by one another.

        A table may have one of the inputs alone, as a question does.

        Args:
            data: as for `predict`.
            media_root: as for `predict`.

        Returns:
            Input name → `(N, E)` float32 unit vectors, zero in the rows that lack the input. A model with a
            similarity gives the inputs that it compares, in one space. Any other gives each input's pooled
            encoder output, in a space of its own.
        """
        from sensorium.vectors import embed_rows

        loader = self.input_loader(self.open(data, media_root), self.inputs)
        embedded = embed_rows(self.model, loader, np.arange(len(loader.table)))
        self.unreadable = loader.quarantine.cells()
        return embedded

    def tabulate(self, table: Table, coverage: float | None = None) -> pa.Table:
        """`predict_table` of a table that `open` gave, without its warnings."""
        return pa.concat_tables(self.tabulate_in_parts(table, coverage))

    def tabulate_in_parts(self, table: Table, coverage: float | None = None) -> Iterator[pa.Table]:
        """`tabulate` a few thousand rows at a time, so that predictions need no more memory than these."""
        calibration = None if coverage is None else check_coverage(self.calibration, coverage)
        loader = self.loader(table)
        self.unreadable, self.unlimited = [], {}
        for start in range(0, max(1, len(table)), _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(table)))
            collected = collect(self.model, loader, rows)
            self.unreadable = loader.quarantine.cells()
            found = self.answers(collected)
            if calibration is not None and coverage is not None:
                self._add_sets(found, calibration, collected, coverage)
            yield self._tabulated(table, collected, found)

    def _add_sets(
        self,
        found: dict[str, dict[str, Any]],
        calibration: Calibration,
        collected: Collected,
        coverage: float,
    ) -> None:
        """Adds the columns of sets to the answers, and counts the rows whose set holds everything."""
        for name, rows in calibration.unlimited(collected, coverage).items():
            self.unlimited[name] = self.unlimited.get(name, 0) + rows
        for name, sets in calibration.sets(self.model, collected, coverage).items():
            found[name] |= {suffix: self._set_column(name, values) for suffix, values in sets.items()}

    def _tabulated(self, table: Table, collected: Collected, found: dict[str, dict[str, Any]]) -> pa.Table:
        columns = self.keys(table, collected.rows)
        for name, answers in found.items():
            columns += [(f"{name}_{suffix}", _as_arrow(values)) for suffix, values in answers.items()]
        names = pa.list_(pa.string())
        columns.append(("missing", pa.array(self._missing_inputs(collected.present), type=names)))
        columns.append(("unreadable", pa.array(self._unreadable_inputs(collected), type=names)))
        check_names([name for name, _ in columns])
        return pa.table(dict(columns))

    def absent_columns(self, table: Table) -> list[str]:
        """The columns of inputs that the table lacks, once each."""
        sources = dict.fromkeys(bound.source for bound in self.inputs.values())
        return [source for source in sources if source not in table.names]

    def absent_words(self, table: Table) -> str:
        """One line about `absent_columns`, with the nearest column that serves no input; "" without any."""
        absent = self.absent_columns(table)
        sources = {bound.source for bound in self.inputs.values()}
        others = [name for name in table.names if name not in sources]
        listed = ", ".join(f"{name!r}{did_you_mean(name, others)}" for name in absent)
        if not absent:
            return ""
        return f"{table.source} has no column {listed}; the inputs that read it count as missing in every row"

    def evaluate(
        self,
        data: Any,
        media_root: str | Path | None = None,
        slices: Sequence[str] = (),
        coverage: float = 0.9,
        skip: Collection[str] = (),
    ) -> Any:
        """Metrics with 95 % intervals, the table of present and absent inputs, and the studies of the report.

        Args:
            data: whatever `read_table` reads, with the target column of one output at least.
            media_root: the folder that media paths start from.
            slices: columns and conditions such as "price > 10" whose rows are scored apart.
            coverage: asked of sets of classes and of intervals, between 0 and 1.
            skip: names of `sensorium.evaluation.STUDIES` that are not made; "curves" and "simple_models" need
                the table of the training, which only `sensorium.evaluation.evaluate_run` knows.

        Returns:
            A `sensorium.evaluation.Evaluation`; its `save` writes the report.

        Raises:
            SensoriumError: when the table has no target column, a slice is neither a column nor a condition,
                the coverage is no share, or there is no study of a name.
        """
        from sensorium.evaluation import choose_studies, evaluate

        studies = choose_studies(skip)
        table = self.open(data, media_root)
        return evaluate(self, table, studies=studies, coverage=coverage, slices=slices)

    def explain(
        self,
        data: Any,
        rows: Sequence[int] | None = None,
        media_root: str | Path | None = None,
        output: str | None = None,
        label: str | None = None,
        method: str | None = None,
    ) -> Any:
        """What carried the predictions for some rows: which input, words, patches and seconds.

        Args:
            data: whatever `read_table` reads.
            rows: positions in it; default: the first few.
            media_root: the folder that media paths start from.
            output: what is explained; default: the first output that can be.
            label: a class of it; default: what the model predicts of each row.
            method: a key of `sensorium.explanation.METHODS`; default: `sensorium.explanation.DEFAULT`.

        Returns:
            A `sensorium.evaluation.Explanation`; its `save` writes the page.

        Raises:
            SensoriumError: when there is no such row, output, class or method, or a row has no input.
        """
        from sensorium.evaluation import explain
        from sensorium.explanation import DEFAULT

        return explain(self, self.open(data, media_root), rows, output, label, method or DEFAULT)

    def save(self, folder: str | Path) -> None:
        """Copies the saved model: weights, recipe, fitted columns and calibration.

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
            if folder.resolve() == self.folder.resolve():
                return
            (folder / FILE).unlink(missing_ok=True)  # of another model, which this one takes the place of
            shutil.rmtree(folder / WEIGHTS, ignore_errors=True)
            for file in ("model.safetensors", "columns.json", "recipe.yaml", "model.json", FILE):
                if file != FILE or (self.folder / file).exists():
                    shutil.copyfile(self.folder / file, folder / file)
            if (self.folder / WEIGHTS).exists():
                shutil.copytree(self.folder / WEIGHTS, folder / WEIGHTS)
        except OSError as error:
            why = error.strerror or error
            raise SensoriumError(f"{folder}: the model cannot be written ({why})") from None

    def open(self, data: Any, media_root: str | Path | None = None) -> Table:
        """Reads a table for this model, with the media root that `predict` describes.

        Raises:
            TableError: when it has none of the inputs' columns.
        """
        table = read_table(data, media_root)
        if table.media_root is None:
            table = table.with_media_root(self.media_root)
        sources = [bound.source for bound in self.inputs.values()]
        if not set(sources) & set(table.names):
            raise TableError(f"{table.source}: has none of the model's input columns ({', '.join(sources)})")
        return table

    def loader(self, table: Table) -> Loader:
        """A loader over a table, with those targets that it has."""
        known = set(table.names)
        targets = {name: bound for name, bound in self.targets.items() if known.issuperset(bound.sources)}
        return new_loader(_without_cache(self.recipe), table, self.inputs, targets)

    def input_loader(self, table: Table, names: Collection[str]) -> Loader:
        """A loader over a table that reads some inputs alone: the others count as missing, and no target."""
        loader = new_loader(_without_cache(self.recipe), table, self.inputs, {})
        loader.unread = frozenset(self.inputs) - set(names)
        return loader

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

    def keys(self, table: Table, rows: Array) -> list[tuple[str, pa.Array]]:
        """The key columns of rows at these positions; `row`, the position, where there is no key."""
        names = [name for name in dict.fromkeys(self.recipe.data.key) if name in table.names]
        if not names:
            return [("row", pa.array(rows))]
        # Column by column, and not from table.arrow, which copies the media too where rows were taken.
        part = table.take(rows)
        return [
            (name, pa.array(list(part.column(name)), type=table.schema.field(name).type)) for name in names
        ]

    def _set_column(self, name: str, values: Any) -> pa.Array:
        """Lists of classes with their type, which empty lists alone would not tell."""
        classes = pa.array(_classes(self.targets[name].column))
        return pa.array(values, type=pa.list_(classes.type) if isinstance(values, list) else None)

    def _warn_of_absent_columns(self, table: Table) -> None:
        words = self.absent_words(table)
        if words:
            warnings.warn(words, UserWarning, stacklevel=3)  # at the line that called predict

    def _warn_of_unreadable_columns(self, table: Table) -> None:
        """Says when not one cell of an input could be read, as with a media root that is missing or wrong."""
        failed = Counter(cell.column for cell in self.unreadable)
        for source in dict.fromkeys(bound.source for bound in self.inputs.values()):
            if failed[source] > 1 and failed[source] == sum(
                cell is not None for cell in table.column(source)
            ):
                first = next(cell for cell in self.unreadable if cell.column == source)
                words = f"no cell of column {source!r} can be read; the first: {first.line()}"
                warnings.warn(words, UserWarning, stacklevel=3)

    def _missing_inputs(self, present: Array) -> list[list[str]]:
        """Of every row the inputs that it lacks."""
        return [[name for name, there in zip(self.inputs, row, strict=True) if not there] for row in present]

    def _unreadable_inputs(self, collected: Collected) -> list[list[str]]:
        """Of every row the inputs that it lacks because their cell could not be read."""
        places = {row: place for place, row in enumerate(collected.rows.tolist())}
        found: list[list[str]] = [[] for _ in places]
        for cell in self.unreadable:
            place = places.get(cell.row)
            for position, (name, bound) in enumerate(self.inputs.items()):
                # One cell may serve two inputs, and only one of them fail: a film without sound.
                if (
                    place is not None
                    and bound.source == cell.column
                    and not collected.present[place, position]
                ):
                    found[place].append(name)
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
    recipe, columns, targets, model, about = load_model(home)
    calibration = load_calibration(home, model)
    if calibration is not None:
        calibration.set_temperatures(model)
    return Predictor(home, recipe, columns, targets, model, about, calibration)


def _without_cache(recipe: Recipe) -> Recipe:
    """Rows are predicted once: to keep their media costs more than it saves.

    Nor may a model, which can come from anyone, say where media are written.
    """
    return replace(recipe, data=recipe.data.model_copy(update={"cache": False}))


def check_names(names: list[str]) -> None:
    """Raises SensoriumError when two columns of predictions would have the same name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SensoriumError(
            f"the predictions would have two columns named {twice[0]!r}: "
            "rename the key column, or the output, that brings one of them"
        )


def _classes(column: Column) -> list[Any]:
    """The labels of a target; none for numbers."""
    if isinstance(column, CategoryColumn):
        classes: list[Any] = column.classes.tolist()
        return classes
    return list(getattr(column, "labels", []))


def _as_arrow(values: Any) -> pa.Array:
    """Answers as Arrow, of the same type in every part of a table: lists are of text, empty ones too."""
    array = pa.array(values)
    return array.cast(pa.list_(pa.string())) if array.type == pa.list_(pa.null()) else array


def _as_array(values: Any) -> Any:
    """Labels and numbers as a numpy array; lists of labels stay lists."""
    if isinstance(values, np.ndarray):
        return values
    return values if values and isinstance(values[0], list) else np.array(values)
