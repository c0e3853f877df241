"""Tables of numbers and categories: FT-Transformer and the default recipe beside gradient boosting.

    python -m benchmarks.table_data
    python -m benchmarks.tables --output benchmarks/results/tables.json

Every method learns from the same rows and answers the same test rows; a repeat is a seed. Error: root mean
square for California, share of wrong answers for Adult, the mean over seeds with a 95 % interval by the
bootstrap over test rows. Time: reading, fitting and early stopping, in one process, on one thread by default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

import sensorium
from benchmarks.common import Cost, circumstances, cost, parser, rates, report
from benchmarks.table_data import Data, adult, california, fetched, made
from sensorium.data.column import Array
from sensorium.evaluation.metrics import bootstrap

BASE = "gradient boosting"
STEPS = 1500
"""Of FT-Transformer, about, and at most 30 epochs; the weights that validate best are kept."""

Answering = Callable[[pa.Table], Array]


class Fitted(NamedTuple):
    """One repeat of one method on one table.

    Attributes:
        training: what fitting took.
        prediction: what answering the test rows took.
        losses: `(N,)` of the test rows: the squared error, or 1 where the answer is wrong.
    """

    training: Cost
    prediction: Cost
    losses: Array


def main(arguments: Sequence[str] | None = None) -> None:
    """Fits every method on both tables, as often as asked, in turns."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--only", default="", help="methods whose name contains this, and the first")
    chosen = options.parse_args(arguments)
    if not (fetched() or chosen.smoke):
        raise SystemExit("the tables are not there: python -m benchmarks.table_data")
    began = circumstances()
    torch.set_num_threads(chosen.threads)
    sets, names = {"California": california, "Adult": adult}, list(METHODS)
    if chosen.smoke:
        sets, names = {"made": lambda: made("category", 200)}, [BASE, "Sensorium, FT-Transformer"]
    names = [name for name in names if chosen.only in name or name == BASE]
    content: dict[str, Any] = {"tables": {}, "bases": {}, "notes": {}, "costs": {}}
    with threadpool_limits(limits=chosen.threads):
        for title, load in sets.items():
            data = load()
            add(content, title, data, measure(data, names, chosen.repeats))
    report("tables", content, chosen.output, began)


def measure(data: Data, names: Sequence[str], repeats: int) -> dict[str, list[Fitted]]:
    """Every method once a seed, in turns, after a fit on few rows that is not counted."""
    found: dict[str, list[Fitted]] = {name: [] for name in names}
    few = data._replace(table=data.table.slice(0, 300))
    for name in names:
        fit_once(METHODS[name], few, 0)
    for seed in range(repeats):
        for name in names:
            found[name].append(fit_once(METHODS[name], data, seed))
    return found


def fit_once(method: Callable[[Data, int], Answering], data: Data, seed: int) -> Fitted:
    """Fits, then answers the test rows."""
    kept: dict[str, Any] = {}
    training = cost(lambda: kept.update(answering=method(data, seed)))
    test = data.part("test")
    prediction = cost(lambda: kept.update(answers=kept["answering"](test)))
    truth = test[data.target].to_numpy()
    if data.task == "number":
        return Fitted(training, prediction, (np.asarray(kept["answers"], dtype=float) - truth) ** 2)
    return Fitted(training, prediction, (np.asarray(kept["answers"]) != truth).astype(float))


def add(content: dict[str, Any], title: str, data: Data, found: Mapping[str, Sequence[Fitted]]) -> None:
    """Puts the figures of one table into a result."""
    learned, answered = data.part("train", "validation").num_rows, data.part("test").num_rows
    training = {name: [one.training for one in runs] for name, runs in found.items()}
    prediction = {name: [one.prediction for one in runs] for name, runs in found.items()}
    for work, costs, rows in (("training", training, learned), ("prediction", prediction, answered)):
        content["tables"][f"{title}, rows of {work}"] = rates(costs, rows, BASE)
        content["bases"][f"{title}, rows of {work}"] = BASE
        content["costs"][f"{title}, {work}"] = costs
    for name, runs in found.items():
        content["notes"][f"{title}, {name}"] = {
            **error_of(data.task, np.stack([one.losses for one in runs])),
            "training_cpu_seconds": float(f"{np.median([one.training.cpu for one in runs]):.3g}"),
            "training_seconds": float(f"{np.median([one.training.wall for one in runs]):.3g}"),
            "prediction_cpu_seconds": float(f"{np.median([one.prediction.cpu for one in runs]):.3g}"),
        }


