"""A full disk and a read-only folder: one line, nothing of before is lost, and the same command goes on."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sensorium.cli import main
from sensorium.errors import SensoriumError
from sensorium.fitting import train_recipe
from sensorium.recipe import read_recipe
from sensorium.training.checkpoint import load_checkpoint
from sensorium.training.progress import Silent
from tests import made
from tests.bad_inputs.case import make_folder, matches

Fails = Callable[..., str]
FULL = "No space left on device"
CHECKPOINT = (
    f"…/checkpoints/….safetensors: the checkpoint cannot be written (…{FULL}…); "
    "the one before is kept: mend that, then the same command goes on from it"
)
READ_ONLY = "runs/…: the run folder cannot be written (Read-only file system)"


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Fails:
    """Runs a verb that must fail with one line; gives the line."""

    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        captured = capsys.readouterr()
        assert caught.value.code == 1, captured.out + captured.err
        lines = captured.err.strip().splitlines()
        assert len(lines) == 1, captured.err
        return lines[0].removeprefix("error: ")

    return call


@pytest.fixture
def disk(here: Path) -> Iterator[Path]:
    """A disk of 2 MB, mounted at runs/; beside it a table, its recipe, and nothing else."""
    make_folder(here)
    runs = here / "runs"
    runs.mkdir()
    with mounted(runs, "size=2m"):
        yield runs


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A disk in memory; skips the test where none may be mounted."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("no disk may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, left: int = 0) -> None:
    """Leaves as many bytes free on the disk, to the next page below."""
    (disk / "filler").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - left)))


class FilledAfter(Silent):
    """Fills the disk when an epoch has ended."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk

    def epoch(self, record: dict[str, Any]) -> None:
        fill(self.disk)


def test_training_goes_on_when_there_is_space_again(disk: Path, here: Path) -> None:
    made.write_recipe(here / "recipe.yaml", made.simple_recipe(epochs=3))
    recipe = read_recipe("recipe.yaml")
    with pytest.raises(SensoriumError) as caught:
        train_recipe(recipe, disk, FilledAfter(disk))
    assert matches(CHECKPOINT, str(caught.value))
    _, kept = load_checkpoint(disk / "simple/checkpoints/last.safetensors")
    assert kept["progress"]["epoch"] == 1
    (disk / "filler").unlink()
    resumed = train_recipe(recipe, disk, Silent())
    whole = train_recipe(recipe, here / "whole", Silent())
    weights = "model/model.safetensors"
    assert (resumed / weights).read_bytes() == (whole / weights).read_bytes()


@pytest.mark.parametrize("left", [0, 5_000, 30_000, 60_000, 90_000])
def test_a_disk_that_is_full_from_the_start(disk: Path, fails: Fails, left: int) -> None:
    """Whatever is written when the space ends: the recipe, the manifest, TensorBoard's file, the weights."""
    fill(disk, left)
    assert FULL in fails("train", "recipe.yaml")
    (disk / "filler").unlink()
    with pytest.raises(SystemExit) as caught:
        main(["train", "recipe.yaml"])
    assert caught.value.code == 0


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("predict {run} table.csv -o runs/out.csv", "runs/out.csv: cannot be written (…)"),
        ("predict {run} table.csv -o runs/out.parquet", "runs/out.parquet: cannot be written (…)"),
        ("predict {run} table.csv -o runs/out.jsonl", "runs/out.jsonl: cannot be written (…)"),
        ("evaluate {run} -o runs/report", f"runs/report: the report cannot be written ({FULL})"),
        ("init table.csv --target label -o runs/new.yaml", f"runs/new.yaml: cannot be written ({FULL})"),
    ],
)
def test_what_is_written_elsewhere(disk: Path, here: Path, fails: Fails, command: str, says: str) -> None:
    run = train_recipe(read_recipe("recipe.yaml"), here / "trained", Silent())
    fill(disk)
    line = fails(*command.format(run=run).split())
    assert matches(says, line), line
    assert FULL in line
    assert [path.name for path in disk.iterdir() if path.is_file()] == ["filler"]


def test_a_read_only_run_folder(here: Path, fails: Fails) -> None:
    """Mounted read-only, as the bits of a folder do not bind root."""
    make_folder(here)
    (here / "runs").mkdir()
    with mounted(here / "runs", "ro"):
        assert matches(READ_ONLY, fails("train", "recipe.yaml"))


def test_a_run_folder_that_became_read_only(disk: Path, fails: Fails) -> None:
    train_recipe(read_recipe("recipe.yaml"), disk, Silent())
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert matches(READ_ONLY, fails("train", "recipe.yaml", "--fresh"))
    assert fails("evaluate", "runs/simple") == (
        "runs/simple/evaluation: the report cannot be written (Read-only file system)"
    )


@pytest.mark.parametrize("size", [100, 2_000, 4_000])
def test_files_that_may_not_grow(here: Path, fails: Fails, size: int) -> None:
    """Where no disk may be mounted, a limit on the size of files says much the same."""
    make_folder(here)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        line = fails("train", "recipe.yaml")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in line
    with pytest.raises(SystemExit) as caught:
        main(["train", "recipe.yaml"])
    assert caught.value.code == 0
