"""Memory: estimated before, watched during; where it runs out, fewer rows pass, to the same weights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

import sensorium as sm
from sensorium.errors import SensoriumError, is_out_of_memory
from sensorium.fitting import train_in
from sensorium.inference import collect
from sensorium.model import Model
from sensorium.prepare import prepare
from sensorium.recipe import parse_recipe
from sensorium.training import memory
from sensorium.training.checkpoint import load_checkpoint
from sensorium.training.learner import Learner
from sensorium.training.loop import Trainer
from sensorium.training.memory import MemoryBudget, StepMemory, activation_bytes, measure_step, size_words
from sensorium.training.progress import Silent
from sensorium.training.state import TrainingState
from tests import made

CPU = torch.device("cpu")
# Everything that draws random numbers in a step, so that a step made again would show it.
RANDOM = {"input_dropout": 0.3, "balance": "ogm_ge", "auxiliary": 0.2, "ema": 0.9}


class Listener(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def recipe_of(**training: Any) -> dict[str, Any]:
    content = made.simple_recipe(**{"batch_size": 8, "epochs": 2, **training})
    del content["data"]["path"]
    return content


def train(folder: Path, content: dict[str, Any] | None = None, **training: Any) -> list[str]:
    """Trains on 24 rows, three steps an epoch; gives what was said."""
    said = Listener()
    recipe = parse_recipe(content or recipe_of(**training))
    train_in(recipe, folder, said, data=made.simple_rows(40))
    return said.lines


def weights_of(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def kept(folder: Path) -> dict[str, Any]:
    return dict(load_checkpoint(folder / "checkpoints" / "last.safetensors")[1]["progress"])


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def refuse_above(rows: int, moment: str, monkeypatch: pytest.MonkeyPatch, step: int = 0) -> None:
    """Memory runs out with more than so many rows a pass, from a step on, at such a moment."""
    seen = {"rows": 0, "steps": 0}

    def fail(now: str) -> None:
        if now == moment and seen["steps"] >= step and seen["rows"] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    def watch(owner: type[Any], name: str) -> None:
        original = getattr(owner, name)

        def watched(self: Any, *arguments: Any) -> Any:
            seen["rows"] = len(arguments[0].rows) if name == "forward" else seen["rows"]
            fail(f"before {name}")
            given = original(self, *arguments)
            fail(f"after {name}")
            seen["steps"] += name == "update"
            return given

        monkeypatch.setattr(owner, name, watched)

    for owner, name in (
        (Learner, "forward"),
        (Accelerator, "backward"),
        (Learner, "balance_gradients"),
        (TrainingState, "update"),
    ):
        watch(owner, name)


@pytest.mark.parametrize(
    "moment", ["before forward", "after forward", "after backward", "after balance_gradients"]
)
def test_the_weights_are_those_of_a_run_with_fewer_rows_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    train(tmp_path / "few", micro_batch=2, **RANDOM)
    refuse_above(3, moment, monkeypatch)
    said = train(tmp_path / "many", **RANDOM)
    assert weights_of(tmp_path / "many") == weights_of(tmp_path / "few")
    assert [line for line in said if "out of memory" in line] == [
        "out of memory at step 0 with 8 rows a pass: going on with 4; the gradients are the same",
        "out of memory at step 0 with 4 rows a pass: going on with 2; the gradients are the same",
    ]
    assert kept(tmp_path / "many")["micro_batch"] == 2


def test_the_rows_in_force_are_kept_for_a_run_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the first epoch, in which memory ran out, and started again where there is enough."""
    end_epoch = Trainer._end_epoch

    def killed(self: Trainer, speed: float) -> dict[str, Any]:
        end_epoch(self, speed)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        refuse_above(3, "after backward", patch, step=1)
        train(tmp_path / "whole", **RANDOM)
    with monkeypatch.context() as patch:
        refuse_above(3, "after backward", patch, step=1)
        patch.setattr(Trainer, "_end_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", **RANDOM)
    train(tmp_path / "killed", **RANDOM)
    assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "whole")
    assert kept(tmp_path / "killed")["micro_batch"] == 2


def test_one_row_that_is_too_much_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_above(0, "before forward", monkeypatch)
    with pytest.raises(
        SensoriumError, match=r"^out of memory with one row a pass: make the inputs"
    ) as caught:
        train(tmp_path)
    assert "\n" not in str(caught.value)


