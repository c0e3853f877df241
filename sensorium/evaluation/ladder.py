"""Study: what each step of `tune: auto` cost, and what it gained on the validation rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sensorium.evaluation.metrics import Interval
from sensorium.evaluation.study import Study, Subject
from sensorium.evaluation.words import limits, number, value


class Step(NamedTuple):
    """A step that was taken or left out.

    Attributes:
        tune: its manner of tuning.
        left_out: why it was; "" where it was taken, and what follows is known.
        seconds: of its training, validation and saving included.
        epochs: that it trained.
        trained: parameters that moved.
        score: of its best weights on the validation rows.
        gain: by how much the score is better than that of the best step before, with the 95 % interval of a
            paired bootstrap over the rows; None for the first.
    """

    tune: str
    left_out: str = ""
    seconds: float = 0.0
    epochs: int = 0
    trained: int = 0
    score: float = math.nan
    gain: Interval | None = None

    @property
    def beyond_noise(self) -> bool:
        """Whether the whole interval of the gain is above zero; True for the first step."""
        return self.gain is None or self.gain.low > 0


@dataclass
class LadderRecord:
    """A ladder as ladder.json keeps it.

    Attributes:
        metric: by which steps are compared: `score`, or that of `training.early_stop`.
        rows: validation rows.
        table: digest of the table.
        steps: in the order in which they were taken.
        spent: seconds of all steps, with the trials before them and the comparisons after them.
        ended: why no further step was taken; "" while it is under way.
        best: the step whose model was kept; "" while it is under way.
    """

    metric: str
    rows: int
    table: str
    steps: list[Step] = field(default_factory=list)
    spent: float = 0.0
    ended: str = ""
    best: str = ""

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> LadderRecord:
        """Takes back what JSON keeps of it."""
        return cls(**{**content, "steps": [_step(one) for one in content["steps"]]})


def measure(subject: Subject) -> LadderRecord | None:
    """The ladder that the model came from; None where there was none."""
    content = subject.predictor.about.get("ladder")
    return None if content is None else LadderRecord.from_dict(content)


def view(answer: LadderRecord) -> dict[str, Any]:
    """The lines in words."""
    return {"sentences": sentences(answer)}


def sentences(answer: LadderRecord) -> list[str]:
    """One line a step, and why there was no further one."""
    lines = [step_sentence(step) for step in answer.steps]
    return [*lines, f"The ladder ended: {answer.ended}. The model is that of the step {answer.best}."]


def step_sentence(step: Step) -> str:
    """What a step cost and gained."""
    if step.left_out:
        return f"{step.tune}: left out, as {step.left_out}"
    line = f"{step.tune}: {number(step.score)} on the validation rows, {step.trained:,} parameters trained, "
    line += f"{step.seconds:.0f} s"
    if step.gain is None:
        return line
    verdict = "beyond noise" if step.beyond_noise else "none beyond noise"
    return f"{line}; gain {value(step.gain)} ({limits(step.gain)}), {verdict}"


def _step(content: Mapping[str, Any]) -> Step:
    gain = content["gain"]
    return Step(**{**_known(content), "gain": None if gain is None else Interval(**_known(gain))})


def _known(content: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no word for what is not a number."""
    return {name: math.nan if one is None else one for name, one in content.items()}


LADDER = Study("How far to tune", measure, view, sentences)
