"""What is written without a decoder: the baselines of the examples that write texts."""

from __future__ import annotations

import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sensorium.data.table import Table, read_table
from sensorium.evaluation.features import simple_features
from sensorium.evaluation.simple_models import SIMPLE_MODELS, designs
from sensorium.fitting import train_in
from sensorium.predict import Predictor, load
from sensorium.recipe import Recipe, parse_recipe
from sensorium.training.progress import Silent

_WORD = re.compile(r"[\u4e00-\u9fff]|(?:(?![\u4e00-\u9fff])\w)+")
ROUNDS = 8
"""Of expectation maximisation: a dictionary changes little after these."""


class Parts(NamedTuple):
    """What a baseline may look at.

    Attributes:
        recipe: of the model.
        column: of the texts that are wanted.
        train, test: rows; every test row has a text.
        predictor: the trained model.
    """

    recipe: Recipe
    column: str
    train: Table
    test: Table
    predictor: Predictor


def most_frequent(parts: Parts) -> list[str]:
    """Always the text that most training rows have."""
    return [Counter(_known(parts)[1]).most_common(1)[0][0]] * len(parts.test)


def nearest_row(parts: Parts) -> list[str]:
    """The text of the training row with the nearest simple features, as the report has it."""
    kinds = {name: part.type for name, part in parts.recipe.inputs.items()}
    rows, texts = _known(parts)
    train, test = parts.predictor.loader(parts.train), parts.predictor.loader(parts.test)
    known, asked = designs(
        simple_features(train, kinds, rows), simple_features(test, kinds, np.arange(len(parts.test)))
    )
    model = SIMPLE_MODELS["text"]["nearest training row"].new(1).fit(known.wide)
    return [texts[row] for row in model.kneighbors(asked.wide, return_distance=False)[:, 0]]


def nearest_features(parts: Parts) -> list[str]:
    """The text of the training row whose encoder gives the nearest vector, by cosine; of one input."""
    (name,) = parts.recipe.inputs
    rows, texts = _known(parts)
    known = parts.predictor.embed(parts.train.take(rows))[name]
    asked = parts.predictor.embed(parts.test)[name]
    return [texts[row] for row in (asked @ known.T).argmax(axis=1)]


def word_by_word(parts: Parts) -> list[str]:
    """Every word of the source as the word that it is most often translated by; see `dictionary`."""
    (name,) = parts.recipe.inputs
    column = parts.recipe.inputs[name].column.column or name
    rows, texts = _known(parts)
    pairs = [
        (_words(str(parts.train.cell(column, int(row)))), _words(text))
        for row, text in zip(rows, texts, strict=True)
    ]
    known = dictionary(pairs)
    asked = [_words(str(parts.test.cell(column, row))) for row in range(len(parts.test))]
    chinese = any("\u4e00" <= one <= "\u9fff" for one in "".join(texts))
    return [("" if chinese else " ").join(known.get(word, word) for word in words) for words in asked]


def dictionary(pairs: Sequence[tuple[list[str], list[str]]]) -> dict[str, str]:
    """Word → its likeliest translation, by IBM's first model (Brown et al. 1993, Computational Linguistics).

    Args:
        pairs: words of sentences, and of what they are in the other language.
    """
    chances: dict[tuple[str, str], float] = defaultdict(lambda: 1.0)
    for _ in range(ROUNDS):
        counts: dict[tuple[str, str], float] = defaultdict(float)
        totals: dict[str, float] = defaultdict(float)
        for source, target in pairs:
            for word in target:
                whole = sum(chances[one, word] for one in source)
                for one in source:
                    share = chances[one, word] / whole
                    counts[one, word] += share
                    totals[one] += share
        chances = defaultdict(float, {pair: count / totals[pair[0]] for pair, count in counts.items()})
    best: dict[str, tuple[float, str]] = {}
    for (one, word), chance in chances.items():
        best[one] = max(best.get(one, (0.0, "")), (chance, word))
    return {one: word for one, (_, word) in best.items()}


def question_alone(parts: Parts) -> list[str]:
    """The same recipe, trained without the picture."""
    content = parts.recipe.as_dict()
    del content["inputs"]["picture"]
    recipe = parse_recipe(content, folder=parts.recipe.folder)
    with tempfile.TemporaryDirectory() as folder:
        predictor = load(train_in(recipe, Path(folder) / "run", Silent()))
        return _written(predictor, parts.test)


def shuffled(parts: Parts) -> list[str]:
    """The trained model, shown the picture of another row."""
    arrow = parts.test.arrow
    order = np.random.default_rng(0).permutation(len(parts.test))
    place = arrow.schema.get_field_index("picture")
    pictures = arrow.column("picture").take(order)
    return _written(parts.predictor, read_table(arrow.set_column(place, "picture", pictures)))


def _written(predictor: Predictor, table: Table) -> list[str]:
    (output,) = predictor.outputs
    return [text or "" for text in predictor.tabulate(table)[f"{output}_prediction"].to_pylist()]


def _known(parts: Parts) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Positions of the training rows that have a text, and these."""
    texts = [parts.train.cell(parts.column, row) for row in range(len(parts.train))]
    rows = np.array([row for row, text in enumerate(texts) if text], np.int64)
    return rows, [str(texts[row]) for row in rows]


def _words(text: str) -> list[str]:
    """Words in small letters, without punctuation; Chinese by characters."""
    return _WORD.findall(text.lower())


BASELINES: dict[str, Callable[[Parts], list[str]]] = {
    "most frequent text": most_frequent,
    "nearest training row": nearest_row,
    "nearest by frozen features": nearest_features,
    "word by word": word_by_word,
    "question alone, trained so": question_alone,
    "pictures shuffled": shuffled,
}
