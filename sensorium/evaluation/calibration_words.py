"""A study of calibration in plain sentences, and what its section of the page shows."""

from __future__ import annotations

import math
from typing import Any

from sensorium.evaluation.calibration import (
    CalibrationStudy,
    OutputCalibration,
    Reliability,
    SubsetCoverage,
    study_calibration,
)
from sensorium.evaluation.calibration_plot import reliability_svg
from sensorium.evaluation.metrics import Interval
from sensorium.evaluation.study import Study, Subject
from sensorium.evaluation.words import count, limits, number, subset_name, value

NOT_CALIBRATED = (
    "The model was not calibrated (it was trained without validation rows, or by an older version): "
    "probabilities are as the network gives them, and there are no sets."
)


def sentences(study: CalibrationStudy) -> list[str]:
    """Lines for the terminal."""
    lines = [] if study.calibrated else [NOT_CALIBRATED]
    for name, output in study.outputs.items():
        lines += [f"{name}: {line}" for line in output_sentences(study, output)]
    return lines


def view(study: CalibrationStudy) -> dict[str, Any]:
    """What sections/calibration.html.jinja shows beside the study."""
    outputs = study.outputs.items()
    return {
        "not_calibrated": "" if study.calibrated else NOT_CALIBRATED,
        "sentences": {name: output_sentences(study, output) for name, output in outputs},
        "diagrams": {
            name: _diagram(output, f"calibration{place}") for place, (name, output) in enumerate(outputs)
        },
        "names": {name: [_name(study, one) for one in output.subsets] for name, output in outputs},
        "verdicts": {
            name: [verdict(one.coverage, study.coverage) for one in output.subsets]
            for name, output in outputs
        },
    }


def output_sentences(study: CalibrationStudy, output: OutputCalibration) -> list[str]:
    """What was found of one output: of its probabilities, then of its sets."""
    lines = []
    if output.before is not None and output.after is not None:
        lines += _probabilities(output.temperature, output.before, output.after)
    if output.subsets and math.isfinite(output.subsets[0].coverage.value):
        lines += [*_sets(study, output), *_absent(study, output.subsets[1:])]
    return lines


def verdict(measured: Interval, asked: float) -> str:
    """Whether the interval of a measured coverage lies "below" what was asked, "above" it, or "contains" it.

    "unknown" without an interval.
    """
    if not math.isfinite(measured.low):
        return "unknown"
    if measured.low <= asked <= measured.high:
        return "contains"
    return "below" if measured.high < asked else "above"


def _probabilities(temperature: float, before: Reliability, after: Reliability) -> list[str]:
    error = "expected calibration error"
    if temperature == 1:
        said = f"The {error} is {number(before.error)}: by so much confidence and the share right differ."
        return [f"{said} No temperature was learned."]
    manner = "less sure" if temperature > 1 else "surer"
    changes = [
        _change(error, before.error, after.error),
        _change("log loss", before.log_loss, after.log_loss),
    ]
    return [
        f"A temperature of {number(temperature)}, learned on the validation rows, makes the model {manner}.",
        f"On these rows it {' and '.join(changes)}.",
    ]


def _change(name: str, before: float, after: float) -> str:
    if after < before:
        return f"lowers the {name} from {number(before)} to {number(after)}"
    return f"does not lower the {name} ({number(before)} before, {number(after)} after)"


def _sets(study: CalibrationStudy, output: OutputCalibration) -> list[str]:
    """Coverage and size with no input hidden."""
    whole, asked = output.subsets[0], f"{study.coverage:g}"
    noun = "intervals" if whole.accuracy is None else "sets"
    rows = count(whole.coverage.rows, "row")
    held = f"the {noun} hold the truth in {value(whole.coverage)} of {rows}"
    judged = {
        "contains": f"which agrees with the {asked} asked for",
        "below": f"which does not contain the {asked} asked for: too often the truth is left out",
        "above": f"which does not contain the {asked} asked for: the {noun} are larger than they need be",
    }[verdict(whole.coverage, study.coverage)]
    lines = [f"With inputs as they are, {held} (95 % interval {limits(whole.coverage)}), {judged}."]
    if whole.accuracy is None or whole.answered is None:
        lines.append(f"An interval is {number(whole.size)} wide on average.")
    else:
        right = f"{value(whole.accuracy)} are right (95 % interval {limits(whole.accuracy)})"
        lines.append(
            f"A set has {number(whole.size)} classes on average. {number(whole.answered)} of the rows are "
            f"answered with one class{f'; of these {right}' if whole.accuracy.rows else ''}."
        )
    if whole.empty:
        lines.append(
            f"The set of {count(whole.empty, 'row')} has no class: no class got as high a probability as the "
            "true ones of the validation rows; take such a row as not answered."
        )
    if whole.unlimited:
        few = count(whole.unlimited, "row")
        lines.append(f"Too few validation rows have the inputs of {few}: nothing is ruled out there.")
    return lines


def _absent(study: CalibrationStudy, others: list[SubsetCoverage]) -> list[str]:
    """Coverage with inputs hidden."""
    if not others:
        return []
    missed = {
        side: [_name(study, one) for one in others if verdict(one.coverage, study.coverage) == side]
        for side in ("below", "above")
    }
    number_missed = sum(map(len, missed.values()))
    if not number_missed:
        return [f"With inputs absent, {study.coverage:g} lies in the interval of every subset."]
    listed = "; ".join(f"{side}: {', '.join(names)}" for side, names in missed.items() if names)
    return [
        f"With inputs absent, the interval misses {study.coverage:g} for {number_missed} of "
        f"{count(len(others), 'subset')} ({listed}). Some do by chance."
    ]


def _diagram(output: OutputCalibration, prefix: str) -> str:
    if output.before is None or output.after is None:
        return ""
    return reliability_svg(output.before, output.after if output.temperature != 1 else None, prefix)


def _name(study: CalibrationStudy, one: SubsetCoverage) -> str:
    return subset_name(one.present, study.inputs) if one.present else "no input"


def measure(subject: Subject) -> CalibrationStudy | None:
    """See `study_calibration`."""
    predicted = subject.by_subset.predicted
    return study_calibration(subject.predictor, subject.collected, predicted, subject.coverage)


CALIBRATION = Study("Can its certainty be trusted?", measure, view, sentences)
