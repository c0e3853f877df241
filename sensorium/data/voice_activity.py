"""Where in a long sound somebody speaks: spans of time, found by loudness, joined and cut."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sensorium.data.sound import Samples

HOP = 0.01
"""From one measured moment to the next, seconds."""
_WINDOW = 0.03
"""Length of a moment, seconds."""
_QUIET = -60.0
"""dBFS below which nothing is speech."""
_ABOVE_NOISE, _BELOW_SPEECH = 10.0, 20.0
"""dB between the quietest tenth of the moments, or the loudest twentieth, and what counts as speech."""


class Span(NamedTuple):
    """A part of a sound, seconds from its start."""

    start: float
    end: float


def loud_spans(samples: Samples, rate: int) -> list[Span]:
    """Spans that are louder than the noise between them.

    Args:
        samples: `(S,)` float32 in [-1, 1].
        rate: samples a second, Hz.
    """
    levels = loudness(samples, rate)
    if not len(levels):
        return []
    quiet, loud = np.percentile(levels, [10, 95])
    least = max(_QUIET, min(quiet + _ABOVE_NOISE, loud - _BELOW_SPEECH))
    return active_spans(levels > least, HOP, len(samples) / rate)


def loudness(samples: Samples, rate: int) -> npt.NDArray[np.float64]:
    """`(T,)`, dBFS of every moment; the first begins at 0, and each `HOP` seconds after the one before."""
    hop, width = round(HOP * rate), round(_WINDOW / HOP)
    whole = len(samples) // hop * hop
    powers = np.square(samples[:whole], dtype=np.float64).reshape(-1, hop).mean(axis=1)
    sums = np.cumsum(np.concatenate([[0.0], powers, np.zeros(width - 1)]))
    means = (sums[width:] - sums[:-width]) / width
    return np.asarray(10 * np.log10(np.maximum(means, 1e-12)), np.float64)


def active_spans(
    active: npt.NDArray[np.bool_], hop: float, seconds: float, pause: float = 0.3, margin: float = 0.2
) -> list[Span]:
    """Moments that are active → spans.

    Args:
        active: `(T,)`, one every `hop` seconds.
        hop: seconds.
        seconds: of the whole sound.
        pause: spans with less than that between them are one.
        margin: seconds kept before and after each span; what is shorter than a tenth of a second is dropped.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    found: list[Span] = []
    for start, end in edges.reshape(-1, 2) * hop:
        if found and start - found[-1].end < pause:
            found[-1] = Span(found[-1].start, float(end))
        else:
            found.append(Span(float(start), float(end)))
    long = [span for span in found if span.end - span.start >= 0.1]
    return joined([Span(max(0.0, a - margin), min(seconds, b + margin)) for a, b in long], gap=0.0)


def joined(spans: list[Span], gap: float, longest: float = float("inf")) -> list[Span]:
    """Neighbours with no more than `gap` seconds between them, as far as they last no longer together."""
    found: list[Span] = []
    for span in spans:
        if found and span.start - found[-1].end <= gap and span.end - found[-1].start <= longest:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def cut(spans: list[Span], longest: float, levels: npt.NDArray[np.float64]) -> list[Span]:
    """Spans of at most `longest` seconds: longer ones are cut at the quietest moment of the later half.

    Args:
        spans: of a sound.
        longest: seconds.
        levels: of the sound, see `loudness`.
    """
    found: list[Span] = []
    for start, end in spans:
        while end - start > longest:
            first, last = round((start + longest / 2) / HOP), round((start + longest) / HOP)
            part = levels[first:last]
            place = start + longest if not len(part) else (first + int(part.argmin())) * HOP
            found.append(Span(start, place))
            start = place
        found.append(Span(start, end))
    return found
