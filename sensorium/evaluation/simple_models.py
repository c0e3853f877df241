"""Models from scikit-learn on simple features: what a table gives without deep learning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sensorium.data.column import Array, Cells
from sensorium.errors import require
from sensorium.evaluation.features import Features

MOST_TERMS = 2_000
"""Words and pairs of words of a text that count, and as many parts of words of 2 to 4 characters."""
TEXT_DIRECTIONS = 64
"""Numbers that a text becomes for gradient boosting."""
MOST_STEPS = 500
"""Of the optimiser of a logistic regression."""
MOST_TREES = 1_000
"""Of gradient boosting, a tree for every class in every round; see `ROUNDS`."""
ROUNDS = (10, 100)
"""The fewest and the most rounds of gradient boosting."""


class Design(NamedTuple):
    """What the models see of N rows.

    Attributes:
        wide: `(N, F)` sparse, for linear models: the texts' TF-IDF, and the standardised numbers.
        narrow: `(N, G)` float32, for trees: the texts' main directions, and the numbers.
    """

    wide: Any
    narrow: Array


def designs(training: Features, measured: Features) -> tuple[Design, Design]:
    """Prepares the features of the training rows, and those of the measured rows in the same way."""
    sparse = require("scipy.sparse", "train")
    wide, narrow = [], []
    if training.numbers.shape[1]:
        scaler = require("sklearn.preprocessing", "train").StandardScaler().fit(training.numbers)
        wide.append([sparse.csr_matrix(scaler.transform(one.numbers)) for one in (training, measured)])
        narrow.append([training.numbers, measured.numbers])
    for name, texts in training.texts.items():
        terms = _terms(texts, measured.texts[name])
        wide.append(terms)
        narrow.append(_directions(*terms))
    first, second = (
        Design(
            sparse.hstack([block[side] for block in wide], format="csr"),
            np.concatenate([block[side] for block in narrow], axis=1),
        )
        for side in (0, 1)
    )
    return first, second


def _terms(training: list[str], measured: list[str]) -> list[Any]:
    """TF-IDF of words, pairs of words and parts of words; signs and single characters count as words."""
    sparse, text = require("scipy.sparse", "train"), require("sklearn.feature_extraction.text", "train")
    if not any(one.strip() for one in training):
        return [sparse.csr_matrix((len(texts), 1)) for texts in (training, measured)]
    settings = {"max_features": MOST_TERMS, "sublinear_tf": True}
    pattern = r"\w+|[^\w\s]"
    words = text.TfidfVectorizer(token_pattern=pattern, ngram_range=(1, 2), **settings)
    parts = text.TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), **settings)
    fitted = [words.fit_transform(training), parts.fit_transform(training)]
    return [
        sparse.hstack(fitted, format="csr"),
        sparse.hstack([words.transform(measured), parts.transform(measured)], format="csr"),
    ]


def _directions(training: Any, measured: Any) -> list[Array]:
    """The largest directions of the terms (latent semantic analysis), as trees want few dense columns."""
    decomposition = require("sklearn.decomposition", "train")
    size = min(TEXT_DIRECTIONS, training.shape[0] - 1, training.shape[1] - 1)
    if size < 1:
        return [one[:, :1].toarray() for one in (training, measured)]
    reduction = decomposition.TruncatedSVD(size, random_state=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # equal texts have no variance to be explained
        return [reduction.fit_transform(training), reduction.transform(measured)]


class SimpleModel(NamedTuple):
    """One of `SIMPLE_MODELS`.

    Attributes:
        new: number of trees a round (classes, or 1) → a classifier or regressor that is not fitted.
        design: which field of `Design` it sees.
    """

    new: Callable[[int], Any]
    design: str


def _logistic_regression(trees: int) -> Any:
    return require("sklearn.linear_model", "train").LogisticRegression(max_iter=MOST_STEPS)


def _ridge(trees: int) -> Any:
    return require("sklearn.linear_model", "train").Ridge()


def _boosted_classes(trees: int) -> Any:
    return require("sklearn.ensemble", "train").HistGradientBoostingClassifier(**_boosting(trees))


def _boosted_numbers(trees: int) -> Any:
    return require("sklearn.ensemble", "train").HistGradientBoostingRegressor(**_boosting(trees))


def _boosting(trees: int) -> dict[str, Any]:
    """Few bins, which take a third of the time of 255 and on the stamps lose nothing."""
    return {"max_iter": rounds(trees), "max_bins": 64, "early_stopping": False, "random_state": 0}


def rounds(trees: int) -> int:
    """How many rounds of so many trees gradient boosting takes."""
    fewest, most = ROUNDS
    return max(fewest, min(most, MOST_TREES // max(1, trees)))


_CLASSIFIERS = {
    "logistic regression": SimpleModel(_logistic_regression, "wide"),
    "gradient boosting": SimpleModel(_boosted_classes, "narrow"),
}


def _nearest(trees: int) -> Any:
    return require("sklearn.neighbors", "train").NearestNeighbors(n_neighbors=1, metric="cosine")


SIMPLE_MODELS: dict[str, dict[str, SimpleModel]] = {
    "category": _CLASSIFIERS,
    "categories": _CLASSIFIERS,
    "number": {
        "ridge regression": SimpleModel(_ridge, "wide"),
        "gradient boosting": SimpleModel(_boosted_numbers, "narrow"),
    },
    "text": {"nearest training row": SimpleModel(_nearest, "wide")},
}
"""Type of output → name → model, with scikit-learn's defaults but for what bounds its time."""


