"""Whether the fusions find what there is to find, on tables whose answer is known, and on two real ones.

    python -m benchmarks.known_answers --output benchmarks/results/known_answers.json        # 12 min

Two modalities whose XOR is the label; two that say the same; two of which one is spoiled after training; the
digits and stamps of examples/, beside single inputs and simple models. Each round trains every variant with
another seed, in processes side by side, one thread each. Differences are paired: the same rows for both; the
reference is the best single input where single inputs are asked, else the first variant.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from benchmarks import known_tables
from benchmarks.common import circumstances, parser, report
from benchmarks.known_scores import ADDITIVE, CROSSING, HIDDEN, figures, verdicts
from sensorium.comparison.scores import ROW_SCORES, answers_of
from sensorium.data.column import Array
from sensorium.data.table import Table, read_table
from sensorium.fitting import train_in
from sensorium.prepare import bind_columns, open_table, split_table
from sensorium.recipe import Recipe, parse_recipe
from sensorium.training.progress import Silent

EXAMPLES = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Question:
    """A table, and the variants that are asked about it.

    Attributes:
        title: of the table of scores.
        variants: a fusion, one "with a hidden layer" in the head, or "NAME alone" for one input.
        make: a made table of so many rows and a seed; None for an example.
        rows: for training and for the test.
        example: a folder of examples/.
        noise: shares of noise in the pictures of the test, for what accuracy is lost by it.
    """

    title: str
    variants: tuple[str, ...]
    make: Callable[[int, int], known_tables.Table] | None = None
    rows: tuple[int, int] = (600, 1000)
    example: str = ""
    noise: tuple[float, ...] = ()


QUESTIONS = {
    "stamps": Question("Stamps", ("concat", "text_en alone"), example="stamps"),
    "digits": Question(
        "Digits by sight and sound",
        ("picture alone", "speech alone", "gated", "concat"),
        example="digits",
    ),
    "xor": Question("XOR of two modalities", (*ADDITIVE, *CROSSING), known_tables.xor),
    "redundant": Question(
        "A redundant label", ("text alone", "picture alone", *ADDITIVE, *CROSSING), known_tables.redundant
    ),
    "noise": Question(
        "Noise in the pictures",
        ("late", "concat", "product", "low_rank", "tensor", "cross_attention", "gated"),
        known_tables.shared,
        noise=(0.2, 0.4, 0.6, 0.8, 1.0),
    ),
}
"""The slowest question comes first, so that no process waits long at the end."""


class Job(NamedTuple):
    """One training."""

    question: str
    variant: str
    seed: int
    smoke: bool


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains every variant of every question in each round."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--only", choices=QUESTIONS, nargs="*", default=list(QUESTIONS), help="questions")
    options.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="trainings side by side")
    chosen = options.parse_args(arguments)
    began = circumstances()
    kept = {name: QUESTIONS[name].variants[: 2 if chosen.smoke else None] for name in chosen.only}
    jobs = [
        Job(name, variant, seed, chosen.smoke)
        for name, variants in kept.items()
        for variant in variants
        for seed in range(chosen.repeats)
    ]
    answers = dict(zip(jobs, _work_through(jobs, chosen.processes), strict=True))
    scores: dict[str, dict[str, Any]] = {}
    for name, variants in kept.items():
        seeds = range(chosen.repeats)
        found = {
            one: np.array([answers[Job(name, one, seed, chosen.smoke)] for seed in seeds]) for one in variants
        }
        if name == "stamps":
            found |= {one: np.stack([hits] * chosen.repeats) for one, hits in simple_models().items()}
        scores |= tables_of(QUESTIONS[name], found)
    report(
        "known_answers",
        {"tables": {}, "bases": {}, "scores": scores, "notes": verdicts(scores)},
        chosen.output,
        began,
    )


def tables_of(question: Question, found: Mapping[str, Array]) -> dict[str, dict[str, Any]]:
    """Title → variant → figures, from variant → `(S, T, N)`: S seeds, T scores of each of N rows."""
    clean = {name: each[:, 0] for name, each in found.items()}
    if not question.noise:
        return {f"{question.title}, accuracy": figures(clean)}
    lost = {name: each[:, 0] - each[:, 1:].mean(axis=1) for name, each in found.items()}
    shares = ", ".join(f"{share:g}" for share in question.noise)
    return {
        f"{question.title}, accuracy without": figures(clean),
        f"{question.title}, accuracy lost, mean over shares of {shares}": figures(lost, "loss"),
    }


def simple_models() -> dict[str, Array]:
    """Stamps: always the most frequent category, and logistic regression on the words of the description.

    Returns:
        name → `(1, N)` whether each row of the test is right.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    recipe = example_recipe("stamps", "concat", 0, smoke=False)
    table = open_table(recipe)
    parts = split_table(recipe, table, bind_columns(recipe)[1])
    known = np.concatenate([parts["train"], parts["validation"]])
    texts = np.array([table.cell("text_en", row) or "" for row in range(len(table))])
    labels = np.array([table.cell("category", row) for row in range(len(table))])
    names, counts = np.unique(labels[known], return_counts=True)
    words = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000)).fit(
        texts[known], labels[known]
    )
    truth = labels[parts["test"]]
    return {
        "most frequent category": (truth == names[counts.argmax()])[None],
        "logistic regression on words": (words.predict(texts[parts["test"]]) == truth)[None],
    }


