"""Small tables whose answer is known: what fuses two inputs finds it, and what cannot does not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks import known_tables
from benchmarks.known_answers import hits, made_recipe
from benchmarks.known_scores import HIDDEN, figures
from sensorium.data.table import read_table

XOR = known_tables.in_parts(known_tables.xor, 400, 400)
REDUNDANT = known_tables.in_parts(known_tables.redundant, 300, 400)
SHARED = known_tables.in_parts(known_tables.shared, 500, 400)


@pytest.mark.parametrize(
    "fusion", ["concat", "product", f"attention{HIDDEN}", "low_rank", "tensor", "cross_attention"]
)
def test_what_crosses_inputs_finds_their_xor(fusion: str) -> None:
    assert hits(made_recipe(fusion, seed=0), XOR, []).mean() >= 0.95


@pytest.mark.parametrize("fusion", ["late", "attention"])
def test_what_adds_inputs_up_cannot_be_their_xor(fusion: str) -> None:
    assert 0.35 < hits(made_recipe(fusion, seed=0), XOR, []).mean() < 0.65


def test_a_redundant_input_adds_nothing_and_costs_nothing() -> None:
    variants = ["text alone", "picture alone", "concat", "late", "tensor", "cross_attention"]
    table = figures({name: hits(made_recipe(name, seed=0), REDUNDANT, []) for name in variants})
    for name, scores in table.items():
        difference = scores["difference"]
        assert difference is None or difference["low"] <= 0 <= difference["high"], name
        assert scores["value"] == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("fusion", ["late", "tensor"])
def test_noise_in_one_input_costs_more_the_more_there_is(fusion: str) -> None:
    """Which fusion loses most is for the benchmark to say: seeds differ more than fusions do."""
    noise = [read_table(known_tables.noisy(SHARED, share, seed=3)) for share in (0.3, 1.0)]
    clean, little, whole = np.mean(
        [hits(made_recipe(fusion, seed), SHARED, noise) for seed in (0, 1)], axis=0
    )
    assert clean.mean() > 0.65
    assert abs(clean.mean() - little.mean()) < 0.03
    assert clean.mean() - whole.mean() > 0.05


def test_the_tables_are_what_they_say() -> None:
    def shown(table: known_tables.Table, row: int) -> tuple[int, int]:
        words = set(table["text"][row].split())
        word = next(kind for kind, signal in enumerate(known_tables.SIGNALS) if words & set(signal))
        mean = np.asarray(Image.open(io.BytesIO(table["picture"][row]))).mean(axis=(0, 1))
        return word, int(np.abs(mean - np.array(known_tables.COLOURS)).sum(axis=1).argmin())

    xor, redundant = known_tables.xor(200, 0), known_tables.redundant(200, 0)
    assert all((len(set(shown(xor, row))) == 1) == (xor["label"][row] == "class 1") for row in range(200))
    assert all(len(set(shown(redundant, row))) == 1 for row in range(200))
    told = np.mean([redundant["label"][row] == f"class {shown(redundant, row)[0]}" for row in range(200)])
    assert told == pytest.approx(0.9, abs=0.06)
    shared = known_tables.shared(400, 0)
    right = np.array(
        [[f"class {kind}" == shared["label"][row] for kind in shown(shared, row)] for row in range(400)]
    )
    assert right.mean(axis=0) == pytest.approx([0.75, 0.75], abs=0.06)
