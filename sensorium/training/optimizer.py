"""Optimizers and the learning rate over time."""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from sensorium.errors import require
from sensorium.sections import OptimizerConfig

DEFAULT_LR = {"adamw": 1e-3, "sgd": 0.05, "lion": 1e-4, "muon": 1e-3}


def build_optimizers(
    config: OptimizerConfig,
    model: nn.Module,
    hidden: Iterable[nn.Module],
    rates: Mapping[nn.Parameter, float] | None = None,
) -> list[Optimizer]:
    """The optimizers of a model; Muon needs a second one for what is not a hidden layer's matrix.

    Weight decay is left off vectors (biases, norms, absent tokens), as is usual. Muon (Jordan 2024;
    Liu et al. 2025, arXiv:2502.16982, for the scale that lets it share AdamW's learning rate) takes the
    weights of linear and recurrent layers in the parts named by `hidden`, where they have more than one row
    and one column. All else goes to AdamW: embeddings and label tables, positions, marks and other learned
    tokens, convolutions, vectors, every layer outside of `hidden`, and what has a rate of its own.

    Args:
        config: kind, learning rate and weight decay.
        model: all that is trained; what is frozen has no optimizer.
        hidden: its parts that lie between the inputs and the outputs' heads: the encoders and the fusion.
        rates: parameter → peak learning rate, where it is another than the rest's.
    """
    lr, rates = config.lr or DEFAULT_LR[config.kind], rates or {}
    matrices = [p for p in hidden_matrices(hidden) if p not in rates] if config.kind == "muon" else []
    taken = set(matrices)
    others = [p for p in model.parameters() if p.requires_grad and p not in taken]
    groups = _groups(others, lr, config.weight_decay, rates)
    optimizers: list[Optimizer] = []
    if matrices:
        decay = config.weight_decay
        optimizers.append(
            uncompiled(torch.optim.Muon)(
                matrices, lr=lr, weight_decay=decay, momentum=config.momentum, adjust_lr_fn="match_rms_adamw"
            )
        )
    if groups:
        optimizers.append(_one_optimizer(config, groups, lr))
    return optimizers


def learning_rate_factor(config: OptimizerConfig, step: int, steps: int) -> float:
    """The share of the peak learning rate at a step: linear warm-up, then cosine, linear or constant.

    Args:
        config: names the schedule and the warm-up's share of all steps.
        step: from 0.
        steps: of the whole run.
    """
    warmup = math.ceil(config.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return 0.5 * (1 + math.cos(math.pi * done)) if config.schedule == "cosine" else 1 - done


def _groups(
    parameters: Iterable[nn.Parameter], lr: float, decay: float, rates: Mapping[nn.Parameter, float]
) -> list[dict[str, Any]]:
    """Parameters that share a learning rate and a weight decay, in the order in which each pair is met."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for parameter in sorted(parameters, key=lambda one: one.dim() < 2):
        groups[rates.get(parameter, lr), decay if parameter.dim() >= 2 else 0.0].append(parameter)
    return [{"params": own, "lr": rate, "weight_decay": decay} for (rate, decay), own in groups.items()]


def _one_optimizer(config: OptimizerConfig, groups: list[dict[str, Any]], lr: float) -> Optimizer:
    kind: type[Optimizer] = torch.optim.AdamW
    options: dict[str, Any] = {"fused": True}  # one pass over the weights in place of seven
    if config.kind == "sgd":
        kind, options = torch.optim.SGD, {"momentum": config.momentum, "nesterov": config.momentum > 0}
    elif config.kind == "lion":
        kind, options = require("lion_pytorch", "lion").Lion, {}
    optimizer: Optimizer = uncompiled(kind)(groups, lr=lr, **options)
    return optimizer


def uncompiled(kind: type[Optimizer]) -> Any:
    """A class of optimizers whose methods do not import torch's compiler.

    torch wraps them so that its compiler stays out of them, and imports that for it at the first call, which
    takes as long as `import torch`. What they compute is the same.
    """
    names = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)


def hidden_matrices(parts: Iterable[nn.Module]) -> list[nn.Parameter]:
    """The trained weights of linear and recurrent layers that have more than one row and one column."""
    layers = (module for part in parts for module in part.modules())
    return [
        parameter
        for layer in layers
        if isinstance(layer, nn.Linear | nn.RNNBase)
        for parameter in layer.parameters(recurse=False)
        if parameter.requires_grad and parameter.dim() == 2 and min(parameter.shape) > 1
    ]
