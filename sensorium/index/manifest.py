"""What an index says of itself: its format, the model that made its vectors, and what lies in its columns."""

from __future__ import annotations

import json

from pydantic import Field, ValidationError

import sensorium
from sensorium.config import Config
from sensorium.errors import SensoriumError

FORMAT = 1
"""Of an index. It rises when a release before could not read it."""
METADATA_KEY = b"sensorium"
"""Of the dataset's schema; so the manifest and the rows are one version, on any store."""


class IndexedInput(Config):
    """One input of the model, and its vectors."""

    type: str = Field(description="type of the input, such as image")
    column: str = Field(description="the table's column that it reads")
    space: str = Field(description="inputs of one space can be compared")
    dim: int = Field(description="numbers of a vector", ge=1)


class Manifest(Config):
    """All that is not in the rows."""

    format: int = Field(FORMAT, description="of the index")
    model: str = Field(description="digest of the model's weights, recipe and fitted columns")
    model_folder: str = Field(description="where the model was when the index was made; empty if nowhere")
    inputs: dict[str, IndexedInput] = Field(description="input → what is kept of it")
    key: list[str] = Field(description="columns that name a row")
    fields: list[str] = Field(description="the table's columns that are kept, in order, those of media too")
    media: dict[str, str] = Field(description="column of media → its type")

    @property
    def spaces(self) -> dict[str, list[str]]:
        """Space → its inputs."""
        found: dict[str, list[str]] = {}
        for name, one in self.inputs.items():
            found.setdefault(one.space, []).append(name)
        return found


def parse_manifest(text: bytes | None, place: str) -> Manifest:
    """The manifest of a dataset.

    Args:
        text: JSON; None where the dataset has none.
        place: of the index, for messages.

    Raises:
        SensoriumError: when it is not of an index, or of a newer format.
    """
    try:
        content = json.loads(text or b"")
        written = content["format"]
        if isinstance(written, int) and written > FORMAT:
            raise SensoriumError(
                f"{place}: the index is of format {written}; this sensorium ({sensorium.__version__}) reads "
                f"format {FORMAT}: pip install -U sensorium"
            )
        return Manifest.model_validate(content)
    except (ValueError, KeyError, TypeError, ValidationError):
        raise SensoriumError(
            f"{place} is not an index of sensorium: its rows carry no manifest; `sensorium index` makes one"
        ) from None
