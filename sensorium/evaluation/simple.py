"""Would a simple model do? The same table, without deep learning, trained on the spot."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from sensorium.data.column import Array, Cells
from sensorium.data.loader import Loader, Rows, plan_batches
from sensorium.evaluation.baseline import Verdict, verdict
from sensorium.evaluation.features import simple_features
from sensorium.evaluation.inputs import main_values
from sensorium.evaluation.metrics import SHARES, Interval, affordable_resamples, bootstrap
from sensorium.evaluation.simple_models import ANSWERS, SIMPLE_MODELS, Design, SimpleModel, designs
from sensorium.evaluation.study import Study, Subject
from sensorium.evaluation.words import limits, metric_name, no_interval, value
from sensorium.heads.head import Head
from sensorium.heads.head import Rows as DrawnRows
from sensorium.inference import sample, stack_rows

MOST_ROWS = {"video": 1_000, "audio": 3_000, "image": 10_000, "text": 10_000}
"""Training rows at most, by the slowest type of input; of more rows, a fixed sample is taken."""
MOST_ROWS_ELSE = 20_000
"""Training rows at most, where no input is of these types."""
MOST_CLASSES = 200
"""Of an output; for more, gradient boosting grows too many trees to be a quick look."""
MARGIN = 0.02
"""Share of a metric's scale below which a gain is too small to matter."""
TOO_MANY = f"An output has more than {MOST_CLASSES} classes, too many for a quick look with simple models."
UNKNOWN = (
    "What the model was trained on is not known or has changed, so no simple model could be trained on the "
    "same rows."
)


class SimpleScore(NamedTuple):
    """A simple model on the measured rows.

    Attributes:
        score: its main metric.
        difference: by how much the measured model is better, positive where it is, for errors too.
        seconds: that training it and answering took, without the features.
        converged: False where its optimiser was stopped.
    """

    score: Interval
    difference: Interval
    seconds: float
    converged: bool


@dataclass(frozen=True)
class SimpleOutput:
    """One output: the measured model beside simple ones.

    Attributes:
        metric: the main metric.
        goal: whether more or less of it is better.
        models: name → its score.
    """

    metric: str
    goal: Literal["max", "min"]
    models: dict[str, SimpleScore]


@dataclass(frozen=True)
class SimpleModels:
    """The answer.

    Attributes:
        outputs: by name; empty where there is a reason.
        reason: why no simple model was trained; "" where some were.
        training_rows: rows that they were trained on.
        of_training_rows: rows of the training part.
        columns: numbers a row for the linear models, and for gradient boosting.
        feature_seconds: that making the features took.
    """

    outputs: dict[str, SimpleOutput]
    reason: str
    training_rows: int = 0
    of_training_rows: int = 0
    columns: tuple[int, int] = (0, 0)
    feature_seconds: float = 0.0


def measure(subject: Subject) -> SimpleModels | None:
    """Trains simple models on the training part and scores them on exactly the measured rows.

    Returns:
        The answer, with a reason where there is no training part; None where no row counts.
    """
    predictor, training = subject.predictor, subject.training
    if training is None or not len(training.parts["train"]):
        return SimpleModels({}, UNKNOWN)
    names = [
        name
        for name in subject.collected.targets
        if subject.outputs[name].scored and subject.outputs[name].type in SIMPLE_MODELS
    ]
    chosen = [name for name in names if _classes(subject, name) <= MOST_CLASSES]
    if not chosen:
        return SimpleModels({}, TOO_MANY) if names else None
    kinds = {name: config.type for name, config in predictor.recipe.inputs.items()}
    most = min([MOST_ROWS_ELSE, *(MOST_ROWS.get(kind, MOST_ROWS_ELSE) for kind in kinds.values())])
    rows = sample(training.parts["train"], most)
    loader = predictor.loader(training.table)
    started = time.perf_counter()
    fitted, measured = designs(
        simple_features(loader, kinds, rows),
        simple_features(subject.loader, kinds, subject.collected.rows),
    )
    seconds = time.perf_counter() - started
    outputs = {
        name: _output(subject, name, fitted, _targets(loader, name, rows), measured)
        for name in chosen
        if name in loader.targets
    }
    if not outputs:
        return None
    return SimpleModels(
        outputs,
        "",
        len(rows),
        len(training.parts["train"]),
        (fitted.wide.shape[1], fitted.narrow.shape[1]),
        seconds,
    )


def _classes(subject: Subject, name: str) -> int:
    return len(getattr(subject.predictor.targets[name].column, "labels", ()))


def _targets(loader: Loader, name: str, rows: Rows) -> Cells:
    alone = Loader(loader.table, {}, {name: loader.targets[name]}, loader.media)
    parts = [decoded.targets[name] for decoded in alone.batches(plan_batches(rows, 1_000))]
    return Cells(stack_rows([part.values for part in parts]), stack_rows([part.mask for part in parts]))


