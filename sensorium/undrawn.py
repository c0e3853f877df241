"""Modules whose weights are loaded at once: the random numbers that they would begin with are not drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

_DRAWS = {Tensor.uniform_, Tensor.normal_}
"""What `torch.nn.init` draws with."""


class Undrawn(TorchFunctionMode):
    """A context in which new weights hold whatever lay in memory; the random generators do not move."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return args[0] if function in _DRAWS else function(*args, **(kwargs or {}))
