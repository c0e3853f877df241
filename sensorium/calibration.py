"""How far to trust a model, learned from the validation rows: temperatures, and sets with coverage."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sensorium.data.column import Array
from sensorium.data.loader import Loader, Rows
from sensorium.errors import SensoriumError
from sensorium.inference import Collected, collect, predict_batches, sample, subsets
from sensorium.model import Model

FILE = "calibration.safetensors"
"""Beside the weights of a saved model. Models without it have temperature 1 and no sets."""
MOST_ROWS = 1_000
"""Validation rows that sets rest on; of more, a fixed sample is taken."""

Pattern = frozenset[str]
"""The inputs that a row has."""


@dataclass(frozen=True)
class Calibration:
    """What the validation rows taught.

    Sets come from split-conformal prediction (Vovk et al. 2005; Angelopoulos and Bates 2021,
    arXiv:2107.07511), apart for every pattern of present inputs (Mondrian): a new row drawn as the validation
    rows were lies in its set at the asked coverage, on average over such rows, whatever inputs it has. That
    holds where inputs are missing for reasons that have nothing to do with the answer.

    Attributes:
        inputs: in the order of the recipe.
        temperatures: output → what its logits are divided by.
        scores: output → pattern → `(n,)` float32, rising, 1 <= n <= 1000: the nonconformity of the validation
            rows that have these inputs at least, predicted with all others hidden. Only outputs that give
            sets; only patterns that some row has.
    """

    inputs: list[str]
    temperatures: dict[str, float]
    scores: dict[str, dict[Pattern, Array]]

    def set_temperatures(self, model: Model) -> None:
        """Lets a model's heads predict at these temperatures."""
        for name, temperature in self.temperatures.items():
            model.head(name).temperature = temperature

    def thresholds(self, output: str, present: Array, coverage: float) -> Array:
        """The largest nonconformity that a row's set takes in, `(N,)` float64; infinite for everything.

        A row whose pattern was not calibrated takes the calibrated patterns of which it has every input,
        of these the ones with the most inputs, and of these the largest threshold: the model knew less there
        than it does of this row.

        Args:
            output: one of `scores`.
            present: `(N, M)` bool, which inputs each row has.
            coverage: between 0 and 1.
        """
        limits = {pattern: quantile(own, coverage) for pattern, own in self.scores[output].items()}
        patterns, which = np.unique(present, axis=0, return_inverse=True)
        names = np.array(self.inputs)
        nearest = [_nearest(limits, frozenset(names[row].tolist())) for row in patterns]
        return np.array(nearest, dtype=np.float64)[which.reshape(-1)]

    def sets(self, model: Model, collected: Collected, coverage: float) -> dict[str, dict[str, Any]]:
        """Output → the columns of its sets, as `Head.sets` gives them; of those outputs that give sets."""
        return {
            name: model.head(name).sets(
                collected.predicted[name], self.thresholds(name, collected.present, coverage)
            )
            for name in self.scores
        }

    def unlimited(self, collected: Collected, coverage: float) -> dict[str, int]:
        """Output → rows whose set holds everything, as too few validation rows stand behind the coverage."""
        counts = {
            name: int(np.isinf(self.thresholds(name, collected.present, coverage)).sum())
            for name in self.scores
        }
        return {name: count for name, count in counts.items() if count}


def calibrate(
    model: Model,
    loader: Loader,
    rows: Rows,
    batch_size: int = 64,
    device: torch.device | None = None,
) -> Calibration | None:
    """Learns temperatures from all rows, then, with them, the scores of sets from a sample of the rows.

    Args:
        model: on `device`, in float32, as it is used later; it is left in evaluation mode, with the
            temperatures found.
        loader: of the table, with its targets.
        rows: of the validation. No weight was trained on them; that they chose the epoch is not made up for.
        batch_size: rows at a time.
        device: default: the CPU.

    Returns:
        None without rows.
    """
    if not len(rows):
        return None
    model.eval()
    for name in model.outputs:
        model.head(name).temperature = 1.0
    collected = collect(model, loader, rows, batch_size, device=device)
    temperatures = {
        name: model.head(name).fit_temperature(collected.predicted[name], collected.targets[name])
        for name in model.outputs
    }
    Calibration(model.inputs, temperatures, {}).set_temperatures(model)
    return Calibration(model.inputs, temperatures, _scores(model, loader, rows, batch_size, device))


def _scores(
    model: Model, loader: Loader, rows: Rows, batch_size: int, device: torch.device | None
) -> dict[str, dict[Pattern, Array]]:
    tried = [frozenset(present) for present in subsets(model.inputs)]
    found: dict[str, dict[Pattern, list[Array]]] = {}
    chosen = sample(rows, MOST_ROWS)
    for decoded, predictions in predict_batches(model, loader, chosen, tried, batch_size, device):
        for pattern, predicted in zip(tried, predictions, strict=True):
            has_all = np.ones(len(decoded.rows), dtype=np.bool_)
            for name in pattern:
                has_all &= decoded.inputs[name].mask.any(axis=1)
            for name, arrays in predicted.items():
                head, target = model.head(name), decoded.targets[name]
                own = head.nonconformity(arrays, target)
                if own is not None:
                    found.setdefault(name, {}).setdefault(pattern, []).append(
                        own[has_all & head.scored(target)]
                    )
    joined = {
        name: {pattern: np.sort(np.concatenate(parts)) for pattern, parts in patterns.items()}
        for name, patterns in found.items()
    }
    return {
        name: {pattern: own for pattern, own in patterns.items() if len(own)}
        for name, patterns in joined.items()
    }