def test_batch_normalisation_is_never_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {**made.simple_rows(40), "picture": [made.picture(row) for row in range(40)]}
    content = recipe_of()
    encoder = {"kind": "cnn", "channels": [4], "norm": "batch"}
    content["inputs"]["picture"] = {"type": "image", "size": 16, "encoder": encoder}
    refuse_above(7, "before forward", monkeypatch)
    said = Listener()
    with pytest.raises(SensoriumError, match="needs the 8 rows of a batch together: lower"):
        train_in(parse_recipe(content), tmp_path, said, data=rows)
    assert not any("going on with" in line for line in said.lines)


def test_weights_that_moved_halfway_are_not_moved_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("sensorium.training.state.TrainingState.update", failing)
    with pytest.raises(SensoriumError, match="out of memory while the weights were moved"):
        train(tmp_path)


def test_other_errors_are_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, batch: Any, counts: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Learner, "forward", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(tmp_path)


@pytest.mark.parametrize(("free", "rows"), [(10_000, 32), (4_000, 16), (2_000, 4), (1_400, 1)])
def test_rows_are_halved_until_they_fit(monkeypatch: pytest.MonkeyPatch, free: int, rows: int) -> None:
    """1000 bytes, and 100 a row; four fifths of what is free may be taken: 8000, 3200, 1600, 1120."""
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    budget = MemoryBudget(None, CPU)
    assert budget.rows_that_fit(StepMemory(1000, 100), 32, divisible=True) == rows


def test_what_cannot_fit_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 1_300)
    monkeypatch.setattr(memory, "held_memory", lambda device: 500_000_000)
    with pytest.raises(SensoriumError, match=r"^one row a step needs about 1 kB, 1 kB are left"):
        MemoryBudget(None, CPU).rows_that_fit(StepMemory(1000, 100), 32, divisible=True)
    with pytest.raises(SensoriumError, match="needs its 32 rows together: lower"):
        MemoryBudget(None, CPU).rows_that_fit(StepMemory(1000, 100), 32, divisible=False)
    monkeypatch.setattr(memory, "free_memory", lambda device: 10**12)
    with pytest.raises(SensoriumError, match=r"0 kB are left \(training\.memory_gb: 0\.5\)"):
        MemoryBudget(0.5, CPU).rows_that_fit(StepMemory(1000, 100), 32, divisible=True)


def test_a_budget_counts_what_is_held_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 6 * 10**9)
    monkeypatch.setattr(memory, "held_memory", lambda device: 10**9)
    assert MemoryBudget(3, CPU).free == 2 * 10**9
    assert MemoryBudget(30, CPU).free == 6 * 10**9
    assert MemoryBudget(None, CPU).limit == 7 * 10**9


def test_a_system_that_does_not_say_sets_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: None)
    monkeypatch.setattr(memory, "held_memory", lambda device: None)
    budget = MemoryBudget(None, CPU)
    assert budget.rows_that_fit(StepMemory(10**15, 1), 8, divisible=True) == 8
    assert not budget.exceeded()


def test_fewer_rows_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for two rows, not for four; the weights are those of a recipe that asks for two."""
    monkeypatch.setattr("sensorium.training.loop.measure_step", lambda model, prepared: StepMemory(0, 10**6))
    train(tmp_path / "few", micro_batch=2, **RANDOM)
    monkeypatch.setattr(memory, "free_memory", lambda device: 4 * 10**6)
    said = train(tmp_path / "many", **RANDOM)
    assert weights_of(tmp_path / "many") == weights_of(tmp_path / "few")
    assert any(line.startswith("2 rows a pass, as 8 would need about 8.0 MB of memory") for line in said)


def test_too_much_held_makes_smaller_passes_and_then_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at every 8 steps: at step 8 four rows, at 16 two, at 24 one, and at 32 it ends, saved."""
    held = {"bytes": 10**9}
    monkeypatch.setattr(memory, "held_memory", lambda device: held["bytes"])
    monkeypatch.setattr(memory, "free_memory", lambda device: 10**12)
    step = Trainer._step

    def growing(self: Trainer, batches: Any) -> float:
        held["bytes"] = 3 * 10**9
        return step(self, batches)

    monkeypatch.setattr(Trainer, "_step", growing)
    message = (
        r"^more memory is held than training\.memory_gb: 2 with one row a pass: make the inputs or the model"
    )
    with pytest.raises(SensoriumError, match=message):
        train(tmp_path, epochs=20, early_stop=None, memory_gb=2)
    assert (kept(tmp_path)["step"], kept(tmp_path)["micro_batch"]) == (32, 1)
    held["bytes"] = 10**9
    said = train(tmp_path, epochs=20, early_stop=None, memory_gb=20)
    assert any("going on from step 32 of 60" in line for line in said)


def test_the_process_holds_what_it_holds() -> None:
    before = memory.held_memory(CPU)
    block = np.ones(50_000_000, dtype=np.uint8)
    after = memory.held_memory(CPU)
    assert before is not None
    assert after is not None
    assert after - before > 0.9 * block.nbytes


