"""What a safetensors file says of itself, read without its numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

from sensorium.errors import WeightsError

_LENGTH_BYTES = 8
_MOST_HEADER_BYTES = 100_000_000  # as the format's own library allows


class Header(NamedTuple):
    """The tensors of a file, as name → shape and name → dtype ("F32", "BF16", ...)."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]

    @property
    def parameters(self) -> int:
        """How many floating-point numbers the file holds."""
        return sum(
            math.prod(shape)
            for name, shape in self.shapes.items()
            if self.dtypes[name].startswith(("F", "BF"))
        )


def read_header(path: Path) -> Header:
    """Reads the header, and compares the file's size with what it announces.

    Raises:
        WeightsError: when the file is cut short, or is no safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            text = file.read(length) if length <= _MOST_HEADER_BYTES else b""
        tensors = json.loads(text)
        tensors.pop("__metadata__", None)
        header = Header(
            {name: tuple(tensor["shape"]) for name, tensor in tensors.items()},
            {name: tensor["dtype"] for name, tensor in tensors.items()},
        )
        end = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        raise WeightsError(
            f"{path} is damaged: its header is no safetensors header; fetch it again"
        ) from None
    announced, size = _LENGTH_BYTES + length + end, path.stat().st_size
    if size != announced:
        raise WeightsError(f"{path} is damaged: {size:,} bytes in place of {announced:,}; fetch it again")
    return header