def error_of(task: str, losses: Array) -> dict[str, Any]:
    """The error of `(seeds, N)` losses: the mean over seeds, its interval over rows, and each seed's."""
    root = np.sqrt if task == "number" else np.asarray

    def mean_over_seeds(rows: Array) -> dict[str, float]:
        return {"error": float(root(losses[:, rows].mean(axis=1)).mean())}

    interval = bootstrap(mean_over_seeds, np.arange(losses.shape[1]))["error"]
    seeds = [round(float(one), 4) for one in root(losses.mean(axis=1))]
    value, low, high = (round(one, 4) for one in interval[:3])
    limits = f" ({low} to {high})" if np.isfinite(low) else ""  # no resample differs
    return {"error": f"{value}{limits}", "seeds": seeds}


def linear(data: Data, seed: int) -> Answering:
    """Ridge or logistic regression over standardised numbers and a column a label."""
    encoder = make_column_transformer(
        (StandardScaler(), data.numbers), (OneHotEncoder(handle_unknown="ignore"), data.categories)
    )
    last = Ridge() if data.task == "number" else LogisticRegression(max_iter=1000)
    return _fit_frame(make_pipeline(encoder, last), data)


def gradient_boosting(data: Data, seed: int) -> Answering:
    """scikit-learn's histogram gradient boosting, which stops early on a fifth of its rows."""
    encoder = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), data.categories),
        ("passthrough", data.numbers),
    )
    number = data.task == "number"
    kind = HistGradientBoostingRegressor if number else HistGradientBoostingClassifier
    last = kind(
        max_iter=1000,
        early_stopping=True,
        validation_fraction=0.2,
        n_iter_no_change=20,
        categorical_features=list(range(len(data.categories))),
        random_state=seed,
    )
    return _fit_frame(make_pipeline(encoder, last), data)


def default_recipe(data: Data, seed: int) -> Answering:
    """Sensorium as `sensorium init` drafts it: embeddings and small dense layers, joined."""
    return _fit_sensorium(data, {"seed": seed}, "concat", {}, {})


def ft_transformer(data: Data, seed: int) -> Answering:
    """FT-Transformer (Gorishniy et al. 2021, arXiv 2106.11959), of two blocks and a third of the width."""
    return _fit_transformer(data, seed, {})


def ft_transformer_periodic(data: Data, seed: int) -> Answering:
    """The same over periodic features of every number (Gorishniy et al. 2022, arXiv 2203.05556)."""
    return _fit_transformer(data, seed, {"frequencies": 16, "spread": 0.5})


METHODS: Mapping[str, Callable[[Data, int], Answering]] = {
    "linear model": linear,
    BASE: gradient_boosting,
    "Sensorium, default recipe": default_recipe,
    "Sensorium, FT-Transformer": ft_transformer,
    "Sensorium, FT-Transformer, periodic features": ft_transformer_periodic,
}


def _fit_frame(pipeline: Any, data: Data) -> Answering:
    rows = data.part("train", "validation").to_pandas()
    pipeline.fit(rows, rows[data.target])
    return lambda table: np.asarray(pipeline.predict(table.to_pandas()))


def _fit_transformer(data: Data, seed: int, number: dict[str, Any]) -> Answering:
    width, batch = 64, 256
    epochs = min(30, math.ceil(STEPS * batch / data.part("train").num_rows))
    training = {"seed": seed, "epochs": epochs, "batch_size": batch, "early_stop": None}
    fusion = {"kind": "transformer", "width": width, "layers": 2, "heads": 4, "dropout": 0.1}
    numbers = {"scale": "quantile", "encoder": {"kind": "token", "width": width, **number}}
    categories = {"encoder": {"kind": "token", "width": width}}
    return _fit_sensorium(data, training, fusion, numbers, categories)


def _fit_sensorium(
    data: Data, training: dict[str, Any], fusion: Any, number: dict[str, Any], category: dict[str, Any]
) -> Answering:
    numbers = {name: {"type": "number", **number} for name in data.numbers}
    categories = {name: {"type": "category", **category} for name in data.categories}
    recipe = {
        "data": {"split": {"column": "part"}},
        "inputs": numbers | categories,
        "fusion": fusion,
        "outputs": {data.target: {"type": data.task}},
        "training": training,
    }
    predictor = sensorium.fit(data.table, recipe=recipe, verbose=False)
    return lambda table: np.asarray(predictor.predict(table))


if __name__ == "__main__":
    main()
