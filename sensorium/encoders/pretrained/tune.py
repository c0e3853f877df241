"""How a pretrained backbone is tuned: which of its weights move, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sensorium.batch import Raw
from sensorium.encoders.pretrained.config import PretrainedConfig
from sensorium.errors import RecipeError, require

BLOCKS = (
    "encoder.layer",  # BERT, MiniLM, XLM-R, E5, DINOv2, VideoMAE
    "transformer.layer",  # DistilBERT
    "encoder.layers",  # CLIP, SigLIP, wav2vec 2.0, HuBERT
    "layers",  # ModernBERT, Qwen3, ViT, AST, the encoder of Whisper
    "model.layer",  # DINOv3
    "encoder.stages.*.layers",  # ResNet, ConvNeXt
    "model.stages.*.layers",  # DINOv3's ConvNeXt
    "audio_encoder.layers.*.blocks",  # CLAP
    "blocks",  # EfficientNet and EfficientNet-Lite
)
"""Where the blocks of an architecture lie, * being every member; elsewhere its longest list counts."""
LR_SHARES = {"lora": 0.2, "last": 0.05, "full": 0.02}
"""Learning rate of tuned weights as a share of the optimizer's default, where the recipe gives none."""


def begin_tuning(backbone: nn.Module, config: PretrainedConfig) -> None:
    """Frees what `config.tune` names of a backbone, and freezes the rest; lora adds low-rank updates to it.

    The updates (Hu et al. 2021, arXiv:2106.09685) go to the linear layers of attention, or to all linear
    layers of blocks without attention. They begin at zero, so nothing changes before the first step.

    Raises:
        RecipeError: when the backbone cannot be tuned so.
        MissingPackage: without peft, for lora.
    """
    backbone.requires_grad_(False)
    if config.tune == "lora":
        _add_updates(backbone, config)
    else:
        lowest = _lowest_level(backbone, config)
        for parameter, level in levels(backbone).items():
            parameter.requires_grad_(level >= lowest)
    if config.gradient_checkpointing:
        keep_less(backbone, config)


def freeze_unused(encoder: nn.Module, raw: Raw) -> None:
    """Freezes what an encoder's tokens do not rest on, such as a pooling layer or the mark of masked words.

    Args:
        encoder: on the device of `raw`; its mode stays.
        raw: some rows, all of which have the input.
    """
    free = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    training = encoder.training
    tokens = encoder.eval()(raw)
    encoder.train(training)
    gradients = torch.autograd.grad(tokens.values.sum(), free, allow_unused=True)
    for parameter, gradient in zip(free, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)


def learning_rates(
    backbone: nn.Module, config: PretrainedConfig, default: float
) -> dict[nn.Parameter, float]:
    """Trained parameter of a backbone → its peak learning rate.

    With last-N and full the rate falls by `layer_decay` from block to block, from the output to the input
    (Clark et al. 2020, arXiv:2003.10555, who call it layer-wise learning rate decay).

    Args:
        backbone: after `begin_tuning`.
        config: as the recipe says.
        default: of the optimizer.
    """
    peak = config.lr or default * LR_SHARES["last" if config.last else config.tune]
    decay = 1.0 if config.tune == "lora" else config.layer_decay
    found = {one: level for one, level in levels(backbone).items() if one.requires_grad}
    top = max(found.values(), default=0)
    return {parameter: peak * decay ** (top - level) for parameter, level in found.items()}


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """A model's state with every low-rank update added to its layer, under the names of before tuning."""
    state = dict(model.state_dict())
    for name, layer in list(_updated_layers(model)):
        update = layer.get_delta_weight("default").detach()
        own = {key: value for key, value in state.items() if key.startswith(f"{name}.")}
        for key in own:
            del state[key]
        for key, value in layer.base_layer.state_dict().items():
            state[f"{name}.{key}"] = value + update.to(value.dtype) if key == "weight" else value
    return state


def levels(backbone: nn.Module) -> dict[nn.Parameter, int]:
    """Parameter → its place between input, 0, and output.

    The parameters of block i have i. Others go with the block that follows them, as the embeddings do with
    block 0; those after the last block, such as a final norm, are one above it.
    """
    found = blocks(backbone)
    inside = {parameter: place for place, block in enumerate(found) for parameter in block.parameters()}
    level, by_parameter = len(found), {}
    for parameter in reversed(list(backbone.parameters())):
        level = inside.get(parameter, level)
        by_parameter[parameter] = level
    return by_parameter


