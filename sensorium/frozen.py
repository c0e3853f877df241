"""What training leaves as it is: it stays in evaluation mode, and checkpoints do without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Lazy:
    """A frozen module that is built when it is first needed, and is no part of the module that has it.

    So it is in no state, and copies share it.

    Args:
        build: makes it, in evaluation mode.

    Attributes:
        parameters: how many numbers it has, built or not.
    """

    def __init__(self, build: Callable[[], nn.Module]) -> None:
        self.parameters = 0
        self._build = build
        self._module: nn.Module | None = None

    def on(self, device: torch.device) -> Any:
        """The module, on a device."""
        if self._module is None:
            self._module = self._build()
        if next(self._module.parameters()).device != device:
            self._module.to(device)
        return self._module

    def __deepcopy__(self, memo: dict[int, object]) -> Lazy:
        return self


def lazy_parts(module: nn.Module) -> list[Lazy]:
    """The lazy modules that a module and its parts have."""
    found = (value for part in module.modules() for value in vars(part).values() if isinstance(value, Lazy))
    return list(dict.fromkeys(found))


def frozen_parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The largest modules whose parameters are all frozen, with their names; none inside another."""
    yield from _frozen_below(module, "")


def keep_still(module: nn.Module) -> None:
    """Puts frozen parts into evaluation mode: no dropout, and batch statistics do not move."""
    for _, part in frozen_parts(module):
        part.eval()


def trained_state(module: nn.Module) -> dict[str, Tensor]:
    """What training changes of a module's state: trained parameters, and the buffers outside frozen parts."""
    frozen = frozen_names(module)
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


def load_trained_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Takes back what `trained_state` gave; frozen parts may be in it, or stay as they are.

    Raises:
        RuntimeError: when it lacks something that is trained, holds something else, or shapes differ.
    """
    missing, unexpected = module.load_state_dict(state, strict=False)
    lacking = set(missing) - frozen_names(module)
    if lacking or unexpected:
        raise RuntimeError(f"without {sorted(lacking)[:3]}, with {sorted(unexpected)[:3]} that is not known")


def frozen_names(module: nn.Module) -> set[str]:
    """The names in a module's state that training does not change."""
    names = {name for name, value in module.named_parameters() if not value.requires_grad}
    for prefix, part in frozen_parts(module):
        names |= {f"{prefix}.{name}" if prefix else name for name, _ in part.named_buffers()}
    return names


def frozen_tensors(module: nn.Module) -> list[Tensor]:
    """The parameters and buffers that training does not change."""
    still = {id(buffer): buffer for _, part in frozen_parts(module) for buffer in part.buffers()}
    return [value for value in module.parameters() if not value.requires_grad] + list(still.values())


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """How many numbers a module has, and how many of them are trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    lazy = sum(part.parameters for part in lazy_parts(module))
    return lazy + sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


def parameter_words(parameters: int, trained: int) -> str:
    """Such as `56,013 parameters` or, where some are frozen, `22.7M parameters, 5.0k trained`."""
    if parameters == trained:
        return f"{parameters:,} parameters"
    return f"{_short(parameters)} parameters, {_short(trained)} trained"


def _short(count: int) -> str:
    for unit, size in (("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def _frozen_below(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    trained = {parameter.requires_grad for parameter in module.parameters()}
    if trained == {False}:
        yield name, module
    elif trained == {True, False}:
        for child_name, child in module.named_children():
            yield from _frozen_below(child, f"{name}.{child_name}" if name else child_name)
