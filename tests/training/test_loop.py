"""The training loop: what an epoch is compared by, when it stops, and what it writes down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import sensorium as sm
from sensorium.errors import SensoriumError
from sensorium.training.loop import Trainer
from sensorium.training.metric import higher_is_better
from sensorium.training.progress import Silent
from sensorium.training.run import RunFolder
from tests import made


def train(folder: Path, rows: dict[str, list[Any]] | None = None, **changes: Any) -> sm.Predictor:
    recipe = made.simple_recipe(**changes.pop("training", {}))
    del recipe["data"]["path"]
    recipe |= changes
    return sm.fit(rows or made.simple_rows(40), recipe=recipe, folder=folder / "run", verbose=False)


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run" / "history.jsonl").read_text().splitlines()]


def test_without_validation_the_last_epoch_is_kept(tmp_path: Path) -> None:
    model = train(tmp_path, data={"split": {"validation": 0, "test": 0}}, training={"epochs": 3})
    assert model.about["epoch"] == 3
    assert [record["validation"] for record in history(tmp_path)] == [{}, {}, {}]


def train_until(monkeypatch: pytest.MonkeyPatch, folder: Path, values: list[float], metric: str) -> int:
    """Trains with measured values made up; gives the epoch that was kept."""
    left = iter(values)

    def validate(self: Trainer) -> dict[str, float]:
        return {metric: next(left), "loss": 1.0}

    monkeypatch.setattr(Trainer, "_validate", validate)
    stop = {"metric": metric, "patience": 2}
    return int(train(folder, training={"epochs": 6, "early_stop": stop}).about["epoch"])


def test_training_stops_early_and_keeps_the_best(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert train_until(monkeypatch, tmp_path, [0.1, 0.5, 0.4, 0.3, 0.9, 0.9], "label.accuracy") == 2
    assert len(history(tmp_path)) == 4


def test_of_a_loss_the_lowest_is_the_best(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert train_until(monkeypatch, tmp_path, [0.5, 0.2, 0.3, 0.4, 0.1, 0.1], "label.log_loss") == 2


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("score", True),
        ("loss", False),
        ("label.accuracy", True),
        ("label.log_loss", False),
        ("amount.mae", False),
        ("amount.rmse", False),
        ("amount.median_absolute_error", False),
        ("amount.r2", True),
        ("amount.pinball", False),
        ("loss.accuracy", True),  # an output may be called loss
    ],
)
def test_which_metrics_rise(metric: str, expected: bool) -> None:
    assert higher_is_better(metric) is expected


def test_what_is_written_down(tmp_path: Path) -> None:
    train(tmp_path, training={"epochs": 2, "accumulate": 2, "batch_size": 5})
    records = history(tmp_path)
    assert [record["epoch"] for record in records] == [1, 2]
    assert [record["step"] for record in records] == [3, 6]  # 24 rows: 5 batches, two a step
    assert {"score", "loss", "label.accuracy"} <= set(records[0]["validation"])
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["rows"] == {"train": 24, "validation": 8, "test": 8}
    assert manifest["micro_batch"] == 5
    assert "torch" in manifest["versions"]


def test_only_rows_without_a_target_in_a_step(tmp_path: Path) -> None:
    """Half of the labels are missing, and with batches of one many steps have nothing to learn from."""
    data = made.simple_rows(40)
    data["label"] = [label if row % 4 < 2 else None for row, label in enumerate(data["label"])]
    model = train(tmp_path, data, training={"epochs": 1, "batch_size": 1})
    assert len(model.predict(made.simple_rows(5))) == 5


def test_balanced_sampling_with_missing_labels(tmp_path: Path) -> None:
    data = made.simple_rows(40)
    data["label"][:10] = [None] * 10
    outputs = {"label": {"type": "category", "class_weights": "balanced"}, "amount": "number"}
    model = train(tmp_path, data, outputs=outputs, training={"epochs": 1, "sampling": "balanced"})
    assert model.classes_["label"] == ["cat", "dog"] or model.classes_["label"] == ["dog", "cat"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lion", "muon"])
def test_every_optimizer_and_precision_learns(tmp_path: Path, optimizer: str, precision: str) -> None:
    training = {"epochs": 4, "precision": precision, "optimizer": optimizer, "batch_size": 4, "ema": 0.5}
    train(tmp_path, training=training)
    losses = [record["train_loss"] for record in history(tmp_path)]
    assert losses[-1] < losses[0]


def test_training_off_the_main_thread(tmp_path: Path) -> None:
    """Signals belong to the main thread alone; elsewhere training goes without them."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(train, tmp_path).result().about["epoch"] >= 1


