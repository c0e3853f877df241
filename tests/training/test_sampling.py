"""Which rows make which batch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensorium.errors import RecipeError
from sensorium.prepare import Prepared, prepare
from sensorium.recipe import parse_recipe
from sensorium.training.sampling import Sampler
from tests import made


def prepared(data: dict[str, list[Any]], outputs: dict[str, Any] | None = None, **training: Any) -> Prepared:
    recipe = made.simple_recipe(**training)
    recipe["data"] = {"split": {"validation": 0, "test": 0}}
    recipe["outputs"] = outputs or {"label": "category"}
    return prepare(parse_recipe(recipe), data)


def with_rare(count: int, rare: int, missing: int = 0) -> dict[str, list[Any]]:
    """`rare` dogs, `missing` rows without a label, cats otherwise."""
    data = made.simple_rows(count)
    data["label"] = ["dog"] * rare + [None] * missing + ["cat"] * (count - rare - missing)
    return data


def test_every_row_once_an_epoch_in_an_order_of_its_own() -> None:
    sampler = Sampler(prepared(made.simple_rows(40), batch_size=7))
    epochs = [sampler.epoch(number) for number in (0, 1)]
    for batches in epochs:
        assert len(batches) == sampler.batches == 6
        assert sorted(np.concatenate(batches).tolist()) == list(range(40))
    assert not all(np.array_equal(*pair) for pair in zip(*epochs, strict=True))


def test_the_same_epoch_is_the_same_whenever_asked() -> None:
    one = Sampler(prepared(made.simple_rows(40)))
    other = Sampler(prepared(made.simple_rows(40)))
    one.epoch(0)
    assert all(np.array_equal(*pair) for pair in zip(one.epoch(3), other.epoch(3), strict=True))
    seeded = Sampler(prepared(made.simple_rows(40), seed=1))
    assert not all(np.array_equal(*pair) for pair in zip(one.epoch(3), seeded.epoch(3), strict=True))


def test_rows_of_similar_length_share_a_batch() -> None:
    data = made.simple_rows(64)
    data["words"] = ["word " * (1 + row % 16) for row in range(64)]
    lengths = np.array([len(text) for text in data["words"]])
    spread = {
        bucket: np.mean([np.ptp(lengths[batch]) for batch in Sampler(prepared(data, bucket=bucket)).epoch(0)])
        for bucket in (True, False)
    }
    assert spread[True] < spread[False] / 2


def test_balance_evens_the_classes() -> None:
    data = with_rare(100, rare=10)
    sampler = Sampler(prepared(data, sampling="balanced"))
    drawn = Counter(
        data["label"][row] for epoch in range(20) for batch in sampler.epoch(epoch) for row in batch
    )
    assert drawn.total() == 2000
    assert drawn["dog"] == pytest.approx(1000, abs=100)


def test_rows_without_a_class_keep_their_share() -> None:
    """They still serve the other outputs, and are no class of their own."""
    data = with_rare(100, rare=10, missing=20)
    outputs = {"label": "category", "amount": "number"}
    sampler = Sampler(prepared(data, outputs, sampling="balanced"))
    assert sampler.chances is not None
    chances = dict(zip(sampler.rows.tolist(), sampler.chances, strict=True))
    by_label: Counter[Any] = Counter()
    for row, chance in chances.items():
        by_label[data["label"][row]] += chance
    assert by_label[None] == pytest.approx(0.2)
    assert by_label["dog"] == pytest.approx(0.4)
    assert by_label["cat"] == pytest.approx(0.4)


def test_balance_needs_classes() -> None:
    data = prepared(made.simple_rows(20), {"amount": "number"}, sampling="balanced")
    with pytest.raises(RecipeError, match="balanced needs an output of type category"):
        Sampler(data)


def test_a_table_of_several_files_is_one(tmp_path: Path) -> None:
    rows = made.simple_rows(30)
    for part in range(3):
        made.write_csv(
            tmp_path / f"{part}.csv",
            {name: cells[part * 10 : part * 10 + 10] for name, cells in rows.items()},
        )
    recipe = made.simple_recipe()
    recipe["data"] = {"path": ["0.csv", "1.csv", "2.csv"], "key": "id", "split": {"validation": 0, "test": 0}}
    loaded = prepare(parse_recipe(recipe, folder=tmp_path))
    assert list(loaded.table.column("id")) == rows["id"]
