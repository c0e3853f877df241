"""Tones with silence between: where each begins and ends is known."""

import numpy as np
import pytest

from sensorium.data.voice_activity import HOP, Span, active_spans, cut, joined, loud_spans, loudness

RATE = 16000


def sound(*parts, noise=1e-3):
    """Parts of (seconds, amplitude) one after the other."""
    random = np.random.default_rng(0)
    pieces = [amplitude * np.sin(np.arange(round(seconds * RATE)) / 5) for seconds, amplitude in parts]
    samples = np.concatenate(pieces)
    return (samples + noise * random.normal(size=len(samples))).astype(np.float32)


def test_loud_parts_are_found_with_a_margin():
    spans = loud_spans(sound((1, 0), (1, 0.3), (1, 0), (0.5, 0.1), (1, 0)), RATE)
    assert [pytest.approx(span, abs=0.04) for span in spans] == [(0.8, 2.2), (2.8, 3.7)]


def test_speech_without_a_pause_is_one_span():
    assert loud_spans(sound((2, 0.3)), RATE) == [pytest.approx((0.0, 2.0), abs=0.03)]


@pytest.mark.parametrize(
    "samples", [np.zeros(RATE, np.float32), np.zeros(0, np.float32), sound((1, 0), noise=1e-4)]
)
def test_silence_holds_nothing(samples):
    assert loud_spans(samples, RATE) == []


def test_loudness_by_hand():
    """A full square has 0 dBFS; of the last moment two thirds lie behind the end."""
    levels = loudness(np.ones(RATE // 10, np.float32), RATE)
    assert len(levels) == 10
    assert levels[0] == pytest.approx(0.0)
    assert levels[-1] == pytest.approx(10 * np.log10(1 / 3))


def test_short_pauses_are_bridged_and_clicks_dropped():
    active = np.zeros(300, np.bool_)
    active[50:100] = active[120:150] = active[250:255] = True
    assert active_spans(active, 0.01, 3.0) == [pytest.approx((0.3, 1.7))]


def test_neighbours_are_joined_as_far_as_they_may():
    spans = [Span(0, 2), Span(2.5, 4), Span(6, 7)]
    assert joined(spans, gap=1.0) == [(0, 4), (6, 7)]
    assert joined(spans, gap=9.0, longest=4.5) == [(0, 4), (6, 7)]


def test_long_spans_are_cut_where_it_is_quietest():
    levels = np.zeros(1000)
    levels[800] = -40
    assert cut([Span(0, 10), Span(10, 11)], 9.0, levels) == [(0, 800 * HOP), (8, 10), (10, 11)]
    assert all(end - start <= 0.5 + 1e-9 for start, end in cut([Span(0, 10)], 0.5, np.zeros(0)))
