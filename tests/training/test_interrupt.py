"""Ctrl-C at any moment: everything is saved, and the same call goes on to the same weights."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sensorium.cli import main
from sensorium.data.loader import Loader
from sensorium.fitting import train_in
from sensorium.recipe import parse_recipe
from sensorium.training import loop
from sensorium.training.checkpoint import load_checkpoint
from sensorium.training.interrupt import Stopped
from sensorium.training.loop import Trainer
from sensorium.training.progress import Silent
from tests import made


def train(folder: Path) -> None:
    """Two epochs of three steps."""
    content = made.simple_recipe(batch_size=8, input_dropout=0.3)
    del content["data"]["path"]
    train_in(parse_recipe(content), folder, Silent(), data=made.simple_rows(40))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of a run that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return weights_of(folder)


def weights_of(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def step_of(folder: Path) -> int:
    return int(load_checkpoint(folder / "checkpoints" / "last.safetensors")[1]["progress"]["step"])


def press_before(owner: Any, name: str, patch: pytest.MonkeyPatch, times: int = 1) -> None:
    """Presses Ctrl-C when a function is first called."""
    original: Callable[..., Any] = getattr(owner, name)
    pressed: list[int] = []

    def pressing(*arguments: Any, **named: Any) -> Any:
        if not pressed:
            pressed.append(1)
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return original(*arguments, **named)

    patch.setattr(owner, name, pressing)


def press_at_the_first_batch(patch: pytest.MonkeyPatch) -> None:
    original = Loader.batches

    def batches(self: Loader, plan: Any) -> Iterator[Any]:
        planned = list(plan)
        for number, batch in enumerate(original(self, planned)):
            if number == 0:
                signal.raise_signal(signal.SIGINT)
            yield batch

    patch.setattr(Loader, "batches", batches)


@pytest.mark.parametrize(
    ("name", "step"),
    [("_begin", 0), ("_train_epoch", 0), ("_step", 1), ("_end_epoch", 3), ("_validate", 3), ("_save", 3)],
)
def test_what_was_trained_is_saved(tmp_path: Path, whole: bytes, name: str, step: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        press_before(Trainer, name, patch)
        with pytest.raises(Stopped):
            train(tmp_path)
    assert step_of(tmp_path) == step
    assert not (tmp_path / "model").exists()
    train(tmp_path)
    assert weights_of(tmp_path) == whole


def test_while_the_first_batch_is_decoded(tmp_path: Path, whole: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        press_at_the_first_batch(patch)
        with pytest.raises(Stopped):
            train(tmp_path)
    assert step_of(tmp_path) == 0
    train(tmp_path)
    assert weights_of(tmp_path) == whole


def test_while_the_model_is_saved_it_is_saved(tmp_path: Path, whole: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        press_before(loop, "save_model", patch)
        train(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["status"] == "finished"
    assert weights_of(tmp_path) == whole


@pytest.mark.parametrize(
    ("owner", "name"), [(Trainer, "_step"), (Trainer, "_validate"), (loop, "save_model")]
)
def test_pressed_twice_it_ends_at_once(tmp_path: Path, whole: bytes, owner: Any, name: str) -> None:
    """Without another word, from where it was saved before."""
    with pytest.MonkeyPatch.context() as patch:
        press_before(owner, name, patch, times=2)
        with pytest.raises(KeyboardInterrupt) as caught:
            train(tmp_path)
        assert not isinstance(caught.value, Stopped)
    train(tmp_path)
    assert weights_of(tmp_path) == whole


def test_the_signal_is_given_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    train(tmp_path)
    assert signal.getsignal(signal.SIGINT) is before


def test_while_the_table_is_read(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made.write_csv(here / "table.csv", made.simple_rows(40))
    made.write_recipe(here / "recipe.yaml", made.simple_recipe(epochs=1))
    with pytest.MonkeyPatch.context() as patch:
        press_before(loop, "measure_step", patch)
        with pytest.raises(SystemExit) as caught:
            main(["train", "recipe.yaml"])
    assert caught.value.code == 130
    assert "give the same command to go on" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["train", "recipe.yaml"])
    assert caught.value.code == 0
