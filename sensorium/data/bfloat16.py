"""bfloat16, of which numpy knows nothing: the upper 16 bits of a float32, handled as uint16."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def to_float32(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The numbers whose bits these are, of the same shape; exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
