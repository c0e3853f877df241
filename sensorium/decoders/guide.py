"""What may be written: JSON of a schema, texts of a grammar, texts up to a stop string."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sensorium.data.causal_text import SHIFT, CausalTextColumn
from sensorium.errors import RecipeError, require


class Guide:
    """Rules for texts; with llguidance where there is a schema or a grammar.

    Args:
        column: of the tokens; its `stop` strings end a text.
        json_schema: what is written is JSON of this schema.
        grammar: what is written follows this grammar, in Lark's notation.

    Raises:
        RecipeError: when there are both, or no text of the tokens satisfies them.
        MissingPackage: without llguidance, where it is needed.
    """

    def __init__(
        self, column: CausalTextColumn, json_schema: Mapping[str, Any] | None, grammar: str | None
    ) -> None:
        if json_schema is not None and grammar is not None:
            raise RecipeError("json_schema and grammar are both given: choose one")
        self._column = column
        self._matcher: Any = None
        if json_schema is not None or grammar is not None:
            self._matcher = _matcher(column, json_schema, grammar)

    def begin(self, rows: int) -> Guided:
        """The rules for so many texts of which nothing is written yet."""
        matchers = [self._matcher and self._matcher.deep_copy() for _ in range(rows)]
        return Guided(self._column, matchers, [None] * rows)


class Guided:
    """What may follow in each of N texts.

    Args:
        column: of the tokens.
        matchers: of every text llguidance's; None without a schema or a grammar.
        written: of every text the ids so far; None before the token that writing starts with.
    """

    def __init__(
        self, column: CausalTextColumn, matchers: list[Any], written: Sequence[list[int] | None]
    ) -> None:
        self._column, self._matchers, self._written = column, matchers, written

    def rows(self, index: Sequence[int]) -> Guided:
        """The same for other texts."""
        matchers = [self._matchers[one] and self._matchers[one].deep_copy() for one in index]
        return Guided(self._column, matchers, [self._written[one] for one in index])

    def after(self, last: Sequence[int]) -> Guided:
        """The same once each text has gone on with one more id; the first is what writing starts with."""
        written: list[list[int] | None] = []
        for text, matcher, one in zip(self._written, self._matchers, last, strict=True):
            if text is not None and matcher is not None and one and not matcher.is_stopped():
                matcher.consume_token(one - SHIFT)
            written.append([] if text is None else [*text, one])
        return Guided(self._column, self._matchers, written)

    def allowed(self, tokens: int) -> Tensor:
        """`(N, tokens)` bool, True for ids that may follow."""
        every = [
            self._allowed_after(text or [], matcher, tokens)
            for text, matcher in zip(self._written, self._matchers, strict=True)
        ]
        return torch.stack(every)

    def _allowed_after(self, text: list[int], matcher: Any, tokens: int) -> Tensor:
        end = self._column.ends[0]
        allowed = torch.zeros(tokens, dtype=torch.bool)
        if self._column.stops(text) or end in text or (matcher is not None and matcher.is_stopped()):
            allowed[end] = True
            return allowed
        if matcher is None:
            return ~allowed
        biases = torch.frombuffer(bytearray(matcher.compute_logit_bias()), dtype=torch.uint8)
        allowed[SHIFT:] = biases[: tokens - SHIFT] > 0
        return allowed


def _matcher(column: CausalTextColumn, json_schema: Mapping[str, Any] | None, grammar: str | None) -> Any:
    library = require("llguidance", "text")
    field = "grammar" if json_schema is None else "json_schema"
    ends = [one - SHIFT for one in column.ends]
    try:
        if json_schema is None:
            rules = library.LLMatcher.grammar_from_lark(grammar)
        else:
            rules = library.LLMatcher.grammar_from_json_schema(json.dumps(json_schema))
        tokens = library.LLTokenizer(column.checkpoint.tokenizer, eos_token=ends)
    except ValueError as error:
        raise RecipeError(f"{field}: {_first_line(error)}") from None
    matcher = library.LLMatcher(tokens, rules, log_level=0)
    matcher.compute_logit_bias()
    if matcher.is_error():
        raise RecipeError(f"{field}: cannot be satisfied: {_first_line(matcher.get_error())}")
    return matcher


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0][:200]
