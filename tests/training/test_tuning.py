"""Training with pretrained weights: what is frozen stays, what is saved needs no peft, resuming is exact."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sensorium.check import check_recipe
from sensorium.errors import SensoriumError
from sensorium.fitting import train_in
from sensorium.inference import collect
from sensorium.model import Model
from sensorium.predict import load
from sensorium.prepare import prepare
from sensorium.recipe import Recipe, parse_recipe
from sensorium.training.checkpoint import load_checkpoint
from sensorium.training.interrupt import Stopped
from sensorium.training.loop import Trainer
from sensorium.training.progress import Silent
from sensorium.training.run import RunFolder
from sensorium.training.state import TrainingState
from tests import made
from tests.made_checkpoints import made_checkpoint

ROWS = made.simple_rows(40)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BERT and a table."""
    folder = tmp_path_factory.mktemp("tuning")
    made_checkpoint(folder / "tiny", "bert")
    made.write_csv(folder / "table.csv", ROWS)
    return folder


def recipe_of(home: Path, tune: str, encoder: dict[str, Any] | None = None, **training: Any) -> Recipe:
    """A text through the tiny BERT, and a number, to a label."""
    content = made.simple_recipe(**{"batch_size": 8, **training})
    content["inputs"] = {
        "words": {
            "type": "text",
            "encoder": {"kind": "pretrained", "weights": "tiny", "tune": tune, **(encoder or {})},
        },
        "size": "number",
    }
    return parse_recipe(content, folder=home)


def backbone_of(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.encoder("words").backbone.state_dict().items()}


