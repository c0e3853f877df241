"""The minutes of a run hold for all of it; the clock of these tests moves only as they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sensorium.errors import RecipeError, SensoriumError
from sensorium.fitting import train_in, with_training
from sensorium.recipe import Recipe, parse_recipe
from sensorium.training import budget, loop
from sensorium.training.budget import TimeBudget
from sensorium.training.checkpoint import load_checkpoint
from sensorium.training.loop import Trainer
from sensorium.training.progress import Silent
from tests import made

READING, STEP, VALIDATION, SAVING = 5.0, 1.0, 1.0, 0.5
STEPS_AN_EPOCH = 6  # 24 training rows in batches of 4


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Listener(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stands still in the budget's own arithmetic."""
    clock = Clock()
    monkeypatch.setattr(budget, "monotonic", clock)
    monkeypatch.setattr(budget, "process_time", lambda: 1e9)  # the processor is never waited for
    return clock


@pytest.fixture
def paced(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A machine on which everything takes the seconds named above; matplotlib and the like take none."""

    class Times:
        monotonic = staticmethod(clock)

    step, validate, save = Trainer._step, Trainer._validate, Trainer._save

    def timed_step(self: Trainer, batches: Any) -> float:
        clock.now += STEP
        return step(self, batches)

    def timed_validation(self: Trainer) -> dict[str, float]:
        clock.now += VALIDATION
        return validate(self)

    def timed_save(self: Trainer) -> None:
        clock.now += SAVING
        save(self)

    monkeypatch.setattr(loop, "time", Times)
    monkeypatch.setattr(loop, "CLOSING_PASSES", 0)
    monkeypatch.setattr(Trainer, "_step", timed_step)
    monkeypatch.setattr(Trainer, "_validate", timed_validation)
    monkeypatch.setattr(Trainer, "_save", timed_save)
    return clock


def recipe_for(minutes: float | None, **training: Any) -> Recipe:
    content = made.simple_recipe(minutes=minutes, batch_size=4, epochs=1000, early_stop=None, **training)
    del content["data"]["path"]
    return parse_recipe(content)


def train(folder: Path, clock: Clock, recipe: Recipe) -> Listener:
    """A run that reads its table for some seconds first, and closes in the seconds that are kept for it."""
    said = Listener()
    began = clock.now
    clock.now += READING
    train_in(recipe, folder, said, data=made.simple_rows(40), began=began)
    clock.now += budget.CLOSING_SECONDS
    return said


def progress_of(folder: Path) -> dict[str, Any]:
    return dict(load_checkpoint(folder / "checkpoints" / "last.safetensors")[1]["progress"])


@pytest.mark.parametrize("minutes", [0.5, 1.0, 3.0])
def test_the_whole_run_takes_its_minutes(paced: Clock, tmp_path: Path, minutes: float) -> None:
    began = paced.now
    said = train(tmp_path, paced, recipe_for(minutes))
    assert paced.now - began == pytest.approx(60 * minutes, rel=0.05 if minutes >= 1 else 0.15)
    assert paced.now - began <= 60 * minutes
    assert any(f"the time is over (training.minutes: {minutes:g}) after" in line for line in said.lines)
    assert json.loads((tmp_path / "manifest.json").read_text())["ended_by"] == "time"


def test_the_learning_rate_comes_to_its_end_with_the_time(paced: Clock, tmp_path: Path) -> None:
    train(tmp_path, paced, recipe_for(2.0))
    records = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    peak = max(record["learning_rate"] for record in records)
    assert records[-1]["learning_rate"] < 0.01 * peak
    assert records[-1]["epoch"] < 1000


def test_a_machine_that_becomes_slow_is_stopped_in_time(
    paced: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From step 34 on, after the plan of step 32, every step takes ten times as long."""
    step, began = Trainer._step, paced.now

    def slower(self: Trainer, batches: Any) -> float:
        paced.now += 9 * STEP if self.state.progress.step >= 34 else 0.0
        return step(self, batches)

    monkeypatch.setattr(Trainer, "_step", slower)
    train(tmp_path, paced, recipe_for(2.0))
    assert paced.now - began <= 1.05 * 120


def test_epochs_that_end_first_end_the_run(paced: Clock, tmp_path: Path) -> None:
    said = train(tmp_path, paced, with_training(recipe_for(60.0), {"epochs": 3}))
    assert progress_of(tmp_path)["step"] == 3 * STEPS_AN_EPOCH
    assert not any("the time is over" in line for line in said.lines)
    assert json.loads((tmp_path / "manifest.json").read_text())["ended_by"] == "epochs"


def test_minutes_that_are_enough_change_no_weight(paced: Clock, tmp_path: Path) -> None:
    for minutes in (60.0, None):
        train(tmp_path / str(minutes), paced, with_training(recipe_for(minutes), {"epochs": 3}))
    files = [tmp_path / name / "model" / "model.safetensors" for name in ("60.0", "None")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_less_than_an_epoch_is_validated_and_saved(paced: Clock, tmp_path: Path) -> None:
    """9 s: 5 for reading, 1.5 for closing: there is no time for all 6 steps."""
    train(tmp_path, paced, recipe_for(0.15))
    records = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert len(records) == 1
    assert 1 <= records[0]["step"] < STEPS_AN_EPOCH
    assert "score" in records[0]["validation"]
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_no_time_for_a_step_is_one_line(paced: Clock, tmp_path: Path) -> None:
    with pytest.raises(
        SensoriumError, match=r"training\.minutes: 0\.05 is over before the first step"
    ) as caught:
        train(tmp_path, paced, recipe_for(0.05))
    assert "took 5 s" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


class Killed(Exception):
    """In place of SIGKILL."""


def test_a_killed_run_goes_on_with_its_clock_and_its_plan(
    paced: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_epoch, began = Trainer._end_epoch, paced.now

    def killed(self: Trainer, speed: float) -> dict[str, Any]:
        record = end_epoch(self, speed)
        if self.state.progress.epoch == 6:
            raise Killed
        return record

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_end_epoch", killed)
        with pytest.raises(Killed):
            train(tmp_path, paced, recipe_for(2.0))
    kept = progress_of(tmp_path)
    assert kept["seconds"] == pytest.approx(paced.now - began)
    assert kept["planned"] > kept["step"]
    paced.now += 10_000  # the machine was off
    train(tmp_path, paced, recipe_for(2.0))
    assert paced.now - began - 10_000 == pytest.approx(120, rel=0.05)


def test_more_minutes_go_on_with_the_same_run(
    paced: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Trainer) -> Path:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_finish", killed)
        with pytest.raises(Killed):
            train(tmp_path, paced, recipe_for(1.0))
    before = progress_of(tmp_path)["step"]
    assert recipe_for(1.0).digest() == recipe_for(2.0).digest() == recipe_for(None).digest()
    train(tmp_path, paced, recipe_for(2.0))
    assert progress_of(tmp_path)["step"] > 1.5 * before


def test_what_is_planned_is_what_fits(clock: Clock) -> None:
    """Of 59.4 s, 20 are used and 2 + 1.5 close: 35.9 are left; a step takes 1, the end of an epoch 3 + 2."""
    time = TimeBudget(1.0, began=clock.now)
    clock.now += 10
    time.go_on()
    for _ in range(10):
        clock.now += 1
        time.step_done()
    time.validation, time.saving = 3.0, 2.0
    assert time.left() == pytest.approx(35.9)
    # 24 steps, and the ends of epochs after 8, 18 and, not whole, 24: 24 + 15 = 39; 20 steps and 3 ends: 35.
    assert time.steps_that_fit(1000, into_epoch=2, steps_an_epoch=10) == 20
    assert time.steps_that_fit(7, into_epoch=2, steps_an_epoch=10) == 7
    assert not time.too_late()
    clock.now += 30  # 5.9 left, and a step with the end of its epoch takes 6
    assert time.too_late()
    assert time.steps_that_fit(1000, into_epoch=2, steps_an_epoch=10) == 0


def test_closing_passes_take_their_time(clock: Clock) -> None:
    time = TimeBudget(1.0, began=clock.now, passes=4)
    time.validation = 3.0
    assert time.left() == pytest.approx(59.4 - 1.5 - 12)


def test_a_busy_machine_closes_slowly(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 s have passed, of which the process had a processor for 10, or for 1."""
    time = TimeBudget(1.0, began=clock.now)
    clock.now += 20
    monkeypatch.setattr(budget, "process_time", lambda: 10.0)
    assert time.left() == pytest.approx(59.4 - 20 - 2 * 1.5)
    monkeypatch.setattr(budget, "process_time", lambda: 1.0)
    assert time.left() == pytest.approx(59.4 - 20 - 4 * 1.5)


def test_without_minutes_there_is_always_time(clock: Clock) -> None:
    time = TimeBudget(None, began=clock.now)
    clock.now += 1e9
    assert not time.too_late()
    assert time.steps_that_fit(50, 0, 10) == 50
    time.require_time()


@pytest.mark.parametrize("minutes", [0, -1, "long"])
def test_minutes_that_are_none(minutes: Any) -> None:
    with pytest.raises(RecipeError, match=r"training\.minutes: "):
        recipe_for(minutes)