def quantile(scores: Array, coverage: float) -> float:
    """The ⌈(n + 1) · coverage⌉-th smallest of n scores; infinite where there are too few of them.

    A further score from the same distribution is at most this with a probability of `coverage` or more.

    Args:
        scores: `(n,)`, rising.
        coverage: between 0 and 1.
    """
    place = max(1, math.ceil((len(scores) + 1) * coverage - 1e-9))  # 1e-9: the rounding of a whole product
    return float(scores[place - 1]) if place <= len(scores) else math.inf


def _nearest(limits: Mapping[Pattern, float], pattern: Pattern) -> float:
    """See `Calibration.thresholds`."""
    if pattern in limits:
        return limits[pattern]
    inside = [one for one in limits if one < pattern]
    most = max(map(len, inside), default=0)
    return max((limits[one] for one in inside if len(one) == most), default=math.inf)


def check_coverage(calibration: Calibration | None, coverage: float) -> Calibration:
    """The calibration, where it can give sets of that coverage.

    Raises:
        SensoriumError: when the coverage is no share, or the model has no calibration or no output with sets.
    """
    check_share(coverage)
    if calibration is None:
        raise SensoriumError(
            "this model was not calibrated, so it gives no sets: it was trained without validation rows, or "
            "by an older version; train it again with data.split.validation above 0"
        )
    if not calibration.scores:
        raise SensoriumError("no output of this model gives sets: those of type category and number do")
    return calibration


def check_share(coverage: Any) -> None:
    """Raises SensoriumError when the coverage is no share of rows."""
    if not isinstance(coverage, Real) or not 0 < float(coverage) < 1:
        raise SensoriumError(f"coverage is {coverage!r}: give a share between 0 and 1, such as 0.9")


def unlimited_words(unlimited: Mapping[str, int], coverage: float) -> str:
    """One line about `Calibration.unlimited`; "" where every row's set has a limit."""
    if not unlimited:
        return ""
    needed = math.ceil(coverage / (1 - coverage) - 1e-9)
    listed = ", ".join(f"{name} ({count:,} rows)" for name, count in unlimited.items())
    return (
        f"coverage {coverage:g} needs {needed:,} validation rows that have the inputs of a row; there were "
        f"fewer, so nothing is ruled out: {listed}"
    )


def save_calibration(folder: Path, calibration: Calibration) -> None:
    """Writes one safetensors file with JSON about it; a reader sees a whole file or none.

    Raises:
        SensoriumError: when it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    placed = [(name, pattern) for name, patterns in calibration.scores.items() for pattern in patterns]
    tensors = {str(place): calibration.scores[name][pattern] for place, (name, pattern) in enumerate(placed)}
    about = {
        "inputs": calibration.inputs,
        "temperatures": calibration.temperatures,
        "outputs": list(calibration.scores),
        "scores": [[name, [one for one in calibration.inputs if one in pattern]] for name, pattern in placed],
    }
    beside = folder / f".{FILE}.part"
    try:
        save_file(tensors, beside, metadata={"calibration": json.dumps(about, ensure_ascii=False)})
        beside.replace(folder / FILE)
    except (OSError, SafetensorError) as error:
        beside.unlink(missing_ok=True)
        raise SensoriumError(f"{folder / FILE}: the calibration cannot be written ({error})") from None


def load_calibration(folder: Path, model: Model) -> Calibration | None:
    """Reads what `save_calibration` wrote, for the model of the same folder; None where there is nothing.

    Raises:
        SensoriumError: when the file is damaged, or belongs to another model.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="np") as file:
            about = json.loads((file.metadata() or {})["calibration"])
            scores: dict[str, dict[Pattern, Array]] = {name: {} for name in about["outputs"]}
            for place, (name, pattern) in enumerate(about["scores"]):
                scores[name][frozenset(pattern)] = file.get_tensor(str(place))
        temperatures = {name: float(value) for name, value in about["temperatures"].items()}
        calibration = Calibration(list(about["inputs"]), temperatures, scores)
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise SensoriumError(
            f"{path} is damaged ({str(error).splitlines()[0]}); delete it to go without calibration"
        ) from None
    _check_fits(calibration, model, path)
    return calibration


def _check_fits(calibration: Calibration, model: Model, path: Path) -> None:
    names = calibration.inputs == model.inputs and list(calibration.temperatures) == model.outputs
    outputs = set(calibration.scores) <= set(model.outputs)
    temperatures = all(0 < one < math.inf for one in calibration.temperatures.values())
    scores = all(own.ndim == 1 and len(own) for each in calibration.scores.values() for own in each.values())
    if not (names and outputs and temperatures and scores):
        raise SensoriumError(f"{path} does not fit the model beside it; delete it to go without calibration")
