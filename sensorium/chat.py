"""Talking with a causal language model: the plain one, or that of a run, which also sees the run's inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from sensorium.batch import Fused, Tokens, to_device
from sensorium.data.causal_text import SHIFT, CausalTextColumn
from sensorium.data.table import read_table
from sensorium.decoders.causal import CausalDecoder, CausalDecoderConfig
from sensorium.decoders.continuation import Continuation
from sensorium.decoders.language_model import open_writer
from sensorium.decoders.prompt import Message, Piece, laid_out, pieces, with_inputs
from sensorium.decoders.writing import WritingConfig, stream
from sensorium.errors import SensoriumError, did_you_mean
from sensorium.predict import Predictor, load

PLAIN = CausalDecoderConfig().weights
"""The model that `open_chat` takes where no run is named."""

LENGTH = 512
"""Tokens of an answer at most, where nothing is said."""


class Chat:
    """A language model that answers messages, piece by piece.

    Args:
        column: names the tokens of the model.
        continuation: the model.

    Attributes:
        inputs: what a message may bring along beside its text; nothing here.
    """

    def __init__(self, column: CausalTextColumn, continuation: Continuation) -> None:
        self.column = column
        self.continuation = continuation
        self.inputs: list[str] = []

    def answer(self, messages: Sequence[Message], writing: WritingConfig | None = None) -> Iterator[str]:
        """The answer to the last message, in pieces that make up the text.

        Args:
            messages: of both sides, from the first: `role` (system, user, assistant), `content`, and
                `inputs`, name → cell, such as the path of a picture, where the model has such.
            writing: how; default: greedy, `LENGTH` tokens at most.

        Raises:
            SensoriumError: when the messages are longer than the context, or an input is unknown or cannot
                be read.
        """
        for message in messages:
            self._refuse_unknown(list(message.get("inputs", {})))
        with torch.no_grad():
            prompt, vectors, mask = self._read(messages)
            continuation = self.continuation
            state, config = continuation.begin(vectors, mask, writing or WritingConfig(length=LENGTH))
            ends = continuation.ends(start=int(prompt[-1][-1]))
        return self._pieces(stream(continuation.step, state, ends, config, mask.device))

    def _refuse_unknown(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.inputs:
                known = f"its inputs: {', '.join(self.inputs)}" if self.inputs else "it reads text alone"
                near = did_you_mean(name, self.inputs)
                raise SensoriumError(f"{name} is no input of this model{near}; {known}")

    def _read(self, messages: Sequence[Message]) -> tuple[list[Piece], Tensor, Tensor]:
        """The prompt, its vectors `(1, L, D)`, and its mask `(1, L)`."""
        prompt = pieces(laid_out(messages, self.column), self.column)
        ids = torch.tensor([[one for piece in prompt for one in piece]]) - SHIFT
        return prompt, self.continuation.writer.embed(ids), torch.ones_like(ids, dtype=torch.bool)

    def _pieces(self, tokens: Iterator[int]) -> Iterator[str]:
        """Tokens as text; half a character, or what may begin a stop string, waits for what follows."""
        ids: list[int] = []
        said = ""
        for one in tokens:
            ids.append(one)
            text = self.column.text(ids)
            if text.startswith(said) and len(text) > len(said) and not text.endswith("\ufffd"):
                yield text[len(said) :]
                said = text
        text = self.column.text(ids)
        if len(text) > len(said):
            yield text[len(said) :]


class RunChat(Chat):
    """The causal model of a run: the inputs of a message pass through the encoders, fusion and projector.

    Args:
        predictor: of the run.
        decoder: of one of its outputs.
    """

    def __init__(self, predictor: Predictor, decoder: CausalDecoder) -> None:
        super().__init__(
            decoder.column, Continuation(decoder.language.writer(), decoder.column, decoder.guide)
        )
        self.inputs = list(predictor.inputs)
        self._predictor, self._decoder = predictor, decoder

    def _read(self, messages: Sequence[Message]) -> tuple[list[Piece], Tensor, Tensor]:
        projected: dict[str, Tokens] = {}
        said = []
        for number, message in enumerate(messages):
            given = message.get("inputs", {})
            marks = {name: f"{number} {name}" for name in given}
            found = self._decoder.projector(self._fused(given)) if given else {}
            projected |= {mark: found[name] for name, mark in marks.items()}
            text = message["content"] or self._decoder.config.prompt
            said.append({"role": message["role"], "content": with_inputs(text, marks)})
        prompt = pieces(laid_out(said, self.column), self.column)
        return prompt, *self._decoder.vectors(prompt, projected, 1)

    def _fused(self, given: Mapping[str, Any]) -> Fused:
        """One row of the cells that are given; paths start from the working folder."""
        bound = self._predictor.inputs
        table = read_table({bound[name].source: [cell] for name, cell in given.items()}, Path.cwd())
        loader = self._predictor.loader(table)
        batch = loader.batch(np.array([0]))
        for cell in loader.quarantine.cells():
            raise SensoriumError(cell.line())
        return self._predictor.model.fuse(to_device(batch.inputs, torch.device("cpu")))


def open_chat(run: Path | None = None, weights: str = PLAIN) -> Chat:
    """A model to talk with.

    Args:
        run: runs/NAME, or a saved model; None for a plain model.
        weights: of the plain model, by id or folder.

    Raises:
        SensoriumError: when the run writes no text through a causal language model, or the weights are none.
    """
    if run is None:
        column = CausalTextColumn(None, weights, LENGTH)
        return Chat(column, Continuation(open_writer(column.checkpoint), column))
    predictor = load(run)
    for decoder in predictor.model.decoders().values():
        if isinstance(decoder, CausalDecoder):
            return RunChat(predictor, decoder)
    raise SensoriumError(
        f"{run}: no output is written by a causal language model, so there is none to talk with"
    )


def talk(chat: Chat, lines: Iterable[str], writing: WritingConfig, system: str = "") -> Iterator[str]:
    """The answers to one line after another, in pieces; blank lines are left out.

    Args:
        chat: who answers.
        lines: what is said; one may begin with inputs, such as `picture=cat.png What is this?`
        writing: how answers are written.
        system: what the model is told first.

    Raises:
        SensoriumError: see `Chat.answer`.
    """
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    for line in lines:
        if not line.strip():
            continue
        content, inputs = _taken_apart(line.strip(), chat.inputs)
        messages.append({"role": "user", "content": content, "inputs": inputs})
        answer = []
        for piece in chat.answer(messages, writing):
            answer.append(piece)
            yield piece
        yield "\n"
        messages.append({"role": "assistant", "content": "".join(answer)})


def _taken_apart(line: str, inputs: Sequence[str]) -> tuple[str, dict[str, str]]:
    """What is said, and the inputs before it."""
    found: dict[str, str] = {}
    while "=" in (word := line.partition(" ")[0]) and word.partition("=")[0] in inputs:
        name, _, path = word.partition("=")
        found[name] = path
        line = line.partition(" ")[2].strip()
    return line, found


def writing_of(**fields: Any) -> WritingConfig:
    """How answers are written.

    Raises:
        SensoriumError: naming the field that is wrong.
    """
    try:
        return WritingConfig(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise SensoriumError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
