"""Classes named by words: a row belongs to the label whose words lie nearest to its vector.

Source: Radford et al. (2021), arXiv:2103.00020, for pictures; labels in several sentences, averaged, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from sensorium.classification.classified import Classified, softmax
from sensorium.classification.space import Space, has_vector, space_of_words, unit, vectors_of
from sensorium.data.column import Array
from sensorium.data.table import Table
from sensorium.errors import SensoriumError
from sensorium.predict import Predictor

GAP = "{}"
"""Where a template takes the label."""


def classify_by_words(
    predictor: Predictor,
    table: Table,
    labels: Sequence[str],
    templates: Sequence[str] = (GAP,),
    name: str | None = None,
) -> Classified:
    """Classifies rows by words.

    Args:
        predictor: a model whose similarity compares the input with a text; for a text alone, any model that
            reads it: words and text are then compared in the text encoder's own space, which means something
            where that encoder is pretrained.
        table: opened by it.
        labels: two words or more, each its own.
        templates: sentences with `{}` in the place of the label; the vectors of several are averaged.
        name: of the input; default: see `space_of_words`.

    Raises:
        SensoriumError: when labels, templates or the input cannot be used.
    """
    space = space_of_words(predictor, name)
    towards = label_vectors(predictor, space, check_labels(labels), check_templates(templates))
    vectors = vectors_of(predictor, table, [space.input], space.shared)
    scores = vectors @ towards.T
    return Classified(list(labels), scores, softmax(scores, space.temperature), has_vector(vectors))


def label_vectors(
    predictor: Predictor, space: Space, labels: Sequence[str], templates: Sequence[str]
) -> Array:
    """`(C, E)` float32 unit vectors: of each label the mean over the templates.

    Raises:
        SensoriumError: when a label gives no vector.
    """
    texts = [template.replace(GAP, label) for template in templates for label in labels]
    table = predictor.open({predictor.inputs[space.words].source: texts})
    vectors = vectors_of(predictor, table, [space.words], space.shared)
    means = unit(vectors.reshape(len(templates), len(labels), -1).mean(axis=0))
    for label, vector in zip(labels, means, strict=True):
        if not vector.any():
            raise SensoriumError(f"the label {label[:60]!r} gives no vector: {space.words} cannot read it")
    return means


def check_labels(labels: Sequence[str]) -> list[str]:
    """Labels as they were given.

    Raises:
        SensoriumError: when there are fewer than two, one is empty, or one stands twice.
    """
    if not labels:
        raise SensoriumError('there are no labels: name two at least, as in --labels "cat,dog"')
    if len(labels) == 1:
        raise SensoriumError(
            f"{labels[0][:60]!r} is the only label: name two at least, to choose between them"
        )
    for label in labels:
        if not label.strip():
            raise SensoriumError("one of the labels is empty: take away the comma or the line too many")
        if labels.count(label) > 1:
            raise SensoriumError(f"the label {label[:60]!r} stands twice: name each once")
    return list(labels)


def check_templates(templates: Sequence[str]) -> list[str]:
    """Templates as they were given.

    Raises:
        SensoriumError: when there is none, or one has no place for the label.
    """
    if not templates:
        raise SensoriumError(f"there is no template: give one such as 'a picture of a {GAP}'")
    for template in templates:
        if GAP not in template:
            raise SensoriumError(f"the template {template[:60]!r} has no {GAP} in the place of the label")
    return list(templates)
