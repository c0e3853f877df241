"""Study: what carried some predictions, and whether that can be trusted, by deletion curves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensorium.data.loader import Rows
from sensorium.evaluation.deletion_check import DeletionCheck, check_deletions, check_sentence, check_svg
from sensorium.evaluation.explanation_drawings import draw_row
from sensorium.evaluation.study import Study, Subject
from sensorium.explanation import DEFAULT, SCORES, Deletion, RowExplanation, delete_row, explain_row
from sensorium.inference import sample

SHOWN = 2
"""Rows that are explained of each kind, for every output."""
MOST_ROWS = 24
"""Rows that the deletion curves are taken over, for every output."""
FEWEST_ROWS = 3
"""The same, where the time is over before."""
SECONDS = 10.0
"""After which no further row is begun, for every output."""


@dataclass(frozen=True)
class OutputExplanations:
    """Of one output.

    Attributes:
        worst: the rows with the highest losses, those first.
        best: the rows with the lowest losses, those first.
        check: over a fixed sample of all rows.
    """

    worst: list[RowExplanation]
    best: list[RowExplanation]
    check: DeletionCheck


@dataclass(frozen=True)
class Explanations:
    """The answer.

    Attributes:
        method: how parts were weighed.
        outputs: output → its explanations; without outputs that cannot be explained.
    """

    method: str
    outputs: dict[str, OutputExplanations]


def measure(subject: Subject) -> Explanations | None:
    """Explains the worst and the best rows of every output; None where there is none to explain."""
    found = {}
    for name, target in subject.collected.targets.items():
        model = subject.predictor.model
        known = model.head(name).scored(target) & subject.collected.present.any(axis=1)
        if subject.predictor.recipe.outputs[name].type in SCORES and known.any():
            found[name] = _of_output(subject, name, np.flatnonzero(known))
    return Explanations(DEFAULT, found) if found else None


def _of_output(subject: Subject, name: str, known: Rows) -> OutputExplanations:
    by_loss = known[np.argsort(-subject.collected.losses[name][known], kind="stable")]
    worst = by_loss[:SHOWN]
    best = by_loss[len(worst) :][::-1][:SHOWN]
    deletions = list(_deletions(subject, name, sample(known, MOST_ROWS)))
    explained = [_explained(subject, name, place) for place in (*worst, *best)]
    unit = explained[0].target.shown_unit
    return OutputExplanations(
        explained[: len(worst)], explained[len(worst) :], check_deletions(deletions, unit)
    )


def _explained(subject: Subject, name: str, place: int) -> RowExplanation:
    row = int(subject.collected.rows[place])
    return explain_row(subject.predictor, subject.loader, row, name, None, DEFAULT, subject.features)


def _deletions(subject: Subject, name: str, chosen: Rows) -> Iterator[Deletion]:
    """In a random order, so that any number of rows is a fair sample."""
    end = time.monotonic() + SECONDS
    for count, place in enumerate(np.random.default_rng(0).permutation(chosen)):
        if count >= FEWEST_ROWS and time.monotonic() > end:
            return
        row = int(subject.collected.rows[place])
        yield delete_row(subject.predictor, subject.loader, row, name, None, DEFAULT, subject.features)


def view(answer: Explanations) -> dict[str, Any]:
    """By output: the curves, drawn, what they say, and the drawings of the rows."""
    return {
        name: {
            "sentence": check_sentence(found.check),
            "picture": check_svg(found.check, f"deletion{place}"),
            "worst": [draw_row(row) for row in found.worst],
            "best": [draw_row(row) for row in found.best],
        }
        for place, (name, found) in enumerate(answer.outputs.items())
    }


def sentences(answer: Explanations) -> list[str]:
    """Whether the explanations hold, for every output."""
    several = len(answer.outputs) > 1
    return [
        f"{f'{name}: ' if several else ''}{check_sentence(found.check)}"
        for name, found in answer.outputs.items()
    ]


EXPLANATION = Study("What carried the predictions", measure, view, sentences)
