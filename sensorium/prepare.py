"""A recipe and its table, brought together: split, fitted columns and a loader."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sensorium.batch import Raw, to_device
from sensorium.data.cache import Cache
from sensorium.data.causal_text import CausalTextColumn
from sensorium.data.column import Column
from sensorium.data.duplicates import DuplicateReport, duplicates
from sensorium.data.loader import BoundColumn, Loader, Rows, fit_columns, plan_batches
from sensorium.data.media import Media
from sensorium.data.split import split
from sensorium.data.table import Table, read_table
from sensorium.data.tabular import CategoryColumn
from sensorium.encoders.pretrained.config import PretrainedConfig
from sensorium.encoders.pretrained.tune import begin_tuning, freeze_unused
from sensorium.errors import RecipeError, SensoriumError, TableError
from sensorium.folders import default_folder
from sensorium.model import Model, new_columns
from sensorium.recipe import Recipe
from sensorium.sections import DataConfig


@dataclass(frozen=True)
class Prepared:
    """Everything that training needs of the data.

    Attributes:
        recipe: as checked.
        table: all rows.
        parts: "train", "validation", "test" → positions in the table.
        loader: over the table, with inputs and targets fitted on the training rows.
        duplicates: what stands on two sides of the split.
        own_table: whether the table is the one that the recipe names, so that it can be found again.
    """

    recipe: Recipe
    table: Table
    parts: dict[str, Rows]
    loader: Loader
    duplicates: list[DuplicateReport]
    own_table: bool

    def new_model(self) -> Model:
        """A model of the recipe for these columns, with fresh and with pretrained weights, to be trained."""
        columns = {name: bound.column for name, bound in self.loader.inputs.items()}
        targets = {name: bound.column for name, bound in self.loader.targets.items()}
        model = Model(self.recipe, columns, targets)
        for name, part in self.recipe.inputs.items():
            if isinstance(part.encoder, PretrainedConfig) and not part.encoder.frozen:
                self._begin_tuning(name, model.encoder(name), part.encoder)
        for name, decoder in model.decoders().items():
            try:
                decoder.begin_tuning()
            except RecipeError as error:
                raise RecipeError(f"outputs.{name}.decoder.{error}") from None
        return model

    def weights(self) -> dict[str, str]:
        """Input, or `outputs.` and output → name and, where known, digest of its checkpoint."""
        found = {}
        for name, part in self.recipe.inputs.items():
            if isinstance(part.encoder, PretrainedConfig):
                column: Any = self.loader.inputs[name].column
                checkpoint = column.checkpoint
                found[name] = f"{checkpoint.name} {getattr(checkpoint, 'digest', '')}".strip()
        for name, bound in self.loader.targets.items():
            if isinstance(bound.column, CausalTextColumn):
                checkpoint = bound.column.checkpoint
                found[f"outputs.{name}"] = f"{checkpoint.name} {checkpoint.digest}"
        return found

    def example(self, name: str, most: int) -> Raw | None:
        """The first cells of an input in the training rows, at most so many; None where all are missing."""
        bound, whole = self.loader.inputs[name], self.loader
        alone = Loader(self.table, {name: bound}, {}, whole.media, whole.cache, key=whole.key)
        for rows in plan_batches(self.parts["train"], most):
            raw = to_device(alone.batch(rows).inputs, torch.device("cpu"))[name]
            if raw.present.any():
                return raw.rows(raw.present.nonzero().squeeze(1))
        return None

    def _begin_tuning(self, name: str, encoder: Any, config: PretrainedConfig) -> None:
        try:
            begin_tuning(encoder.backbone, config)
        except RecipeError as error:
            raise RecipeError(f"inputs.{name}.encoder.{error}") from None
        raw = self.example(name, 2)
        if raw is not None:
            freeze_unused(encoder, raw)


def prepare(recipe: Recipe, data: Any = None) -> Prepared:
    """Reads the table, splits it, fits the columns on its training rows.

    Args:
        recipe: what to train.
        data: a path or a dataframe in place of the recipe's table.

    Raises:
        SensoriumError: naming what is wrong with the table, the split or a column.
    """
    table = open_table(recipe, data)
    inputs, targets = bind_columns(recipe)
    table.require([source for bound in (*inputs.values(), *targets.values()) for source in bound.sources])
    table.require(recipe.data.key)
    parts = split_table(recipe, table, targets)
    if not len(parts["train"]):
        raise TableError(f"{table.source}: no row is left to train on; see data.split in the recipe")
    fit_columns(table, parts["train"], [*inputs.values(), *targets.values()])
    loader = new_loader(recipe, table, inputs, targets)
    sources = {bound.source: bound.column for bound in inputs.values()}
    twins = duplicates(table, parts, list(sources), loader.media)
    return Prepared(recipe, table, parts, loader, twins, _is_own_table(recipe, data))


def open_table(recipe: Recipe, data: Any = None) -> Table:
    """The recipe's table, or the one given in its place."""
    source = recipe.table_paths() if data is None else data
    table = read_table(source, recipe.media_root())
    if not len(table):
        raise TableError(f"{table.source}: the table has no rows")
    return table