class StopAfter(Silent):
    """Presses Ctrl-C after so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.trainer: Trainer | None = None

    def step(self, loss: float, rows: int) -> None:
        """Counts."""
        self.steps -= 1
        if self.steps == 0 and self.trainer is not None:
            self.trainer.interrupt.asked = True


@pytest.mark.parametrize("tune", ["lora", "last-1", "full"])
def test_only_what_is_tuned_moves(home: Path, tmp_path: Path, tune: str) -> None:
    trainer = Trainer(prepare(recipe_of(home, tune, {"lr": 0.01})), RunFolder(tmp_path / "run"), Silent())
    model = trainer.model
    trained = {name for name, one in model.encoder("words").backbone.named_parameters() if one.requires_grad}
    before = backbone_of(model)
    trainer.try_steps(3)
    after = backbone_of(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == trained
    in_optimizers = {
        id(one) for part in trainer.state.optimizers for g in part.param_groups for one in g["params"]
    }
    assert in_optimizers == {id(one) for one in trainer.state.learner.parameters() if one.requires_grad}


def test_rates_of_groups_follow_one_schedule(home: Path) -> None:
    state = TrainingState(prepare(recipe_of(home, "full", {"layer_decay": 0.5}, optimizer={"warmup": 0.0})))

    def rates() -> list[float]:
        return sorted({group["lr"] for part in state.optimizers for group in part.param_groups})

    assert rates() == pytest.approx([1e-5, 2e-5, 1e-3])  # the pooler is not used: block 1 is the highest
    state.progress.step = 50
    state.set_learning_rate(100)  # half way down the cosine
    assert rates() == pytest.approx([5e-6, 1e-5, 5e-4])


def test_a_stopped_run_with_updates_ends_in_the_same_weights(home: Path, tmp_path: Path) -> None:
    recipe = recipe_of(home, "lora", {"lora_dropout": 0.2}, epochs=2, ema=0.9)
    whole = Trainer(prepare(recipe), RunFolder(tmp_path / "whole"), Silent())
    whole.run()
    reporter = StopAfter(4)
    reporter.trainer = Trainer(prepare(recipe), RunFolder(tmp_path / "parts"), reporter)
    with pytest.raises(Stopped):
        reporter.trainer.run()
    tensors, _ = load_checkpoint(tmp_path / "parts/checkpoints/last.safetensors")
    assert any("lora_A" in name for name in tensors)
    assert not any("word_embeddings" in name or "base_layer" in name for name in tensors)
    Trainer(prepare(recipe), RunFolder(tmp_path / "parts"), Silent()).run()
    first = (tmp_path / "whole/model/model.safetensors").read_bytes()
    assert (tmp_path / "parts/model/model.safetensors").read_bytes() == first


def test_a_saved_model_predicts_as_it_was_trained_and_needs_no_peft(home: Path, tmp_path: Path) -> None:
    prepared = prepare(recipe_of(home, "lora", {"lr": 0.02, "alpha": 64.0}, epochs=2))
    trainer = Trainer(prepared, RunFolder(tmp_path / "run"), Silent())
    start = backbone_of(trainer.model)
    trainer.run()
    saved = load(tmp_path / "run").model
    assert set(backbone_of(saved)) == {name for name in start if "lora_" not in name} - {
        name for name in start if "base_layer" in name
    } | {name.replace(".base_layer", "") for name in start if "base_layer" in name}
    name = "encoder.layer.0.attention.self.query"
    moved = backbone_of(saved)[f"{name}.weight"] - start[f"{name}.base_layer.weight"]
    assert float(moved.abs().max()) > 1e-3
    rows = prepared.parts["test"]
    apart, merged = (collect(one, prepared.loader, rows) for one in (trainer.state.candidate, saved))
    torch.testing.assert_close(
        torch.from_numpy(merged.predicted["label"]["probabilities"]),
        torch.from_numpy(apart.predicted["label"]["probabilities"]),
        atol=1e-5,
        rtol=0,
    )
    program = (
        "import sys; sys.modules['peft'] = None\n"
        f"from sensorium.predict import load; load({str(tmp_path / 'run')!r})"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=made.environment())


def test_an_adapter_trains_above_frozen_features(home: Path, tmp_path: Path) -> None:
    folder = train_in(recipe_of(home, "head", epochs=1), tmp_path / "run", Silent())
    assert load(folder).recipe.inputs["words"].encoder.tune == "head"
    assert sum(path.stat().st_size for path in (folder / "checkpoints").iterdir()) < 300_000
    manifest = json.loads((folder / "manifest.json").read_text())
    assert 0 < manifest["trained_parameters"] <= manifest["parameters"]
    assert manifest["weights"]["words"].startswith("tiny")


def test_other_weights_are_not_gone_on_with(home: Path, tmp_path: Path) -> None:
    recipe = recipe_of(home, "last-1", epochs=1)
    state = TrainingState(prepare(recipe))
    state.weights = {"words": "tiny of before"}
    state.save(tmp_path / "last.safetensors")
    with pytest.raises(SensoriumError, match=r"the pretrained weights of inputs\.words have changed"):
        TrainingState(prepare(recipe)).load(tmp_path / "last.safetensors")


def test_a_checkpoint_that_holds_what_is_frozen_too_is_taken_up(home: Path, tmp_path: Path) -> None:
    """As they were written before frozen parts were left out."""
    recipe = recipe_of(home, "last-1", epochs=1)
    state = TrainingState(prepare(recipe))
    with torch.no_grad():
        state.model.encoder("words").backbone.encoder.layer[1].output.dense.weight.fill_(0.5)
    whole = {f"learner.{name}": value for name, value in state.learner.state_dict().items()}
    state.save(tmp_path / "last.safetensors")
    tensors, about = load_checkpoint(tmp_path / "last.safetensors")
    assert set(whole) > {name for name in tensors if name.startswith("learner.")}
    other = TrainingState(prepare(recipe))
    other._take_up({**tensors, **whole}, about)
    assert torch.equal(
        backbone_of(other.model)["encoder.layer.1.output.dense.weight"], torch.full((32, 48), 0.5)
    )


def test_the_average_shares_what_is_frozen(home: Path) -> None:
    state = TrainingState(prepare(recipe_of(home, "last-1", ema=0.9)))
    assert state.average is not None
    for (name, one), other in zip(state.model.named_parameters(), state.candidate.parameters(), strict=True):
        assert (one is other) == (not one.requires_grad), name


def test_check_says_what_is_trained(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made.write_recipe(home / "recipe.yaml", recipe_of(home, "lora", {"rank": 2}).as_dict())
    monkeypatch.chdir(home)
    lines: list[str] = []
    assert check_recipe(path, 5, lines.append)
    model = next(line for line in lines if "model:" in line)
    assert "k parameters, " in model
    assert "k trained, " in model
    path.write_text(path.read_text().replace("tune: lora", "tune: last-9"))
    with pytest.raises(SensoriumError, match=r"inputs\.words\.encoder\.tune: last-9: tiny has 2 blocks"):
        check_recipe(path, 5, lines.append)
