"""Projectors: shapes, padding, and squares of a picture's tokens by hand."""

from __future__ import annotations

import pytest
import torch

from sensorium.batch import Fused, Place, Tokens
from sensorium.decoders.projectors import PROJECTORS, Projector, _squares

WIDTH, DIM = 6, 8


def fused(places: dict[str, Place]) -> Fused:
    """Two rows of seven tokens; the last of the second row is not real."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 7, WIDTH, generator=generator)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 6] = False
    return Fused(tokens[:, 0], tokens, mask, {}, places)


def test_squares_of_a_grid_by_hand() -> None:
    grid = torch.arange(6.0).view(1, 6, 1)  # rows 0 1 2 and 3 4 5
    assert _squares(grid, 2, 3, 2).tolist() == [[[0, 1, 3, 4], [2, 0, 5, 0]]]


@pytest.mark.parametrize(("kind", "picture"), [("mlp", 6), ("queries", 16), ("pixel_shuffle", 2)])
def test_lengths_and_the_spread_of_words(kind: str, picture: int) -> None:
    torch.manual_seed(0)
    projector = Projector(kind, WIDTH, DIM, spread=0.05)
    found = projector(fused({"picture": Place(0, 6, (2, 3)), "size": Place(6, 1)}))
    assert found["picture"].values.shape == (2, picture, DIM)
    assert found["picture"].mask.all()
    assert found["size"].values.shape[1] == (16 if kind == "queries" else 1)
    assert float(found["picture"].values.detach().std()) == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("kind", PROJECTORS)
def test_padding_changes_nothing(kind: str) -> None:
    torch.manual_seed(0)
    projector = Projector(kind, WIDTH, DIM, spread=1.0)
    whole = fused({"words": Place(0, 7)})
    spoilt = whole.tokens.clone()
    spoilt[1, 6] = float("nan")
    other = Fused(whole.vector, spoilt, whole.mask, {}, whole.places)
    one, two = projector(whole)["words"], projector(other)["words"]
    assert torch.equal(one.values, two.values)
    assert torch.equal(one.mask, two.mask)


def test_without_places_all_tokens_stand_together() -> None:
    found = Projector("mlp", WIDTH, DIM, 1.0)(fused({}))
    assert list(found) == [""]
    assert isinstance(found[""], Tokens)
    assert found[""].values.shape == (2, 7, DIM)
