"""The scores of the known answers: means with intervals, and what was expected beside what came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sensorium.comparison.paired import differences, interval, resampled
from sensorium.comparison.scores import mean_scorer
from sensorium.data.column import Array

RESAMPLES = 2000
ADDITIVE = ("late", "parallel", "sum", "attention", "decoupled")
"""Fusions that, under a linear head, add up answers of single inputs, and so cannot be an XOR, where no sum
f(x) + g(y) has the right sign in more than three of the four cases. `attention` is among them: its softmax
weighs c_x and c_y by exp(s_x) and exp(s_y) over their sum, so the sign of its answer is that of
exp(s_x) f(x) + exp(s_y) g(y)."""
HIDDEN = " with a hidden layer"
CROSSING = (
    "concat",
    "product",
    f"attention{HIDDEN}",
    "gated",
    "low_rank",
    "tensor",
    "cross_attention",
    "transformer",
)
"""Fusions that can be one."""


def figures(found: Mapping[str, Array], metric: str = "accuracy") -> dict[str, Any]:
    """Variant → mean over seeds with interval, each seed, and the difference from the reference.

    Args:
        found: variant → `(S, N)` scores of rows.
        metric: what their mean is.
    """
    each = np.stack(list(found.values())).astype(np.float64)
    rows = each.shape[-1]
    seeds = each.mean(axis=2)
    values = seeds.mean(axis=1).tolist()
    drawn = resampled(mean_scorer(each), rows, RESAMPLES)
    alone = [position for position, name in enumerate(found) if name.endswith(" alone")]
    best_alone = max(alone, key=values.__getitem__, default=0)
    apart = differences(seeds, drawn, best_alone, each.mean(axis=1), rows)
    table = {}
    for position, name in enumerate(found):
        score = interval(metric, seeds[position], drawn[:, position], rows)
        difference = apart[position]
        table[name] = {
            **{key: round(getattr(score, key), 4) for key in ("value", "low", "high")},
            "seeds": seeds[position].round(4).tolist(),
            "difference": None
            if difference is None
            else {key: round(value, 4) for key, value in difference._asdict().items()},
        }
    return table


def verdicts(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What was expected, beside what came out, for each question that was asked."""
    notes = {}
    for title, table in scores.items():
        values = {name: each["value"] for name, each in table.items()}
        apart = {name: each["difference"] for name, each in table.items() if each["difference"]}
        if title.startswith("XOR"):
            high = {name: value for name, value in values.items() if name in ADDITIVE and value > 0.6}
            low = {name: value for name, value in values.items() if name in CROSSING and value < 0.95}
            notes[title] = (
                f"additive near 0.5, but for {_listed(high)}; others 0.95 at least, but for {_listed(low)}"
            )
        elif title.startswith("A redundant"):
            told = {
                name: each["value"] for name, each in apart.items() if each["low"] > 0 or each["high"] < 0
            }
            notes[title] = f"no other than the best single input by the interval, but for {_listed(told)}"
        elif title.startswith("Digits"):
            gained = {name: each["value"] for name, each in apart.items() if each["value"] >= 0.05}
            notes[title] = f"5 points or more above the better single input: {_listed(gained)}"
        elif "lost" in title:
            order = sorted(values, key=values.__getitem__)
            notes[title] = f"least by {order[0]}, most by {order[-1]}; expected: late and tensor"
    return notes


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items()) or "none"
