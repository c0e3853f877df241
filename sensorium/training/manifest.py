"""What a run is made of, as its manifest says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sensorium.prepare import Prepared
from sensorium.training.run import software
from sensorium.training.state import TrainingState, threads


def describe_run(prepared: Prepared, state: TrainingState) -> dict[str, Any]:
    """Rows, table, recipe, machine and versions, as JSON."""
    recipe = prepared.recipe
    parameters, trained = state.parameters()
    return {
        "name": recipe.name,
        "seed": recipe.training.seed,
        "precision": state.precision,
        "device": state.device.type,
        "threads": threads(),
        "micro_batch": state.progress.micro_batch,
        "parameters": parameters,
        "trained_parameters": trained,
        "weights": state.weights,
        "rows": {name: len(rows) for name, rows in prepared.parts.items()},
        "duplicates": [report.line() for report in prepared.duplicates],
        "table": {"source": prepared.table.source, "digest": state.table_digest},
        **({"recipe_folder": str(recipe.folder.resolve())} if prepared.own_table else {}),
        "recipe_digest": recipe.digest(),
        "versions": software(),
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What has changed of what decides the last bits; nothing where it is not known what was before."""
    return [key for key in ("precision", "device", "versions") if before and before.get(key) != now[key]]
