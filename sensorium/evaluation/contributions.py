"""Does each input pay? What is lost without it, and its fair share of the whole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from sensorium.evaluation.baseline import Verdict, verdict
from sensorium.evaluation.inputs import SubsetPredictions, main_values
from sensorium.evaluation.metrics import Interval, bootstrap
from sensorium.evaluation.study import Study, Subject
from sensorium.evaluation.words import limits, metric_name, no_interval, value
from sensorium.explanation.shapley import shapley
from sensorium.heads.head import Head, Rows
from sensorium.inference import MOST_INPUTS


class Contribution(NamedTuple):
    """What one input adds to the main metric; positive where the input helps, for errors too.

    Attributes:
        left_out: with all inputs, minus with all others.
        shapley: its Shapley value; None where not every subset was tried.
    """

    left_out: Interval
    shapley: Interval | None


@dataclass(frozen=True)
class OutputContributions:
    """The inputs' contributions to one output.

    Attributes:
        metric: the main metric.
        goal: whether more or less of it is better.
        together: all inputs minus none; the Shapley values add up to it.
        inputs: input → what it adds.
    """

    metric: str
    goal: Literal["max", "min"]
    together: Interval
    inputs: dict[str, Contribution]


@dataclass(frozen=True)
class Contributions:
    """The answer.

    Attributes:
        rows: how many were tried.
        outputs: output → its inputs' contributions; without outputs of which no row counts.
        hidden_in_training: whether training hid inputs at random, so that the model knows their absence.
    """

    rows: int
    outputs: dict[str, OutputContributions]
    hidden_in_training: bool


def measure(subject: Subject) -> Contributions | None:
    """Contributions of every input to every output, from the predictions with inputs absent."""
    rates = subject.predictor.recipe.training.input_dropout
    model, predictions = subject.predictor.model, subject.by_subset
    outputs = {name: contributions(model.head(name), name, predictions) for name in predictions.targets}
    known = {name: one for name, one in outputs.items() if math.isfinite(one.together.value)}
    hidden = bool(any(rates.values()) if isinstance(rates, dict) else rates)
    return Contributions(predictions.rows, known, hidden) if known else None


def contributions(head: Head, output: str, predictions: SubsetPredictions) -> OutputContributions:
    """What every input adds, with 95 % intervals by a paired bootstrap.

    Every resample of the rows scores all subsets on the same rows, so that what makes a row hard for all of
    them cancels out.
    """
    target = predictions.targets[output]
    inputs = max(predictions.predicted, key=len)
    sign = 1.0 if head.metric_goal == "max" else -1.0
    every = len(predictions.predicted) == 2 ** len(inputs)

    value_of = {
        frozenset(present): main_values(head, own[output], target)
        for present, own in predictions.predicted.items()
    }

    def added(rows: Rows) -> dict[str, float]:
        values = {present: sign * value(rows) for present, value in value_of.items()}
        whole = frozenset(inputs)
        found = {"together": values[whole] - values[frozenset()]}
        found |= {f"left out {name}": values[whole] - values[whole - {name}] for name in inputs}
        return found | ({f"shapley {name}": shapley(values, name) for name in inputs} if every else {})

    rows = np.flatnonzero(head.scored(target))
    found = bootstrap(added, rows, predictions.resamples)
    return OutputContributions(
        metric=head.metric,
        goal=head.metric_goal,
        together=found["together"],
        inputs={
            name: Contribution(found[f"left out {name}"], found.get(f"shapley {name}")) for name in inputs
        },
    )


def view(answer: Contributions) -> dict[str, Any]:
    """By output: where the bars and whiskers of its inputs lie, in percent of the chart, and words."""
    return {
        "charts": {name: _charts(found) for name, found in answer.outputs.items()},
        "sentences": {name: output_sentences(found) for name, found in answer.outputs.items()},
        "most_inputs": MOST_INPUTS,
    }


def _charts(found: OutputContributions) -> list[dict[str, Any]]:
    """One chart of what is lost without an input, and one of the Shapley values, on the same scale."""
    left_out = {name: one.left_out for name, one in found.inputs.items()}
    fair = {name: one.shapley for name, one in found.inputs.items() if one.shapley is not None}
    shown = [*left_out.values(), *fair.values()]
    ends = [end for one in shown for end in (one.value, one.low, one.high) if math.isfinite(end)]
    lowest, highest = min([0.0, *ends]), max([1e-12, *ends])
    charts = [("left_out", left_out)] + ([("shapley", fair)] if fair else [])
    return [
        {"kind": kind, "bars": [_bar(name, one, lowest, highest) for name, one in intervals.items()]}
        for kind, intervals in charts
    ]


def _bar(name: str, interval: Interval, lowest: float, highest: float) -> dict[str, Any]:
    def place(value: float) -> float:
        return round(100 * (value - lowest) / (highest - lowest), 2) if math.isfinite(value) else 0.0

    zero, end = place(0.0), place(interval.value)
    return {
        "name": name,
        "interval": interval,
        "zero": zero,
        "left": min(zero, end),
        "length": round(abs(end - zero), 2),
        "low": place(interval.low),
        "width": round(place(interval.high) - place(interval.low), 2),
    }


def sentences(answer: Contributions) -> list[str]:
    """One line for every input of every output, under the output's name where there are several."""
    several = len(answer.outputs) > 1
    return [
        f"{output}: {line}" if several else line
        for output, found in answer.outputs.items()
        for line in output_sentences(found)
    ]


def output_sentences(found: OutputContributions) -> list[str]:
    """Whether each input pays, in words."""
    does = "adds {} to" if found.goal == "max" else "takes {} off"
    lines = []
    for name, contribution in found.inputs.items():
        gain = contribution.left_out
        amount = does.format(f"{value(gain)} ({limits(gain)})")
        found_out = verdict(gain, 0.0, "max")
        said = no_interval(gain, "without it") if found_out == "unknown" else _PAYS[found_out]
        if found_out == "unclear" and _helps(contribution.shapley):
            said = HELPS_AMONG_OTHERS
        lines.append(f"{name} {amount} the {metric_name(found.metric)}: {said}")
    return lines


def _helps(fair: Interval | None) -> bool:
    """Whether an input's Shapley value is surely above 0."""
    return fair is not None and verdict(fair, 0.0, "max") == "better"


HELPS_AMONG_OTHERS = (
    "the interval includes 0, so beside all others these rows cannot tell that it pays; over all subsets of "
    "inputs its Shapley value is above 0: others tell what it tells, and it helps where they are missing."
)
_PAYS: dict[Verdict, str] = {
    "better": "it pays.",
    "worse": "the model does better without it.",
    "unclear": "the interval includes 0, so on these rows it cannot be said to pay.",
}

CONTRIBUTIONS = Study("Does each input pay?", measure, view, sentences)
