"""Small models without training, whose weights are set by hand, and tables that hold a planted signal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sensorium.data.loader import fit_columns
from sensorium.data.table import read_table
from sensorium.inference import batch_to_device
from sensorium.model import Model
from sensorium.predict import Predictor
from sensorium.prepare import bind_columns
from sensorium.recipe import parse_recipe


def predictor_of(recipe: dict[str, Any], rows: dict[str, list[Any]]) -> Predictor:
    """A model with random weights, its columns fitted on `rows`."""
    torch.manual_seed(0)
    checked = parse_recipe({"name": "made", "data": {"cache": False}, **recipe})
    inputs, targets = bind_columns(checked)
    table = read_table(rows)
    fit_columns(table, np.arange(len(table)), [*inputs.values(), *targets.values()])
    columns = {name: bound.column for name, bound in inputs.items()}
    fitted = {name: bound.column for name, bound in targets.items()}
    return Predictor(Path(), checked, columns, fitted, Model(checked, columns, fitted).eval(), {})


LINEAR = {
    "inputs": {
        name: {
            "type": "number",
            "scale": "none",
            "clip": None,
            "encoder": {"kind": "mlp", "hidden": [], "width": 1},
        }
        for name in ("a", "b")
    },
    "fusion": {"kind": "sum", "width": 1},
    "outputs": {"y": {"type": "number", "scale": "none"}},
}
LINEAR_ROWS: dict[str, list[Any]] = {"a": [1.0, 2.0, 3.0], "b": [10.0, 20.0, 30.0], "y": [0.0, 1.0, 2.0]}


def linear() -> Predictor:
    """y = 5 + 2 a - 0.5 b, where an absent input adds nothing."""
    predictor = predictor_of(LINEAR, LINEAR_ROWS)
    model: Any = predictor.model
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        model.fusion.projection.layers[0].weight.fill_(2.0)
        model.fusion.projection.layers[1].weight.fill_(-0.5)
        model.head("y").layers[-1].bias.fill_(5.0)
    return predictor


def trained(recipe: dict[str, Any], rows: dict[str, list[Any]], steps: int, rate: float = 0.01) -> Predictor:
    """A model that has seen all rows at once so many times."""
    predictor = predictor_of(recipe, rows)
    loader = predictor.loader(read_table(rows))
    batch = batch_to_device(loader.batch(np.arange(len(loader.table))), torch.device("cpu"))
    model = predictor.model.train()
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(steps):
        optimizer.zero_grad()
        _, losses = model(batch)
        sum(loss.mean() for loss in losses.values()).backward()
        optimizer.step()
    model.eval()
    return predictor
