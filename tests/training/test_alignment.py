"""Where a similarity of frozen encoders begins: by hand, by properties, and before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sensorium.features import use_features
from sensorium.heads.retrieval import ranks
from sensorium.inference import collect
from sensorium.model import Model
from sensorium.prepare import Prepared, prepare
from sensorium.recipe import parse_recipe
from sensorium.training.alignment import LENGTH, align, canonical
from tests import made
from tests.made_checkpoint import text_checkpoint


def test_one_direction_each_by_hand() -> None:
    """Second is minus twice first, so that both come to the same number, brought to the length."""
    first = np.array([[1.0], [2.0], [3.0]])
    one, other = canonical(first, -2 * first, 4)
    assert one.weight.shape == other.weight.shape == (1, 1)
    # centred -1, 0, 1: of mean length 2/3, so that the weight is LENGTH · 3/2
    assert abs(one.weight[0, 0]) == pytest.approx(1.5 * LENGTH)
    assert other.weight[0, 0] == pytest.approx(-one.weight[0, 0] / 2)
    assert one.bias == pytest.approx(-2 * one.weight[0])


def test_what_belongs_together_comes_to_lie_together() -> None:
    """Both sides turn the same two hidden numbers each in its own way, and add numbers of their own."""
    generator = np.random.default_rng(0)
    hidden = generator.normal(size=(200, 2))
    turns = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([[2.0, 1.0], [-1.0, 2.0]])
    sides = [np.concatenate([hidden @ turn, generator.normal(size=(200, 3))], axis=1) for turn in turns]
    one, other = canonical(*sides, 2)
    first, second = sides[0] @ one.weight + one.bias, sides[1] @ other.weight + other.bias
    assert first.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert np.linalg.norm(first, axis=1).mean() == pytest.approx(LENGTH)
    for place in range(2):
        assert np.corrcoef(first[:, place], second[:, place])[0, 1] > 0.9


def similar(tmp_path: Path, **match: Any) -> tuple[Prepared, Model]:
    """A similarity of a text and its copy through a tiny BERT, as made."""
    rows = made.simple_rows(60)
    rows["words"] = [f"{made.WORDS[row % 7]} {made.WORDS[7 + row % 6]}" for row in range(60)]
    content = made.simple_recipe()
    weights = text_checkpoint(tmp_path / "tiny")
    words = {"type": "text", "column": "words", "encoder": {"kind": "pretrained", "weights": str(weights)}}
    content["data"] = {"split": {"validation": 0, "test": 0}, "cache": False}
    content["inputs"] = {"words": words, "copy": words}
    content["outputs"] = {"match": {"type": "similarity", "between": ["words", "copy"], **match}}
    prepared = prepare(parse_recipe(content), rows)
    torch.manual_seed(0)
    model = prepared.new_model()
    use_features(model, prepared.loader, np.arange(60), say=lambda line: None)
    return prepared, model


def found_first(prepared: Prepared, model: Model) -> float:
    """The share of texts that find their copy at once."""
    collected = collect(model, prepared.loader, np.arange(60))
    vectors, target = collected.predicted["match"]["embeddings"], collected.targets["match"]
    return float((ranks(vectors[:, 0], vectors[:, 1], target.values, target.mask[:, 0]).first == 1).mean())


def test_a_copy_is_found_before_the_first_step(tmp_path: Path) -> None:
    prepared, model = similar(tmp_path)
    drawn = found_first(prepared, model)
    align(model, prepared.loader, np.arange(40))
    assert drawn < 0.5
    assert found_first(prepared, model) > 0.9


@pytest.mark.parametrize("match", [{"start": "random"}, {"width": 8}, {"hidden": [8]}])
def test_all_others_keep_what_was_drawn(tmp_path: Path, match: dict[str, Any]) -> None:
    prepared, model = similar(tmp_path, **match)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    align(model, prepared.loader, np.arange(40))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
