"""N-grams of texts: which are kept, how rare each is, and that the same texts give the same ones."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sensorium.data.ngrams import NgramColumn, hashes
from sensorium.data.text import TextConfig

TEXTS = ["good film", "not good", "not a good film", "a film", ""]


def fitted(
    texts: Sequence[Any] = TEXTS, longest: int = 2, vocabulary: int = 100, min_count: int = 1, **fields: Any
) -> NgramColumn:
    column = NgramColumn(TextConfig(tokenizer="word", **fields), longest, vocabulary, min_count)
    column.fit(texts)
    return column


def number(column: NgramColumn, text: str) -> int:
    """The hash of a text that is one n-gram."""
    ids = column.decode(text).astype(np.int64)
    return int([*hashes(ids, len(ids))][-1][0])


def kept(column: NgramColumn, words: Sequence[str]) -> list[str]:
    return [text for text in words if number(column, text) in column.ngrams]


def test_runs_of_tokens_are_told_apart_by_what_they_hold_and_by_order() -> None:
    ids = np.array([4, 5, 4, 5, 6])

    one, two, three = hashes(ids, 3)

    assert (len(one), len(two), len(three)) == (5, 4, 3)
    assert one[0] == one[2]
    assert two[0] == two[2]
    assert len({*one.tolist(), *two.tolist(), *three.tolist()}) == 3 + 3 + 3


def test_torch_gives_the_numbers_of_numpy() -> None:
    ids = np.random.default_rng(0).integers(0, 100_000, (3, 7))

    for own, other in zip(hashes(ids, 4), hashes(torch.from_numpy(ids), 4), strict=True):
        assert np.array_equal(own, other.numpy())


def test_a_text_of_fewer_tokens_has_no_longer_runs() -> None:
    assert [len(one) for one in hashes(np.array([7]), 3)] == [1]
    assert [len(one) for one in hashes(np.array([], dtype=np.int64), 3)] == [0]


def test_a_large_number_of_ngrams_stays_apart() -> None:
    pairs = np.stack(np.meshgrid(np.arange(300), np.arange(300)), axis=-1).reshape(-1, 2)

    one, two = hashes(pairs, 2)

    assert len(np.unique(two)) == 90_000
    assert not np.isin(one, two).any()


def test_the_rarity_of_an_ngram_by_hand() -> None:
    column = fitted()

    rarity = dict(zip(column.ngrams.tolist(), column.rarity.tolist(), strict=True))

    texts = {"good": 3, "film": 3, "not": 2, "a": 2, "good film": 2, "not good": 1, "a film": 1, "a good": 1}
    for text, count in texts.items():
        assert math.isclose(rarity[number(column, text)], math.log(6 / (1 + count)) + 1, rel_tol=1e-6)
    assert len(rarity) == len(texts) + 1  # "not a"


def test_an_ngram_counts_once_a_text() -> None:
    column = fitted(["so so so", "so"], longest=1)

    assert column.rarity.tolist() == [1.0]  # both texts hold it


def test_the_ngrams_of_the_most_texts_are_kept() -> None:
    assert kept(fitted(min_count=2), ["good", "film", "not", "a", "good film", "a film"]) == [
        *("good", "film", "not", "a", "good film")
    ]
    assert kept(fitted(vocabulary=2), ["good", "film", "not", "a", "good film"]) == ["good", "film"]


def test_counting_in_blocks_changes_nothing(monkeypatch: Any) -> None:
    whole = fitted()
    monkeypatch.setattr("sensorium.data.ngrams._COUNTED_AT_ONCE", 2)

    assert np.array_equal(fitted().ngrams, whole.ngrams)
    assert np.array_equal(fitted().rarity, whole.rarity)


def test_what_was_learned_survives_json() -> None:
    column, other = fitted(), NgramColumn(TextConfig(tokenizer="word"), 2, 100, 1)

    other.load_state(json.loads(json.dumps(column.state())))

    assert np.array_equal(other.ngrams, column.ngrams)
    assert np.array_equal(other.rarity, column.rarity)
    assert other.rarity.dtype == np.float32
    assert other.decode("not a good film").tolist() == column.decode("not a good film").tolist()


def test_chinese_is_counted_by_characters() -> None:
    column = fitted(["这本书很好", "很好看", "不好看"])

    assert kept(column, ["好", "很好", "好看", "不好", "看好"]) == ["好", "很好", "好看", "不好"]


def test_texts_without_a_token_leave_a_vocabulary_that_can_be_used() -> None:
    for column in (fitted([""]), fitted([]), NgramColumn(TextConfig(), 3, 10, 2)):
        assert len(column.ngrams) == len(column.rarity) == 1


def test_cells_that_cannot_be_read_are_left_out() -> None:
    assert np.array_equal(fitted([*TEXTS, b"\xff\xfe"]).ngrams, fitted().ngrams)
