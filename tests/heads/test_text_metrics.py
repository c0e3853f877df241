"""Scores of texts by hand, and beside sacrebleu and jiwer over whole sets of texts."""

import math

import jiwer
import numpy as np
import pytest
import sacrebleu

from sensorium.heads.text_metrics import GOALS, counts_of, text_metrics

SAID = ["the cat sat on the mat", "a dog", "", "Two Birds!"]
TRUTH = ["the cat sat on a mat", "a dog runs", "nothing", "two birds"]


def scores(said: list[str], truth: list[str]) -> dict[str, float]:
    return text_metrics(counts_of(said, truth), np.arange(len(truth)))


def test_by_hand():
    found = scores(SAID, TRUTH)
    assert found["exact_match"] == 0.0
    # one word replaced, one and one missing; capitals and signs do not count
    assert found["word_error_rate"] == pytest.approx(3 / 12)
    assert scores(["a b"], ["a  b "])["exact_match"] == 1.0
    assert scores(["kitten"], ["sitting"])["character_error_rate"] == pytest.approx(3 / 7)
    assert scores(["a b"], ["!"])["word_error_rate"] != scores(["a"], ["a"])["word_error_rate"]


def test_beside_the_libraries_over_all_rows():
    found = scores(SAID, TRUTH)
    assert found["bleu"] == pytest.approx(
        sacrebleu.corpus_bleu(SAID, [TRUTH], smooth_method="none", force=True).score
    )
    said = [text.lower().replace("!", "") for text in SAID]
    assert found["word_error_rate"] == pytest.approx(jiwer.wer(TRUTH, said))
    each = [sacrebleu.sentence_chrf(one, [other]).score for one, other in zip(SAID, TRUTH, strict=True)]
    assert found["chrf"] == pytest.approx(np.mean(each))


def test_chinese_is_counted_by_characters():
    found = scores(["红色的大鸟在飞"], ["红色的小鸟在飞"])
    assert found["bleu"] == pytest.approx(
        sacrebleu.corpus_bleu(
            ["红色的大鸟在飞"], [["红色的小鸟在飞"]], tokenize="zh", smooth_method="none"
        ).score
    )
    assert found["character_error_rate"] == pytest.approx(1 / 7)


def test_rows_may_repeat_and_none_may_be_left():
    counts = counts_of(SAID, TRUTH)
    twice = text_metrics(counts, np.array([1, 1, 1]))
    assert twice["word_error_rate"] == pytest.approx(1 / 3)
    assert all(math.isnan(value) for value in text_metrics(counts, np.arange(0)).values())
    assert set(twice) == set(GOALS)
