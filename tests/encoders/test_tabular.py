"""Numbers and categories: hand-computed tokens."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sensorium.batch import Raw
from sensorium.encoders.tabular import (
    EmbeddingCategories,
    EmbeddingCategory,
    MLPNumber,
    TokenCategories,
    TokenCategory,
    TokenNumber,
)

COLUMN: Any = SimpleNamespace(size=4)


def raw(values: list[list[float]] | list[list[int]]) -> Raw:
    """Present cells."""
    return Raw(torch.tensor(values), torch.ones(len(values), 1, dtype=torch.bool))


def test_a_number_is_a_value_times_a_weight_plus_a_bias() -> None:
    encoder = TokenNumber(TokenNumber.Config(width=3), COLUMN)

    values = encoder(raw([[2.0], [-1.0]])).values

    weight, bias = encoder.linear.weight[:, 0], encoder.linear.bias
    torch.testing.assert_close(values[:, 0], torch.stack([2 * weight + bias, -weight + bias]))


def test_periodic_features_are_sines_and_cosines() -> None:
    encoder = TokenNumber(TokenNumber.Config(width=2, frequencies=1), COLUMN)
    assert encoder.frequencies is not None
    with torch.no_grad():
        encoder.frequencies.fill_(0.5)
        encoder.linear.weight.copy_(torch.eye(2))
        encoder.linear.bias.zero_()

    values = encoder(raw([[0.25]])).values.flatten().tolist()

    assert values == pytest.approx([math.sin(math.pi / 4), math.cos(math.pi / 4)])


def test_dense_layers_over_a_number_may_be_none() -> None:
    encoder = MLPNumber(MLPNumber.Config(hidden=[], width=5), COLUMN)

    assert encoder(raw([[1.0], [2.0]])).values.shape == (2, 1, 5)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 10


@pytest.mark.parametrize(("size", "width"), [(3, 3), (11, 6), (1001, 64)])
def test_the_width_follows_the_number_of_labels(size: int, width: int) -> None:
    # 1.6 · 3 ^ 0.56 = 2.96, 1.6 · 11 ^ 0.56 = 6.13, 1.6 · 1001 ^ 0.56 = 76.6
    assert EmbeddingCategory(EmbeddingCategory.Config(), SimpleNamespace(size=size)).dim == width


def test_an_unseen_label_begins_as_nothing() -> None:
    encoder = EmbeddingCategory(EmbeddingCategory.Config(width=5), COLUMN).eval()

    values = encoder(raw([[0], [2]])).values

    assert not values[0].any()
    assert torch.equal(values[1, 0], encoder.labels.weight[2])


def test_a_category_token_has_the_columns_bias() -> None:
    encoder = TokenCategory(TokenCategory.Config(width=5), COLUMN)

    values = encoder(raw([[0], [2]])).values

    assert torch.equal(values[0, 0], encoder.bias)
    assert torch.equal(values[1, 0], encoder.labels.weight[2] + encoder.bias)


def test_several_labels_are_averaged() -> None:
    encoder = EmbeddingCategories(EmbeddingCategories.Config(width=5), COLUMN).eval()
    with torch.no_grad():
        encoder.bias.fill_(1.0)

    values = encoder(raw([[0.0, 1, 0, 1], [0, 0, 0, 0]])).values

    torch.testing.assert_close(values[0, 0], (encoder.labels[1] + encoder.labels[3]) / 2 + 1)
    assert values[1, 0].tolist() == [1.0] * 5


def test_each_label_has_a_token_after_the_columns_own() -> None:
    encoder = TokenCategories(TokenCategories.Config(width=5), COLUMN)

    tokens = encoder(raw([[0.0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]]))

    assert tokens.mask.tolist() == [[True, True, True], [True, False, False], [True, True, False]]
    assert torch.equal(tokens.values[:, 0], encoder.bias.expand(3, -1))
    assert torch.equal(tokens.values[0, 1:], encoder.labels.weight[[1, 3]] + encoder.bias)
    assert torch.equal(tokens.values[2, 1], encoder.labels.weight[2] + encoder.bias)


def test_rows_without_any_label_have_one_token() -> None:
    tokens = TokenCategories(TokenCategories.Config(width=5), COLUMN)(raw([[0.0, 0, 0, 0]]))

    assert tokens.mask.tolist() == [[True]]
