"""Rows worth a look, and how their cells are shown."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from sensorium.data import COLUMNS
from sensorium.evaluation import evaluate
from sensorium.evaluation.previews import LARGEST_SIDE, LONGEST_TEXT, preview
from sensorium.evaluation.report import as_html
from sensorium.evaluation.rows import MOST_ROWS, UNCERTAINTIES
from tests.evaluation.test_evaluate import ROWS, answer_always, make

ONE = np.ones(1, dtype=bool)


def content(uri: str) -> bytes:
    return base64.b64decode(uri.partition("base64,")[2])


def test_worst_and_least_sure_come_first_with_their_true_cells() -> None:
    predictor = make()
    evaluation = evaluate(predictor, predictor.open(ROWS))
    shown = evaluation.studies["rows"]["kind"]
    losses = [one.loss for one in shown.worst]
    assert losses == sorted(losses, reverse=True)
    assert len(shown.worst) == min(MOST_ROWS, len(ROWS["kind"]))
    unsure = [one.uncertainty for one in shown.most_uncertain]
    assert unsure == sorted(unsure, reverse=True)
    for one in shown.worst:
        assert one.truth == ROWS["kind"][one.row]
        assert one.inputs["size"].content == str(ROWS["size"][one.row])
        assert one.inputs["colour"].content == (ROWS["colour"][one.row] or "")
    assert evaluation.studies["rows"]["price"].most_uncertain == []  # without quantiles it does not tell
    assert "inputs" not in evaluation.as_dict()["studies"]["rows"]["kind"]["worst"][0]
    assert "Rows worth a look" in as_html(evaluation)


def test_no_row_is_shown_twice_and_no_wrong_row_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensorium.evaluation.rows.MOST_ROWS", 2)
    predictor = make()
    answer_always(predictor, "kind", [2.0, 0.0, 0.0])
    first = predictor.targets["kind"].column.labels[0]
    right = [row for row, kind in enumerate(ROWS["kind"]) if kind == first]
    assert len(right) >= 2
    table = {name: [cells[row] for row in right] for name, cells in ROWS.items()}
    evaluation = evaluate(predictor, predictor.open(table))
    shown = evaluation.studies["rows"]["kind"]
    assert shown.wrong == 0
    assert "No row is wrong" in as_html(evaluation)
    everything = evaluate(predictor, predictor.open(ROWS)).studies["rows"]["kind"]
    assert everything.wrong == len(ROWS["kind"]) - len(right)
    assert not {one.row for one in everything.worst} & {one.row for one in everything.most_uncertain}
    assert everything.most_uncertain


def test_uncertainty_by_hand() -> None:
    even, sure = UNCERTAINTIES["category"]({"probabilities": np.array([[0.25] * 4, [1, 0, 0, 0]])})
    assert (even, sure) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-9))
    one, none = UNCERTAINTIES["categories"]({"probabilities": np.array([[0.5, 1.0], [0.0, 1.0]])})
    assert (one, none) == (pytest.approx(0.5), pytest.approx(0.0, abs=1e-9))
    assert UNCERTAINTIES["number"]({"values": np.zeros(1), "quantiles": np.array([[1.0, 2.0, 4.0]])}) == [3.0]


def test_a_text_is_cut_and_a_missing_cell_is_nothing() -> None:
    column = COLUMNS["text"](COLUMNS["text"].Config())
    shown = preview("text", "x" * 1000, np.zeros(3), ONE, column)
    assert (shown.kind, len(shown.content)) == ("text", LONGEST_TEXT)
    assert preview("text", None, np.zeros(3), ~ONE, column).kind == "nothing"


def test_a_picture_and_a_film() -> None:
    pixels = np.zeros((3, 400, 200), dtype=np.uint8)
    pixels[0] = 255
    shown = preview("image", "a.png", pixels, ONE, None)
    with Image.open(io.BytesIO(content(shown.content))) as picture:
        assert picture.size == (LARGEST_SIDE // 2, LARGEST_SIDE)
        assert picture.getpixel((5, 5)) == pytest.approx((254, 0, 0), abs=3)
    frames = np.stack([pixels, 255 - pixels, pixels])
    film = preview("video", "a.mp4", frames, np.array([True, True, False]), None)
    with Image.open(io.BytesIO(content(film.content))) as picture:
        assert picture.n_frames == 2


def test_a_sound_can_be_heard() -> None:
    column = COLUMNS["audio"](COLUMNS["audio"].Config(rate=8000, seconds=2))
    wave = np.sin(np.arange(16000) / 5).astype(np.float32) * 0.5
    shown = preview("audio", "a.wav", wave, np.arange(16000) < 8000, column)
    samples, rate = soundfile.read(io.BytesIO(content(shown.content)))
    assert rate == 8000
    assert len(samples) == pytest.approx(8000, abs=100)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.1)
