"""`tune: auto`: step after step, while validation gains beyond noise and the time lasts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensorium import ladder
from sensorium.data.column import Cells
from sensorium.errors import RecipeError, SensoriumError
from sensorium.evaluation import evaluate_run, write_report
from sensorium.evaluation.evaluate import plain
from sensorium.evaluation.ladder import LadderRecord, Step, sentences
from sensorium.evaluation.metrics import Interval
from sensorium.fitting import dry_run_recipe, train_in
from sensorium.inference import collect
from sensorium.ladder import Answers, best_step, paired_gain, step_recipe
from sensorium.predict import load
from sensorium.prepare import prepare
from sensorium.recipe import Recipe, parse_recipe
from sensorium.training.progress import Silent
from tests import made
from tests.made_checkpoints import made_checkpoint

GAIN = Interval(0.1, 0.05, 0.15, 8, 100, "bootstrap")
NONE = Interval(0.1, -0.05, 0.15, 8, 100, "bootstrap")


class Listener(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keeps it."""
        self.lines.append(line)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BERT and a table."""
    folder = tmp_path_factory.mktemp("ladder")
    made_checkpoint(folder / "tiny", "bert")
    made.write_csv(folder / "table.csv", made.simple_rows(40))
    return folder


def recipe_of(home: Path, **training: Any) -> Recipe:
    """A text through the tiny BERT, and a number from scratch, to a label."""
    content = made.simple_recipe(**{"epochs": 1, **training})
    content["inputs"] = {
        "words": {"type": "text", "encoder": {"kind": "pretrained", "weights": "tiny", "tune": "auto"}},
        "size": "number",
    }
    return parse_recipe(content, folder=home)


def gains(monkeypatch: pytest.MonkeyPatch, *values: Interval) -> None:
    """Has the comparisons of steps come out so."""
    found = iter(values)
    monkeypatch.setattr(ladder, "paired_gain", lambda metric, before, after: next(found))


@pytest.fixture(scope="module")
def climbed(home: Path) -> tuple[Path, list[str]]:
    """A run whose second step gained nothing, stopped by Ctrl-C before it and gone on with."""
    recipe, said = recipe_of(home), Listener()
    train = ladder.Ladder._take

    def stop(self: Any, tune: str) -> None:
        if tune == "head":
            raise KeyboardInterrupt
        train(self, tune)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder.Ladder, "_take", stop)
        with pytest.raises(KeyboardInterrupt):
            train_in(recipe, home / "runs/two", said)
    assert json.loads((home / "runs/two/ladder.json").read_text())["ended"] == ""
    with pytest.raises(SensoriumError, match="the training is not finished"):
        load(home / "runs/two")
    with pytest.MonkeyPatch.context() as patch:
        gains(patch, NONE)
        train_in(recipe, home / "runs/two", said)
    return home / "runs/two", said.lines


def test_it_ends_where_a_step_gains_nothing_beyond_noise(climbed: tuple[Path, list[str]]) -> None:
    folder, lines = climbed
    record = LadderRecord.from_dict(json.loads((folder / "ladder.json").read_text()))
    assert [step.tune for step in record.steps] == ["frozen", "head"]
    assert record.ended == "head gained nothing beyond noise"
    assert record.best == best_step(record.steps, "score").tune
    assert record.steps[0].gain is None
    assert record.steps[1].gain == NONE
    assert 0 < record.steps[0].trained < record.steps[1].trained
    assert record.spent > record.steps[0].seconds + record.steps[1].seconds > 0
    assert sum("step frozen, 1 of" in line for line in lines) == 1  # not trained again after the Ctrl-C
    assert any(line.startswith("head: ") and line.endswith(", none beyond noise") for line in lines)


def test_the_model_of_the_run_is_that_of_the_best_step(climbed: tuple[Path, list[str]]) -> None:
    folder, _ = climbed
    best = json.loads((folder / "ladder.json").read_text())["best"]
    weights = (folder / "model/model.safetensors").read_bytes()
    assert weights == (folder / "steps" / best / "model/model.safetensors").read_bytes()
    predictor = load(folder)
    assert predictor.recipe.inputs["words"].encoder.tune == best
    assert len(predictor.predict({"words": ["a cat"], "size": [0.1]})) == 1
    said = Listener()
    train_in(recipe_of(folder.parent.parent), folder, said)
    assert said.lines == [f"{folder}: this run is finished; --fresh trains again"]


def test_the_report_shows_every_step(
    climbed: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = climbed
    evaluation = evaluate_run(folder, studies=["ladder"])
    assert [step.tune for step in evaluation.studies["ladder"].steps] == ["frozen", "head"]
    page = write_report(evaluation, folder / "evaluation").read_text()
    assert "How far to tune" in page
    assert "head gained nothing beyond noise" in page
    assert '<th scope="row">frozen</th>' in page


def test_all_steps_are_taken_while_they_pay(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gains(monkeypatch, GAIN, GAIN, GAIN)
    folder = train_in(recipe_of(home), tmp_path / "run", Silent())
    record = LadderRecord.from_dict(json.loads((folder / "ladder.json").read_text()))
    assert [step.tune for step in record.steps] == ["frozen", "head", "lora", "full"]
    assert record.ended == "there is no further step"
    recipes = [load(folder / "steps" / step.tune).recipe for step in record.steps]
    assert [one.fusion.layers for one in recipes] == [0, 1, 1, 1]
    assert {one.training.seed for one in recipes} == {0}


def test_a_step_without_time_is_left_out(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder.Ladder, "_minutes_left", lambda self: 2.0)
    monkeypatch.setattr("sensorium.training.loop.Trainer.try_steps", lambda self, steps: 1000.0)
    said = Listener()
    folder = train_in(recipe_of(home, minutes=2.0), tmp_path / "run", said)
    record = json.loads((folder / "ladder.json").read_text())
    assert record["best"] == "frozen"
    assert record["steps"][1]["left_out"].startswith("it may take about 33.3 minutes for 1 epochs, and ")
    assert any(line.startswith("head: left out, as it may take") for line in said.lines)
    assert record["ended"].startswith("head was left out")


def test_a_manner_that_a_backbone_does_not_take_is_left_out(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gains(monkeypatch, GAIN, GAIN)
    monkeypatch.setattr("sensorium.encoders.pretrained.tune._linear_layers", lambda backbone: [])
    folder = train_in(recipe_of(home), tmp_path / "run", Silent())
    record = json.loads((folder / "ladder.json").read_text())
    assert "lora needs linear layers" in record["steps"][2]["left_out"]
    assert [step["tune"] for step in record["steps"] if not step["left_out"]] == ["frozen", "head", "full"]


def test_a_gain_is_paired(home: Path) -> None:
    """A model that gains one row in eight on the very rows, whatever else changes between them."""
    prepared = prepare(step_recipe(recipe_of(home), "frozen"))
    model = prepared.new_model()
    collected = collect(model, prepared.loader, np.arange(40))
    truth = np.array([1, 2] * 20)

    def answers(right: Any) -> Answers:
        codes = np.where(right, truth, 3 - truth)
        predicted = {"codes": codes, "probabilities": np.eye(2, dtype=np.float32)[codes - 1] * 0.8 + 0.1}
        target = Cells(truth[:, None], np.ones((40, 1), dtype=bool))
        return Answers(model, replace(collected, predicted={"label": predicted}, targets={"label": target}))

    place = np.arange(40)
    before, after = answers(place % 2 == 0), answers((place % 2 == 0) | (place % 8 == 1))
    gain = paired_gain("score", before, after)
    assert gain.value == pytest.approx(5 / 40)
    assert 0 < gain.low < 5 / 40 < gain.high < 0.3
    assert paired_gain("score", after, before).value == pytest.approx(-5 / 40)
    assert not Step("head", gain=paired_gain("score", before, before)).beyond_noise


def test_the_best_step_has_the_best_score() -> None:
    steps = [Step("frozen", score=0.5), Step("head", score=0.7), Step("lora", score=0.7)]
    assert best_step(steps, "score").tune == "head"
    assert best_step(steps, "loss").tune == "frozen"


def test_it_is_kept_as_json_and_said_in_words() -> None:
    steps = [
        Step("frozen", seconds=12.0, epochs=3, trained=5_000, score=0.8),
        Step("head", seconds=3.0, epochs=2, trained=9_000, score=0.9, gain=GAIN),
        Step("lora", left_out="no layer is linear", score=0.0),
    ]
    record = LadderRecord("score", 8, "digest", steps, 16.0, "there is no further step", "head")
    assert LadderRecord.from_dict(json.loads(json.dumps(plain(record)))) == record
    assert sentences(record) == [
        "frozen: 0.800 on the validation rows, 5,000 parameters trained, 12 s",
        "head: 0.900 on the validation rows, 9,000 parameters trained, 3 s; "
        "gain 0.100 (0.050 to 0.150), beyond noise",
        "lora: left out, as no layer is linear",
        "The ladder ended: there is no further step. The model is that of the step head.",
    ]


def test_without_validation_rows_it_is_refused(home: Path, tmp_path: Path) -> None:
    recipe = recipe_of(home)
    data = recipe.data.model_copy(update={"split": recipe.data.split.model_copy(update={"validation": 0.0})})
    with pytest.raises(RecipeError, match="tune: auto compares its steps on validation rows"):
        train_in(replace(recipe, data=data), tmp_path / "run", Silent())


def test_a_dry_run_tries_the_first_step(home: Path) -> None:
    said = Listener()
    dry_run_recipe(recipe_of(home), said)
    assert said.lines[0] == "tune: auto begins with the step frozen, which is tried here"
    assert "a step; " in said.lines[-1]
