"""A model over many rows: what its heads predict, row for row."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch

from sensorium.batch import Batch, to_device
from sensorium.data.column import Array, Cells
from sensorium.data.loader import DecodedBatch, Loader, Rows, plan_batches
from sensorium.encoded import Predicted, as_arrays, encode_all, predict_encoded
from sensorium.errors import SensoriumError, is_out_of_memory
from sensorium.model import Model

MOST_INPUTS = 5
"""Up to here every subset is tried."""


@dataclass(frozen=True)
class Collected:
    """What a model says of some rows, in the order asked for.

    Attributes:
        rows: `(N,)` positions in the table.
        predicted: what the heads predict.
        targets: output name → cells of N rows; empty where the table has no targets.
        losses: output name → `(N,)` float32; empty where the table has no targets.
        present: `(N, M)` bool, which inputs each row has, in the order of the recipe.
    """

    rows: Rows
    predicted: Predicted
    targets: dict[str, Cells]
    losses: dict[str, Array]
    present: Array

    def loss(self, weights: dict[str, float]) -> float:
        """The mean loss over rows that have a target, summed over outputs with their weights."""
        total = 0.0
        for name, losses in self.losses.items():
            known = self.targets[name].mask.any(axis=1)
            total += weights[name] * float(losses[known].mean()) if known.any() else 0.0
        return total


def _warn(line: str) -> None:
    warnings.warn(line, UserWarning, stacklevel=3)


def collect(
    model: Model,
    loader: Loader,
    rows: Rows,
    batch_size: int = 64,
    hidden: Collection[str] = (),
    device: torch.device | None = None,
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
    say: Callable[[str], None] = _warn,
) -> Collected:
    """Runs a model over rows of the loader's table. The model is left as it was found, trained or not.

    Where memory runs out, fewer rows pass at a time from there on.

    Args:
        model: on `device`.
        loader: of the table; its targets may be empty.
        rows: positions in the table.
        batch_size: rows at a time.
        hidden: inputs to treat as missing in every row.
        device: default: the CPU.
        precision: gives the context to run in, such as an autocast.
        say: takes a line when memory ran out; default: a UserWarning.

    Raises:
        SensoriumError: when memory runs out with one row.
    """
    device = device or torch.device("cpu")
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), precision():
            parts: list[Collected] = []
            for decoded in loader.batches(plan_batches(rows, batch_size)):
                batch_size = _collect_in_parts(model, decoded, hidden, device, batch_size, parts, say)
    finally:
        model.train(training)
    return _join(parts) if parts else _nothing(model, loader, device)


def subsets(inputs: Sequence[str]) -> list[list[str]]:
    """Which inputs to leave in, from all to none.

    Up to five inputs: every subset (32 for five). More: all, each left out, each alone, none.
    """
    sizes = range(len(inputs), -1, -1)
    if len(inputs) > MOST_INPUTS:
        sizes_kept = (len(inputs), len(inputs) - 1, 1, 0)
        return [list(subset) for size in sizes_kept for subset in combinations(inputs, size)]
    return [list(subset) for size in sizes for subset in combinations(inputs, size)]


def sample(rows: Rows, most: int) -> Rows:
    """At most so many of the rows, in their order; the same ones whenever asked."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def predict_batches(
    model: Model,
    loader: Loader,
    rows: Rows,
    tried: Sequence[Collection[str]],
    batch_size: int = 64,
    device: torch.device | None = None,
) -> Iterator[tuple[DecodedBatch, list[Predicted]]]:
    """Decodes and encodes every batch once, and fuses it as often as there are subsets of inputs.

    Args:
        model: in evaluation mode, on `device`.
        loader: of the table.
        rows: positions in the table.
        tried: which inputs to leave in; all others are missing in every row.
        batch_size: rows at a time.
        device: default: the CPU.

    Yields:
        A batch, and of every subset what the heads predict for it.
    """
    for decoded in loader.batches(plan_batches(rows, batch_size)):
        inputs = batch_to_device(decoded, device or torch.device("cpu")).inputs
        encoded, absent = encode_all(model, inputs), encode_all(model, inputs, absent=True)
        yield (
            decoded,
            [predict_encoded(model, absent | {name: encoded[name] for name in left}) for left in tried],
        )


