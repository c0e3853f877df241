"""What the examples that write texts reach on their test rows, beside their baselines, and what that costs.

    python -m benchmarks.texts --output benchmarks/results/texts.json
    python -m benchmarks.texts --only pairs reading --output benchmarks/results/texts.json

Every example is trained once, from its recipe. The interval is a bootstrap over test rows; differences are
paired, against the model. A baseline that beats the model shows as a difference below zero. Examples that
are not asked for keep the figures of before. The table of the stamps' questions is built first:
python -m examples.questions.build
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from benchmarks.common import circumstances, cost, parser, report, spread
from benchmarks.text_baselines import BASELINES, Parts
from sensorium.data.table import Table
from sensorium.evaluation.metrics import Interval, bootstrap
from sensorium.fitting import train_in
from sensorium.heads.head import Rows
from sensorium.heads.text_metrics import Counts, counts_of, text_metrics
from sensorium.predict import Predictor, load
from sensorium.prepare import bind_columns, open_table, split_table
from sensorium.recipe import Recipe, parse_recipe
from sensorium.training.progress import Silent

EXAMPLES = Path(__file__).parents[1] / "examples"
MODEL = "the recipe"
SPENT = "CPU-seconds: a whole training, and writing the test rows"
RESAMPLES = 1000
SMOKE_ROWS = 40


class Example(NamedTuple):
    """A recipe, and what it is compared with.

    Attributes:
        recipe: path in examples/.
        metrics: of `text_metrics`.
        baselines: of `BASELINES`.
    """

    recipe: str
    metrics: tuple[str, ...]
    baselines: tuple[str, ...]


_CAPTION = ("most frequent text", "nearest training row", "nearest by frozen features")
_TRANSLATION = ("most frequent text", "nearest training row", "word by word")
_QUESTION = ("most frequent text", "question alone, trained so", "pictures shuffled")

TEXTS = {
    "pairs": Example("pairs/recipe.yaml", ("exact_match", "chrf"), _TRANSLATION),
    "reading": Example(
        "reading/recipe.yaml", ("exact_match",), ("most frequent text", "nearest training row")
    ),
    "questions": Example("questions/recipe.yaml", ("exact_match",), _QUESTION),
    "questions about stamps": Example("questions/stamps.yaml", ("exact_match",), _QUESTION),
    "captions": Example("captions/recipe.yaml", ("chrf", "bleu"), _CAPTION),
    "captions in Chinese": Example("captions/chinese.yaml", ("chrf", "bleu"), _CAPTION),
    "translation": Example("translation/recipe.yaml", ("chrf", "bleu"), _TRANSLATION),
    "translation into Chinese": Example("translation/chinese.yaml", ("chrf", "bleu"), _TRANSLATION),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains what is asked for, and keeps the earlier figures of the others."""
    options = parser(__doc__ or "", repeats=1)
    options.add_argument("--only", choices=TEXTS, nargs="*", default=None, help="examples")
    chosen = options.parse_args(arguments)
    began = circumstances()
    smoke: list[str] = ["pairs"] if chosen.smoke else list(TEXTS)
    scores, figures = _kept(chosen.output)
    for name in smoke if chosen.only is None else chosen.only:
        scores |= measure(name, TEXTS[name], chosen.smoke, figures)
    content = {"tables": {}, "bases": {}, "scores": scores, "figures": {SPENT: figures}, "notes": {}}
    report("texts", content, chosen.output, began)


def _kept(output: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    if output is None or not output.exists():
        return {}, {}
    kept = json.loads(output.read_text(encoding="utf-8"))
    return kept["scores"], kept["figures"][SPENT]


def measure(name: str, example: Example, smoke: bool, figures: dict[str, Any]) -> dict[str, Any]:
    """Title → variant → scores of one example; what it costs goes to `figures`."""
    recipe = recipe_of(example, smoke)
    (output,) = recipe.outputs
    column = recipe.outputs[output].column or output
    table = open_table(recipe)
    parts = split_table(recipe, table, bind_columns(recipe)[1])
    train, test = (table.take(_some(parts[one], smoke)) for one in ("train", "test"))
    test = test.take(np.array([row for row in range(len(test)) if test.cell(column, row)], np.int64))
    with tempfile.TemporaryDirectory() as folder:
        given = train if smoke else None
        training = cost(lambda: train_in(recipe, Path(folder) / "run", Silent(), data=given))
        predictor = load(Path(folder) / "run")
        said: dict[str, list[str]] = {}
        writing = cost(lambda: said.update({MODEL: written(predictor, test)}))
        asked = Parts(recipe, column, train, test, predictor)
        said |= {one: BASELINES[one](asked) for one in example.baselines}
    figures[name] = {"training": spread([training.cpu]), "writing": spread([writing.cpu])}
    truth = [str(test.cell(column, row)) for row in range(len(test))]
    return {
        f"{name}, {metric.replace('_', ' ')}, {len(test)} rows": compared(said, truth, metric)
        for metric in example.metrics
    }


def recipe_of(example: Example, smoke: bool) -> Recipe:
    """The recipe as it is, or one of a single epoch."""
    path = EXAMPLES / example.recipe
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if smoke:
        content["training"] |= {"epochs": 1}
        content["data"]["split"] = {"validation": 0.2}
    return parse_recipe(content, folder=path.parent)


def _some(rows: Rows, smoke: bool) -> Rows:
    return rows[:SMOKE_ROWS] if smoke else rows


def written(predictor: Predictor, table: Table) -> list[str]:
    """What the model writes for every row."""
    (output,) = predictor.outputs
    return [text or "" for text in predictor.tabulate(table)[f"{output}_prediction"].to_pylist()]


def compared(said: Mapping[str, list[str]], truth: list[str], metric: str) -> dict[str, Any]:
    """Variant → its score, and by how much the model is better, in the words of `report`."""
    counts = {name: counts_of(texts, truth) for name, texts in said.items()}
    return {name: _score(counts[MODEL], each, name == MODEL, metric) for name, each in counts.items()}


def _score(model: Counts, counts: Counts, reference: bool, metric: str) -> dict[str, Any]:
    def metrics_of(rows: Rows) -> dict[str, float]:
        value = text_metrics(counts, rows)[metric]
        return {metric: value, "difference": text_metrics(model, rows)[metric] - value}

    found = bootstrap(metrics_of, np.arange(len(model.exact)), RESAMPLES)
    return {
        **_rounded(found[metric]),
        "seeds": [round(found[metric].value, 4)],
        "difference": None if reference else _rounded(found["difference"]),
    }


def _rounded(interval: Interval) -> dict[str, float]:
    return {key: round(getattr(interval, key), 4) for key in ("value", "low", "high")}


if __name__ == "__main__":
    main()