def split_table(recipe: Recipe, table: Table, targets: dict[str, BoundColumn]) -> dict[str, Rows]:
    """The parts of a table: the same for the same recipe and table, whenever asked.

    The classes of the first category among the outputs keep their share on every side, and rows that agree
    in every input stay on one.
    """
    kinds = {name: config.type for name, config in recipe.outputs.items()}
    category = next((bound.source for name, bound in targets.items() if kinds[name] == "category"), None)
    sources = [config.column.column or name for name, config in recipe.inputs.items()]
    return split(table, recipe.data.split, stratify_by=category, inputs=sources)


def bind_columns(recipe: Recipe) -> tuple[dict[str, BoundColumn], dict[str, BoundColumn]]:
    """Unfitted columns of the inputs and of the targets, with the table column that each reads."""
    return bind(recipe, *new_columns(recipe))


def bind(
    recipe: Recipe, columns: Mapping[str, Column], targets: Mapping[str, Column]
) -> tuple[dict[str, BoundColumn], dict[str, BoundColumn]]:
    """Columns of the inputs and of the targets, with the table columns that each reads."""
    inputs = {
        name: BoundColumn(recipe.inputs[name].column.column or name, column)
        for name, column in columns.items()
    }
    outputs = {}
    for name, column in targets.items():
        config = recipe.outputs[name]
        between = tuple(inputs[one] for one in config.compared)
        outputs[name] = BoundColumn(config.column or name, column, between)
    return inputs, outputs


def new_loader(
    recipe: Recipe, table: Table, inputs: dict[str, BoundColumn], targets: dict[str, BoundColumn]
) -> Loader:
    """A loader with the recipe's media root, limits, cache and manner of errors."""
    return Loader(
        table,
        inputs,
        targets,
        media=Media(table.media_root, recipe.data.limits),
        cache=open_cache(recipe.data, recipe.folder) if _keeps_cells(recipe, inputs, targets) else None,
        on_error=recipe.data.on_error,
        key=recipe.data.key,
        threads=recipe.data.threads,
    )


def _is_own_table(recipe: Recipe, data: Any) -> bool:
    if data is None:
        return True
    if not isinstance(data, str | os.PathLike) or not isinstance(recipe.data.path, str):
        return False
    return Path(data).resolve() == Path(str(recipe.table_paths())).resolve()


def _keeps_cells(recipe: Recipe, *columns: dict[str, BoundColumn]) -> bool:
    """Whether there are media, which are decoded, or pretrained encoders, whose features are computed."""
    pretrained = any(part.encoder.kind == "pretrained" for part in recipe.inputs.values())
    return pretrained or any(bound.column.media for group in columns for bound in group.values())


