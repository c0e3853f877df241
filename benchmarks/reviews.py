"""English and Chinese reviews: how often each recipe of the example is right, and what it costs to train.

    python -m examples.reviews.build
    python -m benchmarks.reviews --output benchmarks/results/reviews.json

Beside the recipes stands logistic regression over TF-IDF, the reference, which learns from the same rows
(those for validation too, as it needs none) and answers the same test rows. A repeat is a seed: of weights,
order and dropout; the reference has none. Time is that of one process, from the table on disk to the model on
disk. The settings of the recipes were chosen on training rows alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.common import Cost, circumstances, cost, parser, rates, report
from benchmarks.known_scores import figures
from benchmarks.processes import ROOT
from examples.reviews import build
from sensorium.comparison.scores import ROW_SCORES, answers_of
from sensorium.data.column import Array
from sensorium.data.table import Table
from sensorium.fitting import train_in, with_training
from sensorium.prepare import bind_columns, open_table, split_table
from sensorium.recipe import Recipe, read_recipe
from sensorium.training.progress import Silent

EXAMPLE = ROOT / "examples" / "reviews"
BASE = "logistic regression over TF-IDF"
VECTORS: dict[str, dict[str, Any]] = {
    "english": {"ngram_range": (1, 2)},
    "chinese": {"ngram_range": (1, 2), "analyzer": "char"},
}
"""What the reference counts: words and pairs of words, and characters and pairs of characters."""


class Fitted(NamedTuple):
    """One repeat of one method.

    Attributes:
        training: what it took.
        right: `(N,)` float64, 1 where the answer to a test row is right.
    """

    training: Cost
    right: Array


class Reviews(NamedTuple):
    """The reviews of one language.

    Attributes:
        language: as the example names it.
        table: all of them.
        parts: "train", "validation", "test" → positions in the table.
    """

    language: str
    table: Table
    parts: dict[str, Array]


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains every recipe with every seed, and the reference once a round."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--only", default="", help="recipes whose name contains this; default: all")
    options.add_argument("--languages", nargs="+", choices=list(VECTORS), default=list(VECTORS))
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args(arguments)
    began = circumstances()
    content: dict[str, Any] = {"tables": {}, "bases": {}, "scores": {}, "notes": {}}
    with threadpool_limits(limits=chosen.threads), tempfile.TemporaryDirectory() as folder:
        for language in chosen.languages:
            paths = [path for path in recipes(language) if chosen.only in path.stem]
            data = small(Path(folder), language) if chosen.smoke else None
            add(content, language, *measure(language, paths, data, chosen.repeats))
    report("reviews", content, chosen.output, began)


def recipes(language: str) -> list[Path]:
    """The example's recipes of one language."""
    return sorted(EXAMPLE.glob(f"{language}*.yaml"))


def small(folder: Path, language: str) -> Path:
    """A table of few reviews, for a look at whether all of it runs."""
    path = folder / f"{language}.parquet"
    build.write(build.build_rows(language, rows=100), path)
    return path


def measure(
    language: str, paths: Sequence[Path], data: Path | None, repeats: int
) -> tuple[dict[str, list[Fitted]], Reviews]:
    """Every method once a seed, in turns; few epochs where `data` is a small table."""
    reviews = reviews_of(language, read_recipe(paths[0]), data)
    found: dict[str, list[Fitted]] = {name: [] for name in (BASE, *(path.stem for path in paths))}
    for seed in range(repeats):
        found[BASE].append(reference(reviews))
        for path in paths:
            changed = {"seed": seed} | ({} if data is None else {"epochs": 1})
            recipe = with_training(read_recipe(path), changed)
            found[path.stem].append(trained(recipe, reviews, data))
    return found, reviews


def reviews_of(language: str, recipe: Recipe, data: Path | None) -> Reviews:
    """The table and its parts, which are the same for all recipes of a language."""
    table = open_table(recipe, data)
    return Reviews(language, table, split_table(recipe, table, bind_columns(recipe)[1]))


def reference(reviews: Reviews) -> Fitted:
    """Logistic regression over TF-IDF; see `VECTORS`."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, labels = (np.array(list(reviews.table.column(name))) for name in ("text", "sentiment"))
    known = np.concatenate([reviews.parts["train"], reviews.parts["validation"]])
    vectors = TfidfVectorizer(sublinear_tf=True, min_df=2, **VECTORS[reviews.language])
    model = make_pipeline(vectors, LogisticRegression(max_iter=1000))
    taken = cost(lambda: model.fit(texts[known], labels[known]))
    test = reviews.parts["test"]
    return Fitted(taken, (model.predict(texts[test]) == labels[test]).astype(np.float64))


def trained(recipe: Recipe, reviews: Reviews, data: Path | None) -> Fitted:
    """A recipe trained, then asked about the test rows."""
    (output,) = recipe.outputs
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        taken = cost(lambda: train_in(recipe, run, Silent(), data=data))
        answers = answers_of(run, recipe, reviews.table, reviews.parts["test"])[output]
    return Fitted(taken, ROW_SCORES["category"](answers))


def add(content: dict[str, Any], language: str, found: dict[str, list[Fitted]], reviews: Reviews) -> None:
    """Puts the figures of one language into a result."""
    title = f"{language.capitalize()} reviews"
    learned = len(reviews.parts["train"]) + len(reviews.parts["validation"])
    training = {name: [one.training for one in runs] for name, runs in found.items()}
    content["tables"][f"{title}, rows of training"] = rates(training, learned, BASE)
    content["bases"][f"{title}, rows of training"] = BASE
    scores = {name: np.stack([one.right for one in runs]) for name, runs in found.items()}
    content["scores"][f"{title}, accuracy on {len(reviews.parts['test']):,} test rows"] = figures(scores)
    for name, runs in found.items():
        content["notes"][f"{title}, {name}"] = {
            "CPU-seconds of training": [round(one.training.cpu, 1) for one in runs],
            "seconds": [round(one.training.wall, 1) for one in runs],
        }


if __name__ == "__main__":
    main()
