"""How much memory a step needs and how much there is: the rows that pass at a time are chosen by it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import torch

from sensorium.data.loader import Rows
from sensorium.errors import SensoriumError
from sensorium.inference import batch_to_device
from sensorium.model import Model
from sensorium.prepare import Prepared

MARGIN = 0.8
"""Share of the free memory that an estimate may take: what an operation needs for itself is not in it."""
BYTES_A_PARAMETER = 16
"""A trained weight, its gradient, and the two averages of AdamW, float32 each; a frozen weight is alone."""
LOOK_EVERY = 8
"""Steps between two looks at the memory that is held."""


class StepMemory(NamedTuple):
    """Bytes of an optimizer step: `fixed`, whatever its rows, and `per_row` for each row of a pass."""

    fixed: float
    per_row: float

    def of(self, rows: int) -> int:
        """Bytes with so many rows a pass."""
        return int(self.fixed + rows * self.per_row)


class MemoryBudget:
    """The bytes that a run may hold: of the process on a CPU, of torch on a GPU.

    Args:
        gigabytes: 10^9 bytes each; None for what is free now, with what is already held.
        device: that trains.
    """

    def __init__(self, gigabytes: float | None, device: torch.device) -> None:
        self.device = device
        self.asked = gigabytes
        held, free = held_memory(device), free_memory(device)
        self.free = free
        self.limit = None if held is None or free is None else held + free
        if gigabytes is not None:
            self.limit = int(gigabytes * 10**9)
            spare = max(0, self.limit - (held or 0))
            self.free = spare if free is None else min(spare, free)

    def rows_that_fit(self, step: StepMemory, rows: int, divisible: bool) -> int:
        """The rows a pass that fit, halved from those asked for until they do.

        Args:
            step: as measured.
            rows: asked for.
            divisible: whether a batch may pass in parts.

        Raises:
            SensoriumError: when not even one row fits, or the batch does not and may not be divided.
        """
        while not self.holds(step.of(rows)):
            if rows == 1 or not divisible:
                raise SensoriumError(self._refusal(step.of(rows), rows))
            rows //= 2
        return rows

    def holds(self, needed: int) -> bool:
        """Whether so many bytes are free, with a margin; True where the system does not say."""
        return self.free is None or needed < MARGIN * self.free

    def exceeded(self) -> bool:
        """Whether more is held than may be; False where the system does not say."""
        held = held_memory(self.device)
        return self.limit is not None and held is not None and held > self.limit

    def words(self) -> str:
        """What the budget is, such as `training.memory_gb: 4`."""
        return "the memory that was free" if self.asked is None else f"training.memory_gb: {self.asked:g}"

    def _refusal(self, needed: int, rows: int) -> str:
        there = f"{size_words(self.free or 0)} are left ({self.words()})"
        if rows == 1:
            advice = "make the inputs or the model smaller"
            return f"one row a step needs about {size_words(needed)}, {there}: {advice}"
        advice = f"batch normalisation needs its {rows} rows together: lower training.batch_size"
        return f"a step needs about {size_words(needed)}, {there}, and {advice}"


def measure_step(model: Model, prepared: Prepared) -> StepMemory:
    """Estimates the memory of a step from passes of two and of four training rows, in float32 on the CPU.

    The model is on the CPU, and should be one to throw away: batch statistics move, random numbers are drawn.
    """
    rows = _fullest_rows(prepared, 4)
    few, many = max(1, len(rows) // 2), len(rows)
    large = activation_bytes(model, prepared, rows)
    small = activation_bytes(model, prepared, rows[:few]) if few < many else 0
    per_row = (large - small) / (many - few) if few < many else large
    weights = sum(
        parameter.numel() * (BYTES_A_PARAMETER if parameter.requires_grad else parameter.element_size())
        for parameter in model.parameters()
    )
    return StepMemory(weights + max(0.0, large - many * per_row), max(0.0, per_row))


def activation_bytes(model: Model, prepared: Prepared, rows: Rows) -> int:
    """Bytes that one forward pass keeps for the backward pass, counted once for each storage."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    decoded = prepared.loader.batch(rows)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(batch_to_device(decoded, torch.device("cpu")))
    return sum(kept.values())


def held_memory(device: torch.device) -> int | None:
    """Bytes held: the most that torch held on a GPU, what the process holds now on Linux; None elsewhere.

    Mapped files are left out, as the system takes their pages back when it needs them.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    path = Path("/proc/self/statm")
    if not path.exists():
        return None
    resident, shared = map(int, path.read_text().split()[1:3])
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def free_memory(device: torch.device) -> int | None:
    """Bytes free on the device; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    path = Path("/proc/meminfo")
    if path.exists():
        fields = dict(line.split(":") for line in path.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    return None


def size_words(count: int) -> str:
    """Bytes in words, such as `3.4 MB`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1000:.0f} kB"


def _fullest_rows(prepared: Prepared, count: int) -> Rows:
    """Those of the first training rows that lack the fewest inputs: missing ones take no memory."""
    first = prepared.parts["train"][:32]
    sources = [bound.source for bound in prepared.loader.inputs.values()]
    lacking = [sum(prepared.table.cell(source, int(row)) is None for source in sources) for row in first]
    order = sorted(range(len(first)), key=lacking.__getitem__)
    return first[order[:count]]
