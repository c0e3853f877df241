"""Long sounds: cut where nobody speaks, and written down part after part."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import soundfile

from sensorium.data.audio import LARGEST, RATE, AudioColumn, AudioConfig
from sensorium.data.media import Source
from sensorium.data.sound import Samples
from sensorium.data.voice_activity import Span, cut, joined, loud_spans, loudness
from sensorium.errors import CellError, SensoriumError
from sensorium.model import Model, new_columns
from sensorium.predict import Predictor
from sensorium.recipe import parse_recipe
from sensorium.transcription.silero import silero_spans

PAUSE = 0.6
"""Seconds of silence at which a part ends."""

DETECTORS: dict[str, Callable[[Samples, int], list[Span]]] = {"loudness": loud_spans, "silero": silero_spans}
"""What finds speech: samples `(S,)` float32 and their rate → spans."""


class Segment(NamedTuple):
    """What was said in a part of a sound.

    Attributes:
        start: seconds from the sound's beginning.
        end: likewise.
        text: what was said.
        score: mean log probability of a token.
    """

    start: float
    end: float
    text: str
    score: float


def transcribe(
    predictor: Predictor, sound: str | Path | bytes, detector: Literal["loudness", "silero"] = "loudness"
) -> Iterator[Segment]:
    """Writes down a sound of up to four hours; a part is given as soon as it is written.

    Args:
        predictor: a model with one input of sound and one output of text, such as `whisper` gives.
        sound: a file, or its bytes.
        detector: what finds the parts in which somebody speaks: `silero` needs the package silero-vad,
            and tells speech from other noise.

    Raises:
        SensoriumError: when the model is another one, the sound cannot be read, or nobody speaks in it.
        MissingPackage: without the package that the detector needs.
    """
    name, output = _only(predictor, "inputs", "audio"), _only(predictor, "outputs", "text")
    column: Any = predictor.inputs[name].column
    samples = _read(sound)
    levels = loudness(samples, RATE)
    found = joined(DETECTORS[detector](samples, RATE), PAUSE, column.config.seconds)
    spans = cut(found, column.config.seconds, levels)
    if not spans:
        raise SensoriumError(f"{_called(sound)}: nobody speaks in it, or it is silent; listen to it")
    for span in spans:
        part = samples[round(span.start * RATE) : round(span.end * RATE)]
        answer = predictor.predict_table({column.config.column or name: [_wave(part)]})
        text, score = answer[f"{output}_prediction"][0].as_py(), answer[f"{output}_score"][0].as_py()
        yield Segment(*span, text, score)


def whisper(weights: str = "openai/whisper-tiny.en", language: str = "en", beams: int = 1) -> Predictor:
    """A checkpoint of Whisper as it is, ready to transcribe: input `speech`, output `text`.

    Args:
        weights: id of a checkpoint, or a folder.
        language: code of the language that is spoken.
        beams: beginnings of a text that are followed side by side.

    Raises:
        WeightsError: when the checkpoint is not to be had, or is none of Whisper.
    """
    encoder = {"kind": "pretrained", "weights": weights, "pool": "whole"}
    decoder = {"kind": "whisper", "weights": weights, "language": language}
    parts: dict[str, Any] = {
        "inputs": {"speech": {"type": "audio", "seconds": 30, "encoder": encoder}},
        "outputs": {"text": {"type": "text", "decoder": decoder, "writing": {"beams": beams}}},
    }
    targets = new_columns(parse_recipe(parts))[1]
    text: Any = targets["text"]
    width = text.checkpoint.config["d_model"]
    recipe = parse_recipe({**parts, "fusion": {"kind": "plain", "width": width}})
    columns, targets = new_columns(recipe)
    return Predictor(Path(), recipe, columns, targets, Model(recipe, columns, targets).eval(), {})


def _only(predictor: Predictor, section: Literal["inputs", "outputs"], kind: str) -> str:
    """The one input of sound, or the one output of text."""
    parts = getattr(predictor.recipe, section)
    names = [name for name, part in parts.items() if part.type == kind]
    if len(names) != 1:
        raise SensoriumError(
            f"to transcribe, a model needs one of its {section} of type {kind}, and this has {len(names)}"
        )
    return str(names[0])


def _read(sound: str | Path | bytes) -> Samples:
    """`(S,)` float32, mono, `RATE` samples a second."""
    content = sound if isinstance(sound, bytes) else Path(sound)
    if isinstance(content, Path) and not content.is_file():
        raise SensoriumError(f"{content}: there is no such file")
    column = AudioColumn(AudioConfig(seconds=4 * 3600, loudness=None))
    try:
        decoded = column.decode(Source(content, _called(sound)))
    except CellError as error:
        raise SensoriumError(f"{_called(sound)}: {error.cause}; {error.advice}") from None
    return np.divide(decoded, np.float32(LARGEST), dtype=np.float32)


def _wave(samples: Samples) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, samples, RATE, format="WAV", subtype="PCM_16")
    return target.getvalue()


def _called(sound: str | Path | bytes) -> str:
    return "the sound" if isinstance(sound, bytes) else str(sound)
