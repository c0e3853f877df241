"""A hundred short runs, each killed at a random moment and started again, end in the same bytes."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sensorium.training.run import RunFolder
from tests.made import environment, write_recipe
from tests.test_resume import RECIPE, saved_step, without_speed, write_table

pytestmark = pytest.mark.slow

KILLS = 100
SEED = 20260101
EPOCHS = 3
STEPS = 5 * EPOCHS
Run = Callable[[Path, float | None], dict[str, Any]]


class Kill(NamedTuple):
    """What a killed run had come to.

    Attributes:
        moment: seconds after its start.
        step: of its last checkpoint; -1 where there was none.
        ended: whether it had written that it was finished.
        runs: the folder, in which the run has been started again since.
    """

    moment: float
    step: int
    ended: bool
    runs: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Trains the recipe in a folder and a process of its own, killed after so many seconds."""
    folder = tmp_path_factory.mktemp("kills")
    write_table(folder / "data.parquet")
    training = {**RECIPE["training"], "epochs": EPOCHS}
    recipe = write_recipe(folder / "recipe.yaml", {**RECIPE, "training": training})
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server"],
        cwd=Path(__file__).parent.parent,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def ask(runs: Path, kill_after: float | None) -> dict[str, Any]:
            asked = {"recipe": str(recipe), "runs": str(runs), "kill_after": kill_after}
            server.stdin.write(json.dumps(asked) + "\n")
            server.stdin.flush()
            answer: dict[str, Any] = json.loads(server.stdout.readline())
            return answer

        yield ask
        server.stdin.close()


@pytest.fixture(scope="module")
def whole(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run that nobody killed, and the seconds that such a run takes."""
    folder = tmp_path_factory.mktemp("whole")
    answers = [run(folder / str(number), None) for number in range(3)]
    assert [answer["status"] for answer in answers] == [0, 0, 0], answers
    return folder / "2" / "run", statistics.median(answer["seconds"] for answer in answers)


@pytest.fixture(scope="module")
def kills(run: Run, whole: tuple[Path, float], tmp_path_factory: pytest.TempPathFactory) -> list[Kill]:
    """The killed runs, each started again and at its end."""
    moments = random.Random(SEED)
    folder = tmp_path_factory.mktemp("killed")
    kills: list[Kill] = []
    for number in range(2 * KILLS):
        # Every fourth in the last tenth, so that some fall while the end is written, which takes little.
        moment = moments.uniform(0.0 if number % 4 else 0.9, 1.0) * whole[1]
        runs = folder / str(number)
        answer = run(runs, moment)
        if answer["status"] == 0:
            continue  # it was faster than the moment
        assert answer["status"] == -9, answer
        path = runs / "run"
        kills.append(Kill(moment, saved_step(path), RunFolder(path).finished, runs))
        again = run(runs, None)
        assert again["status"] == 0, (kills[-1], again)
        if len(kills) == KILLS:
            break
    return kills


def test_all_end_in_the_same_model(whole: tuple[Path, float], kills: list[Kill]) -> None:
    """Byte for byte, every file of it."""
    expected = files_of(whole[0] / "model")
    assert {"model.safetensors", "columns.json", "recipe.yaml", "model.json"} <= set(expected)
    assert len(kills) == KILLS
    assert [kill for kill in kills if files_of(kill.runs / "run" / "model") != expected] == []


def test_all_have_the_same_history(whole: tuple[Path, float], kills: list[Kill]) -> None:
    expected = history_of(whole[0])
    assert len(expected) == EPOCHS
    assert [kill for kill in kills if history_of(kill.runs / "run") != expected] == []


def test_the_kills_fell_everywhere(kills: list[Kill]) -> None:
    """Before the first checkpoint, after many a step, and while the end was written."""
    steps = {kill.step for kill in kills}
    assert -1 in steps
    assert len(steps) > STEPS / 2
    assert max(steps) == STEPS


def files_of(folder: Path) -> dict[str, bytes]:
    """Name → content."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def history_of(run: Path) -> list[dict[str, Any]]:
    """The epochs without what depends on the clock."""
    lines = (run / "history.jsonl").read_text().splitlines()
    return without_speed([json.loads(line) for line in lines])
