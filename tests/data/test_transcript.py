"""Texts as they are said."""

import json

import pytest

from sensorium.data.ngram import NGrams
from sensorium.data.transcript import TranscriptColumn, TranscriptConfig


def fitted(texts, **settings):
    column = TranscriptColumn(TranscriptConfig(tokenizer="character", **settings))
    column.fit(texts)
    return column


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Don't stop, now!", "don't stop now"),
        ("नमस्ते, हिन्दी।", "नमस्ते हिन्दी"),
        ("“你好”。", "你好"),
        ("...", ""),
    ],
)
def test_punctuation_is_not_heard_but_apostrophes_and_vowel_signs_are(text, said):
    column = fitted([text])
    assert column.text(column.decode(text)) == said


def test_punctuation_is_learned_where_it_is_wanted():
    column = fitted(["Oh, no."], punctuation=True)
    assert column.text(column.decode("Oh, no.")) == "oh, no."


def test_runs_are_counted_over_the_training_texts_and_saved():
    column, again = fitted(["ab", "aa"], ngram=2), TranscriptColumn(TranscriptConfig(ngram=2))
    again.load_state(json.loads(json.dumps(column.state())))
    counted = NGrams(2)
    counted.count([column.decode("ab").tolist(), column.decode("aa").tolist()])
    assert column.ngrams.state() == again.ngrams.state() == counted.state()
    assert fitted(["ab"]).ngrams is None
