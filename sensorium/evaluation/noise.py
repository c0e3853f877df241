"""How much noise the model bears: its main metrics while inputs get worse, step by step."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from sensorium.batch import to_device
from sensorium.data.column import Array, Cells
from sensorium.data.loader import DecodedBatch, Rows, plan_batches
from sensorium.encoded import Encodings, Predicted, encode_all, join_predicted, predict_encoded
from sensorium.evaluation.baseline import verdict
from sensorium.evaluation.corruptions import CORRUPTIONS, Corruption, corrupt
from sensorium.evaluation.inputs import main_metric, main_value, main_values
from sensorium.evaluation.late_fusion import late_fusion
from sensorium.evaluation.metrics import Interval, affordable_resamples, bootstrap
from sensorium.evaluation.robustness import effective_robustness, relative_robustness
from sensorium.evaluation.study import Subject
from sensorium.heads.head import Head
from sensorium.heads.head import Rows as DrawnRows
from sensorium.inference import sample
from sensorium.predict import Predictor
from sensorium.recipe import Recipe

LEVELS = tuple(step / 10 for step in range(11))
MOST_ROWS = 500
"""Rows on which noise is tried; of more rows, a fixed sample is taken."""
MOST_ROWS_PRETRAINED = 50
"""The same, where an encoder is pretrained: a row passes it anew at every level of every kind of noise."""
BATCH_SIZE = 16
"""Rows encoded at a time: larger batches of pictures spend their time on fresh memory."""
RESAMPLES = 200
"""Of the interval of every point."""


class Source(NamedTuple):
    """One input, and which of `CORRUPTIONS` makes it worse."""

    input: str
    corruption: str


Sources = tuple[Source, ...]
"""What gets worse at a time: one input, or all of them."""


class Point(NamedTuple):
    """The main metric at one level of noise; `late_fusion` is the reference's, NaN where there is none."""

    level: float
    score: Interval
    late_fusion: float


@dataclass(frozen=True)
class Curve:
    """The main metric of one output while something gets worse.

    Attributes:
        output: its name.
        sources: what gets worse.
        axis: what the level means.
        ticks: level → what stands there, where it is not the level itself.
        points: from level 0 to level 1 in steps of 0.1.
        absent: the main metric with these inputs absent from every row.
        worse_than_absent: the levels at which it is worse than that: the whole interval of the paired
            difference, both scored on the same resamples, lies on the worse side of 0.
        relative: see `relative_robustness`.
        effective: see `effective_robustness`; the reference is the late fusion of `late_fusion`. None
            where there is none.
    """

    output: str
    sources: Sources
    axis: str
    ticks: dict[float, str] | None
    points: list[Point]
    absent: float
    worse_than_absent: list[float]
    relative: float
    effective: float | None


@dataclass(frozen=True)
class Noise:
    """The answer.

    Attributes:
        rows: on how many noise was tried.
        metrics: output → its main metric.
        curves: of every output, one for each corruption of each input, and one for all inputs together.
    """

    rows: int
    metrics: dict[str, str]
    curves: list[Curve]


class _Case(NamedTuple):
    """Predictions of "model" or "late fusion" at a step of `LEVELS`, or of the model with inputs "absent"."""

    by: str
    sources: Sources
    step: int


def measure(subject: Subject) -> Noise | None:
    """Makes every input worse that some row has, alone and all together, and scores every step."""
    predictor, collected = subject.predictor, subject.collected
    chosen = sample(np.arange(len(collected.rows)), _most_rows(predictor.recipe))
    there = collected.present[chosen]
    inputs = [name for place, name in enumerate(predictor.inputs) if there[:, place].any()]
    tried = _tried(predictor.recipe, inputs)
    predicted = _predict(subject, collected.rows[chosen], tried)
    curves, metrics = [], {}
    for name, whole in collected.targets.items():
        head = predictor.model.head(name)
        target = Cells(whole.values[chosen], whole.mask[chosen])
        if head.scored(target).any():
            own = {case: outputs[name] for case, outputs in predicted.items() if name in outputs}
            curves += [_curve(predictor.recipe, name, head, target, sources, own) for sources in tried]
            metrics[name] = head.metric
    return Noise(len(chosen), metrics, curves) if curves else None


def _most_rows(recipe: Recipe) -> int:
    pretrained = any(one.encoder.kind == "pretrained" for one in recipe.inputs.values())
    return MOST_ROWS_PRETRAINED if pretrained else MOST_ROWS


def _tried(recipe: Recipe, inputs: list[str]) -> list[Sources]:
    """Each corruption of each input, then the first corruption of every input at once."""
    kinds = {name: CORRUPTIONS[recipe.inputs[name].type] for name in inputs}
    single = [(Source(name, corruption),) for name, kind in kinds.items() for corruption in kind]
    together = tuple(Source(name, next(iter(kind))) for name, kind in kinds.items())
    return single + ([together] if len(together) > 1 else [])


