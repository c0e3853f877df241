"""Token after token: greedy, by beams, or drawn; for every decoder that writes from left to right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from sensorium.config import Config


class WritingConfig(Config):
    """How a trained decoder writes."""

    length: int = Field(64, ge=1, le=100_000, description="tokens written at most")
    beams: int = Field(1, ge=1, le=64, description="beginnings followed side by side; 1: the likeliest token")
    temperature: float = Field(
        0.0, ge=0, le=10, description="above 0 tokens are drawn; logits are divided by it"
    )
    top_p: float = Field(
        1.0, gt=0, le=1, description="draw among the likeliest tokens that sum to this share"
    )
    repetition_penalty: float = Field(
        1.0, ge=1, le=10, description="divides the logits of tokens already written"
    )
    no_repeat: int = Field(0, ge=0, le=20, description="no run of so many tokens stands twice; 0: any may")
    length_penalty: float = Field(
        1.0, ge=0, le=5, description="beams: power of the length by which log probabilities are divided"
    )
    best: int = Field(1, ge=1, le=64, description="texts given of each row, the likeliest first")
    seed: int = Field(0, ge=0, description="of drawing; the same seed draws the same texts")
    seconds: float = Field(600.0, gt=0, description="time for a batch, after which texts end where they are")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.beams > 1 and self.temperature > 0:
            raise ValueError("beams follow the likeliest tokens, and a temperature draws them: choose one")
        if self.temperature == 0 and self.best > self.beams:
            raise ValueError(f"best: {self.best} texts need as many beams, or a temperature")
        return self


class Written(NamedTuple):
    """Texts as tokens.

    Attributes:
        ids: `(B, L, K)` int64, the K best of a row, those first; 0 after the end.
        scores: `(B, K)` float32, mean log probability of a token, the end included.
    """

    ids: Tensor
    scores: Tensor


class State(Protocol):
    """What a decoder remembers of N beginnings."""

    def rows(self, index: Tensor) -> Self:
        """The same for other beginnings: `(N',)` positions among the N."""


Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""The last tokens `(N,)` int64 and the state → logits of the next `(N, V)` and the state after them."""


class Ends(NamedTuple):
    """Where writing begins and ends.

    Attributes:
        start: the token before the first.
        end: the token after the last.
        never: tokens that are never written.
    """

    start: int
    end: int
    never: tuple[int, ...] = ()


@torch.no_grad()
def write(
    step: Step, state: State, rows: int, ends: Ends, config: WritingConfig, device: torch.device
) -> Written:
    """Writes `config.best` texts for every row.

    Rows do not influence one another: what is drawn for a row is the same in whatever batch it stands,
    because all rows share the noise of the Gumbel-max trick (Gumbel 1954), step by step.

    Args:
        step: gives the logits of the next token.
        state: of B beginnings, nothing written yet.
        rows: B.
        ends: where to begin and to end.
        config: how.
        device: of the state.
    """
    if config.beams > 1:
        return _by_beams(step, state, rows, ends, config, device)
    return _one_by_one(step, state, rows, ends, config, device)


@torch.no_grad()
def stream(
    step: Step, state: State, ends: Ends, config: WritingConfig, device: torch.device
) -> Iterator[int]:
    """The tokens of one text without its end, each as soon as it is chosen; the text that `write` gives.

    Args:
        step, state, ends, device: as for `write`, of one row.
        config: how; without beams, which choose a text when it is whole, and with one text.
    """
    for tokens, _ in _tokens(step, state, 1, ends, config.model_copy(update={"best": 1}), device):
        if int(tokens) == ends.end:
            return
        yield int(tokens)


