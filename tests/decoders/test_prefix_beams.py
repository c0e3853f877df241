"""Paths of frames added up by hand."""

import itertools
import math

import numpy as np
import pytest

from sensorium.decoders.prefix_beams import BLANK, prefix_beams


def logs(*frames):
    with np.errstate(divide="ignore"):
        return np.log(np.array(frames, np.float64)).astype(np.float32)


def test_paths_that_say_the_same_are_one():
    """Blank, blank is the likeliest path, at 0.36; "a" is said by three paths: 0.24 + 0.24 + 0.16 = 0.64."""
    found = prefix_beams(logs([0.6, 0.4], [0.6, 0.4]), beams=4, length=5)
    assert [text.tokens for text in found] == [(1,), ()]
    assert math.exp(found[0].log_probability) == pytest.approx(0.64, abs=1e-5)
    assert math.exp(found[1].log_probability) == pytest.approx(0.36, abs=1e-5)


def test_a_token_twice_wants_a_blank_between():
    found = prefix_beams(logs([0.1, 0.9], [0.5, 0.5], [0.1, 0.9]), beams=8, length=5)
    said = {text.tokens: math.exp(text.log_probability) for text in found}
    assert said[1, 1] == pytest.approx(0.9 * 0.5 * 0.9, abs=1e-5)
    assert sum(said.values()) == pytest.approx(1.0, abs=1e-4)


def test_enough_beams_find_every_text_with_its_probability():
    frames = np.random.default_rng(0).dirichlet([1, 1, 1], size=5)
    wanted = {}
    for path in itertools.product(range(3), repeat=5):
        text = tuple(token for token, _ in itertools.groupby(path) if token != BLANK)
        chance = np.prod([frame[token] for frame, token in zip(frames, path, strict=True)])
        wanted[text] = wanted.get(text, 0.0) + chance
    found = prefix_beams(logs(*frames), beams=100, length=5)
    assert {text.tokens: pytest.approx(math.exp(text.log_probability), abs=1e-5) for text in found} == wanted
    assert [text.score for text in found] == sorted((text.score for text in found), reverse=True)


def test_a_judge_turns_a_close_race():
    frames = logs([0.1, 0.5, 0.4])
    assert prefix_beams(frames, beams=3, length=5)[0].tokens == (1,)
    judged = prefix_beams(frames, beams=3, length=5, judge=lambda before, token: 1.0 if token == 2 else 0.0)
    assert judged[0].tokens == (2,)
    assert math.exp(judged[0].log_probability) == pytest.approx(0.4, abs=1e-5)


def test_length_and_time_end_a_text():
    frames = logs(*[[0.01, 0.98, 0.01], [0.01, 0.01, 0.98]] * 3)
    assert prefix_beams(frames, beams=3, length=2)[0].tokens == (1, 2)
    assert prefix_beams(frames, beams=3, length=9, finish=0.0)[0].tokens == ()
