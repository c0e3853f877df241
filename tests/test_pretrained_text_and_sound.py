"""From a table to predictions with pretrained encoders of text and sound."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import sensorium
from sensorium.errors import SensoriumError
from tests import made
from tests.made_checkpoints import made_checkpoint

pytest.importorskip("transformers")


def recipe(**inputs: Any) -> dict[str, Any]:
    return {
        "inputs": inputs,
        "outputs": {"animal": {"type": "category"}},
        "training": {"epochs": 2, "batch_size": 8},
    }


@pytest.fixture
def table() -> dict[str, list[Any]]:
    """Cats and dogs, described and heard; some cells are missing."""
    rows = range(24)
    return {
        "words": [None if row == 3 else made.text(row) for row in rows],
        "call": [None if row == 5 else made.sound(row) for row in rows],
        "animal": ["cat" if row % 2 == 0 else "dog" for row in rows],
    }


def test_a_model_predicts_the_same_where_the_checkpoints_are_gone(
    here: Path, table: dict[str, list[Any]]
) -> None:
    for name in ("bert", "wav2vec2"):
        made_checkpoint(here / name, name)
    wanted = recipe(
        words={"type": "text", "encoder": {"kind": "pretrained", "weights": "bert"}},
        call={"type": "audio", "encoder": {"kind": "pretrained", "weights": "wav2vec2"}},
    )
    model = sensorium.fit(table, recipe=wanted, verbose=False)
    model.save("model")
    expected = model.predict_table(table)
    for name in ("bert", "wav2vec2"):
        shutil.rmtree(here / name)

    again = sensorium.load("model").predict_table(table)

    assert again.num_rows == 24
    assert again.equals(expected)


def test_a_checkpoint_of_another_type_is_one_line(here: Path, table: dict[str, list[Any]]) -> None:
    made_checkpoint(here / "bert", "bert")
    wanted = recipe(call={"type": "audio", "encoder": {"kind": "pretrained", "weights": "bert"}})

    with pytest.raises(SensoriumError) as raised:
        sensorium.fit(table, recipe=wanted, verbose=False)

    assert "bert: a checkpoint of text (model_type bert), not of audio" in str(raised.value)
    assert "\n" not in str(raised.value)
