"""Killed is not lost: a run that is killed at any moment ends in the same weights, bit for bit."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import sensorium.evaluation.plots  # noqa: F401 - so that the second process is as fast as the first
from sensorium.cli import main
from sensorium.errors import SensoriumError
from sensorium.fitting import train_recipe
from sensorium.recipe import Recipe, parse_recipe, read_recipe
from sensorium.training.checkpoint import load_checkpoint
from sensorium.training.loop import Trainer  # noqa: F401
from sensorium.training.progress import Silent
from tests.made import command, environment, label, picture, text, write_recipe

ROWS = 48
EPOCHS = 12
STEPS_AN_EPOCH = 5  # 36 training rows in batches of 4, two a step
RECIPE: dict[str, Any] = {
    "name": "run",
    "data": {"path": "data.parquet", "key": "id", "split": {"validation": 0.125, "test": 0.125}},
    "inputs": {
        "image": {
            "type": "image",
            "size": 16,
            "augment": True,
            "encoder": {"kind": "cnn", "channels": [4, 8]},
        },
        "words": {
            "type": "text",
            "tokenizer": "word",
            "min_count": 1,
            "encoder": {"kind": "lstm", "hidden": 8},
        },
    },
    "fusion": {"kind": "concat", "width": 16, "dropout": 0.3},
    "outputs": {"label": {"type": "category", "dropout": 0.2}},
    "training": {
        "epochs": EPOCHS,
        "batch_size": 4,
        "micro_batch": 3,
        "accumulate": 2,
        "optimizer": {"kind": "sgd", "momentum": 0.9, "lr": 0.05},
        "early_stop": None,
        "ema": 0.9,
        "input_dropout": 0.3,
        "balance": "ogm_ge",
        "auxiliary": 0.2,
        "checkpoint_minutes": 0,
    },
}


class Interrupted(NamedTuple):
    """What was seen of a run that was killed three times, stopped by Ctrl-C, and ended."""

    folder: Path
    killed_at: list[int]
    second_process: str
    stopped: subprocess.CompletedProcess[str]
    last: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a table and a recipe, and the uninterrupted run in `whole`."""
    folder = tmp_path_factory.mktemp("resume")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENSORIUM_CACHE", str(folder / "cache"))
        write_table(folder / "data.parquet")
        write_recipe(folder / "recipe.yaml", RECIPE)
        command("train", "recipe.yaml", "--runs", "whole", folder=folder, check=True)
        yield folder


