"""Performance under growing noise in one number, after MultiBench (Liang et al. 2021, arXiv 2107.07502).

MultiBench defines relative robustness as the area under the curve of performance over the level of noise, and
effective robustness as the area between a method's curve and that of a late fusion, moved to the same clean
performance (after Taori et al. 2020, arXiv 2007.00644); it scales both to 0..1 over the methods compared.

The same here: the areas, and the moved reference. Different: the area is divided by the clean performance,
as one model alone cannot be scaled over several methods; for an error the quotient is turned over. The late
fusion is no model trained for itself but the mean of what the measured model says of each input alone, as an
evaluation trains no second network. So the numbers here cannot be compared with those of MultiBench.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal


def area(values: Sequence[float]) -> float:
    """Under a curve with values at equal steps from 0 to 1, by the trapezoidal rule.

    This is the area under the performance–imperfection curve of MultiBench (Liang et al. 2021, arXiv
    2107.07502), before it is scaled to 0..1 over the methods compared there.
    """
    inner = sum(values) - (values[0] + values[-1]) / 2
    return inner / (len(values) - 1)


def relative_robustness(values: Sequence[float], goal: Literal["max", "min"]) -> float:
    """How much of the clean performance is kept, on average over the levels: 1 for all of it.

    The `area`, divided by the clean value, since one model alone cannot be scaled over several methods as
    MultiBench does. Of an error, the clean value divided by the area: 0.5 where noise doubles the error.
    NaN where the divisor is not above 0.
    """
    kept, whole = area(values), values[0]
    above, below = (kept, whole) if goal == "max" else (whole, kept)
    return above / below if below > 0 else math.nan


def effective_robustness(
    values: Sequence[float], reference: Sequence[float], goal: Literal["max", "min"]
) -> float:
    """How much better the model bears noise than a reference does, once both start from the same clean value.

    The area between the curve and the reference's, which is first moved up or down to the same clean value
    (Taori et al. 2020, arXiv 2007.00644; Liang et al. 2021, arXiv 2107.07502). Above 0 the model is the more
    robust one, for errors too, whose sign is turned.
    """
    shift = values[0] - reference[0]
    between = area([own - (other + shift) for own, other in zip(values, reference, strict=True)])
    return between if goal == "max" else -between
