"""Text encoders beyond the contract: hand-computed means and convolutions, and that order is seen."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from sensorium.batch import Raw
from sensorium.encoders import ENCODERS
from sensorium.encoders.text import CNNText, LSTMText, MeanText, TransformerText

COLUMN: Any = SimpleNamespace(vocabulary_size=10, config=SimpleNamespace(length=6))


def whole(*ids: list[int]) -> Raw:
    """Texts of these ids; 0 is padding."""
    values = torch.tensor(ids)
    return Raw(values, values > 0)


def as_constants(encoder: Any, vectors: Tensor) -> None:
    """Gives the words these vectors."""
    with torch.no_grad():
        encoder.words.weight.copy_(vectors / math.sqrt(vectors.shape[1]))


def test_the_mean_of_word_vectors() -> None:
    encoder = MeanText(MeanText.Config(embedding=2), COLUMN).eval()
    as_constants(encoder, torch.arange(20.0).view(10, 2))  # word i is (2i, 2i + 1)

    tokens = encoder(whole([2, 4, 0], [3, 0, 0]))

    torch.testing.assert_close(tokens.values, torch.tensor([[[6.0, 7.0]], [[6.0, 7.0]]]))
    assert tokens.mask.tolist() == [[True], [True]]


def test_a_convolution_is_centred_and_sees_no_padding() -> None:
    encoder = CNNText(CNNText.Config(embedding=1, filters=1, kernels=[3]), COLUMN).eval()
    as_constants(encoder, torch.arange(10.0).view(10, 1))
    with torch.no_grad():
        encoder.convolutions[0][1].weight.copy_(torch.tensor([[[100.0, 10.0, 1.0]]]))
        encoder.convolutions[0][1].bias.zero_()
    raw = Raw(torch.tensor([[2, 3, 4, 9]]), torch.tensor([[True, True, True, False]]))

    assert encoder(raw).values.flatten().tolist() == [23.0, 234.0, 340.0, 0.0]


def test_pooling_as_kim_takes_the_largest_of_the_real_words() -> None:
    encoder = CNNText(CNNText.Config(embedding=1, filters=1, kernels=[1], pool="max"), COLUMN).eval()
    as_constants(encoder, torch.arange(10.0).view(10, 1))
    with torch.no_grad():
        encoder.convolutions[0][1].weight.fill_(1.0)
        encoder.convolutions[0][1].bias.zero_()
    raw = Raw(torch.tensor([[2, 5, 4, 9]]), torch.tensor([[True, True, True, False]]))

    assert encoder(raw).values.tolist() == [[[5.0]]]


@pytest.mark.parametrize("kind", ["cnn", "lstm", "gru", "transformer"])
def test_order_is_seen(kind: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS["text"][kind](ENCODERS["text"][kind].Config(), COLUMN).eval()

    ahead, back = encoder(whole([2, 3, 4])).values, encoder(whole([4, 3, 2])).values

    assert (ahead.mean(dim=1) - back.mean(dim=1)).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_last_state_is_one_token(kind: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS["text"][kind](ENCODERS["text"][kind].Config(pool="last", hidden=4), COLUMN).eval()

    tokens = encoder(whole([2, 3, 4, 5], [6, 7, 0, 0]))

    assert tokens.values.shape == (2, 1, 8)
    assert tokens.mask.all()
    torch.testing.assert_close(tokens.values[1:], encoder(whole([6, 7])).values)


def test_one_direction_of_the_tutorials() -> None:
    encoder = LSTMText(LSTMText.Config(embedding=128, hidden=64, bidirectional=False), COLUMN)

    count = sum(parameter.numel() for parameter in encoder.parameters())

    assert encoder.dim == 64
    assert count == 10 * 128 + 4 * 64 * (128 + 64 + 2)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_positions_reach_beyond_the_length_for_padding(positions: str) -> None:
    encoder = TransformerText(TransformerText.Config(width=8, heads=2, positions=positions), COLUMN).eval()

    tokens = encoder(whole([2, 3, 4, 5, 6, 7, 0, 0, 0]))

    assert tokens.values.shape == (1, 9, 8)
    torch.testing.assert_close(tokens.values[:, :6], encoder(whole([2, 3, 4, 5, 6, 7])).values)


def test_heads_that_do_not_share_the_width_are_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of heads"):
        TransformerText.Config(width=100, heads=3)


def test_the_vector_of_padding_stays_zero() -> None:
    encoder = MeanText(MeanText.Config(), COLUMN)

    encoder(whole([2, 0])).values.sum().backward()

    assert not encoder.words.weight[0].any()
    assert encoder.words.weight.grad is not None
    assert not encoder.words.weight.grad[0].any()
