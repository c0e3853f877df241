"""Recipes of speech from a table to texts: learned from nothing, and with a Whisper that stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sensorium.errors import SensoriumError
from sensorium.fitting import train_in
from sensorium.predict import Predictor, load
from sensorium.recipe import parse_recipe
from sensorium.training.progress import Silent
from sensorium.transcription import transcribe, whisper
from tests.made import WORDS, sound
from tests.made_checkpoints import made_whisper

ROWS = 16
SPEECH = {"type": "audio", "seconds": 1, "encoder": {"kind": "lstm", "hidden": 8}}


class Listener(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keeps a line."""
        self.lines.append(line)


def table(seconds: float = 0.5, text: str | None = "low") -> dict[str, list[Any]]:
    texts = [text if row % 2 == 0 or text is None else "high" for row in range(ROWS)]
    return {"speech": [sound(row, seconds=seconds) for row in range(ROWS)], "text": texts}


def trained(folder: Path, data: dict[str, Any], lines: Listener, **parts: Any) -> Predictor:
    recipe = {
        "inputs": {"speech": SPEECH},
        "outputs": {"text": {"type": "text", "decoder": "ctc", "metric": "character_error_rate"}},
        "training": {"epochs": 1, "batch_size": 8},
        "data": {"cache": False},
    }
    return load(train_in(parse_recipe(recipe | parts), folder / "run", lines, data=data))


def test_a_new_ctc_writes_and_says_that_it_is_blank_at_first(tmp_path: Path) -> None:
    lines = Listener()
    predictor = trained(tmp_path, table(), lines)
    answers = predictor.predict_table({"speech": [sound(0), None]})
    assert answers["text_prediction"][1].as_py() == ""
    assert set(answers["text_prediction"][0].as_py()) <= set("highlow")
    said = [line for line in lines.lines if line.startswith("warning: outputs.text:")]
    assert all("blank" in line for line in said)
    with pytest.raises(SensoriumError, match="nobody speaks in it"):
        next(transcribe(predictor, sound(0, seconds=0.01)))


def test_texts_too_long_for_their_sounds_are_told(tmp_path: Path) -> None:
    lines = Listener()
    trained(tmp_path, table(text="as long as no sound of half a second can be said"), lines)
    assert any(" rows have a text of more tokens than their sound has frames" in line for line in lines.lines)


def test_a_table_without_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SensoriumError, match="text") as caught:
        trained(tmp_path, table(text=None), Listener())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tune", ["frozen", "full"])
def test_whisper_is_measured_as_it_is_or_tuned(tmp_path: Path, tune: str) -> None:
    weights = str(made_whisper(tmp_path / "whisper"))
    encoder = {"kind": "pretrained", "weights": weights, "pool": "whole", "tune": tune}
    decoder = {"kind": "whisper", "weights": weights, "tune": tune, "length": 5}
    parts = {
        "inputs": {"speech": {"type": "audio", "encoder": encoder}},
        "fusion": {"kind": "plain", "width": 32},
        "outputs": {"text": {"type": "text", "decoder": decoder}},
    }
    data = table() | {"text": [WORDS[row % 2] for row in range(ROWS)]}
    predictor = trained(tmp_path, data, Listener(), **parts)
    before = whisper(weights).model.head("text").decoder.state_dict()
    after = predictor.model.head("text").decoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before) == (tune == "frozen")
    texts = predictor.predict({"speech": data["speech"][:2]}).tolist()
    assert set(" ".join(texts).split()) <= set(WORDS)
    assert [one.text for one in transcribe(predictor, data["speech"][0])] == texts[:1]
