"""Encoders with their defaults over real columns, from cells to tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sensorium.batch import Raw
from sensorium.data import COLUMNS
from sensorium.encoders import ENCODERS

RANDOM = np.random.default_rng(0)
SETTINGS: dict[str, dict[str, Any]] = {
    "text": {"vocabulary": 300},
    "image": {"size": [32, 48]},
    "video": {"size": 32, "frames": 3},
}
FITTED_ON: dict[str, list[Any]] = {
    "text": ["a red square", "a blue circle", "two red circles"],
    "number": [1.0, 2.0, 5.0],
    "category": ["red", "blue", "red"],
    "categories": ["red|round", "blue", "red"],
}


def decoded(kind_of_column: str, column: Any) -> list[Any]:
    """Two cells as `decode` gives them and a missing one."""
    made = {
        "image": lambda: [RANDOM.integers(0, 256, (3, 32, 48), dtype=np.uint8) for _ in range(2)],
        "audio": lambda: [RANDOM.integers(-999, 999, count, dtype=np.int16) for count in (4000, 900)],
        "video": lambda: [RANDOM.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8) for count in (3, 1)],
    }.get(kind_of_column, lambda: [column.decode(cell) for cell in FITTED_ON[kind_of_column][:2]])()
    return [*made, None]


@pytest.mark.parametrize("kind_of_column", list(ENCODERS))
def test_the_default_encoder_takes_what_the_column_gives(kind_of_column: str) -> None:
    build = COLUMNS[kind_of_column]
    column: Any = build(build.Config(**SETTINGS.get(kind_of_column, {})))
    column.fit(FITTED_ON.get(kind_of_column, []))
    cells = column.collate(decoded(kind_of_column, column))
    raw = Raw(torch.from_numpy(cells.values), torch.from_numpy(cells.mask))
    assert raw.present.tolist() == [True, True, False]

    for encoder in ENCODERS[kind_of_column].values():
        if hasattr(encoder, "Column"):  # pretrained: its column and its weights go together, tested apart
            continue
        if hasattr(encoder, "new_column"):  # it brings a column of its own, tested apart
            continue
        built = encoder(encoder.Config(), column)
        tokens = built(raw.rows(raw.present.nonzero()[:, 0]))
        assert tokens.values.shape == (2, tokens.mask.shape[1], built.dim)
        assert tokens.values.isfinite().all()
        assert tokens.mask.any(dim=1).all()
