"""Optimizers and the learning rate over time."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from sensorium.errors import require
from sensorium.sections import OptimizerConfig

DEFAULT_LR = {"adamw": 1e-3, "sgd": 0.05, "lion": 1e-4, "muon": 1e-3}


def build_optimizers(config: OptimizerConfig, model: nn.Module) -> list[Optimizer]:
    """The optimizers of a model; Muon needs a second one for what is not a matrix.

    Weight decay is left off vectors (biases, norms, absent tokens), as is usual. Muon (Jordan 2024;
    Liu et al. 2025, arXiv:2502.16982, for the scale that lets it share AdamW's learning rate) takes the
    matrices of hidden layers; embeddings, convolutions and vectors go to AdamW.
    """
    lr = config.lr or DEFAULT_LR[config.kind]
    matrices, others = _parameters(model) if config.kind == "muon" else ([], list(model.parameters()))
    groups = [
        {"params": [p for p in others if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimizers: list[Optimizer] = []
    if matrices:
        decay = config.weight_decay
        optimizers.append(
            torch.optim.Muon(
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


def _one_optimizer(config: OptimizerConfig, groups: list[dict[str, Any]], lr: float) -> Optimizer:
    if config.kind == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=config.momentum, nesterov=config.momentum > 0)
    if config.kind == "lion":
        lion: Optimizer = require("lion_pytorch", "lion").Lion(groups, lr=lr)
        return lion
    return torch.optim.AdamW(groups, lr=lr)


def _parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices of hidden layers, and everything else."""
    embeddings = {
        id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding | nn.EmbeddingBag)
    }
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        hidden = parameter.dim() == 2 and id(parameter) not in embeddings
        (matrices if hidden else others).append(parameter)
    return matrices, others