def _work_through(jobs: Sequence[Job], processes: int) -> list[Array]:
    if processes == 1:
        return [answer(job) for job in jobs]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_one_thread) as pool:
        return list(pool.map(answer, jobs))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def answer(job: Job) -> Array:
    """Trains one variant.

    Returns:
        `(T, N)` float64, 1 where a row of the test is right: the clean test, then each share of noise.
    """
    question = QUESTIONS[job.question]
    if question.make is None:
        return hits(example_recipe(question.example, job.variant, job.seed, job.smoke), None, [])
    rows = (60, 20) if job.smoke else question.rows
    table = _made(question.make, rows)
    noise = [read_table(known_tables.noisy(table, share, seed=3)) for share in question.noise]
    return hits(made_recipe(job.variant, job.seed, epochs=1 if job.smoke else 10), table, noise)


@functools.cache
def _made(make: Callable[[int, int], known_tables.Table], rows: tuple[int, int]) -> known_tables.Table:
    return known_tables.in_parts(make, *rows)


def hits(recipe: Recipe, data: Any, others: Sequence[Table]) -> Array:
    """Trains a recipe with one category, and asks about its test rows, in its table and in others like it."""
    table = open_table(recipe, data)
    rows = split_table(recipe, table, bind_columns(recipe)[1])["test"]
    (output,) = recipe.outputs
    with tempfile.TemporaryDirectory() as folder:
        run = train_in(recipe, Path(folder) / "run", Silent(), data=data)
        found = [answers_of(run, recipe, each, rows)[output] for each in (table, *others)]
    return np.stack([ROW_SCORES["category"](each) for each in found])


def made_recipe(variant: str, seed: int, epochs: int = 10) -> Recipe:
    """Small encoders and a fusion of width 32, for the made tables."""
    content = {
        "data": {"split": {"column": "part", "validation": 0.15}, "cache": False},
        "inputs": {
            "text": {
                "type": "text",
                "tokenizer": "word",
                "min_count": 1,
                "encoder": {"kind": "mean", "embedding": 32},
            },
            "picture": {
                "type": "image",
                "size": known_tables.SIDE,
                "encoder": {"kind": "cnn", "channels": [8, 16], "dense": 32},
            },
        },
        "fusion": {"kind": "concat", "width": 32},
        "outputs": {"label": {"type": "category"}},
        "training": {"epochs": epochs, "batch_size": 32, "precision": "fp32", "optimizer": {"lr": 0.005}},
    }
    return parse_recipe(_vary(content, variant, seed))


def example_recipe(example: str, variant: str, seed: int, smoke: bool) -> Recipe:
    """The recipe of an example, with another fusion or one input alone."""
    folder = EXAMPLES / example
    content = _vary(yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8")), variant, seed)
    if smoke:
        content["training"]["epochs"] = 1
    return parse_recipe(content, folder=folder)


def _vary(content: dict[str, Any], variant: str, seed: int) -> dict[str, Any]:
    alone, fusion = variant.removesuffix(" alone"), variant.removesuffix(HIDDEN)
    if alone != variant:
        content["inputs"] = {alone: content["inputs"][alone]}
    else:
        content["fusion"]["kind"] = fusion
    if fusion != variant:
        content["outputs"]["label"]["hidden"] = [32]
    content["training"]["seed"] = seed
    return content


if __name__ == "__main__":
    main()