@pytest.fixture(scope="module")
def interrupted(workplace: Path) -> Interrupted:
    """The same run again in `runs`, killed three times at moments drawn with a seed."""
    moments = random.Random(20240607)
    run = workplace / "runs" / "run"
    steps = sorted(moments.sample(range(2, EPOCHS * STEPS_AN_EPOCH // 2), 3))
    killed_at: list[int] = []
    second = ""
    recipe = read_recipe(workplace / "recipe.yaml")
    for step in steps:
        process = start(workplace)
        wait_for_step(process, run, max([step, *(before + 1 for before in killed_at)]))
        second = second or error_of_second_process(recipe, workplace / "runs")
        time.sleep(moments.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        killed_at.append(saved_step(run))
    process = start(workplace)
    wait_for_step(process, run, killed_at[-1] + 2)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    stopped = subprocess.CompletedProcess([], process.returncode, output, errors)
    last = command("train", "recipe.yaml", folder=workplace)
    return Interrupted(run, killed_at, second, stopped, last)


def write_table(path: Path, count: int = ROWS) -> None:
    """Pictures in bytes, every fourth missing; texts; labels."""
    rows = [
        {
            "id": row,
            "image": None if row % 4 == 3 else picture(row),
            "words": None if row % 5 == 1 else text(row),
            "label": label(row),
        }
        for row in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


def start(folder: Path) -> subprocess.Popen[str]:
    """The training in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "sensorium.cli", "train", "recipe.yaml"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_step(process: subprocess.Popen[str], run: Path, step: int) -> None:
    """Waits until the run has saved that step."""
    while saved_step(run) < step:
        assert process.poll() is None, f"the run ended before step {step}: {process.communicate()}"
        time.sleep(0.005)


def saved_step(run: Path) -> int:
    """The step of the last checkpoint; -1 without one."""
    path = run / "checkpoints" / "last.safetensors"
    if not path.exists():
        return -1
    with path.open("rb") as file:  # opened once, as the next checkpoint may take its place at any moment
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return int(json.loads(header["__metadata__"]["progress"])["progress"]["step"])


def error_of_second_process(recipe: Recipe, runs: Path) -> str:
    """What this process hears when it trains in the folder of another one."""
    with pytest.raises(SensoriumError) as caught:
        train_recipe(recipe, runs, Silent())
    return str(caught.value)


def test_the_weights_are_the_same_bit_for_bit(workplace: Path, interrupted: Interrupted) -> None:
    assert interrupted.last.returncode == 0, interrupted.last.stderr
    whole = workplace / "whole" / "run"
    kept = ("model.safetensors", "calibration.safetensors", "columns.json")
    for file in (*(f"model/{name}" for name in kept), "checkpoints/best.safetensors"):
        assert (interrupted.folder / file).read_bytes() == (whole / file).read_bytes(), file


def test_everything_that_is_kept_is_the_same(workplace: Path, interrupted: Interrupted) -> None:
    ours, about = load_checkpoint(interrupted.folder / "checkpoints" / "last.safetensors")
    theirs, about_whole = load_checkpoint(workplace / "whole" / "run" / "checkpoints" / "last.safetensors")
    assert ours.keys() == theirs.keys()
    assert any("momentum_buffer" in name for name in ours)
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert without_speed(about["progress"]["history"]) == without_speed(about_whole["progress"]["history"])
    assert len(read_history(interrupted.folder)) == EPOCHS


def test_kills_fell_inside_epochs(interrupted: Interrupted) -> None:
    assert len(set(interrupted.killed_at)) == 3
    assert any(step % STEPS_AN_EPOCH for step in interrupted.killed_at)
    assert max(interrupted.killed_at) < EPOCHS * STEPS_AN_EPOCH


def test_a_second_process_is_kept_out(interrupted: Interrupted) -> None:
    assert "another process is training in this folder" in interrupted.second_process
    assert "\n" not in interrupted.second_process


def test_interrupt_saves_and_says_how_to_go_on(interrupted: Interrupted) -> None:
    assert interrupted.stopped.returncode == 130
    assert "give the same command to go on" in interrupted.stopped.stderr
    assert len(interrupted.stopped.stderr.strip().splitlines()) == 1
    assert "going on from step" in interrupted.stopped.stdout
    assert "going on from step" in interrupted.last.stdout


def test_the_tensorboard_files_hold_every_epoch_once(interrupted: Interrupted) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(interrupted.folder / "tensorboard"))
    events.Reload()
    steps = [event.step for event in events.Scalars("train/loss")]
    assert steps == [STEPS_AN_EPOCH * epoch for epoch in range(1, EPOCHS + 1)]


def test_a_finished_run_says_so(
    interrupted: Interrupted,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(workplace)
    before = (interrupted.folder / "model" / "model.safetensors").stat().st_mtime_ns
    run_main("train", "recipe.yaml")
    assert "this run is finished; --fresh trains again" in capsys.readouterr().out
    assert (interrupted.folder / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_a_kill_between_best_and_last(workplace: Path, tmp_path: Path) -> None:
    """After the first epoch `best` is written before `last`; the run then begins anew."""
    folder = unfinished_copy(workplace, tmp_path)
    (folder / "checkpoints" / "last.safetensors").unlink()
    torch.set_num_threads(1)
    train_recipe(read_recipe(workplace / "recipe.yaml"), tmp_path, Silent())
    whole = workplace / "whole" / "run" / "model" / "model.safetensors"
    assert (folder / "model" / "model.safetensors").read_bytes() == whole.read_bytes()


def test_a_kill_while_the_end_was_written(workplace: Path, tmp_path: Path) -> None:
    folder = unfinished_copy(workplace, tmp_path)
    model = folder / "model" / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[:100])
    (folder / "model" / "columns.json").unlink()
    calibration = folder / "model" / "calibration.safetensors"
    learned = calibration.read_bytes()
    calibration.unlink()
    train_recipe(read_recipe(workplace / "recipe.yaml"), tmp_path, Silent())
    assert model.read_bytes() == whole
    assert calibration.read_bytes() == learned
    assert (folder / "model" / "columns.json").exists()


def test_a_different_recipe_is_refused(workplace: Path) -> None:
    changed = {**RECIPE, "training": {**RECIPE["training"], "ema": 0.95}}
    with pytest.raises(SensoriumError, match=r"training\.ema: 0\.9 → 0\.95") as caught:
        train_recipe(parse_recipe(changed, folder=workplace), workplace / "whole", Silent())
    assert "--fresh" in str(caught.value)


def test_a_changed_table_is_refused(workplace: Path, tmp_path: Path) -> None:
    unfinished_copy(workplace, tmp_path)
    write_table(tmp_path / "data.parquet", ROWS + 1)
    with pytest.raises(SensoriumError, match="the table has changed since this run was stopped"):
        train_recipe(parse_recipe(RECIPE, folder=tmp_path), tmp_path, Silent())


def test_a_damaged_checkpoint_is_named(workplace: Path, tmp_path: Path) -> None:
    folder = unfinished_copy(workplace, tmp_path)
    last = folder / "checkpoints" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:200])
    with pytest.raises(SensoriumError, match=r"last\.safetensors is damaged .*--fresh"):
        train_recipe(read_recipe(workplace / "recipe.yaml"), tmp_path, Silent())


def unfinished_copy(workplace: Path, target: Path) -> Path:
    """The whole run as if its last moment had not come."""
    folder = target / "run"
    shutil.copytree(workplace / "whole" / "run", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "status": "running"}))
    return folder


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The records of history.jsonl."""
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def without_speed(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records without what depends on the clock."""
    return [{key: value for key, value in record.items() if key != "rows_per_second"} for record in history]


def run_main(*arguments: str) -> None:
    """The command line in this process; typer ends it with SystemExit."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert caught.value.code == 0