def open_cache(config: DataConfig, folder: Path) -> Cache | None:
    """The cache of decoded media and features: where the recipe says, else the default folder."""
    if config.cache is False:
        return None
    if isinstance(config.cache, str):
        return Cache(folder / config.cache)
    return Cache(default_folder())


def check_target_known(prepared: Prepared) -> None:
    """Refuses a training part in which an output has no value at all.

    Raises:
        SensoriumError: naming the output.
    """
    for name, bound in prepared.loader.targets.items():
        if bound.between:
            _check_pairs_known(name, bound, prepared)
        elif all(prepared.table.cell(bound.source, int(row)) is None for row in prepared.parts["train"]):
            raise SensoriumError(f"outputs.{name}: column {bound.source} is empty in every training row")


def _check_pairs_known(name: str, bound: BoundColumn, prepared: Prepared) -> None:
    """Refuses a similarity without rows to compare, or whose rows are all right answers for each other."""
    first: dict[str, Any] = {}
    varied: set[str] = set()
    for row in prepared.parts["train"]:
        known = {source: prepared.table.cell(source, int(row)) for source in bound.sources}
        cells = {source: cell for source, cell in known.items() if cell is not None}
        if len(cells) > 1 or len(set(bound.sources)) == 1:  # two inputs may read one column
            varied |= {source for source, cell in cells.items() if first.setdefault(source, cell) != cell}
        if len(varied) > 1 or varied == set(bound.sources):
            return
    if not first:
        listed = ", ".join(bound.sources)
        raise SensoriumError(f"outputs.{name}: no training row has two of the columns {listed} to compare")
    same = next(source for source in bound.sources if source not in varied)
    raise SensoriumError(
        f"outputs.{name}: all training rows to compare have the same cell in column {same!r}, so nothing "
        "tells them apart: check the column, or give more rows"
    )


def doubts(prepared: Prepared) -> list[str]:
    """What is most likely not meant, one line each: a key of two rows, a label for every row."""
    return [*_shared_keys(prepared), *_lone_labels(prepared)]


def _shared_keys(prepared: Prepared) -> Iterator[str]:
    columns = [prepared.table.column(name) for name in prepared.recipe.data.key]
    first: dict[str, int] = {}
    shared = [
        (before, row)
        for row, cells in enumerate(zip(*columns, strict=True))
        if (before := first.setdefault(repr(cells), row)) < row
    ]
    if shared:
        before, row = shared[0]
        more = f" ({len(shared) - 1:,} more are shared)" if len(shared) > 1 else ""
        key = prepared.loader.row_key(row)
        yield f"data.key: rows {before} and {row} are both {key}{more}; answers cannot be told apart by it"


def _lone_labels(prepared: Prepared) -> Iterator[str]:
    for name, bound in prepared.loader.targets.items():
        if isinstance(bound.column, CategoryColumn) and max(bound.column.counts, default=0) == 1:
            yield (
                f"outputs.{name}: each of its {len(bound.column.labels):,} labels stands in one training row "
                "alone, so none can be told again; is it a number, or a key?"
            )


def check_inputs_readable(prepared: Prepared) -> None:
    """Refuses an input of which no cell can be read, as when every path starts from another folder.

    Only the first cells are looked at, up to one that can be read.

    Raises:
        SensoriumError: naming the input, and what is wrong with its first cell.
    """
    table, loader = prepared.table, prepared.loader
    for name, bound in loader.inputs.items():
        alone = Loader(table, {name: bound}, {}, loader.media, loader.cache, key=loader.key)
        if not any(alone.batch(row).inputs[name].mask.any() for row in prepared.parts["train"][:, None]):
            cells = alone.quarantine.cells()
            if cells:
                raise SensoriumError(
                    f"inputs.{name}: no cell of column {bound.source} can be read: {cells[0].line()}"
                )
