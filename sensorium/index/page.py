"""What a search found as one HTML page that needs nothing else, and as a table in the terminal."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from sensorium.data.audio import AudioColumn, AudioConfig
from sensorium.data.image import thumbnail
from sensorium.data.media import Source
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
_LONGEST_CELL = 40


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


def as_table(results: Results) -> Table:
    """For the terminal: rank, score, key, the fields, and where the media are."""
    table = Table(title=Text(results.header()), title_justify="left", title_style="")
    table.add_column("", justify="right")
    table.add_column("score", justify="right")
    fields = list(results.hits[0].fields) if results.hits else []
    for name in fields:
        table.add_column(Text(name), overflow="fold")
    for hit in results.hits:
        cells = [
            Text(hit.media.get(name) or shown(value, _LONGEST_CELL)) for name, value in hit.fields.items()
        ]
        table.add_row(str(hit.rank), f"{hit.score:.3f}", *cells)
    return table


def _card(hit: Hit, results: Results, top: float) -> Card:
    others = {
        name: value for name, value in hit.fields.items() if name not in hit.media and name not in hit.key
    }
    sentences = {name for name, value in others.items() if isinstance(value, str) and " " in value.strip()}
    return Card(
        hit=hit,
        share=max(0.0, hit.score / top) if top > 0 else 0.0,
        previews={name: seen(results.kinds[name], Path(path)) for name, path in hit.media.items() if path},
        texts=[shown(others[name], 200) for name in others if name in sentences],
        facts=[
            *(
                (name, shown(value))
                for name, value in others.items()
                if name not in sentences and value is not None
            ),
            *((name, file_name(path)) for name, path in hit.media.items() if path),
        ],
    )


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


SHOWN: dict[str, Any] = {"image": _picture, "video": _film, "audio": _sound}
"""By type of column."""


def _part(name: str) -> str:
    return files(_HOME.get(name, "sensorium.index")).joinpath(name).read_text(encoding="utf-8")