def blocks(backbone: nn.Module) -> list[nn.Module]:
    """The blocks that a backbone is a stack of, from input to output; it may lie inside another module."""
    for root in backbone.modules():
        for path in BLOCKS:
            found = _members(root, path)
            if found:
                return found
    lists = [part for part in backbone.modules() if isinstance(part, nn.ModuleList | nn.Sequential)]
    return list(max(lists, key=len, default=nn.ModuleList([backbone])))


class Adapter(nn.Module):
    """A bottleneck beside the features: x + W₂ GELU(W₁ norm(x)), `(B, L, D)` → `(B, L, D)` float32.

    Source: Houlsby et al. (2019), arXiv:1902.00751, here once, after the backbone; it begins close to
    doing nothing, as theirs does.

    Args:
        dim: D.
        width: of the bottleneck.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.down = nn.Linear(dim, width)
        self.up = nn.Linear(width, dim)
        for layer in (self.down, self.up):
            nn.init.trunc_normal_(layer.weight, std=1e-2)
            nn.init.zeros_(layer.bias)

    def forward(self, values: Tensor) -> Tensor:
        values = values.float()
        change: Tensor = self.up(nn.functional.gelu(self.down(self.norm(values))))
        return values + change


def new_adapter(config: PretrainedConfig, dim: int) -> nn.Module:
    """What an encoder puts after its features, `(B, L, dim)`: an adapter for `tune: head`, else nothing."""
    return Adapter(dim, config.adapter) if config.tune == "head" else nn.Identity()


def _members(backbone: nn.Module, path: str) -> list[nn.Module]:
    """The members of the list at a path; none where there is no such list."""
    parts: list[Any] = [backbone]
    for name in path.split("."):
        if name == "*":
            parts = [member for part in parts for member in part]
        else:
            parts = [getattr(part, name) for part in parts if hasattr(part, name)]
    return [member for part in parts if isinstance(part, nn.ModuleList | nn.Sequential) for member in part]


def _lowest_level(backbone: nn.Module, config: PretrainedConfig) -> int:
    """The level from which on everything is tuned."""
    if not config.last:
        return 0
    count = len(blocks(backbone))
    if config.last > count:
        raise RecipeError(
            f"tune: {config.tune}: {config.weights} has {count} blocks; write last-{count} at most, or full"
        )
    return count - config.last


def _add_updates(backbone: nn.Module, config: PretrainedConfig) -> None:
    """Gives linear layers low-rank updates, in place."""
    targets = _linear_layers(backbone)
    if not targets:
        raise RecipeError(
            f"tune: lora needs linear layers, and the blocks of {config.weights} have none: "
            "choose last-N, such as last-2, or full"
        )
    peft = require("peft", "weights")
    settings = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.lora_dropout, target_modules=targets
    )
    peft.inject_adapter_in_model(settings, backbone)


def _linear_layers(backbone: nn.Module) -> list[str]:
    """Names of the linear layers of attention in the blocks; of all their linear layers where there are none.

    torch's own MultiheadAttention reads the weights of its layer past any update, so it is left out.
    """
    names = {module: name for name, module in backbone.named_modules()}
    linear = [
        (names[part], attends)
        for block in blocks(backbone)
        for part, attends in _with_attention(block, False)
        if isinstance(part, nn.Linear)
    ]
    return [name for name, attends in linear if attends] or [name for name, _ in linear]


def _with_attention(module: nn.Module, inside: bool) -> Iterator[tuple[nn.Module, bool]]:
    """Every module below, and whether it is part of an attention."""
    if isinstance(module, nn.MultiheadAttention):
        return
    inside = inside or "attention" in type(module).__name__.lower()
    yield module, inside
    for child in module.children():
        yield from _with_attention(child, inside)


def keep_less(backbone: Any, config: PretrainedConfig) -> None:
    """Turns gradient checkpointing on (Chen et al. 2016, arXiv:1604.06174).

    Raises:
        RecipeError: when the backbone cannot do it.
    """
    able: list[Any] = [
        part for part in backbone.modules() if getattr(part, "supports_gradient_checkpointing", False)
    ]
    if not able:
        raise RecipeError(f"gradient_checkpointing: {config.weights} cannot do it; leave it out")
    # The reentrant way needs inputs with a gradient, which the first tuned block has not.
    able[0].activation_checkpointing_enable({"use_reentrant": False})


def _updated_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    return ((name, part) for name, part in model.named_modules() if hasattr(part, "lora_A"))
