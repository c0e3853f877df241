"""A model that an earlier version saved loads, and predicts what it predicted then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sensorium
from sensorium.data import COLUMNS
from sensorium.heads import HEADS

MODELS = sorted((Path(__file__).parent / "fixtures" / "models").iterdir())
TOLERANCE = 1e-3
"""Of numbers near 1 and 10: other processors and libraries add up in another order."""


def test_the_first_version_is_kept() -> None:
    assert MODELS[0].name == "0.1.0"


@pytest.mark.parametrize("kept", MODELS, ids=lambda path: path.name)
def test_a_kept_model_covers_every_type_of_its_time(kept: Path) -> None:
    recipe = sensorium.load(kept / "model").recipe
    assert {part.type for part in recipe.inputs.values()} <= set(COLUMNS)
    assert {part.type for part in recipe.outputs.values()} <= set(HEADS)
    assert len({part.type for part in recipe.inputs.values()}) >= 7
    assert len({part.type for part in recipe.outputs.values()}) >= 3


@pytest.mark.parametrize("kept", MODELS, ids=lambda path: path.name)
def test_a_kept_model_predicts_what_it_predicted(kept: Path) -> None:
    expected = pq.read_table(kept / "predictions.parquet")
    given = sensorium.load(kept / "model").predict_table(pq.read_table(kept / "table.parquet"))
    for name in expected.column_names:
        before, now = expected.column(name), given.column(name)
        if pa.types.is_floating(before.type):
            assert np.asarray(now) == pytest.approx(np.asarray(before), abs=TOLERANCE), name
        else:
            assert now.to_pylist() == before.to_pylist(), name


@pytest.mark.parametrize("kept", MODELS, ids=lambda path: path.name)
def test_a_kept_model_reads_its_media(kept: Path) -> None:
    """Nothing counts as missing but what is missing: every row lacks exactly one column here."""
    predictor = sensorium.load(kept / "model")
    table = pq.read_table(kept / "table.parquet")
    predictor.predict(table)
    assert predictor.unreadable == []
    for name in ("picture", "voice", "film"):
        assert sum(cell is not None for cell in table.column(name).to_pylist()) == table.num_rows - 1
