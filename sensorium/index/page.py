"""What a search found as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from sensorium.data.audio import AudioColumn, AudioConfig
from sensorium.data.media import Source
from sensorium.data.picture import thumbnail
from sensorium.data.video import VideoColumn, VideoConfig
from sensorium.errors import CellError, SensoriumError
from sensorium.evaluation.previews import Preview, as_picture, preview
from sensorium.evaluation.report import page_environment
from sensorium.index.query import Part
from sensorium.index.results import Hit, Results, file_name, shown
from sensorium.training.run import write_atomically

SIDE = 360
"""Pixels of a picture's longer side; it is shown at half of that, for screens of high density."""
_HOME = {"report.css": "sensorium.evaluation"}


class Card(NamedTuple):
    """A row as the page shows it.

    Attributes:
        hit: the row.
        share: its score beside the highest, from 0 to 1.
        previews: media column → what is seen or heard of it.
        texts: fields that are sentences, in words.
        facts: the other fields, name and value.
    """

    hit: Hit
    share: float
    previews: dict[str, Preview]
    texts: list[str]
    facts: list[tuple[str, str]]


def write_page(results: Results, parts: list[Part], path: Path) -> None:
    """Writes a page that loads nothing from anywhere.

    Args:
        results: what was found.
        parts: what was looked for.
        path: of the page.

    Raises:
        SensoriumError: when it cannot be written.
    """
    try:
        write_atomically(path, as_html(results, parts))
    except OSError as error:
        raise SensoriumError(f"{path}: cannot be written ({error.strerror})") from None


def as_html(results: Results, parts: list[Part]) -> str:
    """The page. Whatever comes from the user's data is escaped."""
    top = max([hit.score for hit in results.hits], default=0.0)
    asked = [(part, seen(part.kind, Path(part.content))) for part in parts if part.kind in SHOWN]
    page: str = (
        page_environment(_part)
        .get_template("results.html.jinja")
        .render(
            results=results,
            asked=asked,
            cards=[_card(hit, results, top) for hit in results.hits],
        )
    )
    return page


def seen(kind: str, path: Path) -> Preview:
    """What is seen or heard of a file; nothing where it cannot be read."""
    try:
        return SHOWN[kind](Source(path, path.name))
    except CellError:
        return Preview("nothing", "")


def _card(hit: Hit, results: Results, top: float) -> Card:
    known = {name: shown(value, 200) for name, value in hit.fields.items() if value is not None}
    plain = {name: text for name, text in known.items() if name not in hit.media and name not in hit.key}
    texts = {
        name: text for name, text in plain.items() if isinstance(hit.fields[name], str) and _speaks(text)
    }
    facts = {name: text for name, text in plain.items() if name not in texts}
    files_of = {name: file_name(known[name]) for name in hit.media if name in known}
    return Card(
        hit=hit,
        share=max(0.0, hit.score / top) if top > 0 else 0.0,
        previews={name: seen(results.kinds[name], Path(path)) for name, path in hit.media.items() if path},
        texts=list(texts.values()),
        facts=list((facts | files_of).items()),
    )


def _speaks(text: str) -> bool:
    """Whether a text is more than a label; Chinese writes no spaces."""
    return " " in text.strip() or not text.isascii()


def _picture(source: Source) -> Preview:
    return as_picture(thumbnail(source, SIDE))


def _film(source: Source) -> Preview:
    column = VideoColumn(VideoConfig(size=160, resize="pad"))
    cells = column.collate([column.decode(source)])
    return preview("video", None, cells.values[0], cells.mask[0], column)


def _sound(source: Source) -> Preview:
    column = AudioColumn(AudioConfig(rate=22_050, loudness=None))
    cells = column.collate([column.decode(source)])
    return preview("audio", None, cells.values[0], cells.mask[0], column)


SHOWN: dict[str, Callable[[Source], Preview]] = {"image": _picture, "video": _film, "audio": _sound}
"""By type of column."""


def _part(name: str) -> str:
    return files(_HOME.get(name, "sensorium.index")).joinpath(name).read_text(encoding="utf-8")