def _output(subject: Subject, name: str, fitted: Design, target: Cells, measured: Design) -> SimpleOutput:
    kind = subject.outputs[name].type
    head = subject.predictor.model.head(name)
    scores = {
        title: _score(subject, name, model, fitted, target, measured)
        for title, model in SIMPLE_MODELS.get(kind, {}).items()
    }
    return SimpleOutput(head.metric, head.metric_goal, scores)


def _score(
    subject: Subject, name: str, model: SimpleModel, fitted: Design, target: Cells, measured: Design
) -> SimpleScore:
    kind, head = subject.outputs[name].type, subject.predictor.model.head(name)
    started = time.perf_counter()
    answers = ANSWERS[kind](
        model,
        getattr(fitted, model.design),
        target,
        getattr(measured, model.design),
        subject.predictor.targets[name].column,
    )
    seconds = time.perf_counter() - started
    predicted = _as_head_predicts(kind, head, answers.predicted)
    truth = subject.collected.targets[name]
    score, difference = compare(head, subject.collected.predicted[name], predicted, truth)
    return SimpleScore(score, difference, seconds, answers.converged)


def _as_head_predicts(kind: str, head: Any, answers: Array) -> dict[str, Array]:
    if kind == "number":
        quantiles = np.repeat(answers[:, None], len(head.names), axis=1)  # a head's metrics want some
        return {"values": answers, "quantiles": quantiles}
    if kind == "text":
        return {"ids": answers[:, :, None], "scores": np.zeros((len(answers), 1), dtype=np.float32)}
    return {"probabilities": answers}


def compare(
    head: Head, own: dict[str, Array], simple: dict[str, Array], target: Cells
) -> tuple[Interval, Interval]:
    """The main metric of `simple`, and by how much `own` is better, with 95 % intervals.

    The bootstrap is paired: both are scored on the same resamples of the rows.
    """
    sign = 1.0 if head.metric_goal == "max" else -1.0
    simple_of, own_of = (main_values(head, predicted, target) for predicted in (simple, own))

    def metrics_of(rows: DrawnRows) -> dict[str, float]:
        value = simple_of(rows)
        return {head.metric: value, "difference": sign * (own_of(rows) - value)}

    rows = np.flatnonzero(head.scored(target))
    found = bootstrap(metrics_of, rows, affordable_resamples(own, len(rows)))
    return found[head.metric], found["difference"]


def view(answer: SimpleModels) -> dict[str, Any]:
    """Output → lines in words."""
    return {"sentences": {name: output_sentences(found) for name, found in answer.outputs.items()}}


def sentences(answer: SimpleModels) -> list[str]:
    """One line for each simple model of each output, under the output's name where there are several."""
    several = len(answer.outputs) > 1
    return [
        f"{name}: {line}" if several else line
        for name, found in answer.outputs.items()
        for line in output_sentences(found)
    ] or [f"Simple models: {answer.reason}"]


def output_sentences(found: SimpleOutput) -> list[str]:
    """Whether a simple model would do, in words."""
    lines = []
    for title, one in found.models.items():
        said = f"{title[:1].upper()}{title[1:]} on simple features gives {metric_name(found.metric)} "
        said += f"{value(one.score)} ({limits(one.score)})"
        gain = one.difference
        by = f"{value(gain)} ({limits(gain)})"
        turned = gain._replace(value=-gain.value, low=-gain.high, high=-gain.low)
        loss = f"{value(turned)} ({limits(turned)})"
        found_out = compared(gain, _margin(found.metric, one.score.value))
        if found_out == "unknown":
            lines.append(f"{said}: {no_interval(gain, 'by this model')}")
        else:
            lines.append(f"{said}: {_WOULD_DO[found_out].format(by=by, loss=loss)}")
        if not one.converged:
            lines.append(f"The {title} was stopped before it converged; it could be somewhat better.")
    return lines


def compared(gain: Interval, margin: float) -> Verdict | Literal["alike"]:
    """What a gain over a simple model shows: "alike" where the whole interval lies within the margin of 0.

    Args:
        gain: of the measured model, positive where it is better.
        margin: above 0, in the unit of the metric.
    """
    if -margin <= gain.low and gain.high <= margin:
        return "alike"
    return verdict(gain, 0.0, "max")


def _margin(metric: str, simple: float) -> float:
    """`MARGIN` of a metric's scale: 1 for those that end at 1, else what the simple model scores."""
    return MARGIN if metric in SHARES or metric == "r2" else MARGIN * abs(simple)


_WOULD_DO: dict[Verdict | Literal["alike"], str] = {
    "better": "this model is better by {by}.",
    "worse": "the simple model is better by {loss}: it would do.",
    "alike": "the gain of this model is {by}, too small to matter: the simple model would do.",
    "unclear": "the gain of this model is {by}, so the two cannot be told apart on these rows; until more "
    "rows show a gain, the simple model is the safer choice.",
}

SIMPLE = Study("Would a simple model do?", measure, view, sentences)
