"""A word, a corner, half a second that decide the label are named.

A third of the rows hold no signal and are of a class of their own. Of two classes alone, a model may take one
for granted where it sees nothing of the other, and then nothing carries it.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from sensorium.evaluation import explain
from sensorium.explanation import METHODS, RowExplanation
from sensorium.predict import Predictor
from tests.explanation.made import trained
from tests.made import WORDS

TRAINED, TRIED = 90, 15
LABELS = ("first", "second", "neither")


def texts() -> dict[str, list[Any]]:
    """Ten random words, one of which is "yes", "no" or just another."""
    generator = np.random.default_rng(0)
    cells = []
    for row in range(TRAINED + TRIED):
        words = list(generator.choice(WORDS, 10))
        if row % 3 < 2:
            words[int(generator.integers(10))] = ("yes", "no")[row % 3]
        cells.append(" ".join(words))
    return {"cell": cells, "label": [LABELS[row % 3] for row in range(len(cells))]}


def pictures() -> dict[str, list[Any]]:
    """28 × 28 pixels of noise; the corner below on the right may be red or blue."""
    generator = np.random.default_rng(0)
    cells = []
    for row in range(TRAINED + TRIED):
        pixels = generator.integers(0, 256, (28, 28, 3), dtype=np.uint8)
        if row % 3 < 2:
            pixels[20:, 20:] = (230, 30, 30) if row % 3 == 0 else (30, 30, 230)
        target = io.BytesIO()
        Image.fromarray(pixels).save(target, "PNG")
        cells.append(target.getvalue())
    return {"cell": cells, "label": [LABELS[row % 3] for row in range(len(cells))]}


def sounds() -> dict[str, list[Any]]:
    """Two seconds of noise, which may hold a tone, low or high, from 1 s to 1.5 s."""
    generator = np.random.default_rng(0)
    moments = np.arange(4000) / 8000
    cells = []
    for row in range(TRAINED + TRIED):
        samples = generator.normal(0, 0.1, 16000)
        if row % 3 < 2:
            samples[8000:12000] += 0.4 * np.sin(2 * np.pi * (400 if row % 3 == 0 else 2000) * moments)
        target = io.BytesIO()
        soundfile.write(target, np.clip(samples, -1, 1).astype(np.float32), 8000, format="WAV")
        cells.append(target.getvalue())
    return {"cell": cells, "label": [LABELS[row % 3] for row in range(len(cells))]}


TABLES = {"text": texts, "image": pictures, "audio": sounds}
INPUTS: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "tokenizer": "word", "min_count": 1, "encoder": {"kind": "cnn", "filters": 16}},
    "image": {"type": "image", "size": 28, "encoder": {"kind": "cnn", "channels": [16, 16], "dense": 32}},
    "audio": {
        "type": "audio",
        "seconds": 2,
        "rate": 8000,
        "encoder": {"kind": "cnn", "channels": [8, 16], "dense": 32, "log_mel": {"mels": 16, "high": 4000}},
    },
}


def is_planted(kind: str, row: RowExplanation) -> bool:
    """Whether the heaviest part is, or touches, what decides the label."""
    cell = row.inputs["cell"]
    heaviest = cell.parts[int(np.argmax(cell.weights))]
    if kind == "text":
        return heaviest.name in ("yes", "no")
    if kind == "image":
        _, _, bottom, right = heaviest.place
        return bottom > 20 / 28 and right > 20 / 28
    start, end = heaviest.place
    return end > 1.0 and start < 1.5


@pytest.fixture(scope="module", params=list(TABLES))
def planted(request: pytest.FixtureRequest) -> tuple[str, Predictor, dict[str, list[Any]]]:
    kind = request.param
    rows = TABLES[kind]()
    training = {name: cells[:TRAINED] for name, cells in rows.items()}
    recipe = {"inputs": {"cell": INPUTS[kind]}, "outputs": {"label": "category"}}
    return kind, trained(recipe, training, steps=30), {name: cells[TRAINED:] for name, cells in rows.items()}


@pytest.mark.parametrize("method", METHODS)
def test_what_decides_is_named(planted: tuple[str, Predictor, dict[str, list[Any]]], method: str):
    kind, predictor, rows = planted
    assert (predictor.predict(rows) == rows["label"]).mean() >= 0.9
    signal = [row for row in range(TRIED) if rows["label"][row] != "neither"]
    found = explain(predictor, predictor.open(rows), signal, method=method)
    hits = [is_planted(kind, row) for row in found.rows]
    assert np.mean(hits) >= 0.9
    assert found.check.advantage.value > 0  # and the deletion curves see it too