def test_a_run_folder_keeps_the_second_out(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run.locked(), pytest.raises(sm.SensoriumError, match="another process"), run.locked():
        pytest.fail("the folder was given twice")
    with run.locked():
        assert run.finished is False


def test_a_damaged_manifest_is_no_finished_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.manifest.write_text("{")
    with pytest.raises(sm.SensoriumError, match=r"manifest\.json is damaged"):
        assert run.finished


def test_fresh_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    train(tmp_path)
    run = RunFolder(tmp_path / "run")
    (run.path / "notes.txt").write_text("mine")
    from sensorium.recipe import read_recipe

    run.start(read_recipe(run.recipe), fresh=True)
    assert sm.load(run.path).outputs  # the model stays until there is something in its place
    run.remove_older_model()
    assert sorted(path.name for path in run.path.iterdir() if not path.name.startswith(".")) == [
        "notes.txt",
        "recipe.yaml",
    ]


def test_what_a_kill_left_half_written_goes_when_the_run_goes_on(tmp_path: Path) -> None:
    train(tmp_path)
    run = RunFolder(tmp_path / "run")
    left = [run.model / ".tmpq28C61", run.last.with_name(".tmpAb3")]
    for path in left:
        path.touch()
    from sensorium.recipe import read_recipe

    run.start(read_recipe(run.recipe), fresh=False)
    assert not any(path.exists() for path in left)
    assert run.last.exists()


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Silent()
    reporter.say("a")
    reporter.start(1, 0)
    reporter.step(0.0, 1)
    reporter.epoch({})
    reporter.close()
    assert capsys.readouterr() == ("", "")


def test_a_loss_that_is_not_finite_stops_with_one_line(tmp_path: Path) -> None:
    frame = {"a": [float(number % 7) for number in range(60)], "b": ["x", "y"] * 30}
    recipe = {
        "data": {"split": {"test": 0}},
        "inputs": {"a": "number"},
        "outputs": {"b": "category"},
        "training": {"optimizer": {"kind": "sgd", "lr": 1e30, "clip": None}, "precision": "fp32"},
    }

    with pytest.raises(SensoriumError, match=r"the loss is .* at step \d+: lower training\.optimizer\.lr"):
        sm.fit(frame, recipe=recipe, folder=tmp_path / "run", verbose=False)


def test_a_finished_run_does_not_answer_for_another_table(tmp_path: Path) -> None:
    frame = {"a": [float(number % 7) for number in range(60)], "b": ["x", "y"] * 30}
    recipe = {"inputs": {"a": "number"}, "outputs": {"b": "category"}, "training": {"epochs": 1}}
    sm.fit(frame, recipe=recipe, folder=tmp_path / "run", verbose=False)

    with pytest.raises(SensoriumError, match="holds a finished run on another table"):
        sm.fit({**frame, "b": ["y", "x"] * 30}, recipe=recipe, folder=tmp_path / "run", verbose=False)


def test_the_callers_random_numbers_go_on_as_if_nothing_had_been_trained() -> None:
    frame = {"a": [float(number % 7) for number in range(60)], "b": ["x", "y"] * 30}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    sm.fit(frame, target="b", training={"epochs": 1}, verbose=False)

    assert torch.equal(torch.rand(3), expected)
