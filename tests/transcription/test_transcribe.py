"""Long sounds through a tiny Whisper with random weights: the parts are known, and what they say."""

import io

import numpy as np
import pytest
import soundfile
import torch

from sensorium.errors import MissingPackage, SensoriumError
from sensorium.transcription import transcribe, whisper
from sensorium.transcription.silero import CONTEXT, STEP, SileroVAD
from tests.made import WORDS
from tests.made_checkpoints import made_whisper

RATE = 16000


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return whisper(str(made_whisper(tmp_path_factory.mktemp("whisper"))))


def wave(*parts):
    """Parts of (seconds, amplitude) one after the other, as WAV."""
    samples = np.concatenate([a * np.sin(np.arange(round(s * RATE)) / 5) for s, a in parts])
    target = io.BytesIO()
    soundfile.write(target, samples.astype(np.float32), RATE, format="WAV")
    return target.getvalue()


def test_parts_are_written_one_after_the_other(predictor, tmp_path):
    (tmp_path / "long.wav").write_bytes(wave((1, 0), (1, 0.2), (1, 0), (0.5, 0.2), (1, 0)))
    segments = list(transcribe(predictor, tmp_path / "long.wav"))
    assert [segment[:2] for segment in segments] == [
        pytest.approx((0.8, 2.2), abs=0.05),
        pytest.approx((2.8, 3.7), abs=0.05),
    ]
    assert all(np.isfinite(segment.score) for segment in segments)
    assert set(" ".join(segment.text for segment in segments).split()) <= set(WORDS)


def test_a_part_is_given_before_the_next_is_written(predictor):
    parts = transcribe(predictor, wave((1, 0.2), (1, 0), (1, 0.2)))
    assert next(parts).end < 1.5
    assert next(parts).start > 1.5


@pytest.mark.parametrize(
    ("sound", "line"),
    [
        (wave((1, 0)), "the sound: nobody speaks in it, or it is silent; listen to it"),
        (wave((0, 0)), "the sound: the sound holds no samples; replace the file"),
        (b"no sound", "the sound: "),
        ("nowhere.wav", "nowhere.wav: there is no such file"),
    ],
)
def test_bad_sounds_are_one_line(predictor, sound, line):
    with pytest.raises(SensoriumError) as caught:
        next(transcribe(predictor, sound))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_silero_is_named_where_it_is_missing(predictor, monkeypatch):
    monkeypatch.setattr("sensorium.transcription.silero._FILE", "nowhere")
    with pytest.raises(SensoriumError, match="silero-vad") as caught:
        next(transcribe(predictor, wave((1, 0.2)), detector="silero"))
    assert isinstance(caught.value, MissingPackage | SensoriumError)


def test_the_network_hears_moment_after_moment():
    """What comes later does not change what was heard before; a moment is 512 samples with 64 before it."""
    torch.manual_seed(0)
    model, samples = SileroVAD().eval(), torch.randn(3 * STEP + 10)
    with torch.no_grad():
        whole = model(samples)
        beginning = model(samples[: 2 * STEP])
        changed = samples.clone()
        changed[: STEP - CONTEXT] = 0
        later = model(changed)
    assert whole.shape == (4,)
    torch.testing.assert_close(whole[:2], beginning)
    assert not torch.equal(whole[1], later[1]), "the state remembers"
    assert ((whole > 0) & (whole < 1)).all()