def batch_to_device(decoded: DecodedBatch, device: torch.device) -> Batch:
    """Numpy cells as tensors on a device."""
    rows = torch.from_numpy(decoded.rows).to(device)
    return Batch(rows, to_device(decoded.inputs, device), to_device(decoded.targets, device))


def _collect_batch(
    model: Model, decoded: DecodedBatch, hidden: Collection[str], device: torch.device
) -> Collected:
    batch = batch_to_device(decoded, device)
    fused = model.fuse(batch.inputs, hidden)
    predicted, losses = {}, {}
    for name in model.outputs:
        own = fused.for_output(name)
        head = model.head(name)
        predicted[name] = head.predict(own)
        if name in batch.targets:
            losses[name] = head.loss(own, batch.targets[name]).float().cpu().numpy()
    present = [decoded.inputs[name].mask.any(axis=1) & (name not in hidden) for name in model.inputs]
    arrays = as_arrays(predicted)
    return Collected(decoded.rows, arrays, decoded.targets, losses, np.stack(present, axis=1))


def _collect_in_parts(
    model: Model,
    decoded: DecodedBatch,
    hidden: Collection[str],
    device: torch.device,
    size: int,
    parts: list[Collected],
    say: Callable[[str], None],
) -> int:
    """Adds a batch to `parts`, `size` rows at a time, fewer where memory runs out; returns how many."""
    start = 0
    while start < len(decoded.rows):
        part = _some_rows(decoded, slice(start, start + size))
        try:
            parts.append(_collect_batch(model, part, hidden, device))
            start += size
            continue
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        rows = len(part.rows)
        if rows == 1:
            raise SensoriumError(
                "out of memory with one row: shorten the inputs, or free memory on this machine"
            )
        size = rows // 2
        say(f"out of memory with {rows} rows at a time: going on with {size}; the answers are the same")
    return size


def _some_rows(decoded: DecodedBatch, rows: slice) -> DecodedBatch:
    inputs = {name: Cells(cells.values[rows], cells.mask[rows]) for name, cells in decoded.inputs.items()}
    targets = {name: Cells(cells.values[rows], cells.mask[rows]) for name, cells in decoded.targets.items()}
    return DecodedBatch(decoded.rows[rows], inputs, targets)


def _join(parts: list[Collected]) -> Collected:
    first = parts[0]
    return Collected(
        rows=np.concatenate([part.rows for part in parts]),
        predicted={
            name: {key: stack_rows([part.predicted[name][key] for part in parts]) for key in arrays}
            for name, arrays in first.predicted.items()
        },
        targets={
            name: Cells(
                stack_rows([part.targets[name].values for part in parts]),
                stack_rows([part.targets[name].mask for part in parts]),
            )
            for name in first.targets
        },
        losses={name: np.concatenate([part.losses[name] for part in parts]) for name in first.losses},
        present=np.concatenate([part.present for part in parts]),
    )


def stack_rows(arrays: list[Array]) -> Array:
    """Joins along rows; sequences of different length are padded with zeros to the longest."""
    longest = max(array.shape[1] for array in arrays) if arrays[0].ndim > 1 else 0
    if arrays[0].ndim > 1 and any(array.shape[1] != longest for array in arrays):
        arrays = [
            np.pad(array, [(0, 0), (0, longest - array.shape[1])] + [(0, 0)] * (array.ndim - 2))
            for array in arrays
        ]
    return np.concatenate(arrays)


def _nothing(model: Model, loader: Loader, device: torch.device) -> Collected:
    """No rows: every array empty, with the shapes that one missing row would give."""
    decoded = DecodedBatch(
        np.zeros(1, dtype=np.int64),
        {name: bound.column.collate([None]) for name, bound in loader.inputs.items()},
        {name: bound.column.collate([None]) for name, bound in loader.targets.items()},
    )
    training = model.training
    model.eval()
    with torch.no_grad():
        one = _collect_batch(model, decoded, (), device)
    model.train(training)
    return Collected(
        rows=one.rows[:0],
        predicted={
            name: {key: value[:0] for key, value in arrays.items()} for name, arrays in one.predicted.items()
        },
        targets={name: Cells(cells.values[:0], cells.mask[:0]) for name, cells in one.targets.items()},
        losses={name: losses[:0] for name, losses in one.losses.items()},
        present=one.present[:0],
    )
