"""Everything that training changes: weights, optimizers, generators and how far the run came."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch import Tensor, nn

from sensorium.encoders.pretrained.config import PretrainedConfig
from sensorium.encoders.pretrained.tune import learning_rates
from sensorium.errors import SensoriumError
from sensorium.frozen import count_parameters, load_trained_state, trained_state
from sensorium.model import Model
from sensorium.prepare import Prepared
from sensorium.recipe import Recipe
from sensorium.training.alignment import align
from sensorium.training.average import MovingAverage
from sensorium.training.checkpoint import (
    load_checkpoint,
    pack,
    random_state,
    restore_random_state,
    save_checkpoint,
    unpack,
)
from sensorium.training.learner import Learner
from sensorium.training.machine import choose_device, choose_precision, keep_freed_memory
from sensorium.training.optimizer import DEFAULT_LR, build_optimizers, learning_rate_factor


@dataclass
class Progress:
    """How far a run came.

    Attributes:
        epoch: epochs done.
        batches: batches done in the epoch that is under way.
        step: optimizer steps done.
        loss_sum: loss times rows, summed over the epoch under way.
        loss_rows: rows of the epoch under way.
        best: the best validation score and, for equal scores, minus its loss; None before the first.
        epochs_without_gain: since then.
        micro_batch: rows a forward pass in force; 0 before they are chosen.
        seconds: that the run has taken, in all its parts.
        minutes: `training.minutes` that `planned` is for.
        planned: the step at which the run is to end for want of time; None as long as that is not known.
        history: one record an epoch.
    """

    epoch: int = 0
    batches: int = 0
    step: int = 0
    loss_sum: float = 0.0
    loss_rows: int = 0
    best: list[float] | None = None
    epochs_without_gain: int = 0
    micro_batch: int = 0
    seconds: float = 0.0
    minutes: float | None = None
    planned: int | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


class TrainingState:
    """Weights, optimizers and progress, on one device, in one precision.

    Args:
        prepared: fitted columns, and the recipe that says what to build.
    """

    def __init__(self, prepared: Prepared) -> None:
        config = prepared.recipe.training
        self.device = choose_device(config.device)
        self.precision, self.reason = choose_precision(config.precision, self.device)
        if self.device.type == "cpu":
            keep_freed_memory()
        set_seed(config.seed)
        AcceleratorState._reset_state(
            reset_partial_state=True
        )  # one process may train several models, each in its own precision
        self.accelerator = Accelerator(
            mixed_precision="bf16" if self.precision == "bf16" else "no",
            cpu=self.device.type == "cpu",
            device_placement=False,  # done below; accelerate would import torch.distributed.tensor for it
        )
        targets = {name: bound.column for name, bound in prepared.loader.targets.items()}
        self.model = prepared.new_model()
        align(self.model, prepared.loader, prepared.parts["train"])
        self.model.to(self.device)
        learner = Learner(prepared.recipe, self.model, targets).to(self.device)
        hidden = [self.model.encoders, self.model.fusion]
        rates = _rates_of_pretrained(prepared.recipe, self.model)
        self.optimizers = build_optimizers(config.optimizer, learner, hidden, rates)
        self.schedule = config.optimizer
        # Apart: large gradients of the extra heads must not shorten the model's step.
        parts = (self.model, learner.heads)
        trained = [[one for one in part.parameters() if one.requires_grad] for part in parts]
        self.clipped_together = [some for some in trained if some]
        self.peak_rates = [[group["lr"] for group in one.param_groups] for one in self.optimizers]
        self.learner: Learner = self.accelerator.prepare(learner).train()
        self.average = None if config.ema is None else MovingAverage(self.model, config.ema)
        self.table_digest = prepared.table.digest()
        self.weights = prepared.weights()
        self.progress = Progress()

    @property
    def candidate(self) -> Model:
        """The weights that are validated and kept: the moving average where there is one."""
        model: Model = self.model if self.average is None else self.average.module  # type: ignore[assignment]
        return model

    def set_learning_rate(self, steps: int) -> None:
        """Sets the rate of the coming step; `steps` is the length of the whole run."""
        factor = learning_rate_factor(self.schedule, self.progress.step, steps)
        for optimizer, peaks in zip(self.optimizers, self.peak_rates, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor

    def update(self) -> None:
        """One optimizer step from the gradients that were gathered."""
        if self.schedule.clip is not None:
            for some in self.clipped_together:
                nn.utils.clip_grad_norm_(some, self.schedule.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.model)

    def save(self, path: Path) -> None:
        """Writes a checkpoint, without what is frozen; see `save_checkpoint` for what a kill leaves."""
        optimizer_tensors, optimizers = pack("optimizer", [part.state_dict() for part in self.optimizers])
        tensors: dict[str, Tensor] = {f"learner.{k}": v for k, v in trained_state(self.learner).items()}
        tensors |= optimizer_tensors | random_state(self.device)
        if self.average is not None:
            tensors |= {f"average.{key}": value for key, value in trained_state(self.average).items()}
        about = {
            "progress": asdict(self.progress),
            "optimizers": optimizers,
            "table": self.table_digest,
            "weights": self.weights,
        }
        save_checkpoint(path, tensors, about)

    def load(self, path: Path) -> None:
        """Takes a checkpoint up.

        Raises:
            SensoriumError: when it is damaged, or the table is not the one that it was trained on.
        """
        tensors, saved = load_checkpoint(path)
        if saved.get("table") != self.table_digest:
            raise SensoriumError(
                f"{path}: the table has changed since this run was stopped; start over with --fresh"
            )
        for name, before in saved.get("weights", {}).items():
            if self.weights.get(name) != before:
                place = name if name.startswith("outputs.") else f"inputs.{name}"
                raise SensoriumError(
                    f"{path}: the pretrained weights of {place} have changed since this run was "
                    "stopped; start over with --fresh"
                )
        try:
            self._take_up(tensors, saved)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:  # such as weights of other shapes
            words = " ".join(str(error).split())[:200]
            raise SensoriumError(
                f"{path} does not belong to this run ({words}); start over with --fresh"
            ) from None

    def _take_up(self, tensors: dict[str, Tensor], saved: dict[str, Any]) -> None:
        self.progress = Progress(**{"micro_batch": self.progress.micro_batch, **saved["progress"]})
        load_trained_state(self.learner, _under("learner.", tensors))
        if self.average is not None:
            load_trained_state(self.average, _under("average.", tensors))
        for optimizer, state in zip(self.optimizers, unpack(tensors, saved["optimizers"]), strict=True):
            optimizer.load_state_dict(state)
        restore_random_state(tensors, self.device)

    def parameters(self) -> tuple[int, int]:
        """How many numbers the model has, and how many of them it learns."""
        return count_parameters(self.model)


def _rates_of_pretrained(recipe: Recipe, model: Model) -> dict[nn.Parameter, float]:
    """The peak learning rates of the pretrained weights that are tuned."""
    default = DEFAULT_LR[recipe.training.optimizer.kind]
    rates: dict[nn.Parameter, float] = {}
    for name, part in recipe.inputs.items():
        if isinstance(part.encoder, PretrainedConfig) and not part.encoder.frozen:
            rates |= learning_rates(model.encoder(name).backbone, part.encoder, default)
    for decoder in model.decoders().values():
        rates |= decoder.learning_rates(default)
    return rates


def threads() -> int:
    """The threads that torch computes with; sums in another order change the last bits."""
    return torch.get_num_threads()


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
