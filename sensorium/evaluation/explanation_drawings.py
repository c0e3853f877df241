"""What carried a prediction, as drawn: coloured words, patches over a picture, windows of a sound, bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.evaluation.previews import preview
from sensorium.evaluation.words import number
from sensorium.explanation import InputExplanation, RowExplanation

WAVE_HEIGHT = 40
"""Of a sound's drawing, in its own units."""
WAVE_COLUMNS = 200
"""Of a sound's drawing, which is as wide in its own units."""
NAMED = 3
"""Parts that are named in words, on each side."""

ONE = np.ones(1, dtype=np.bool_)


class Mark(NamedTuple):
    """One part as it is drawn.

    Attributes:
        name: of the part.
        side: "for" where it raises the score, "against" where it lowers it.
        depth: of its colour, from 0 to 1, the heaviest part of its input.
        weight: in words, with its sign.
        place: as the drawing wants it.
    """

    name: str
    side: str
    depth: float
    weight: str
    place: tuple[float, ...] = ()


class DrawnInput(NamedTuple):
    """One input of a row.

    Attributes:
        name: of the input.
        kind: type of its column.
        present: whether the row has it.
        method: how its parts were weighed.
        reason: why it was not the method asked for; "" where it was.
        bar: of its weight.
        drawn: what its kind of drawing needs.
        named: the heaviest words or moments, those that raise the score first.
    """

    name: str
    kind: str
    present: bool
    method: str
    reason: str
    bar: dict[str, Any]
    drawn: dict[str, Any]
    named: list[Mark]


def draw_row(row: RowExplanation) -> list[DrawnInput]:
    """The inputs of a row, in their order."""
    largest = max((abs(one.weight) for one in row.inputs.values()), default=0.0)
    return [
        DrawnInput(
            name=name,
            kind=own.type,
            present=own.present,
            method=own.method,
            reason=own.reason,
            bar=_bar(own.weight, largest),
            drawn=DRAWINGS.get(own.type, _bars)(own) if own.present else {},
            named=_named(own) if own.type in ("text", "audio") and len(own.parts) > 1 else [],
        )
        for name, own in row.inputs.items()
    ]


def signed(weight: float, beside: float) -> str:
    """A weight with its sign; a small one takes the decimals of the largest beside it."""
    return ("+" if weight >= 0 else "") + number(weight, beside)


def _marks(own: InputExplanation, places: Sequence[tuple[float, ...]] | None = None) -> list[Mark]:
    largest = max((abs(weight) for weight in own.weights), default=0.0) or 1.0
    return [
        Mark(
            name=part.name,
            side="for" if weight >= 0 else "against",
            depth=round(abs(weight) / largest, 3),
            weight=signed(weight, largest),
            place=part.place if places is None else places[position],
        )
        for position, (part, weight) in enumerate(zip(own.parts, own.weights, strict=True))
    ]


def _named(own: InputExplanation) -> list[Mark]:
    """The heaviest parts of each side, of those that count at all beside the heaviest."""
    marks = [one for one in _marks(own) if one.depth >= 0.1]
    heaviest = sorted(marks, key=lambda one: -one.depth)
    sides = ([one for one in heaviest if one.side == side][:NAMED] for side in ("for", "against"))
    return [one for side in sides for one in side]


def _text(own: InputExplanation) -> dict[str, Any]:
    """Pieces of the text in order: a word with its mark, or what lies between with None."""
    pieces: list[tuple[str, Mark | None]] = []
    end = 0
    for mark in _marks(own):
        start, stop = (int(one) for one in mark.place)
        pieces += [(own.cell.text[end:start], None), (own.cell.text[start:stop], mark)]
        end = stop
    pieces[0] = (pieces[0][0].lstrip(), None)
    return {"pieces": [one for one in pieces if one[0]], "unread": own.cell.text[end:]}


def _picture(own: InputExplanation) -> dict[str, Any]:
    values = own.cell.values[0]
    height, width = values.shape[-2:]
    places = [
        (left * width, top * height, (right - left) * width, (bottom - top) * height)
        for top, left, bottom, right in (part.place for part in own.parts)
    ]
    return {
        "picture": preview("image", None, values, ONE, own.cell.column).content,
        "size": (width, height),
        "marks": _marks(own, [tuple(round(one, 2) for one in place) for place in places]),
    }


def _film(own: InputExplanation) -> dict[str, Any]:
    frames = own.cell.values[0][own.cell.mask[0]]
    pictures = [preview("image", None, frame, ONE, own.cell.column).content for frame in frames]
    return {"frames": list(zip(pictures, _marks(own), strict=True))}


def _sound(own: InputExplanation) -> dict[str, Any]:
    values, mask = own.cell.values[0], own.cell.mask[0]
    seconds = own.parts[-1].place[1]
    scale = WAVE_COLUMNS / seconds
    places = [(start * scale, (end - start) * scale) for start, end in (part.place for part in own.parts)]
    return {
        "sound": preview("audio", None, values, mask, own.cell.column).content,
        "wave": _wave(values[mask]),
        "size": (WAVE_COLUMNS, WAVE_HEIGHT),
        "seconds": number(seconds),
        "marks": _marks(own, [tuple(round(one, 2) for one in place) for place in places]),
    }


def _wave(samples: Array) -> str:
    """The outline of a sound as the path of an SVG: its highest samples forth, its lowest back."""
    parts = [part for part in np.array_split(samples, WAVE_COLUMNS) if len(part)]
    top = max(float(np.abs(samples).max(initial=0.0)), 1e-6)
    middle, reach = WAVE_HEIGHT / 2, WAVE_HEIGHT / 2 - 1
    step = WAVE_COLUMNS / len(parts)
    upper = [(place * step, middle - reach * float(part.max()) / top) for place, part in enumerate(parts)]
    lower = [(place * step, middle - reach * float(part.min()) / top) for place, part in enumerate(parts)]
    return "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in [*upper, *reversed(lower)]) + "Z"


def _bars(own: InputExplanation) -> dict[str, Any]:
    largest = max((abs(weight) for weight in own.weights), default=0.0)
    return {
        "bars": [
            (part.name, _bar(weight, largest)) for part, weight in zip(own.parts, own.weights, strict=True)
        ]
    }


def _bar(weight: float, largest: float) -> dict[str, Any]:
    """A bar to the right of the middle, or to its left, in percent of the track."""
    length = 50 * abs(weight) / largest if largest else 0.0
    return {
        "left": round(50.0 if weight >= 0 else 50 - length, 2),
        "length": round(length, 2),
        "side": "for" if weight >= 0 else "against",
        "weight": signed(weight, largest),
    }


DRAWINGS: dict[str, Callable[[InputExplanation], dict[str, Any]]] = {
    "text": _text,
    "image": _picture,
    "video": _film,
    "audio": _sound,
}
"""By type of column; every other type is drawn as bars."""
