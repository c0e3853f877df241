"""Writing token by token, from a table of logits in place of a decoder."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from sensorium.decoders.writing import Ends, WritingConfig, Written, write

ENDS = Ends(start=1, end=2, never=(0, 1))
WORDS = 6  # padding, start, end, and three words: 3, 4, 5


@dataclass(frozen=True)
class Table:
    """What follows what: `(N, WORDS, WORDS)` logits of the next token after each token."""

    logits: Tensor

    def rows(self, index: Tensor) -> Table:
        return Table(self.logits[index])


def step(last: Tensor, state: Table) -> tuple[Tensor, Table]:
    return state.logits[torch.arange(len(last)), last], state


def table(*chances: dict[int, dict[int, float]]) -> Table:
    """Of every row: after which token which follow, with which probability."""
    logits = torch.full((len(chances), WORDS, WORDS), -30.0)
    for row, after in enumerate(chances):
        for one, following in after.items():
            for other, chance in following.items():
                logits[row, one, other] = math.log(chance)
    return Table(logits)


# Greedily 3 and then 4 or 5; the likeliest text of all begins with 4.
MISLEADING = {1: {3: 0.6, 4: 0.4}, 3: {4: 0.51, 5: 0.49}, 4: {2: 1.0}, 5: {2: 1.0}}
SURE = {1: {5: 1.0}, 5: {4: 1.0}, 4: {2: 1.0}}


def written(state: Table, **options) -> Written:
    return write(step, state, len(state.logits), ENDS, WritingConfig(**options), torch.device("cpu"))


def texts(found: Written) -> list[list[list[int]]]:
    """Of every row its texts, without the padding."""
    return [[[int(one) for one in text if one] for text in row.T] for row in found.ids]


def test_greedy_takes_the_likeliest_token_each_time():
    found = written(table(MISLEADING, SURE))
    assert texts(found) == [[[3, 4]], [[5, 4]]]
    assert found.scores[0, 0] == pytest.approx((math.log(0.6) + math.log(0.51)) / 3, abs=1e-5)
    assert found.scores[1, 0] == pytest.approx(0.0, abs=1e-5)


def test_beams_find_a_likelier_text_whose_first_token_is_not_the_likeliest():
    found = written(table(MISLEADING), beams=2, length_penalty=0.0, best=2)
    assert texts(found)[0][0] == [4]
    assert found.scores[0, 0] == pytest.approx(math.log(0.4) / 2, abs=1e-5)
    assert found.scores[0, 1] == pytest.approx((math.log(0.6) + math.log(0.51)) / 3, abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"beams": 3, "best": 3}, {"temperature": 1.0, "best": 4, "seed": 5}])
def test_rows_do_not_influence_one_another(options):
    rows = table(MISLEADING, SURE, {1: {3: 0.5, 2: 0.5}, 3: {3: 0.7, 2: 0.3}})
    together = texts(written(rows, length=6, **options))
    alone = [texts(written(Table(rows.logits[row : row + 1]), length=6, **options))[0] for row in range(3)]
    assert together == alone


def test_no_text_is_longer_than_asked():
    for options in ({}, {"beams": 2}):
        found = written(table({1: {3: 1.0}, 3: {3: 1.0}}), length=4, **options)
        assert texts(found) == [[[3, 3, 3, 3]]]


def test_drawn_texts_come_as_often_as_they_are_likely():
    rows = table({1: {3: 0.75, 4: 0.25}, 3: {2: 1.0}, 4: {2: 1.0}})
    drawn = [texts(written(rows, temperature=1.0, best=50, length=2, seed=seed))[0] for seed in range(20)]
    share = np.mean([text == [3] for row in drawn for text in row])
    assert share == pytest.approx(0.75, abs=0.05)  # 1,000 draws: four deviations
    assert drawn[0] == texts(written(rows, temperature=1.0, best=50, length=2, seed=0))[0]


def test_top_p_leaves_the_unlikely_out():
    rows = table({1: {3: 0.6, 4: 0.3, 5: 0.1}, 3: {2: 1.0}, 4: {2: 1.0}, 5: {2: 1.0}})
    found = texts(written(rows, temperature=2.0, top_p=0.8, best=64, length=2))[0]
    assert {text[0] for text in found} == {3, 4}


def test_a_penalty_makes_a_written_token_less_likely():
    rows = table({1: {3: 1.0}, 3: {3: 0.55, 4: 0.45}, 4: {2: 1.0}})
    assert texts(written(rows, length=3))[0] == [[3, 3, 3]]
    assert texts(written(rows, length=3, repetition_penalty=2.0))[0] == [[3, 4]]


def test_no_run_of_tokens_stands_twice():
    rows = table({1: {3: 1.0}, 3: {4: 0.9, 5: 0.1}, 4: {3: 0.9, 2: 0.1}, 5: {2: 1.0}})
    assert texts(written(rows, length=6))[0] == [[3, 4, 3, 4, 3, 4]]
    assert texts(written(rows, length=6, no_repeat=2))[0] == [[3, 4, 3, 5]]


def test_time_ends_a_text(monkeypatch):
    moments = iter(range(100))
    monkeypatch.setattr("sensorium.decoders.writing.time.monotonic", lambda: float(next(moments)))
    found = written(table({1: {3: 1.0}, 3: {3: 1.0}}), length=50, seconds=3.5)
    assert 1 <= len(texts(found)[0][0]) <= 4


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValidationError, match="choose one"):
        WritingConfig(beams=2, temperature=1.0)
    with pytest.raises(ValidationError, match="as many beams"):
        WritingConfig(best=2)