def _one_by_one(
    step: Step, state: State, rows: int, ends: Ends, config: WritingConfig, device: torch.device
) -> Written:
    """Greedy, or drawn: every text by itself, `best` of them a row."""
    count = rows * config.best
    ids = torch.zeros(count, 0, dtype=torch.int64, device=device)
    total, length = torch.zeros(count, device=device), torch.zeros(count, device=device)
    running = torch.ones(count, dtype=torch.bool, device=device)
    for last, logs in _tokens(step, state, rows, ends, config, device):
        total += torch.where(running, logs, 0.0)
        length += running
        running = running & (last != ends.end)
        ids = torch.cat([ids, torch.where(running, last, 0)[:, None]], dim=1)
        if not bool(running.any()):
            break
    scores = (total / length.clamp(min=1)).view(rows, config.best)
    order = scores.argsort(dim=1, descending=True, stable=True)
    texts = ids.view(rows, config.best, -1).gather(1, order[:, :, None].expand(-1, -1, ids.shape[1]))
    return Written(texts.transpose(1, 2), scores.gather(1, order))


def _tokens(
    step: Step, state: State, rows: int, ends: Ends, config: WritingConfig, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Tokens of every text, `(N,)`, and their log probabilities `(N,)`, until length or time is up."""
    count = rows * config.best
    state = state.rows(torch.arange(rows, device=device).repeat_interleave(config.best))
    last = torch.full((count,), ends.start, device=device)
    ids = torch.zeros(count, 0, dtype=torch.int64, device=device)
    noise = _Noise(config, rows, device)
    finish = time.monotonic() + config.seconds
    while ids.shape[1] < config.length and time.monotonic() < finish:
        logits, state = step(last, state)
        chances = _allowed(logits.float(), ids, ends, config)
        last = _chosen(chances, noise, config)
        ids = torch.cat([ids, last[:, None]], dim=1)
        yield last, chances.log_softmax(dim=-1).gather(1, last[:, None])[:, 0]


class _Noise:
    """Gumbel noise `(best, V)` for every step, the same for all rows."""

    def __init__(self, config: WritingConfig, rows: int, device: torch.device) -> None:
        self._generator = torch.Generator().manual_seed(config.seed)
        self._best, self._rows, self._device = config.best, rows, device

    def next(self, tokens: int) -> Tensor:
        uniform = torch.rand(self._best, tokens, generator=self._generator, dtype=torch.float64)
        gumbel = -(-uniform.clamp(min=1e-300).log()).log()
        return gumbel.float().to(self._device).repeat(self._rows, 1)


def _chosen(chances: Tensor, noise: _Noise, config: WritingConfig) -> Tensor:
    """The next token of each text: the likeliest, or one that is drawn."""
    if config.temperature == 0:
        return chances.argmax(dim=-1)
    scaled = (chances / config.temperature).log_softmax(dim=-1)
    if config.top_p < 1:
        ranked, order = scaled.sort(dim=-1, descending=True)
        before = ranked.exp().cumsum(dim=-1) - ranked.exp()
        outside = torch.zeros_like(before, dtype=torch.bool).scatter(1, order, before >= config.top_p)
        scaled = scaled.masked_fill(outside, float("-inf"))
    return (scaled + noise.next(scaled.shape[1])).argmax(dim=-1)


def _allowed(logits: Tensor, ids: Tensor, ends: Ends, config: WritingConfig) -> Tensor:
    """Logits with what must not follow at minus infinity, and what was written made less likely."""
    if config.repetition_penalty > 1 and ids.shape[1]:
        # As in CTRL (Keskar et al. 2019, arXiv:1909.05858). Id 0 is padding, and never written.
        seen = logits.gather(1, ids)
        lower = torch.where(seen > 0, seen / config.repetition_penalty, seen * config.repetition_penalty)
        logits = logits.scatter(1, ids, lower)
    banned = torch.zeros_like(logits, dtype=torch.bool)
    banned[:, list(ends.never)] = True
    if config.no_repeat and ids.shape[1] >= config.no_repeat:
        _ban_repeats(banned, ids, config.no_repeat)
    return logits.masked_fill(banned, float("-inf"))


def _ban_repeats(banned: Tensor, ids: Tensor, size: int) -> None:
    """Marks every token that would end a run of tokens that stands already."""
    runs = ids.unfold(1, size, 1)
    last = ids[:, ids.shape[1] - size + 1 :]
    repeated = (runs[:, :, :-1] == last[:, None]).all(dim=2)
    row, place = repeated.nonzero(as_tuple=True)
    banned[row, runs[row, place, -1]] = True


def _by_beams(
    step: Step, state: State, rows: int, ends: Ends, config: WritingConfig, device: torch.device
) -> Written:
    """Beam search: beginnings that end leave the beam, and compete by mean log probability."""
    beams = config.beams
    state = state.rows(torch.arange(rows, device=device).repeat_interleave(beams))
    first = torch.arange(rows, device=device)[:, None] * beams
    ids = torch.zeros(rows * beams, 0, dtype=torch.int64, device=device)
    last = torch.full((rows * beams,), ends.start, device=device)
    total = torch.full((rows, beams), float("-inf"), device=device)
    total[:, 0] = 0.0  # all beams begin alike: one is enough
    done = _Finished(rows, config, device)
    finish = time.monotonic() + config.seconds
    for length in range(1, config.length + 1):
        logits, state = step(last, state)
        logs = _allowed(logits.float(), ids, ends, config).log_softmax(dim=-1)
        every = (total.view(-1, 1) + logs).view(rows, -1)
        best, place = every.topk(min(2 * beams, every.shape[1]), dim=1)
        source, token = place // logs.shape[1], place % logs.shape[1]
        ended = token == ends.end
        done.add(ids[(first + source).flatten()].view(rows, best.shape[1], -1), best, ended, length)
        going = best.masked_fill(ended, float("-inf")).topk(beams, dim=1).indices
        total, source, token = best.gather(1, going), source.gather(1, going), token.gather(1, going)
        chosen = (first + source).flatten()
        state, last = state.rows(chosen), token.flatten()
        ids = torch.cat([ids[chosen], last[:, None]], dim=1)
        if done.settled(total, length) or time.monotonic() >= finish:
            break
    done.add(ids.view(rows, beams, -1), total, torch.ones_like(total, dtype=torch.bool), ids.shape[1])
    return done.best()


class _Finished:
    """The best texts of every row that have come to an end."""

    def __init__(self, rows: int, config: WritingConfig, device: torch.device) -> None:
        self._config = config
        self._ids = torch.zeros(rows, config.beams, config.length, dtype=torch.int64, device=device)
        self._scores = torch.full((rows, config.beams), float("-inf"), device=device)
        self._means = torch.full((rows, config.beams), float("-inf"), device=device)

    def add(self, ids: Tensor, totals: Tensor, ended: Tensor, length: int) -> None:
        """Texts `(B, N, L)` with summed log probabilities `(B, N)`, of which those that `ended` compete."""
        padded = torch.nn.functional.pad(ids, (0, self._config.length - ids.shape[2]))
        scores = (totals / length**self._config.length_penalty).masked_fill(~ended, float("-inf"))
        every = torch.cat([self._scores, scores], dim=1)
        kept = every.topk(self._config.beams, dim=1).indices
        self._scores = every.gather(1, kept)
        self._means = torch.cat([self._means, totals / length], dim=1).gather(1, kept)
        texts = torch.cat([self._ids, padded], dim=1)
        self._ids = texts.gather(1, kept[:, :, None].expand(-1, -1, texts.shape[2]))

    def settled(self, totals: Tensor, length: int) -> bool:
        """Whether no beginning can overtake the worst of the finished texts any more.

        A total only falls; divided by the longest length it is the most that a beginning can still reach.
        """
        most = totals.amax(dim=1) / max(length, self._config.length) ** self._config.length_penalty
        return bool((self._scores[:, -1] >= most).all())

    def best(self) -> Written:
        count = self._config.best
        return Written(self._ids[:, :count].transpose(1, 2), self._means[:, :count])
