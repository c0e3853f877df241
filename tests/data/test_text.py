"""Texts in English and Chinese: the same table gives the same ids, and ids give the text back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from pydantic import ValidationError

from sensorium.data.column import Profile
from sensorium.data.text import TextColumn, TextConfig
from sensorium.errors import CellError

ENGLISH = [
    "The red balloon rises slowly over the old town.",
    "A blue bird is sitting on the fence, singing its song.",
    "The old man and the sea: a story of one very large fish.",
    "It's not the best movie, but the music is very good!",
    "Don't watch this film; the story is slow and the music is bad.",
]
CHINESE = [
    "红色的气球慢慢地升上天空。",
    "一只蓝色的鸟站在篱笆上唱歌。",
    "这部电影的音乐很好，但是故事不好看。",
    "我很喜欢这部电影，音乐真不错！",
    "这本书讲的是老人与海的故事。",
]
TEXTS = (ENGLISH + CHINESE) * 3


def fitted(texts: Sequence[Any] = TEXTS, **fields: Any) -> TextColumn:
    column = TextColumn(TextConfig(**fields))
    column.fit(texts)
    return column


def seen(values: Sequence[Any], kind: str = "string", media: str = "") -> Profile:
    return Profile("x", kind, values, len(values), len(set(values)), media)


COLUMNS = {kind: fitted(tokenizer=kind) for kind in ("bpe", "word", "character")}


@pytest.mark.parametrize("kind", ["bpe", "word", "character"])
@pytest.mark.parametrize("text", ENGLISH + CHINESE)
def test_ids_give_the_text_back(kind: str, text: str) -> None:
    column = fitted(tokenizer=kind, min_count=1)
    ids = column.decode(text)
    assert ids.dtype == np.int32
    assert ids.min() >= 4
    assert ids.max() < column.vocabulary_size
    wanted = text.lower().replace("，", ",").replace("！", "!")
    assert column.text(ids).replace(", ", ",") == wanted.replace(", ", ",")
    assert column.text([2, *ids, 3, *ids]) == column.text(ids)  # start is left out, and what follows the end
    assert column.text([0, 0, *ids.tolist()]) == column.text(ids)


@settings(max_examples=60, deadline=None)
@given(some.text(), some.sampled_from(["bpe", "word", "character"]))
@example("<end><padding> [PAD] </s>", "bpe")
@example("\x00\u200b\ufeff", "bpe")
def test_every_text_gives_ids_of_the_vocabulary(text: str, kind: str) -> None:
    column = COLUMNS[kind]
    ids = column.decode(text)
    assert ids.ndim == 1
    assert len(ids) <= 128
    assert all(one == 1 or 4 <= one < column.vocabulary_size for one in ids.tolist())
    assert isinstance(column.text(ids), str)
    assert column.decode(text).tolist() == ids.tolist()


def test_spelled_special_tokens_are_plain_text() -> None:
    column = fitted(["<end> of <padding> here"] * 5, min_count=1)
    assert column.text(column.decode("<end> of <padding>")) == "<end> of <padding>"


def test_unknown() -> None:
    for kind in ("bpe", "word", "character"):
        ids = COLUMNS[kind].decode("Ω")
        assert ids[-1] == 1
        assert COLUMNS[kind].text(ids) == "\ufffd"


def test_words_rarer_than_min_count_are_unknown() -> None:
    column = fitted(["red red blue", "red 鸟"], tokenizer="word", min_count=2)
    assert column.vocabulary_size == 5
    assert column.decode("Red blue, 鸟").tolist() == [4, 1, 1, 1]
    assert fitted(["red red blue", "red 鸟"], tokenizer="word", min_count=1).vocabulary_size == 7


def test_words_by_frequency_then_spelling() -> None:
    column = fitted(["b a c c"], tokenizer="word", min_count=1)
    assert [column.text([one]) for one in (4, 5, 6)] == ["c", "a", "b"]


def test_chinese_characters_are_words_and_stand_apart_from_latin() -> None:
    column = fitted(["我的iPhone手机", "don't stop-it"], tokenizer="word", min_count=1)
    pieces = [column.text([one]) for one in column.decode("我的iPhone手机 don't stop-it")]
    assert pieces == ["我", "的", "iphone", "手", "机", "don't", "stop", "-", "it"]
    both = fitted(["手机 phone", "手机phone", "手机phone", "phone 手机"])
    assert 1 < len(both.decode("手机phone")) <= 3
    assert [both.text([one]) for one in both.decode("手机phone")] == ["手机", "phone"]


def test_bpe_learns_chinese_words() -> None:
    column = fitted(CHINESE * 20)
    pieces = [column.text([one]) for one in column.decode("音乐和电影")]
    assert "音乐" in pieces
    assert "电影" in pieces


def test_normalisation() -> None:
    column = fitted(tokenizer="character")
    assert column.decode("Ｔｈｅ\u3000\t Old\n").tolist() == column.decode("the old").tolist()
    upright = fitted(["Red red"] * 2, tokenizer="word", lowercase=False)
    assert upright.decode("Red").tolist() != upright.decode("red").tolist()


def test_stop_words() -> None:
    english = fitted(tokenizer="word", min_count=1, stop_words="english")
    assert english.text(english.decode("The old man AND the sea")) == "old man sea"
    assert english.text(english.decode("It's not the best movie")) == "it's not best movie"
    assert fitted(tokenizer="word", min_count=1, stop_words="english").decode("and the").tolist() == []
    chinese = fitted(tokenizer="word", min_count=1, stop_words="chinese")
    assert (
        chinese.text(chinese.decode("这部电影的音乐很好，但是故事不好看。")) == "部电影音乐很好, 故事不好看。"
    )
    parts = fitted(stop_words="english")
    assert parts.text(parts.decode("The old man and the sea")) == "old man sea"
    assert parts.text(parts.decode("theory")).replace("\ufffd", "?").startswith("theor")
    own = fitted(tokenizer="word", min_count=1, stop_words=["Old", "音乐", "a.b"])
    assert own.text(own.decode("the OLD man")) == "the man"
    assert own.text(own.decode("我很喜欢音乐")) == "我很喜欢"
    assert fitted(stop_words=[]).vocabulary_size == fitted(stop_words="none").vocabulary_size


@pytest.mark.parametrize("kind", ["bpe", "word", "character"])
def test_state_is_json_and_gives_the_same_ids(kind: str) -> None:
    state = json.loads(json.dumps(COLUMNS[kind].state()))
    assert isinstance(state["tokenizer"], str)
    other = TextColumn(TextConfig(tokenizer=kind))
    other.load_state(state)
    assert other.vocabulary_size == COLUMNS[kind].vocabulary_size
    for text in [*TEXTS, "something new, 新的东西"]:
        assert other.decode(text).tolist() == COLUMNS[kind].decode(text).tolist()
        assert other.text(other.decode(text)) == COLUMNS[kind].text(COLUMNS[kind].decode(text))


@pytest.mark.parametrize("kind", ["bpe", "word", "character"])
@pytest.mark.parametrize("size", [8, 20, 60, 300])
def test_the_vocabulary_is_bounded(kind: str, size: int) -> None:
    column = fitted(tokenizer=kind, vocabulary=size, min_count=1)
    assert 4 < column.vocabulary_size <= size
    assert column.decode("the old 电影").max() < column.vocabulary_size


def test_no_texts_to_learn_from() -> None:
    for kind in ("bpe", "word", "character"):
        column = fitted([], tokenizer=kind)
        assert column.vocabulary_size in (4, 5)
        assert set(column.decode("red红").tolist()) == {1}
    unfitted = TextColumn(TextConfig())
    assert unfitted.vocabulary_size == 4


TRAIN = """
import hashlib, random
from sensorium.data.text import TextColumn, TextConfig
letters = [chr(0x4e00 + i) for i in range(400)] + list("abcdefghijklmnopqrst")
chooser = random.Random(3)
texts = [" ".join("".join(chooser.choices(letters, k=3)) for _ in range(6)) for _ in range(300)]
for kind in ("bpe", "word", "character"):
    column = TextColumn(TextConfig(tokenizer=kind, vocabulary=300, min_count=1))
    column.fit(texts)
    print(hashlib.sha256(column.state()["tokenizer"].encode()).hexdigest())
