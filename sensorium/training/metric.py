"""The number by which epochs are compared, and everything else that is measured after each of them."""

from __future__ import annotations

import difflib

import numpy as np
import torch

from sensorium.data.loader import Loader
from sensorium.errors import RecipeError
from sensorium.inference import Collected, collect
from sensorium.model import Model
from sensorium.recipe import Recipe

_FALLING = ("loss", "error", "mae", "rmse", "mse", "pinball")


def measure(model: Model, collected: Collected) -> dict[str, float]:
    """`score`, `loss` and every output's metrics as `output.metric`; NaN where one is undefined."""
    measured = {"score": 0.0, "loss": collected.loss(model.weights)}
    for name in model.outputs:
        metrics = model.head(name).metrics(collected.predicted[name], collected.targets[name])
        measured["score"] += model.head(name).score(metrics) / len(model.outputs)
        measured |= {f"{name}.{metric}": value for metric, value in metrics.items()}
    return measured


def stop_metric(recipe: Recipe) -> str:
    """The metric that chooses the best epoch."""
    return recipe.training.early_stop.metric if recipe.training.early_stop else "score"


def check_stop_metric(recipe: Recipe, model: Model, loader: Loader, device: torch.device) -> None:
    """Refuses a metric that no output has, before an epoch is spent.

    Raises:
        RecipeError: naming the metrics that there are.
    """
    metric = stop_metric(recipe)
    known = list(measure(model, collect(model, loader, np.zeros(0, dtype=np.int64), device=device)))
    if metric not in known:
        near = difflib.get_close_matches(metric, known, n=1)
        raise RecipeError(
            f"training.early_stop.metric: {metric!r} is not measured"
            f"{f' (did you mean {near[0]}?)' if near else ''}; known: {', '.join(known)}"
        )


def higher_is_better(metric: str) -> bool:
    """Losses and errors fall, everything else rises."""
    name = metric.rpartition(".")[2]
    return not any(word in name for word in _FALLING)
