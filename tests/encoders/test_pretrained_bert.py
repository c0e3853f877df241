"""Layers of BERT in fewer passes answer as those of transformers, forwards and backwards."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sensorium.encoders.pretrained.backbone import load_backbone
from sensorium.encoders.pretrained.bert import SHORT, QuickLayer, attend, quicken_layers
from sensorium.encoders.pretrained.packed import PackedLinear, pack_linears
from sensorium.weights import read_checkpoint
from tests.made_checkpoints import made_checkpoint

pytest.importorskip("transformers")

LENGTHS = [1, SHORT - 1, SHORT + 1]


def backbone_of(folder: Path, architecture: str, **changes: Any) -> Any:
    made_checkpoint(folder, architecture, **changes)
    return load_backbone(read_checkpoint(folder, "made")).bfloat16()


def states_of(backbone: Any, length: int) -> Tensor:
    """Of two texts, the second half as long."""
    ids = torch.arange(2 * length).view(2, length) % 20 + 5
    mask = torch.ones(2, length, dtype=torch.long)
    mask[1, length // 2 + 1 :] = 0
    states: Tensor = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
    return states.float()[mask.bool()]


@pytest.mark.parametrize("architecture", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("length", LENGTHS)
def test_quick_layers_answer_the_same(tmp_path: Path, architecture: str, length: int) -> None:
    backbone = backbone_of(tmp_path / "made", architecture)
    names = set(backbone.state_dict())
    with torch.no_grad():
        before = states_of(backbone, length)
        pack_linears(backbone)
        quicken_layers(backbone)
        after = states_of(backbone, length)
    assert all(isinstance(layer, QuickLayer) for layer in backbone.encoder.layer)
    assert set(backbone.state_dict()) == names
    assert functional.cosine_similarity(before, after).min() > 0.999


@pytest.mark.parametrize(("architecture", "changes"), [("bert", {"hidden_act": "relu"}), ("modernbert", {})])
def test_other_layers_stay(tmp_path: Path, architecture: str, changes: dict[str, str]) -> None:
    backbone = backbone_of(tmp_path / "made", architecture, **changes)
    pack_linears(backbone)
    quicken_layers(backbone)
    assert not any(isinstance(module, QuickLayer) for module in backbone.modules())


@pytest.mark.parametrize("length", LENGTHS)
def test_attention_is_that_of_torch(length: int) -> None:
    queries, keys, values = torch.randn(3, 2, length, 12, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(2, 1, length, length, generator=torch.Generator().manual_seed(1)) < 0.7
    mask |= torch.eye(length, dtype=torch.bool)
    first, second, third = (one.view(2, length, 3, 4).transpose(1, 2) for one in (queries, keys, values))
    for seen in (None, mask):
        mixed = functional.scaled_dot_product_attention(first, second, third, seen)
        expected = mixed.transpose(1, 2).flatten(2)
        torch.testing.assert_close(attend(queries, keys, values, 3, seen), expected)


def test_a_text_that_sees_nothing_gives_numbers() -> None:
    values = torch.ones(1, 2, 4)
    assert torch.equal(attend(values, values, values, 2, torch.zeros(1, 1, 2, 2, dtype=torch.bool)), values)


def test_packed_products_are_those_of_torch_and_have_its_gradient() -> None:
    linear = nn.Linear(8, 6).bfloat16().requires_grad_(False)
    packed = copy.deepcopy(PackedLinear(linear))
    values = torch.linspace(-2, 2, 40).view(5, 8).bfloat16()
    other = torch.linspace(-1, 1, 30).view(5, 6).bfloat16()
    expected = {
        "forward": linear(values).float(),
        "gelu": functional.gelu(linear(values).float()),
        "plus": linear(values).float() + other.float(),
    }
    followed = values.clone().requires_grad_()
    for way, wanted in expected.items():
        own = (other,) if way == "plus" else ()
        found, with_gradient = getattr(packed, way)(values, *own), getattr(packed, way)(followed, *own)
        torch.testing.assert_close(found.float(), wanted, atol=0.02, rtol=0.02)
        torch.testing.assert_close(with_gradient.float(), wanted, atol=0.02, rtol=0.02)
        assert with_gradient.requires_grad
