"""Deletion curves of every way to weigh the parts of a row, and what each costs.

    python -m benchmarks.explanation runs/stamps runs/reviews-english runs/reviews-chinese \
        --output benchmarks/results/explanation.json

The runs are trained first, by `sensorium train` on the recipes of examples. A fixed sample of the rows that
each run held back is explained by each method. Areas are under the curves of the probability, the mean on the
way from the whole row to none of it; the notes give the mean difference to random order, and to the default
method, with 95 % intervals over the rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import sensorium
from benchmarks.common import circumstances, parser, report, spread
from sensorium.data.loader import Loader
from sensorium.data.table import Table, read_table
from sensorium.evaluation.metrics import bootstrap
from sensorium.evaluation.run import open_held_back
from sensorium.explanation import DEFAULT, METHODS, choose_target, deletion
from sensorium.explanation.explain import score_row
from sensorium.inference import sample
from sensorium.predict import Predictor

ROWS = 100


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every run named."""
    options = parser(__doc__ or "", repeats=1)
    options.add_argument("runs", nargs="*", type=Path, help="run folders")
    options.add_argument("--rows", type=int, default=ROWS, help="rows explained of each run")
    chosen = options.parse_args(arguments)
    began = circumstances()
    subjects = [_tiny()] if chosen.smoke else [open_held_back(run) for run in chosen.runs]
    figures: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for predictor, table, held_back in subjects:
        rows = sample(held_back, 4 if chosen.smoke else chosen.rows)
        name = f"{predictor.recipe.name}, {len(rows)} rows"
        taken = _take(predictor, predictor.loader(table), rows.tolist())
        figures[name] = {method: _figures(own) for method, own in taken.items()}
        notes |= {f"{name}, {method}": _words(own, taken[DEFAULT]) for method, own in taken.items()}
    content = {"tables": {}, "bases": {}, "figures": figures, "notes": notes}
    report("explanation", content, chosen.output, began)


class _Taken(NamedTuple):
    """What one method made of one row."""

    named: float
    random: float
    seconds: float


def _take(predictor: Predictor, loader: Loader, rows: list[int]) -> dict[str, list[_Taken]]:
    """Method → areas under its own curve and the random one, and CPU-seconds, row by row."""
    output, _ = choose_target(predictor, None, None)
    taken: dict[str, list[_Taken]] = {method: [] for method in METHODS}
    for row in rows:
        scores, _ = score_row(predictor, loader, row, output, None)
        for method, weigh in METHODS.items():
            began = time.process_time()
            weights = weigh(scores).values
            seconds = time.process_time() - began
            curves = deletion(scores, weights, seed=row)
            named, random = (
                float(np.trapezoid(curve, curves.shares)) for curve in (curves.named, curves.random)
            )
            taken[method].append(_Taken(named, random, seconds))
    return taken


def _figures(taken: list[_Taken]) -> dict[str, Any]:
    return {
        "area, named first": spread([one.named for one in taken]),
        "area, at random": spread([one.random for one in taken]),
        "CPU-seconds a row": spread([one.seconds for one in taken]),
    }


def _words(taken: list[_Taken], reference: list[_Taken]) -> str:
    """How far a method's curves lie below random ones and below those of the default, with intervals."""
    beyond = np.array([one.random - one.named for one in taken])
    more = np.array([other.named - own.named for own, other in zip(taken, reference, strict=True)])
    found = f"{_interval(beyond)} beyond random"
    return found if taken is reference else f"{found}, {_interval(more)} beyond {DEFAULT}"


def _interval(values: Any) -> str:
    one = bootstrap(lambda rows: {"mean": float(values[rows].mean())}, np.arange(len(values)))["mean"]
    return f"{one.value:.4f} ({one.low:.4f} to {one.high:.4f})"


def _tiny() -> tuple[Predictor, Table, Any]:
    """A model that takes no time, its table, and its rows."""
    rows = {"words": ["a good day", "a bad day"] * 20, "size": [1.0, 2.0] * 20, "label": ["yes", "no"] * 20}
    predictor: Predictor = sensorium.fit(rows, target="label", training={"epochs": 1}, verbose=False)
    return predictor, read_table(rows), np.arange(40)


if __name__ == "__main__":
    main()
