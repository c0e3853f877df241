"""A checkpoint is whole or not there, and gives back what was put in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sensorium.errors import SensoriumError
from sensorium.training.checkpoint import (
    load_checkpoint,
    pack,
    random_state,
    restore_random_state,
    save_checkpoint,
    unpack,
)

plain = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5)
nested = st.recursive(
    plain | st.floats(-9, 9).map(lambda value: torch.tensor([value])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.integers(0, 9) | st.text(max_size=4), inner)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other) and one == other


@given(nested)
def test_unpack_gives_back_what_pack_took(state: Any) -> None:
    tensors, packed = pack("state", state)
    assert same(state, unpack(tensors, json.loads(json.dumps(packed))))


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
def test_an_optimizer_survives_the_disk(kind: Any, tmp_path: Path) -> None:
    def step(layer: torch.nn.Linear, optimizer: Any, seed: int) -> None:
        layer(torch.full((2, 3), float(seed))).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    options = {"lr": 0.1, **({"momentum": 0.9} if kind is torch.optim.SGD else {})}
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = kind(layer.parameters(), **options)
    step(layer, optimizer, 1)
    tensors, packed = pack("optimizer", optimizer.state_dict())
    weights = {f"layer.{name}": value for name, value in layer.state_dict().items()}
    save_checkpoint(tmp_path / "last.safetensors", {**tensors, **weights}, {"optimizer": packed})
    step(layer, optimizer, 2)

    tensors, about = load_checkpoint(tmp_path / "last.safetensors")
    again = torch.nn.Linear(3, 2)
    again.load_state_dict({name: tensors[f"layer.{name}"] for name in ("weight", "bias")})
    optimizer_again = kind(again.parameters(), **options)
    optimizer_again.load_state_dict(unpack(tensors, about["optimizer"]))
    step(again, optimizer_again, 2)
    assert torch.equal(again.weight, layer.weight)
    assert torch.equal(again.bias, layer.bias)


def test_chance_goes_on_where_it_stopped() -> None:
    state = random_state(torch.device("cpu"))
    drawn = torch.rand(3)
    restore_random_state(state, torch.device("cpu"))
    assert torch.equal(torch.rand(3), drawn)


def test_a_new_checkpoint_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "last.safetensors"
    for value in (1.0, 2.0):
        save_checkpoint(path, {"a": torch.tensor(value)}, {"step": value})
    tensors, about = load_checkpoint(path)
    assert (float(tensors["a"]), about) == (2.0, {"step": 2.0})
    assert [file.name for file in path.parent.iterdir()] == ["last.safetensors"]


def test_what_a_kill_leaves_beside_it_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"a": torch.tensor(1.0)}, {"step": 1})
    (tmp_path / ".last.safetensors.part").write_bytes(b"half")
    assert load_checkpoint(path)[1] == {"step": 1}
    save_checkpoint(path, {"a": torch.tensor(2.0)}, {"step": 2})
    assert load_checkpoint(path)[1] == {"step": 2}


def test_shared_and_transposed_tensors_are_kept(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    save_checkpoint(tmp_path / "c.safetensors", {"a": base, "b": base, "c": base.T}, {})
    tensors, _ = load_checkpoint(tmp_path / "c.safetensors")
    assert torch.equal(tensors["b"], base)
    assert torch.equal(tensors["c"], base.T)


@pytest.mark.parametrize("length", [0, 4, 8, 40, -1])
def test_a_torn_checkpoint_is_named(tmp_path: Path, length: int) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"a": torch.arange(100.0)}, {"step": 1})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SensoriumError, match=r"last\.safetensors is damaged"):
        load_checkpoint(path)


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(SensoriumError, match="is damaged"):
        load_checkpoint(tmp_path / "other.safetensors")
    with pytest.raises(SensoriumError, match="is damaged"):
        load_checkpoint(tmp_path / "nothing.safetensors")
