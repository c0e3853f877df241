"""Modules whose weights are loaded at once: the random numbers that they would begin with are not drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

_DRAWS = {Tensor.uniform_, Tensor.normal_, init.uniform_, init.normal_, init.kaiming_uniform_}
"""What `torch.nn.init` draws with: methods, and those of its functions that a context can answer itself."""


class Undrawn(TorchFunctionMode):
    """A context in which new weights are zero where they would be drawn; the random generators do not move.

    Zero rather than whatever lay in memory: `trunc_normal_` draws again until all numbers lie within bounds.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if function in _DRAWS:
            drawn: Tensor = args[0] if args else named["tensor"]
            with torch.no_grad():
                return drawn.zero_()
        return function(*args, **named)
