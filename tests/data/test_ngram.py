"""Chances of tokens, worked out by hand."""

import json
import math

import pytest

from sensorium.data.ngram import NGrams
from sensorium.data.text import END

A, B = 4, 5


def test_witten_and_bell_by_hand():
    """Texts "ab" and "aa". Seen: a 3 times, b once, the end twice: 6 tokens of 3 kinds.

    P(b) = (1 + 3 · 1/4) / (6 + 3) = 7/36. After a: b, a and the end once each, so 3 tokens of 3 kinds, and
    P(b | a) = (1 + 3 · 7/36) / (3 + 3) = 19/72.
    """
    ngrams = NGrams(2)
    ngrams.count([[A, B], [A, A]])
    assert math.exp(ngrams.log_probability([A], B)) == pytest.approx(19 / 72)
    assert math.exp(ngrams.log_probability([B, B, A], B)) == pytest.approx(19 / 72), "two tokens are seen"


def test_chances_after_a_history_sum_to_less_than_one_by_what_is_left_for_the_unseen():
    ngrams = NGrams(3)
    ngrams.count([[A, B], [A, A]])
    seen = sum(math.exp(ngrams.log_probability([A], token)) for token in (A, B, END))
    unseen = math.exp(ngrams.log_probability([A], 9))
    assert seen + unseen == pytest.approx(1.0)


def test_state_goes_through_json():
    ngrams, other = NGrams(3), NGrams(3)
    ngrams.count([[A, B, A], [B]])
    other.load_state(json.loads(json.dumps(ngrams.state())))
    assert other.log_probability([A], B) == ngrams.log_probability([A], B)
    assert other.state() == ngrams.state()


def test_without_a_text_all_is_as_likely():
    assert NGrams(2).log_probability([A], B) == 0.0
