"""One cell as a reader of the report sees or hears it: a text, a small picture, a player."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from sensorium.data.column import Array

LONGEST_TEXT = 300
"""Characters of a text that are shown."""
LARGEST_SIDE = 160
"""Pixels of a picture's longer side."""
FRAME_MILLISECONDS = 250
"""How long a frame of a film is shown."""
LONGEST_SOUND = 10.0
"""Seconds of a sound that can be heard."""


class Preview(NamedTuple):
    """How a cell is shown.

    Attributes:
        kind: "text", "picture", "sound" or "nothing" (the row lacks it).
        content: the text, or a data URI.
    """

    kind: Literal["text", "picture", "sound", "nothing"]
    content: str


def preview(kind: str, cell: Any, values: Array, mask: Array, column: Any) -> Preview:
    """Shows one cell.

    Args:
        kind: type of the column.
        cell: as it stands in the table.
        values: of this row as decoded; shape and dtype as the column's docstring says.
        mask: `(L,)` of this row.
        column: fitted.
    """
    if not mask.any():
        return Preview("nothing", "")
    return PREVIEWS.get(kind, _text)(cell, values, mask, column)


def _text(cell: Any, values: Array, mask: Array, column: Any) -> Preview:
    text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
    return Preview("text", text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…")


def as_picture(picture: Image.Image) -> Preview:
    """An RGB picture as it is, without making it smaller."""
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85)
    return Preview("picture", _data_uri("image/jpeg", content.getvalue()))


def _picture(cell: Any, values: Array, mask: Array, column: Any) -> Preview:
    return as_picture(_image(values))


def _film(cell: Any, values: Array, mask: Array, column: Any) -> Preview:
    """The frames that the model sees, one after the other, again and again."""
    frames = [_image(frame) for frame in values[mask]]
    content = io.BytesIO()
    frames[0].save(
        content, "WEBP", save_all=True, append_images=frames[1:], duration=FRAME_MILLISECONDS, loop=0
    )
    return Preview("picture", _data_uri("image/webp", content.getvalue()))


def _sound(cell: Any, values: Array, mask: Array, column: Any) -> Preview:
    import soundfile

    samples = values[mask][: round(LONGEST_SOUND * column.rate)]
    content = io.BytesIO()
    soundfile.write(content, np.clip(samples, -1, 1), column.rate, format="OGG", subtype="VORBIS")
    return Preview("sound", _data_uri("audio/ogg", content.getvalue()))


PREVIEWS: dict[str, Callable[[Any, Array, Array, Any], Preview]] = {
    "image": _picture,
    "video": _film,
    "audio": _sound,
}
"""By type of column; every other type is shown as the text of its cell."""


def _image(values: Array) -> Image.Image:
    """`(3, H, W)` uint8 as a picture."""
    picture = Image.fromarray(np.ascontiguousarray(values.transpose(1, 2, 0)))
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return picture


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
