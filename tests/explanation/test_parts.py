"""How cells are cut into parts, and what is left when parts are taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sensorium.data import COLUMNS
from sensorium.data.column import Cells
from sensorium.data.text import PADDING, TextColumn
from sensorium.explanation import PARTS, partition
from sensorium.explanation.parts import GRID, MOST_MOMENTS, words


def cut(kind: str, cell: Any, fitted_on: list[Any], **settings: Any) -> Any:
    column: Any = COLUMNS[kind](COLUMNS[kind].Config(**settings))
    column.fit(fitted_on)
    return partition(kind, column, cell, column.collate([column.decode(cell)]))


def test_every_type_of_column_has_parts():
    assert set(PARTS) == set(COLUMNS)


@pytest.mark.parametrize("tokenizer", ["bpe", "word", "character"])
@pytest.mark.parametrize("text", ["A red cat, isn't it?", "天气很好 very good 天", "ﬁne  tea", "é😀x"])
def test_spans_are_those_of_the_tokens(tokenizer: str, text: str):
    column = TextColumn(TextColumn.Config(tokenizer=tokenizer, min_count=1, vocabulary=60))
    column.fit([text, "a red dog"])
    found = column.spans(text)
    assert len(found.places) == len(column.decode(text))
    assert all(0 <= start < end <= len(found.text) for start, end in found.places)
    assert [start for start, _ in found.places] == sorted(start for start, _ in found.places)


@pytest.mark.parametrize("tokenizer", ["bpe", "word", "character"])
def test_tokens_are_joined_to_words(tokenizer: str):
    found = cut("text", "Red cats, red cat", ["red cats red cat ,"], tokenizer=tokenizer, min_count=1)
    assert [part.name for part in found.parts] == ["red", "cats", ",", "red", "cat"]


def test_chinese_is_cut_where_its_tokens_are():
    found = cut("text", "好看的书 book", ["好看的书 book"], tokenizer="word", min_count=1)
    assert [part.name for part in found.parts] == ["好", "看", "的", "书", "book"]
    found = cut("text", "好看的书", ["好看 好看 好看 书 的"], tokenizer="bpe")
    assert "".join(part.name for part in found.parts) == "好看的书"
    assert "好看" in [part.name for part in found.parts]


def test_pieces_of_a_word_and_bytes_of_a_letter_are_one_part():
    #      pieces of one word; two bytes of one letter; the end of the sentence
    places, index = words("playing 好", [(0, 0), (0, 4), (4, 7), (8, 9), (8, 9), (0, 0)])
    assert places == [(0, 7), (8, 9)]
    assert index == [-1, 0, 0, 1, 1, -1]


def test_a_word_taken_away_is_blank_and_the_others_stay():
    found = cut("text", "red cat red", ["red cat"], tokenizer="word", min_count=1)
    left = found.without(np.array([[False, False, False], [False, True, False], [True, True, True]]))
    values = found.values[0]
    assert left.values.tolist() == [values.tolist(), [values[0], PADDING, values[2]], [PADDING] * 3]
    assert left.mask.all()


def test_patches_cover_the_picture_once():
    values = np.random.default_rng(0).integers(0, 256, (1, 3, 30, 20), dtype=np.uint8)
    found = partition("image", None, None, Cells(values, np.ones((1, 1), dtype=np.bool_)))
    assert len(found.parts) == GRID * GRID
    assert sum((b - t) * (r - left) for t, left, b, r in (one.place for one in found.parts)) == pytest.approx(
        1
    )
    gone = found.without(np.eye(GRID * GRID, dtype=np.bool_)[[0]]).values[0]
    top, left, bottom, right = found.parts[0].place
    inside = np.zeros((30, 20), dtype=bool)
    inside[round(top * 30) : round(bottom * 30), round(left * 20) : round(right * 20)] = True
    assert (gone[:, ~inside] == values[0][:, ~inside]).all()
    assert (gone[:, inside] == values[0].mean(axis=(1, 2)).round().astype(np.uint8)[:, None]).all()


def test_a_tiny_picture_has_fewer_patches():
    values = np.zeros((1, 3, 3, 5), dtype=np.uint8)
    assert len(partition("image", None, None, Cells(values, np.ones((1, 1), np.bool_))).parts) == 15


def test_moments_of_a_sound_end_where_it_ends():
    column = COLUMNS["audio"](COLUMNS["audio"].Config(rate=1000, seconds=10))
    cells = column.collate([np.ones(450, dtype=np.int16), np.ones(900, dtype=np.int16)])
    first = Cells(cells.values[:1], cells.mask[:1])
    found = partition("audio", column, None, first)
    assert [one.place for one in found.parts] == [
        (pytest.approx(0.1125 * place), pytest.approx(0.1125 * (place + 1))) for place in range(4)
    ]
    gone = found.without(np.array([[True, False, False, False]]))
    assert (gone.values[0, :112] == 0).all()
    assert (gone.values[0, 113:450] == first.values[0, 113:450]).all()
    assert (gone.mask == first.mask).all()
    long = column.collate([np.ones(10_000, dtype=np.int16)])
    assert len(partition("audio", column, None, long).parts) == MOST_MOMENTS


def test_frames_of_a_film_and_not_those_that_are_not_there():
    values = np.random.default_rng(0).integers(0, 256, (1, 4, 3, 6, 6), dtype=np.uint8)
    mask = np.array([[True, True, True, False]])
    found = partition("video", None, None, Cells(values, mask))
    assert [one.name for one in found.parts] == ["frame 1 of 3", "frame 2 of 3", "frame 3 of 3"]
    gone = found.without(np.array([[False, True, False]])).values[0]
    assert (gone[[0, 2, 3]] == values[0][[0, 2, 3]]).all()
    assert (gone[1].std(axis=(1, 2)) == 0).all()


def test_numbers_and_labels():
    assert cut("number", 3.0, [1.0, 2.0, 3.0]).without(np.array([[True]])).values.tolist() == [[0.0]]
    plain = cut("number", 7.0, [1.0, 2.0, 9.0], scale="none")
    assert plain.without(np.array([[True], [False]])).values.tolist() == [[2.0], [7.0]]
    one = cut("category", "b", ["a", "a", "b"])
    assert [part.name for part in one.parts] == ["b"]
    assert one.without(np.array([[True]])).values.tolist() == [[0]]
    many = cut("categories", ["x", "z"], [["x"], ["y"], ["z"]])
    assert sorted(part.name for part in many.parts) == ["x", "z"]
    assert many.without(np.array([[True, False]])).values.sum() == 1


def test_a_missing_cell_has_no_part():
    column: Any = COLUMNS["number"](COLUMNS["number"].Config())
    found = partition("number", column, None, column.collate([None]))
    assert (found.present, found.parts) == (False, [])
    assert found.without(np.zeros((3, 0), dtype=np.bool_)).values.shape == (3, 1)