"""


def test_training_is_the_same_in_every_process_and_number_of_threads() -> None:
    """Frequencies are nearly all tied here, and hashes are seeded anew in each process."""
    import os

    found = set()
    for threads in ("1", "4", "4"):
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", TRAIN], capture_output=True, text=True, env=environment, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1
    assert len(found.pop().split()) == 3


def test_length_and_huge_cells() -> None:
    column = fitted(length=5)
    assert len(column.decode("the old " * 100_000)) == 5
    assert len(column.decode("x" * 3_000_000)) == 5
    assert column.decode("a").shape == (len(column.decode("a")),)


def test_collate() -> None:
    column = fitted(tokenizer="word", min_count=1)
    batch = column.collate([column.decode("the old"), None, column.decode("the"), column.decode("")])
    assert batch.values.dtype == np.int64
    assert batch.mask.dtype == np.bool_
    assert batch.mask.tolist() == [[True, True], [False, False], [True, False], [False, False]]
    assert batch.values[1:, 1].tolist() == [0, 0, 0]
    assert batch.values[0, 0] == batch.values[2, 0] == column.decode("the")[0]
    for cells in ([None, None], [column.decode("  ")]):
        empty = column.collate(cells)
        assert empty.values.shape == empty.mask.shape == (len(cells), 1)
        assert not empty.mask.any()
    assert column.collate([]).values.shape == (0, 1)


def test_cells_that_are_not_strings() -> None:
    column = fitted(
        [12, 2.5, True, ["a", None, "b"], "红".encode(), {"no": 1}], tokenizer="word", min_count=1
    )
    assert column.text(column.decode(12)) == "12"
    assert column.text(column.decode(12.0)) == "12"
    assert column.text(column.decode(2.5)) == "2. 5"
    assert column.text(column.decode(True)) == "true"
    assert column.text(column.decode(["a", None, "b"])) == "a b"
    assert column.text(column.decode("红".encode())) == "红"
    with pytest.raises(CellError, match="a dict where a label is wanted"):
        column.decode({"no": 1})
    with pytest.raises(CellError, match="not UTF-8"):
        column.decode(b"\xff")
    with pytest.raises(CellError, match="surrogate"):
        column.decode("\ud800")


def test_config() -> None:
    for wrong in (
        {"tokenizer": "words"},
        {"length": 0},
        {"vocabulary": 7},
        {"stop_words": "french"},
        {"x": 1},
    ):
        with pytest.raises(ValidationError):
            TextConfig.model_validate(wrong)
    assert TextColumn.Config(column="a b").column == "a b"


def test_recognise() -> None:
    assert "words on average" in TextColumn.recognise(seen(ENGLISH)).reason
    assert "Chinese" in TextColumn.recognise(seen(CHINESE)).reason
    assert TextColumn.recognise(seen(["红色的鸟", "蓝色气球", "小猫"])) is not None
    assert TextColumn.recognise(seen(["x" * 30 + str(n) * 30 for n in range(9)])) is not None
    assert TextColumn.recognise(seen(["very good movie", "very bad movie"] * 50)) is None
    assert TextColumn.recognise(seen([f"colour{n}" for n in range(50)])) is None
    assert TextColumn.recognise(seen(ENGLISH, media="image")) is None
    assert TextColumn.recognise(seen([1, 2, 3], kind="integer")) is None
    assert TextColumn.recognise(seen([])) is None
