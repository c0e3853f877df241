"""Stamps found by captions and captions by stamps, beside a ridge regression on the same features.

    python -m benchmarks.retrieval --output benchmarks/results/retrieval.json

Trains examples/search/recipe.yaml by the command line, each time with another seed: first from nothing
cached, then from the features that the first time kept. The rows measured are the recipe's test part, whose
captions no training row has; those to be found are all its different cells. Intervals are over rows and
seeds; those of differences are paired. The regression has no seed: it is the same beside all of them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.dataset
import pyarrow.parquet
import yaml

from benchmarks.common import Cost, circumstances, parser, report, spread
from benchmarks.known_scores import figures
from benchmarks.processes import ROOT, Spent, run
from sensorium.data.column import Array
from sensorium.evaluation.ridge import features_of, ridge_ranks
from sensorium.evaluation.words import metric_name
from sensorium.features import use_features
from sensorium.heads.retrieval import Ranks
from sensorium.inference import collect
from sensorium.predict import load
from sensorium.prepare import new_loader, open_table, split_table
from sensorium.recipe import read_recipe

RECIPE = ROOT / "examples" / "search" / "recipe.yaml"
STAMPS = ROOT / "examples" / "stamps" / "data"
OUTPUT = "match"
SENSORIUM, RIDGE = "Sensorium", "ridge regression"
BOTH = "both ways"
METRICS: dict[str, Callable[[Array], Array]] = {
    "recall_at_1": lambda places: places <= 1,
    "recall_at_5": lambda places: places <= 5,
    "recall_at_10": lambda places: places <= 10,
    "mrr": lambda places: 1 / places,
}
"""Metric → what a row scores whose first right answer stands at a place, from 1."""


class Found(NamedTuple):
    """What one training found.

    Attributes:
        places: variant → direction → `(N,)` places of the first right answer of every test row.
        spent: by the command that trained.
        ridge: by the regression, the features known.
    """

    places: dict[str, dict[str, Array]]
    spent: Spent
    ridge: Cost


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains once a seed, and measures each model."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--threads", type=int, default=2, help="threads of arithmetic while it trains")
    chosen = options.parse_args(arguments)
    began = circumstances()
    with tempfile.TemporaryDirectory() as root:
        found = [
            measure(write_recipe(Path(root), seed, chosen.smoke), chosen.threads)
            for seed in range(chosen.repeats)
        ]
    report("retrieval", content_of(found), chosen.output, began)


def write_recipe(folder: Path, seed: int, smoke: bool) -> Path:
    """The example's recipe with a seed, and a cache of its own; with `smoke` few rows and one epoch."""
    content = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    content["name"] = f"search-{seed}"
    content["data"] |= {"path": str(few_stamps(folder) if smoke else STAMPS), "cache": str(folder / "cache")}
    content["training"] |= {"seed": seed} | ({"epochs": 1} if smoke else {})
    path = folder / f"{seed}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def few_stamps(folder: Path) -> Path:
    """Some of the training rows and some of the test rows as a table."""
    whole = pyarrow.dataset.dataset(STAMPS).to_table()
    test = np.array([one == "test" for one in whole["split"].to_pylist()])
    rows = np.concatenate([np.flatnonzero(~test)[:40], np.flatnonzero(test)[:12]])
    path = folder / "stamps.parquet"
    pyarrow.parquet.write_table(whole.take(rows), path)
    return path


def measure(path: Path, threads: int) -> Found:
    """`sensorium train`; then what its model and the regression find among the test rows."""
    recipe, runs = read_recipe(path), path.parent / "runs"
    command = [sys.executable, "-m", "sensorium.cli", "train", str(path), "--runs", str(runs)]
    spent = run(command, {"OMP_NUM_THREADS": str(threads)}, path.with_suffix(".txt"))
    predictor = load(runs / recipe.name)
    table = open_table(recipe)
    parts = split_table(recipe, table, predictor.targets)
    loader = new_loader(recipe, table, predictor.inputs, predictor.targets)
    rows = np.concatenate([parts["train"], parts["test"]])
    use_features(predictor.model, loader, rows, say=lambda line: None)
    collected = collect(predictor.model, loader, parts["test"])
    target, head = collected.targets[OUTPUT], predictor.model.head(OUTPUT)
    between = head.config.between
    taught, asked = (features_of(predictor.model, loader, parts[part], between) for part in ("train", "test"))
    began = time.process_time(), time.perf_counter()
    by_ridge = ridge_ranks(taught, asked, target, between) or {}
    ridge = Cost(time.process_time() - began[0], time.perf_counter() - began[1])
    own = head.directions(collected.predicted[OUTPUT], target)
    return Found({RIDGE: _places(by_ridge), SENSORIUM: _places(own)}, spent, ridge)


def _places(found: Mapping[str, Ranks]) -> dict[str, Array]:
    return {
        direction.replace("_", " "): one.first[np.isfinite(one.first)] for direction, one in found.items()
    }


def content_of(found: Sequence[Found]) -> dict[str, Any]:
    """The result as `report` takes it."""
    directions = list(found[0].places[SENSORIUM])
    scores: dict[str, Any] = {}
    for metric, score in METRICS.items():
        each = {
            direction: {
                name: np.stack([score(one.places[name][direction]) for one in found]).astype(float)
                for name in (RIDGE, SENSORIUM)
            }
            for direction in directions
        }
        each[BOTH] = {
            name: np.mean([each[direction][name] for direction in directions], axis=0)
            for name in (RIDGE, SENSORIUM)
        }
        scores |= {
            f"{metric_name(metric)}, {direction}": figures(own, metric) for direction, own in each.items()
        }
    costs = {
        f"{SENSORIUM}, nothing cached": [found[0].spent.cost],
        f"{SENSORIUM}, from the cache": [one.spent.cost for one in found[1:]],
        f"{RIDGE}, features known": [one.ridge for one in found],
    }
    return {
        "tables": {},
        "bases": {},
        "scores": scores,
        "figures": {"a training": {name: _seconds(own) for name, own in costs.items() if own}},
        "notes": {"test rows": len(found[0].places[SENSORIUM][directions[0]])},
    }


def _seconds(costs: Sequence[Cost]) -> dict[str, Any]:
    return {
        "CPU-seconds": spread([one.cpu for one in costs]),
        "seconds": spread([one.wall for one in costs]),
    }


if __name__ == "__main__":
    main()
