"""The shared blocks against hand-computed numbers and against torch's own, slower forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sensorium.layers import (
    BatchNorm2d,
    MaskedBatchNorm,
    Recurrent,
    Transformer,
    TransformerBlock,
    check_heads,
    initialise_convolutions,
    reversed_index,
    sinusoidal_positions,
)


def lengths(*counts: int) -> Tensor:
    """The mask of rows with so many real tokens each."""
    return torch.arange(max(counts)) < torch.tensor(counts).unsqueeze(1)


def test_the_reversed_index_turns_real_tokens_and_leaves_padding() -> None:
    assert reversed_index(lengths(4, 2, 1)).tolist() == [[3, 2, 1, 0], [1, 0, 2, 3], [0, 1, 2, 3]]


@given(st.lists(st.integers(0, 7), min_size=1, max_size=4).filter(any))
def test_reversing_twice_changes_nothing(counts: list[int]) -> None:
    index = reversed_index(lengths(*counts))

    assert index.gather(1, index).tolist() == [list(range(max(counts)))] * len(counts)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_recurrence_equals_a_packed_sequence(cell: str, bidirectional: bool) -> None:
    torch.manual_seed(0)
    ours = Recurrent(cell, 3, 4, layers=2, bidirectional=bidirectional)
    theirs = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](
        3, 4, num_layers=2, batch_first=True, bidirectional=bidirectional
    )
    for number in range(2):
        for suffix, layers in (("", ours.ahead), ("_reverse", ours.back)):
            for name, parameter in layers[number].named_parameters() if layers else ():
                theirs.get_parameter(name.replace("l0", f"l{number}{suffix}")).data.copy_(parameter)
    values, counts = torch.randn(3, 5, 3), torch.tensor([5, 2, 1])

    packed, last = theirs(pack_padded_sequence(values, counts, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    mask = lengths(5, 2, 1)
    states = ours(values, mask)

    torch.testing.assert_close(states, expected)
    final = last[0] if cell == "lstm" else last
    directions = final[-2:] if bidirectional else final[-1:]
    torch.testing.assert_close(ours.last(states, mask), torch.cat(list(directions), dim=-1))
    assert ours.dim == states.shape[-1]


def test_recurrence_is_zero_in_the_padding_even_where_padding_is_not_a_number() -> None:
    values = torch.randn(2, 4, 3)
    values[1, 2:] = float("nan")

    states = Recurrent("lstm", 3, 4)(values, lengths(4, 2))

    assert (states[1, 2:] == 0).all()
    assert states.isfinite().all()


def test_attention_is_the_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    block = TransformerBlock(4, 2).eval()
    values = torch.randn(1, 3, 4)
    queries, keys, contents = block.projection(block.attention_norm(values)).chunk(3, dim=-1)
    mixed = torch.cat(
        [
            (queries[..., head] @ keys[..., head].transpose(1, 2) / math.sqrt(2)).softmax(-1)
            @ contents[..., head]
            for head in (slice(0, 2), slice(2, 4))
        ],
        dim=-1,
    )
    expected = values + block.output(mixed)
    expected = expected + block.feed_forward(expected)

    torch.testing.assert_close(block(values), expected)


def test_a_transformer_does_not_look_at_padding() -> None:
    torch.manual_seed(0)
    transformer = Transformer(8, depth=2, heads=2).eval()
    values = torch.randn(1, 5, 8)
    other = torch.cat([values[:, :3], 100 * torch.randn(1, 2, 8)], dim=1)

    first = transformer(values, lengths(5) & (torch.arange(5) < 3))
    second = transformer(other, lengths(5) & (torch.arange(5) < 3))

    torch.testing.assert_close(first, second)
    assert (first[:, 3:] == 0).all()
    torch.testing.assert_close(first[:, :3], transformer(values[:, :3]))


@pytest.mark.parametrize(("width", "heads", "right"), [(12, 3, True), (12, 5, False), (9, 3, False)])
def test_heads_must_share_an_even_width(width: int, heads: int, right: bool) -> None:
    if right:
        check_heads(width, heads)
        return
    with pytest.raises(ValueError, match=f"width {width} must be even and a multiple of heads"):
        check_heads(width, heads)


def test_positions_are_sines_and_cosines() -> None:
    table = sinusoidal_positions(3, 4)

    assert table[0].tolist() == [0, 1, 0, 1]
    expected = [math.sin(2), math.cos(2), math.sin(2 / 100), math.cos(2 / 100)]
    assert table[2].tolist() == pytest.approx(expected, abs=1e-6)


def test_batch_normalisation_takes_a_single_value() -> None:
    norm = BatchNorm2d(2)

    assert norm(torch.tensor([3.0, -1.0]).view(1, 2, 1, 1)).flatten().tolist() == pytest.approx(
        [3.0, -1.0], abs=1e-4
    )
    assert norm.running_mean is not None
    assert norm.running_mean.tolist() == [0, 0]


def test_masked_normalisation_leaves_padding_out_of_its_statistics() -> None:
    norm = MaskedBatchNorm(1)
    values = torch.tensor([[1.0, 3.0], [5.0, 900.0]]).view(2, 1, 2, 1)  # real: 1, 3 and 5

    result = norm(values, lengths(2, 1))

    deviation = math.sqrt(8 / 3 + 1e-5)
    assert result.flatten().tolist() == pytest.approx([-2 / deviation, 0, 2 / deviation, 0], abs=1e-6)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.running_mean.item() == pytest.approx(0.1 * 3)
    assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * 4)


def test_masked_normalisation_in_use_takes_the_running_statistics() -> None:
    norm = MaskedBatchNorm(1).eval()
    norm.running_mean, norm.running_var = torch.tensor([1.0]), torch.tensor([4.0])

    result = norm(torch.tensor([[1.0, 3.0], [5.0, float("nan")]]).view(2, 1, 2, 1), lengths(2, 1))

    assert result.flatten().tolist() == pytest.approx([0, 1, 2, 0], abs=1e-5)


def test_masked_normalisation_without_padding_is_plain() -> None:
    torch.manual_seed(0)
    values = torch.randn(3, 4, 5, 6)

    result = MaskedBatchNorm(4)(values, torch.ones(3, 5, dtype=torch.bool))

    torch.testing.assert_close(result, nn.BatchNorm2d(4)(values))


def test_convolutions_begin_with_the_variance_that_relu_wants() -> None:
    torch.manual_seed(0)
    part = nn.Sequential(nn.Conv2d(64, 128, 3))

    initialise_convolutions(part)

    assert part[0].weight.var().item() == pytest.approx(2 / (128 * 9), rel=0.03)
    assert part[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not part[0].bias.any()