class Answers(NamedTuple):
    """What a simple model says of the measured rows.

    Attributes:
        predicted: `(N, C)` probabilities, or `(N,)` numbers in the scale of the target's column, or `(N, L)`
            tokens of a text, padded with 0.
        converged: False where an optimiser stopped at `MOST_STEPS`.
    """

    predicted: Array
    converged: bool


def answer_category(model: SimpleModel, training: Any, target: Cells, measured: Any, column: Any) -> Answers:
    """Probabilities of the column's C classes.

    Args:
        model: to fit.
        training: features of the N training rows.
        target: their classes; rows without one, or with one not learned, are left out.
        measured: features of the rows to answer for.
        column: of the target, fitted.
    """
    codes = target.values[:, 0]
    rows = np.flatnonzero(target.mask[:, 0] & (codes > 0))
    probabilities = np.zeros((measured.shape[0], len(column.labels)), dtype=np.float64)
    seen = np.unique(codes[rows])
    if len(seen) < 2:
        probabilities[:, seen - 1] = 1
        return Answers(probabilities, True)
    fitted, converged = _fit(model.new(1 if len(seen) == 2 else len(seen)), training[rows], codes[rows])
    probabilities[:, fitted.classes_ - 1] = fitted.predict_proba(measured)
    return Answers(probabilities, converged)


def answer_categories(
    model: SimpleModel, training: Any, target: Cells, measured: Any, column: Any
) -> Answers:
    """Probabilities of the column's C labels, one model a label; see `answer_category`."""
    rows = np.flatnonzero(target.mask[:, 0])
    truth = target.values[rows, 1:] > 0.5
    probabilities = np.tile(truth.mean(axis=0), (measured.shape[0], 1))
    every = True
    for label in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)):
        fitted, converged = _fit(model.new(len(column.labels)), training[rows], truth[:, label])
        probabilities[:, label] = fitted.predict_proba(measured)[:, 1]
        every = every and converged
    return Answers(probabilities, every)


def answer_number(model: SimpleModel, training: Any, target: Cells, measured: Any, column: Any) -> Answers:
    """Numbers in the scale of the target's column; see `answer_category`."""
    rows = np.flatnonzero(target.mask[:, 0])
    fitted, converged = _fit(model.new(1), training[rows], target.values[rows, 0].astype(np.float64))
    return Answers(np.asarray(fitted.predict(measured)).reshape(-1), converged)


def answer_text(model: SimpleModel, training: Any, target: Cells, measured: Any, column: Any) -> Answers:
    """The tokens of the training row whose features are nearest by cosine; see `answer_category`."""
    rows = np.flatnonzero(target.mask.any(axis=1))
    found = model.new(1).fit(training[rows]).kneighbors(measured, return_distance=False)[:, 0]
    return Answers(np.where(target.mask, target.values, 0)[rows[found]], True)


ANSWERS: dict[str, Callable[[SimpleModel, Any, Cells, Any, Any], Answers]] = {
    "category": answer_category,
    "categories": answer_categories,
    "number": answer_number,
    "text": answer_text,
}
"""By type of output."""


def _fit(model: Any, features: Any, target: Array) -> tuple[Any, bool]:
    """The fitted model, and whether its optimiser came to an end, which the report says in its own words."""
    exceptions = require("sklearn.exceptions", "train")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        model.fit(features, target)
    stopped = getattr(model, "solver", "") == "lbfgs" and int(np.max(model.n_iter_)) >= MOST_STEPS
    return model, not stopped
