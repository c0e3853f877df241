"""Prompts: where inputs stand, what the chat template makes of messages, and the ids of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sensorium.data.causal_text import CausalTextColumn
from sensorium.decoders.prompt import laid_out, named_inputs, pieces, with_inputs
from sensorium.errors import RecipeError, WeightsError
from tests.decoders.made_language_model import made_language_model

OPENING = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_language_model(tmp_path_factory.mktemp("prompt"))


@pytest.fixture
def column(folder: Path) -> CausalTextColumn:
    return CausalTextColumn(None, str(folder), length=5, stop=("!", "zz"))


def test_inputs_stand_where_they_are_named_and_others_in_front(column: CausalTextColumn) -> None:
    assert named_inputs("{a} and {b}, {a}") == ["a", "b"]
    text = with_inputs("look: {b} {other}", {"a": "a", "b": "1 b"})
    found = pieces(text, column)
    assert [piece if isinstance(piece, str) else column.text(piece) for piece in found] == [
        "a",
        "look:",
        "1 b",
        "{other}",
    ]


def test_a_prompt_ends_with_a_token_even_where_an_input_is_last(column: CausalTextColumn) -> None:
    assert pieces(with_inputs("{a}", {"a": "a"}), column) == ["a", [column.ends[0]]]


def test_the_template_lays_out_messages(column: CausalTextColumn) -> None:
    assert laid_out([{"role": "user", "content": "hi"}], column) == OPENING
    ids = pieces(OPENING, column)[0]
    assert ids[0] == 2  # <|im_start|> is 1 in the checkpoint
    assert column.ends == (3,)


def test_without_a_template_contents_stand_line_by_line(column: CausalTextColumn) -> None:
    column.checkpoint = replace(column.checkpoint, chat_template="")
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    assert laid_out(messages, column) == "be brief\nhi\n"


@pytest.mark.parametrize(
    ("template", "error", "words"),
    [
        ("{{ raise_exception('no system') }}", RecipeError, "refuses the messages: no system"),
        ("{% if %}", WeightsError, "chat template cannot be used"),
        ("{{ messages.__class__.__mro__ }}", WeightsError, "chat template cannot be used"),
    ],
)
def test_a_template_that_cannot_be_used_is_named(
    column: CausalTextColumn, template: str, error: type[Exception], words: str
) -> None:
    column.checkpoint = replace(column.checkpoint, chat_template=template)
    with pytest.raises(error, match=words):
        laid_out([{"role": "user", "content": "hi"}], column)


def test_a_text_comes_back_and_ends_where_it_must(column: CausalTextColumn) -> None:
    ids = column.decode("a longer text")
    assert len(ids) == 5
    assert ids.min() > 0
    assert column.text(np.append(ids, 0)) == "a lon"
    assert column.text([*ids, column.ends[0], *ids]) == "a lon"
    assert column.text(column.cut("oh! no")) == "oh"
    assert column.stops(column.cut("pizzzz"))
    assert not column.stops(column.cut("pizz"[:3]))


def test_padding_is_no_token(column: CausalTextColumn) -> None:
    cells = column.collate([column.decode("ab"), None])
    assert cells.values[1].tolist() == [0, 0]
    assert cells.mask.tolist() == [[True, True], [False, False]]
    assert column.text([1]) == ""  # <|endoftext|>, 0 in the checkpoint, is a special token
    assert column.special == (1, 2, 3)


def test_state_needs_no_folder(column: CausalTextColumn) -> None:
    other = CausalTextColumn(None, "nowhere", length=5)
    other.load_state(column.state())
    assert other.cut("hi") == column.cut("hi")
    assert other.checkpoint.chat_template == column.checkpoint.chat_template


def test_weights_without_an_end_are_refused(tmp_path: Path) -> None:
    folder = made_language_model(tmp_path, eos_token_id=None)
    with pytest.raises(WeightsError, match="no eos_token_id"):
        _ = CausalTextColumn(None, str(folder), 5).ends
