"""What may be written: JSON by a schema, a grammar, and stop strings, each kept to by a random model."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from sensorium.data.causal_text import CausalTextColumn
from sensorium.decoders.continuation import Continuation
from sensorium.decoders.guide import Guide
from sensorium.decoders.language_model import Writer, open_writer
from sensorium.decoders.writing import WritingConfig, stream, write
from sensorium.errors import RecipeError, SensoriumError
from tests.decoders.made_language_model import made_language_model

SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["ok", "n"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def column(tmp_path_factory: pytest.TempPathFactory) -> CausalTextColumn:
    folder = made_language_model(tmp_path_factory.mktemp("guide"))
    return CausalTextColumn(None, str(folder), length=50)


@pytest.fixture(scope="module")
def writer(column: CausalTextColumn) -> Writer:
    return open_writer(column.checkpoint)


def written(writer: Writer, column: CausalTextColumn, guide: Guide | None, **how: Any) -> list[str]:
    """Texts of two rows."""
    continuation = Continuation(writer, column, guide)
    prompt = torch.tensor([column.cut("say it"), column.cut("do it!")]) - 1
    mask = torch.ones_like(prompt, dtype=torch.bool)
    state, config = continuation.begin(writer.embed(prompt), mask, WritingConfig(**how))
    ends = continuation.ends(start=int(prompt[0, -1]) + 1)
    found = write(continuation.step, state, 2, ends, config, prompt.device)
    return [column.text(row.tolist()) for row in found.ids[:, :, 0]]


@pytest.mark.parametrize("how", [{}, {"beams": 3}, {"temperature": 2.0, "best": 2, "seed": 4}])
def test_json_of_a_schema(writer: Writer, column: CausalTextColumn, how: dict[str, Any]) -> None:
    guide = Guide(column, {**SCHEMA, "x-guidance": {"whitespace_flexible": False}}, None)
    for text in written(writer, column, guide, length=60, **how):
        found = json.loads(text)
        assert set(found) == {"ok", "n"}
        assert isinstance(found["ok"], bool)
        assert 0 <= found["n"] <= 9


def test_a_grammar(writer: Writer, column: CausalTextColumn) -> None:
    guide = Guide(column, None, 'start: ("red" | "blue") " " /[0-9]{3}/')
    for text in written(writer, column, guide, length=20):
        colour, number = text.split(" ")
        assert colour in {"red", "blue"}
        assert len(number) == 3
        assert number.isdigit()


def test_a_stop_string_ends_a_text(writer: Writer, column: CausalTextColumn) -> None:
    free = written(writer, column, None, length=20)[0]
    stop = free[3:5]
    short = CausalTextColumn(None, "", length=50, stop=(stop,))
    short.checkpoint = column.checkpoint
    continuation = Continuation(writer, short, Guide(short, None, None))
    prompt = torch.tensor([column.cut("say it")]) - 1
    state, config = continuation.begin(
        writer.embed(prompt), torch.ones_like(prompt, dtype=torch.bool), WritingConfig(length=20)
    )
    ids = list(stream(continuation.step, state, continuation.ends(short.cut("t")[0]), config, prompt.device))
    assert len(ids) < 20
    assert short.text(ids) == free[: free.index(stop)].strip()


def test_no_mark_of_a_speaker_is_written(writer: Writer, column: CausalTextColumn) -> None:
    ends = Continuation(writer, column).ends(start=5)
    assert ends.end == 3
    assert ends.never == (0, 1, 2)


@pytest.mark.parametrize(
    ("schema", "grammar", "words"),
    [
        ({"type": "integer", "minimum": 5, "maximum": 3}, None, "json_schema: "),
        ({"type": "nonsense"}, None, "json_schema: "),
        (None, "start: missing", "grammar: "),
        (SCHEMA, 'start: "a"', "choose one"),
    ],
)
def test_what_cannot_be_satisfied_is_one_line(
    column: CausalTextColumn, schema: dict[str, Any] | None, grammar: str | None, words: str
) -> None:
    with pytest.raises(RecipeError, match=words) as error:
        Guide(column, schema, grammar)
    assert "\n" not in str(error.value)


def test_a_prompt_longer_than_the_context_is_one_line(writer: Writer, column: CausalTextColumn) -> None:
    prompt = torch.full((1, 256), 50)
    mask = torch.ones_like(prompt, dtype=torch.bool)
    with pytest.raises(SensoriumError, match=r"257 tokens long at least, and the context of .* holds 256"):
        Continuation(writer, column).begin(writer.embed(prompt), mask, WritingConfig())


def test_an_answer_ends_with_the_context(writer: Writer, column: CausalTextColumn) -> None:
    prompt = torch.full((1, 250), 50)
    mask = torch.ones_like(prompt, dtype=torch.bool)
    _, config = Continuation(writer, column).begin(writer.embed(prompt), mask, WritingConfig(length=64))
    assert config.length == 6
