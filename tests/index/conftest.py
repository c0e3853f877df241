"""An index of five rows, made anew for each test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sensorium.index import Index, build_index
from tests.index.colours import Colours, picture

ROWS: dict[str, list[Any]] = {
    "id": ["a", "b", "c", "d", "e"],
    "photo": ["red.png", "green.png", "blue.png", "orange.png", None],
    "words": ["red bird", "green grass", None, "red flat 一只红色的鸟", "blue round"],
    "price": [1, 2, 3, 4, None],
}
PICTURES = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "orange": (200, 100, 0)}


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder of pictures."""
    folder = tmp_path / "media"
    folder.mkdir()
    for name, colour in PICTURES.items():
        (folder / f"{name}.png").write_bytes(picture(*colour))
    return folder


@pytest.fixture
def index(tmp_path: Path, media: Path) -> Index:
    return build_index(tmp_path / "idx", Colours(["id"]), ROWS, media_root=media)
