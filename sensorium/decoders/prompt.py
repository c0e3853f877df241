"""What a language model reads before it writes: words, and the places where the inputs' tokens go."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sensorium.data.causal_text import CausalTextColumn
from sensorium.errors import RecipeError, WeightsError, require

Message = Mapping[str, Any]
"""`role`, such as user or assistant, and `content`; also `inputs` in `sensorium.chat`."""
Piece = list[int] | str
"""Ids of `CausalTextColumn`, or the name of an input whose tokens stand there."""

_NAMED = re.compile(r"\{([^{}]+)\}")
_OPEN, _CLOSE = "\ue000", "\ue001"  # of a private range of Unicode: no text has them
_MARKED = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")


def named_inputs(prompt: str) -> list[str]:
    """The inputs that a prompt names in braces, once each."""
    return list(dict.fromkeys(_NAMED.findall(prompt)))


def with_inputs(prompt: str, marks: Mapping[str, str]) -> str:
    """A prompt with the places of the inputs; those that it does not name stand in front, in their order.

    Args:
        prompt: which may name inputs in braces; other braces stay.
        marks: input → what `pieces` calls it.
    """
    marked = {name: f"{_OPEN}{mark}{_CLOSE}" for name, mark in marks.items()}
    named = named_inputs(prompt)
    first = "".join(mark for name, mark in marked.items() if name not in named)
    return first + _NAMED.sub(lambda found: marked.get(found[1], found[0]), prompt)


def pieces(text: str, column: CausalTextColumn) -> list[Piece]:
    """Words as ids, and inputs between them; ids stand at the end, as the last of them begins the answer.

    Args:
        text: with the marks of `with_inputs`.
        column: whose checkpoint reads it.
    """
    parts = _MARKED.split(text)  # words, name, words, name, ..., words
    found: list[Piece] = [part if place % 2 else column.cut(part) for place, part in enumerate(parts)]
    if not found[-1]:
        found[-1] = [column.ends[0]]
    return [piece for piece in found if piece]


def laid_out(messages: Sequence[Message], column: CausalTextColumn) -> str:
    """Messages in the words of the checkpoint's chat template, up to where the answer begins.

    A checkpoint without a template gets the contents, one a line.

    Raises:
        WeightsError: when the template cannot be used.
        RecipeError: when it refuses the messages, such as two of one speaker in a row.
    """
    template = column.checkpoint.chat_template
    if not template:
        return "".join(f"{message['content']}\n" for message in messages)
    jinja2 = require("jinja2", "train")
    sandbox = require("jinja2.sandbox", "train").ImmutableSandboxedEnvironment
    environment = sandbox(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    special = _special_words(column)
    try:
        made = environment.from_string(template)
        return str(made.render(messages=list(messages), add_generation_prompt=True, **special))
    except jinja2.TemplateError as error:
        name = column.checkpoint.name
        raise WeightsError(f"{name}: its chat template cannot be used ({error}); write chat: false") from None


def _refuse(words: str) -> None:
    raise RecipeError(f"the checkpoint's chat template refuses the messages: {words}")


def _special_words(column: CausalTextColumn) -> dict[str, str]:
    config = column.checkpoint.config
    known = {name: config.get(f"{name}_id") for name in ("bos_token", "eos_token")}
    return {name: column.word(one) for name, one in known.items() if isinstance(one, int)}
