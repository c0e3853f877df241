"""Which of the fused tokens a decoder reads that looks at one input, as those of speech do."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sensorium.batch import Fused, where_real
from sensorium.errors import RecipeError, did_you_mean


class Heard(NamedTuple):
    """The tokens of one input.

    Attributes:
        tokens: `(B, T, H)`, zero in the padding.
        mask: `(B, T)` bool, True where a token is real; T is the most that a row has.
        present: `(B,)` bool, whether a row has the input; else one token stands for it.
    """

    tokens: Tensor
    mask: Tensor
    present: Tensor


def heard(fused: Fused, name: str | None) -> Heard:
    """The tokens of an input.

    Args:
        fused: rows.
        name: of the input; None where there is but one.

    Raises:
        RecipeError: when there are several and none is named, or the name is not known.
    """
    name = input_named(name, list(fused.places))
    place = fused.places[name]
    mask = fused.mask[:, place.start : place.start + place.length]
    longest = int(mask.sum(dim=1).amax()) if len(mask) else 1
    mask = mask[:, :longest]
    tokens = fused.tokens[:, place.start : place.start + longest]
    present = fused.present.get(name, torch.ones_like(mask[:, 0]))
    return Heard(where_real(tokens, mask), mask, present)


def input_named(name: str | None, names: list[str]) -> str:
    """The input that a decoder reads: the one that it names, or the only one; see `heard`."""
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise RecipeError(f"decoder.input: one input is read; name one of {', '.join(names)}")
    if name not in names:
        raise RecipeError(
            f"decoder.input: {name!r} is no input{did_you_mean(name, names)}; inputs: {', '.join(names)}"
        )
    return name