def test_an_estimate_grows_with_the_rows() -> None:
    rows = {**made.simple_rows(40), "picture": [made.picture(row) for row in range(40)]}
    content = recipe_of()
    content["inputs"]["picture"] = {"type": "image", "size": 32}
    prepared = prepare(parse_recipe(content), rows)
    model = prepared.new_model()
    step = measure_step(model, prepared)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert step.fixed >= 16 * parameters
    first = prepared.parts["train"]
    measured = activation_bytes(model, prepared, first[:16]) - activation_bytes(model, prepared, first[:8])
    assert 8 * step.per_row == pytest.approx(measured, rel=0.2)


@pytest.mark.parametrize(
    ("size", "text"), [(999, "1 kB"), (2_500, "2 kB"), (3_400_000, "3.4 MB"), (24_600_000_000, "24.6 GB")]
)
def test_sizes_in_words(size: int, text: str) -> None:
    assert size_words(size) == text


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> sm.Predictor:
    folder = tmp_path_factory.mktemp("memory")
    return sm.fit(made.simple_rows(40), recipe=recipe_of(), folder=folder / "run", verbose=False)


def limited(rows: int, fuse: Callable[..., Any] = Model.fuse) -> Callable[..., Any]:
    def failing(self: Model, inputs: Any, hidden: Any = ()) -> Any:
        if len(next(iter(inputs.values())).mask) > rows:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return fuse(self, inputs, hidden)

    return failing


def test_predictions_go_on_with_fewer_rows(predictor: sm.Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made.simple_rows(40)
    expected = predictor.predict_proba(rows)
    monkeypatch.setattr(Model, "fuse", limited(12))
    with pytest.warns(UserWarning, match=r"out of memory with \d+ rows at a time: going on with \d+"):
        assert predictor.predict_proba(rows) == pytest.approx(expected, abs=1e-6)
    monkeypatch.setattr(Model, "fuse", limited(0))
    rows = {name: cells[:2] for name, cells in rows.items()}
    with (
        pytest.warns(UserWarning, match="going on with"),
        pytest.raises(SensoriumError, match=r"^out of memory with one row"),
    ):
        predictor.predict(rows)


def test_fewer_rows_are_asked_for_once(predictor: sm.Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 rows, 16 at a time: of the first 16 the first 8 pass, and so do all that follow."""
    monkeypatch.setattr(Model, "fuse", limited(8))
    said: list[str] = []
    table = predictor.open(made.simple_rows(40))
    collected = collect(
        predictor.model, predictor.loader(table), np.arange(40), batch_size=16, say=said.append
    )
    assert said == ["out of memory with 16 rows at a time: going on with 8; the answers are the same"]
    assert collected.rows.tolist() == list(range(40))


SCARCE = """
import resource, sys
from pathlib import Path
from sensorium.fitting import train_in
from sensorium.recipe import parse_recipe
from sensorium.training.loop import Trainer
from sensorium.training.progress import Silent
from sensorium.training.state import TrainingState
from tests import made

class Aloud(Silent):
    def say(self, line):
        print(line, flush=True)

def step(self, batches, step=Trainer._step):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    if not self.state.progress.step:
        spare = self.step_memory.of(96) // 3
        resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + spare,) * 2)
    return step(self, batches)

Trainer._step = step
rows = {"id": list(range(120)), "picture": [made.picture(row) for row in range(120)]}
rows["label"] = [made.label(row) for row in range(120)]
training = {"epochs": 1, "batch_size": 96, "micro_batch": 96, "precision": "fp32", "device": "cpu"}
content = {
    "data": {"cache": False, "threads": 1, "split": {"validation": 0.1, "test": 0}},
    "inputs": {"picture": {"type": "image", "size": 64, "encoder": {"kind": "cnn", "channels": [32, 32]}}},
    "outputs": {"label": "category"},
    "training": training,
}
train_in(parse_recipe(content), Path(sys.argv[1]), Aloud(), data=rows)
"""


def test_an_allocation_that_really_fails(tmp_path: Path) -> None:
    """The address space of the process is limited to a third of what 96 rows a pass take."""
    done = subprocess.run(
        [sys.executable, "-c", SCARCE, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
        env=made.environment(),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "out of memory at step 0 with 96 rows a pass: going on with 48" in done.stdout
    assert kept(tmp_path / "run")["micro_batch"] in (48, 24, 12)
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


def test_looking_across_rows() -> None:
    from sensorium.training.machine import looks_across_rows

    assert looks_across_rows(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    assert not looks_across_rows(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
