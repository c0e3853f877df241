"""Scores of texts against the texts that were wanted, counted row by row so that intervals cost little."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sensorium.errors import require

GOALS: dict[str, Literal["max", "min"]] = {
    "chrf": "max",
    "bleu": "max",
    "exact_match": "max",
    "word_error_rate": "min",
    "character_error_rate": "min",
}
"""Metric → whether more or less of it is better."""

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_NO_WORD = re.compile(r"[^\w\s']|_")
_ORDERS = 4  # of BLEU


class Counts(NamedTuple):
    """Of N rows what the metrics add up.

    Attributes:
        exact: `(N,)` bool, whether the text is the wanted one, blanks aside.
        chrf: `(N,)` float64, from 0 to 100.
        bleu: `(N, 10)` int64: right n-grams of one to four words, written ones, and words written and wanted.
        words, characters: `(N, 2)` int64: errors, and how many are wanted.
    """

    exact: npt.NDArray[np.bool_]
    chrf: npt.NDArray[np.float64]
    bleu: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    characters: npt.NDArray[np.int64]


def counts_of(said: Sequence[str], truth: Sequence[str]) -> Counts:
    """Compares N texts with those that were wanted.

    Raises:
        MissingPackage: without sacrebleu and jiwer.
    """
    metrics = require("sacrebleu.metrics", "text")
    require("jiwer", "text")
    chrf, bleu = metrics.CHRF(), metrics.BLEU(tokenize=_tokenizer(truth), smooth_method="none")
    pairs = [(_even(one), _even(other)) for one, other in zip(said, truth, strict=True)]
    plain = [(_plain(one), _plain(other)) for one, other in pairs]
    return Counts(
        np.array([one == other for one, other in pairs], np.bool_),
        np.array([chrf.sentence_score(one, [other]).score for one, other in pairs], np.float64),
        _table([_bleu_counts(bleu, one, other) for one, other in pairs], 2 * _ORDERS + 2),
        _table([_errors(one.split(), other.split()) for one, other in plain], 2),
        _table([_errors(_letters(one), _letters(other)) for one, other in plain], 2),
    )


def text_metrics(counts: Counts, rows: npt.NDArray[np.integer[Any]]) -> dict[str, float]:
    """Scores of some rows, which may repeat; NaN without any.

    Returns:
        chrf: mean over rows of the F2 of character n-grams (Popović 2015), 0 to 100; bleu: of all rows
        together (Papineni et al. 2002) as sacrebleu counts it (Post 2018, arXiv:1804.08771), Chinese by
        characters, 0 to 100; exact_match: share of rows; word_error_rate and character_error_rate:
        insertions, deletions and replacements over what was wanted, capitals and punctuation aside.
    """
    if len(rows) == 0:
        return dict.fromkeys(GOALS, math.nan)
    return {
        "chrf": float(counts.chrf[rows].mean()),
        "bleu": _bleu(counts.bleu[rows].sum(axis=0)),
        "exact_match": float(counts.exact[rows].mean()),
        "word_error_rate": _rate(counts.words[rows]),
        "character_error_rate": _rate(counts.characters[rows]),
    }


def _table(rows: list[list[int]], width: int) -> npt.NDArray[np.int64]:
    return np.array(rows, np.int64).reshape(-1, width)


def _tokenizer(truth: Sequence[str]) -> str:
    """sacrebleu's tokenizer for the language that most texts are in."""
    chinese = sum(bool(_CJK.search(text)) for text in truth)
    return "zh" if chinese > len(truth) / 2 else "13a"


def _bleu_counts(bleu: Any, said: str, truth: str) -> list[int]:
    score = bleu.corpus_score([said], [[truth]])
    return [*score.counts, *score.totals, score.sys_len, score.ref_len]


def _bleu(summed: npt.NDArray[np.int64]) -> float:
    bleu = require("sacrebleu.metrics", "text").BLEU
    right, written = summed[:_ORDERS].tolist(), summed[_ORDERS : 2 * _ORDERS].tolist()
    return float(bleu.compute_bleu(right, written, int(summed[-2]), int(summed[-1])).score)


def _errors(said: list[str], truth: list[str]) -> list[int]:
    """Errors (Levenshtein 1966) and how many words or characters were wanted."""
    if not said or not truth:
        return [max(len(said), len(truth)), len(truth)]
    # jiwer takes words apart at spaces: characters are handed over as words, none of which holds a space.
    found = require("jiwer", "text").process_words(" ".join(truth), " ".join(said))
    return [found.substitutions + found.deletions + found.insertions, len(truth)]


def _letters(text: str) -> list[str]:
    return list(text.replace(" ", ""))


def _rate(errors: npt.NDArray[np.int64]) -> float:
    wrong, wanted = errors.sum(axis=0).tolist()
    return wrong / wanted if wanted else math.nan


def _even(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    """Small letters, no punctuation but apostrophes: what a listener can tell."""
    return " ".join(_NO_WORD.sub(" ", text.casefold()).split())
