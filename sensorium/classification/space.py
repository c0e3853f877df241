"""Where a model's inputs can be compared with words or with each other, and the vectors there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.data.table import Table
from sensorium.errors import SensoriumError, did_you_mean
from sensorium.heads.similarity import SimilarityHead
from sensorium.predict import Predictor
from sensorium.vectors import embed_rows, encode_rows

ENCODER_TEMPERATURE = 0.05
"""Of cosines in an encoder's own space, for which none was learned: the scale of 20 with which sentence
encoders such as all-MiniLM-L6-v2 were trained (Reimers & Gurevych 2019, arXiv:1908.10084)."""


class Space(NamedTuple):
    """Where an input and words meet.

    Attributes:
        input: that is classified.
        words: the text input that reads the labels.
        shared: whether it is the space of a similarity; else the text encoder's own.
        temperature: what cosines are divided by to become logits.
    """

    input: str
    words: str
    shared: bool
    temperature: float


def space_of_words(predictor: Predictor, name: str | None = None) -> Space:
    """Where an input is compared with words.

    Args:
        predictor: the model.
        name: of the input; default: the first picture, sound or film that a similarity compares with a text,
            or else the first text.

    Raises:
        SensoriumError: when there is no such input, or it shares no space with a text.
    """
    recipe = predictor.recipe
    texts = [one for one, part in recipe.inputs.items() if part.type == "text"]
    if name is not None:
        known_inputs(predictor, [name])
        return _space(predictor, name, texts)
    compared = compared_inputs(predictor)
    for one, output in compared.items():
        if one not in texts and any(compared.get(text) == output for text in texts):
            return _space(predictor, one, texts)
    if texts:
        return _space(predictor, texts[0], texts)
    raise SensoriumError(
        "the model has no text input to read labels with; give --examples in place of --labels"
    )


def known_inputs(predictor: Predictor, names: Sequence[str]) -> list[str]:
    """These inputs.

    Raises:
        SensoriumError: when the model has none of a name, or one is named twice.
    """
    known = list(predictor.recipe.inputs)
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise SensoriumError(f"the model has no input {name!r}{near}; it has {', '.join(known)}")
        if names.count(name) > 1:
            raise SensoriumError(f"the input {name!r} is named twice")
    return list(names)


def compared_inputs(predictor: Predictor) -> dict[str, str]:
    """Input → the similarity in whose space it is, the first of several."""
    found: dict[str, str] = {}
    for output, config in predictor.recipe.outputs.items():
        if config.type == "similarity":
            for name in config.between:
                found.setdefault(name, output)
    return found


def temperature_of(predictor: Predictor, names: Sequence[str]) -> float:
    """What cosines of these inputs' vectors are divided by: learned, or `ENCODER_TEMPERATURE`."""
    compared = compared_inputs(predictor)
    head = predictor.model.head(compared[names[0]]) if compared.keys() >= set(names) else None
    return head.learned_temperature if isinstance(head, SimilarityHead) else ENCODER_TEMPERATURE


def vectors_of(predictor: Predictor, table: Table, names: Sequence[str], shared: bool = True) -> Array:
    """One vector for each row, `(N, E)` float32 of unit length, zero where it has none of the inputs.

    No other input of the rows is read or encoded: a vector of an input depends on that input alone.

    Args:
        predictor: the model; what it could not read is afterwards in its `unreadable`.
        table: opened by it.
        names: inputs; the vectors of several are joined end to end, of which those count that a row has.
        shared: takes the vectors of a similarity where there is one that compares all these inputs; else
            those of the encoders.

    Raises:
        SensoriumError: when the table has no rows.
    """
    if not len(table):
        raise SensoriumError(f"{table.source} has no rows")
    loader = predictor.input_loader(table, names)
    compared = shared and compared_inputs(predictor).keys() >= set(names)
    embedded = (embed_rows if compared else encode_rows)(predictor.model, loader, np.arange(len(table)))
    predictor.unreadable = loader.quarantine.cells()
    return unit(np.concatenate([embedded[name] for name in names], axis=1))


def has_vector(vectors: Array) -> Array:
    """`(N,)` bool: which of vectors `(N, E)` are not zero."""
    return np.asarray(vectors.any(axis=1))


def unit(vectors: Array) -> Array:
    """Vectors `(N, E)` brought to unit length, those that are zero left so."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Array = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return found


def _space(predictor: Predictor, name: str, texts: Sequence[str]) -> Space:
    if name in texts:
        return Space(name, name, False, ENCODER_TEMPERATURE)
    compared = compared_inputs(predictor)
    words = [text for text in texts if name in compared and compared.get(text) == compared[name]]
    if not words:
        raise SensoriumError(
            f"the input {name!r} shares no space with a text: an output of type similarity between it and a "
            "text makes words comparable with it; or give --examples in place of --labels"
        )
    return Space(name, words[0], True, temperature_of(predictor, [name]))
