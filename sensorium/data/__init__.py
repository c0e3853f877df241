"""From a table to numpy batches: what a cell can be, and how it is read. Nothing here imports torch."""

from sensorium.data.audio import AudioColumn
from sensorium.data.column import Column
from sensorium.data.image import ImageColumn
from sensorium.data.tabular import CategoriesColumn, CategoryColumn, NumberColumn
from sensorium.data.text import TextColumn
from sensorium.data.video import VideoColumn

COLUMNS: dict[str, type[Column]] = {
    "image": ImageColumn,
    "audio": AudioColumn,
    "video": VideoColumn,
    "categories": CategoriesColumn,
    "number": NumberColumn,
    "category": CategoryColumn,
    "text": TextColumn,
}
"""Every type that a recipe can name. The order is the one in which inference asks."""
