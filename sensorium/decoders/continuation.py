"""A prompt read, and what may follow it: what `write` and `stream` need of a causal language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional

from sensorium.data.causal_text import SHIFT, CausalTextColumn
from sensorium.decoders.guide import Guide, Guided
from sensorium.decoders.language_model import Writer
from sensorium.decoders.writing import Ends, WritingConfig
from sensorium.errors import SensoriumError


@dataclass(frozen=True)
class Continued:
    """What is known of N texts: the `State` of a causal decoder.

    Attributes:
        memory: of the language model.
        guided: what each text may go on with; None where it may be anything.
    """

    memory: Any
    guided: Guided | None

    def rows(self, index: Tensor) -> Continued:
        """The same for other texts."""
        guided = self.guided and self.guided.rows(index.tolist())
        return Continued(self.memory.rows(index), guided)


def check_context(tokens: int, context: int, name: str) -> None:
    """Refuses a prompt that leaves no room for what must follow.

    Args:
        tokens: of the prompt and of what must follow it.
        context: tokens that the model can look at.
        name: of the model.

    Raises:
        SensoriumError: when there are more tokens than that.
    """
    if tokens > context:
        raise SensoriumError(
            f"prompt and answer are {tokens:,} tokens long at least, and the context of {name} holds "
            f"{context:,}: shorten the prompt, or bring fewer tokens of an input"
        )


class Continuation:
    """Answers of a language model, token by token, in the ids of `CausalTextColumn`.

    Args:
        writer: the language model.
        column: names its tokens.
        guide: what may be written; None for anything.
    """

    def __init__(self, writer: Writer, column: CausalTextColumn, guide: Guide | None = None) -> None:
        self.writer, self.column, self.guide = writer, column, guide
        self._others = list(column.ends[1:])

    def ends(self, start: int) -> Ends:
        """Where writing begins, after the token `start`, and ends; no mark of who is speaking is written."""
        end = self.column.ends[0]
        never = {0, *self.column.special, *self._others} - {end}
        return Ends(start, end, tuple(sorted(never)))

    def begin(self, vectors: Tensor, mask: Tensor, config: WritingConfig) -> tuple[Continued, WritingConfig]:
        """Reads a prompt up to its last token, with which writing starts.

        Args:
            vectors: `(N, L, D)`, the prompt.
            mask: `(N, L)` bool, which of it is real.
            config: how the answer is written.

        Returns:
            The state, and the configuration with no more tokens than the context has room for.

        Raises:
            SensoriumError: when the prompt fills the context.
        """
        prompt, context = vectors.shape[1], self.writer.context
        check_context(prompt + 1, context, self.column.checkpoint.name)
        config = config.model_copy(update={"length": min(config.length, context - prompt)})
        memory = self.writer.begin(mask, prompt + config.length)
        if prompt > 1:
            _, memory = self.writer.read(vectors[:, :-1], memory)
        return Continued(memory, self.guide and self.guide.begin(len(vectors))), config

    def step(self, last: Tensor, state: Any) -> tuple[Tensor, Continued]:
        """See `writing.Step`."""
        # A beam that nothing may follow goes on with padding, which is no token of the checkpoint.
        ids = (last.unsqueeze(1) - SHIFT).clamp(min=0)
        states, memory = self.writer.read(self.writer.embed(ids), state.memory)
        logits = self._shifted(self.writer.logits(states[:, -1]))
        guided: Guided | None = state.guided
        if guided is not None:
            guided = guided.after(last.tolist())
            logits = logits.masked_fill(~guided.allowed(logits.shape[1]).to(logits.device), float("-inf"))
        return logits, Continued(memory, guided)

    def _shifted(self, logits: Tensor) -> Tensor:
        """Logits of the checkpoint's tokens as those of the column's, all ends counted as the first."""
        size = self.column.vocabulary_size
        logits = functional.pad(logits[:, : size - SHIFT], (SHIFT, 0), value=float("-inf"))
        if self._others:
            logits[:, self.column.ends[0]] = logits[:, list(self.column.ends)].logsumexp(dim=1)
        return logits