def _predict(subject: Subject, rows: Rows, tried: list[Sources]) -> dict[_Case, Predicted]:
    """Decodes once; only predictions are kept in memory."""
    parts: dict[_Case, list[Predicted]] = defaultdict(list)
    plan = plan_batches(rows, BATCH_SIZE)
    both = zip(subject.loader.batches(plan), subject.features.batches(plan), strict=True)
    for decoded, known in both:
        for case, predicted in _predict_batch(subject.predictor, decoded, known, tried):
            parts[case].append(predicted)
    return {case: join_predicted(own) for case, own in parts.items()}


def _predict_batch(
    predictor: Predictor, decoded: DecodedBatch, known: DecodedBatch, tried: list[Sources]
) -> Iterator[tuple[_Case, Predicted]]:
    """Encodes every input once for each of its corruptions and levels, and fuses these with all others.

    Args:
        predictor: the model.
        decoded: some rows.
        known: the same rows, with features of frozen encoders in place of their cells.
        tried: what gets worse.
    """
    model, recipe = predictor.model, predictor.recipe
    inputs = to_device(known.inputs, torch.device("cpu"))
    clean, absent = encode_all(model, inputs), encode_all(model, inputs, absent=True)
    alone = {name: predict_encoded(model, absent | {name: clean[name]}) for name in model.inputs}
    yield _Case("model", (), 0), predict_encoded(model, clean)
    yield _Case("late fusion", (), 0), late_fusion(recipe, alone, clean)
    for sources in tried:
        without = clean | {source.input: absent[source.input] for source in sources}
        yield _Case("absent", sources, 0), predict_encoded(model, without)
    encodings = {name: Encodings(model, name, decoded.inputs[name], clean[name]) for name in model.inputs}
    single = [sources[0] for sources in tried if len(sources) == 1]
    for step, level in enumerate(LEVELS[1:], start=1):
        noisy = {
            source: encodings[source.input].encode(_noisy(predictor, decoded, source, level))
            for source in single
        }
        noisy_alone = {
            source: predict_encoded(model, absent | {source.input: encoded})
            for source, encoded in noisy.items()
        }
        for sources in tried:
            encoded = clean | {source.input: noisy[source] for source in sources}
            answers = alone | {source.input: noisy_alone[source] for source in sources}
            yield _Case("model", sources, step), predict_encoded(model, encoded)
            yield _Case("late fusion", sources, step), late_fusion(recipe, answers, encoded)


def _noisy(predictor: Predictor, decoded: DecodedBatch, source: Source, level: float) -> Cells:
    name = source.input
    return corrupt(
        decoded.inputs[name],
        decoded.rows,
        level,
        _corruption(predictor.recipe, source),
        predictor.inputs[name].column,
        seed=predictor.model.inputs.index(name),
    )


def _corruption(recipe: Recipe, source: Source) -> Corruption:
    return CORRUPTIONS[recipe.inputs[source.input].type][source.corruption]


def _curve(
    recipe: Recipe,
    output: str,
    head: Head,
    target: Cells,
    sources: Sources,
    predicted: dict[_Case, dict[str, Array]],
) -> Curve:
    rows = np.flatnonzero(head.scored(target))

    def value(case: _Case) -> float:
        return main_value(head, predicted[case], target, rows) if case in predicted else math.nan

    points = []
    for step, level in enumerate(LEVELS):
        own = sources if step else ()
        score = main_metric(head, predicted[_Case("model", own, step)], target, RESAMPLES)
        points.append(Point(level, score, value(_Case("late fusion", own, step))))
    values, reference = [one.score.value for one in points], [one.late_fusion for one in points]
    effective = effective_robustness(values, reference, head.metric_goal)
    absent = value(_Case("absent", sources, 0))
    cases = [_Case("model", sources if step else (), step) for step in range(len(LEVELS))]
    worse = _worse_than(
        head, [predicted[case] for case in cases], predicted[_Case("absent", sources, 0)], target
    )
    corruption = _corruption(recipe, sources[0])
    single = len(sources) == 1
    return Curve(
        output=output,
        sources=sources,
        axis=corruption.axis if single else "level of each",
        ticks=corruption.ticks if single else None,
        points=points,
        absent=absent,
        worse_than_absent=[LEVELS[step] for step in worse],
        relative=relative_robustness(values, head.metric_goal),
        effective=effective if math.isfinite(effective) else None,
    )


def _worse_than(
    head: Head, noisy: list[dict[str, Array]], absent: dict[str, Array], target: Cells
) -> list[int]:
    """The steps whose main metric is worse than with the inputs absent, by paired differences."""
    reference_of = main_values(head, absent, target)
    values_of = [main_values(head, own, target) for own in noisy]

    def differences(rows: DrawnRows) -> dict[str, float]:
        reference = reference_of(rows)
        return {str(step): value_of(rows) - reference for step, value_of in enumerate(values_of)}

    rows = np.flatnonzero(head.scored(target))
    found = bootstrap(differences, rows, min(RESAMPLES, affordable_resamples(absent, len(rows))))
    verdicts = [verdict(one, 0.0, head.metric_goal) for one in found.values()]
    return [step for step, one in enumerate(verdicts) if one == "worse"]
