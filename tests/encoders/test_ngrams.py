"""N-grams of texts: TF-IDF by hand, what is not known, and a whole training of two views of one column."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from sensorium import fit, load
from sensorium.batch import Raw
from sensorium.data.column import Array
from sensorium.data.ngrams import NgramColumn
from sensorium.data.text import TextConfig
from sensorium.encoders.ngrams import NgramsText

TEXTS = ["good film", "not good", "not a good film", "a film"]


def column(longest: int = 2) -> NgramColumn:
    fitted = NgramColumn(TextConfig(tokenizer="word", min_count=1), longest, 100, 1)
    fitted.fit(TEXTS)
    return fitted


def as_raw(reader: NgramColumn, *texts: str) -> Raw:
    values, mask = reader.collate([reader.decode(text) for text in texts])
    return Raw(torch.from_numpy(values), torch.from_numpy(mask))


def one_hot(reader: NgramColumn, **fields: Any) -> NgramsText:
    """An encoder whose tokens are the weights of the n-grams themselves."""
    config = NgramsText.Config(longest=reader.longest, embedding=len(reader.ngrams), **fields)
    encoder = NgramsText(config, reader).eval()
    with torch.no_grad():
        encoder.vectors.copy_(torch.eye(len(reader.ngrams)))
    return encoder


def weights_of(reader: NgramColumn, *texts: str) -> Array:
    """`(texts, N)`."""
    with torch.no_grad():
        found: Array = one_hot(reader)(as_raw(reader, *texts)).values.squeeze(1).numpy()
    return found


def test_tfidf_by_hand() -> None:
    reader = column(longest=1)  # of 4 texts: good 3, film 3, not 2, a 2

    (found,) = weights_of(reader, "a good good good film")

    rare, common = math.log(5 / 3) + 1, math.log(5 / 4) + 1
    raw = [rare, (1 + math.log(3)) * common, common]
    length = math.sqrt(sum(one**2 for one in raw))
    assert sorted(found.tolist()) == pytest.approx(sorted([0.0, *(one / length for one in raw)]))


def test_an_ngram_of_two_tokens_weighs_too() -> None:
    forwards, backwards = weights_of(column(), "not good film", "film good not")

    assert (forwards > 0).sum() == 5  # three words, "not good", "good film"
    assert (backwards > 0).sum() == 3


def test_sklearn_gives_the_same_weights() -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    reader = column(longest=3)
    words = {"tokenizer": str.split, "token_pattern": None}
    known = text.TfidfVectorizer(ngram_range=(1, 3), sublinear_tf=True, **words).fit(TEXTS)
    queries = ["a good film and a good day", "not not a film"]

    own, other = weights_of(reader, *queries), known.transform(queries).toarray()

    np.testing.assert_allclose(np.sort(own, axis=1), np.sort(other, axis=1), atol=1e-6)


def test_a_text_of_unknown_words_is_zero_and_present() -> None:
    reader = column()

    tokens = one_hot(reader)(as_raw(reader, "quite unheard", "good film"))

    assert not tokens.values[0].any()
    assert tokens.values[1].any()
    assert tokens.mask.all()


def test_dropping_ngrams_keeps_the_sum_on_average() -> None:
    reader = column()
    encoder, raw = one_hot(reader, dropout=0.5), as_raw(reader, *["not a good film"] * 4000)
    whole = encoder(raw).values[0, 0]

    torch.manual_seed(0)
    dropped = encoder.train()(raw).values[:, 0]

    assert ((dropped == 0) | torch.isclose(dropped, 2 * whole)).all()
    torch.testing.assert_close(dropped.mean(dim=0), whole, atol=0.05, rtol=0.05)


def recipe(**encoder: Any) -> dict[str, Any]:
    """Two views of one column: words, and characters."""
    views = {"words": ("word", 3), "letters": ("character", 4)}
    return {
        "data": {"split": {"validation": 0.2, "test": 0.2}},
        "inputs": {
            name: {
                "type": "text",
                "column": "text",
                "tokenizer": tokenizer,
                "min_count": 1,
                "encoder": {"kind": "ngrams", "longest": longest, **encoder},
            }
            for name, (tokenizer, longest) in views.items()
        },
        "fusion": "late",
        "outputs": {"mood": {"type": "category"}},
        "training": {"epochs": 12, "batch_size": 16, "optimizer": {"lr": 0.02}},
    }


def table() -> pa.Table:
    """What is good is told by pairs of words alone; some cells are missing, empty or Chinese."""
    random = np.random.default_rng(0)
    names = ["film", "book", "这本书", "song"]
    texts: list[str | None] = []
    moods = []
    for row in range(240):
        negated, bad = random.integers(0, 2, 2)
        word = "bad" if bad else "good"
        texts.append(f"the {names[row % 4]} is {'not' if negated else 'so'} {word} {row}")
        moods.append("up" if negated == bad else "down")
    texts[3], texts[7] = None, ""
    return pa.table({"text": texts, "mood": moods})


def test_two_views_of_one_column_learn_pairs_and_come_back_from_disk(tmp_path: Path) -> None:
    model = fit(table(), recipe=recipe(), verbose=False)
    model.save(tmp_path)
    queries = pa.table(
        {"text": ["the song is not bad", "the song is not good", "", None, "这本书 is not bad"]}
    )

    first = model.predict_table(queries)
    again = load(tmp_path).predict_table(queries)

    assert first["mood_prediction"].to_pylist()[:2] == ["up", "down"]
    assert first.num_rows == 5
    assert again.equals(first)


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = (
        fit(table(), recipe=recipe(embedding=4), training={"epochs": 1}, verbose=False).model.state_dict()
        for _ in range(2)
    )

    assert all(torch.equal(first[name], second[name]) for name in first)
