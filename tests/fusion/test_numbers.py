"""The formulas, against numbers worked out by hand and against their long form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from sensorium.batch import Tokens
from sensorium.errors import RecipeError
from sensorium.fusion import FUSIONS
from sensorium.fusion.sequence import shorten

BOTH = torch.tensor([[True, True]])
FIRST = torch.tensor([[True, False]])
NEITHER = torch.tensor([[False, False]])


def plain(kind: str, inputs: int = 2, width: int = 2, outputs: tuple[str, ...] = (), **settings: Any) -> Any:
    """A fusion whose projection is the identity, in evaluation."""
    dims = {f"input {number}": width for number in range(inputs)}
    config = FUSIONS[kind].Config(width=width, **settings)
    fusion = FUSIONS[kind](config, dims, outputs).eval()
    with torch.no_grad():
        for layer in fusion.projection.layers:
            layer.weight.copy_(torch.eye(width))
            layer.bias.zero_()
    return fusion


def vectors(*rows: list[float]) -> dict[str, Tokens]:
    """One row, one token an input."""
    return {
        f"input {number}": Tokens(torch.tensor([[row]]), torch.ones(1, 1, dtype=torch.bool))
        for number, row in enumerate(rows)
    }


def test_concat() -> None:
    fused = plain("concat", layers=0)(vectors([1.0, 2.0], [3.0, 4.0]), BOTH)
    assert fused.vector.tolist() == [[1, 2, 3, 4]]


def test_concat_of_means_of_real_tokens() -> None:
    tokens = {
        "input 0": Tokens(
            torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]]), torch.tensor([[True, True, False]])
        ),
        "input 1": Tokens(torch.tensor([[[5.0, 7.0]]]), torch.tensor([[True]])),
    }
    fused = plain("concat", layers=0)(tokens, BOTH)
    assert fused.vector.tolist() == [[2, 4, 5, 7]]
    assert fused.tokens.tolist() == [[[1, 2], [3, 6], [0, 0], [5, 7]]]
    assert fused.mask.tolist() == [[True, True, False, True]]
    assert fused.columns["input 0"].tolist() == [[2, 4]]


def test_concat_hidden_layer_is_shared() -> None:
    fusion = plain("concat")
    with torch.no_grad():
        fusion.hidden[0].weight.copy_(torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, -1]]))
        fusion.hidden[0].bias.copy_(torch.tensor([0.0, 2.0]))
    fused = fusion(vectors([1.0, 2.0], [3.0, 4.0]), BOTH)
    torch.testing.assert_close(fused.vector, nn.functional.gelu(torch.tensor([[4.0, 0.0]])))


def test_sum() -> None:
    tokens = vectors([1.0, 2.0], [3.0, -4.0])
    assert plain("sum")(tokens, BOTH).vector.tolist() == [[4, -2]]
    assert plain("sum")(tokens, FIRST).vector.tolist() == [[4, -2]], "the absent token is added"


def test_product() -> None:
    tokens = vectors([1.0, 2.0], [3.0, -4.0])
    assert plain("product", residual=False)(tokens, BOTH).vector.tolist() == [[3, -8]]
    assert plain("product")(tokens, BOTH).vector.tolist() == [[7, -10]]


def test_product_with_a_silent_input_passes_the_others_on_when_residual() -> None:
    tokens = vectors([1.0, 2.0], [0.0, 0.0])
    assert plain("product", residual=False)(tokens, FIRST).vector.tolist() == [[0, 0]]
    assert plain("product")(tokens, FIRST).vector.tolist() == [[1, 2]]


def test_attention() -> None:
    fusion = plain("attention")
    with torch.no_grad():
        fusion.score[0].weight.copy_(torch.eye(2))
        fusion.score[0].bias.zero_()
        fusion.score[2].weight.copy_(torch.tensor([[1.0, 0.0]]))
    tokens = vectors([math.atanh(0.5), 10.0], [0.0, 20.0])
    first = math.exp(0.5) / (math.exp(0.5) + 1)
    expected = [first * math.atanh(0.5), first * 10 + (1 - first) * 20]
    assert fusion(tokens, BOTH).vector[0].tolist() == pytest.approx(expected, rel=1e-5)
    assert fusion(tokens, NEITHER).vector[0].tolist() == pytest.approx(expected, rel=1e-5)
    assert fusion(tokens, FIRST).vector[0].tolist() == pytest.approx([math.atanh(0.5), 10.0])


def test_gated() -> None:
    fusion = plain("gated", width=1)
    with torch.no_grad():
        fusion.gates.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
        fusion.gates.bias.copy_(torch.tensor([0.0, math.log(3.0)]))
    tokens = vectors([math.atanh(0.5)], [math.log(4.0)])
    # Gates: σ(ln 4) = 4/5 of the first, σ(ln 3) = 3/4 of the second; tanh(ln 4) = (16 - 1) / (16 + 1).
    both = 4 / 5 * 0.5 + 3 / 4 * 15 / 17
    assert fusion(tokens, BOTH).vector.item() == pytest.approx(both)
    assert fusion(tokens, FIRST).vector.item() == pytest.approx(4 / 5 * 0.5)
    assert fusion(tokens, NEITHER).vector.item() == pytest.approx(both)


def test_convolution() -> None:
    fusion = plain("convolution", inputs=3, width=1, layers=1)
    with torch.no_grad():
        fusion.convolutions[0].weight.copy_(torch.tensor([[[1.0, 10.0, 100.0]]]))
        fusion.convolutions[0].bias.zero_()
    tokens = vectors([1.0], [2.0], [3.0])
    # Filters see (nothing, 1, 2), (1, 2, 3), (2, 3, nothing); GELU leaves numbers this large alone.
    assert fusion(tokens, torch.tensor([[True, True, True]])).vector.item() == pytest.approx(
        (210 + 321 + 32) / 3
    )
    assert fusion(tokens, torch.tensor([[True, False, True]])).vector.item() == pytest.approx((210 + 32) / 2)


def test_convolution_needs_a_middle() -> None:
    with pytest.raises(ValidationError, match=r"must be odd.*use 3 or 5"):
        FUSIONS["convolution"].Config(kernel=4)


def test_tensor() -> None:
    fusion = plain("tensor", factor_width=2, layers=0)
    with torch.no_grad():
        for factor in fusion.factors:
            factor.weight.copy_(torch.eye(2))
            factor.bias.zero_()
    fused = fusion(vectors([2.0, 3.0], [5.0, 7.0]), BOTH)
    # (2, 3, 1) ⊗ (5, 7, 1)
    assert fused.vector.tolist() == [[10, 14, 2, 15, 21, 3, 5, 7, 1]]
    assert fusion.dim == 9


def test_tensor_of_three_inputs_is_their_outer_product() -> None:
    torch.manual_seed(0)
    fusion = plain("tensor", inputs=3, width=4, factor_width=2, layers=0)
    columns = torch.randn(3, 4)
    parts = [
        torch.cat([factor(column), torch.ones(1)])
        for factor, column in zip(fusion.factors, columns, strict=True)
    ]
    fused = fusion(vectors(*columns.tolist()), torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(fused.vector[0], torch.einsum("a,b,c->abc", *parts).flatten())


def test_tensor_too_large_names_what_to_lower() -> None:
    with pytest.raises(
        RecipeError, match=r"4 inputs .*17\^4 = 83,521.*lower fusion\.factor_width to 15 or less"
    ):
        plain("tensor", inputs=4)
    plain("tensor", inputs=4, factor_width=15)
    with pytest.raises(RecipeError, match=r"2\^17 = 131,072.*65,536; use 'fusion: \{kind: low_rank\}'"):
        plain("tensor", inputs=17, factor_width=1)


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_low_rank_equals_the_contraction_with_the_full_tensor(inputs: int) -> None:
    torch.manual_seed(0)
    rank, width = 3, 4
    fusion = plain("low_rank", inputs=inputs, width=width, rank=rank)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.normal_()
    weight: Tensor = torch.zeros(())
    for index in range(rank):
        term = fusion.rank_weights[index].expand(width)  # (out)
        for factor in fusion.factors:
            whole = torch.cat([factor.weight, factor.bias.unsqueeze(1)], dim=1).view(rank, width, width + 1)
            term = torch.einsum("o...,oi->o...i", term, whole[index])
        weight = weight + term
    columns = torch.randn(inputs, width)
    projected = [layer(column) for layer, column in zip(fusion.projection.layers, columns, strict=True)]
    expected = weight
    for column in reversed(projected):
        expected = expected @ torch.cat([column, torch.ones(1)])
    fused = fusion(vectors(*columns.tolist()), torch.ones(1, inputs, dtype=torch.bool))
    torch.testing.assert_close(fused.vector[0], expected + fusion.bias, rtol=1e-4, atol=1e-4)


def test_low_rank_by_hand() -> None:
    fusion = plain("low_rank", width=1, rank=2)
    with torch.no_grad():
        fusion.factors[0].weight.copy_(torch.tensor([[2.0], [1.0]]))
        fusion.factors[1].weight.copy_(torch.tensor([[1.0], [-1.0]]))
    # Ranks: (2·3 + 1)(1·5 + 1) = 42 and (3 + 1)(-5 + 1) = -16; their mean is 13.
    assert fusion(vectors([3.0], [5.0]), BOTH).vector.item() == pytest.approx(13.0)


def test_low_rank_begins_near_one_plus_a_sum() -> None:
    fused = plain("low_rank", inputs=9)(vectors(*[[0.0, 0.0]] * 9), torch.ones(1, 9, dtype=torch.bool))
    torch.testing.assert_close(fused.vector, torch.ones(1, 2))


def test_late_is_the_mean_of_separate_linear_answers() -> None:
    torch.manual_seed(0)
    fusion = plain("late", inputs=3, width=4)
    heads = [nn.Linear(4, 5) for _ in range(3)]
    joined = torch.cat([torch.cat([head.weight, head.bias.unsqueeze(1)], dim=1) for head in heads], dim=1)
    columns = torch.randn(3, 4)
    answers = torch.stack([head(column) for head, column in zip(heads, columns, strict=True)])
    tokens = vectors(*columns.tolist())
    for counted in ([0, 1, 2], [0, 2], [1]):
        present = torch.zeros(1, 3, dtype=torch.bool)
        present[0, counted] = True
        torch.testing.assert_close(fusion(tokens, present).vector[0] @ joined.T, answers[counted].mean(dim=0))
    nothing = fusion(tokens, torch.zeros(1, 3, dtype=torch.bool)).vector[0]
    torch.testing.assert_close(nothing @ joined.T, answers.mean(dim=0))


@pytest.mark.parametrize("weights", ["mean", "learned"])
def test_parallel_is_the_weighted_mean_of_answers_of_branches(weights: str) -> None:
    torch.manual_seed(0)
    fusion = plain("parallel", inputs=3, width=4, weights=weights)
    shares = torch.tensor([1.0, 1.0, 1.0])
    if weights == "learned":
        shares = torch.tensor([1.0, 2.0, 5.0])
        with torch.no_grad():
            fusion.scores.copy_(shares.log())
    head = nn.Linear(12, 2)
    columns = torch.randn(3, 4)
    hidden = torch.stack([branch(column) for branch, column in zip(fusion.branches, columns, strict=True)])
    answers = torch.einsum("omh,mh->mo", head.weight.view(2, 3, 4), hidden) + head.bias
    tokens = vectors(*columns.tolist())
    for counted in ([0, 1, 2], [0, 2], [1]):
        present = torch.zeros(1, 3, dtype=torch.bool)
        present[0, counted] = True
        part = shares[counted] / shares[counted].sum()
        torch.testing.assert_close(
            head(fusion(tokens, present).vector[0]), (part.unsqueeze(1) * answers[counted]).sum(dim=0)
        )


def decoupled(**settings: Any) -> Any:
    """v_r of output "price" is (2 x_i, x_i') and (x_t, 3 x_t'); of output "kind" it is ten times v_c."""
    fusion = plain("decoupled", outputs=("price", "kind"), **settings)
    scales = [[[2.0, 1.0], [1.0, 3.0]], [[10.0, 10.0], [10.0, 10.0]]]
    with torch.no_grad():
        for related, of_output in zip(fusion.related, scales, strict=True):
            for layer, scale in zip(related.projection.layers, of_output, strict=True):
                layer.weight.copy_(torch.diag(torch.tensor(scale)))
                layer.bias.zero_()
    return fusion


def test_decoupled_literal_product() -> None:
    fused = decoupled(join="product")(vectors([1.0, 2.0], [3.0, 4.0]), BOTH)
    # v_c = (1, 2, 3, 4) and v_r = (2, 2, 3, 12)
    assert fused.vector.tolist() == [[1, 2, 3, 4]]
    assert fused.per_output["price"].tolist() == [[2, 4, 9, 48]]
    assert fused.for_output("kind").vector.tolist() == [[10, 40, 90, 160]]
    assert fused.for_output("another").vector.tolist() == [[1, 2, 3, 4]]


def test_decoupled_residual() -> None:
    fused = decoupled()(vectors([1.0, 2.0], [3.0, 4.0]), BOTH)
    assert fused.per_output["price"].tolist() == [[3, 6, 12, 52]]


def test_decoupled_outputs_share_the_common_feature_alone() -> None:
    fusion = decoupled()
    fused = fusion(vectors([1.0, 2.0], [3.0, 4.0]), BOTH)
    fused.per_output["price"].sum().backward()
    assert fusion.projection.layers[0].weight.grad.any()
    assert fusion.related[0].projection.layers[0].weight.grad.any()
    assert fusion.related[1].projection.layers[0].weight.grad is None


def test_one_input_is_itself_where_nothing_is_mixed() -> None:
    tokens = vectors([1.0, 2.0])
    for kind in ("sum", "attention"):
        assert plain(kind, inputs=1)(tokens, torch.tensor([[True]])).vector.tolist() == [[1, 2]]


@pytest.mark.parametrize("kind", ["cross_attention", "transformer", "bottleneck"])
def test_columns_of_mixed_tokens_are_their_projections_and_marks(kind: str) -> None:
    fusion = FUSIONS[kind](FUSIONS[kind].Config(width=2, heads=1), {"a": 2, "b": 2}, ["kind"]).eval()
    with torch.no_grad():
        for layer in fusion.sequences.projection.layers:
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        fusion.sequences.marks.copy_(torch.tensor([[1.0, 0.0], [0.0, 10.0]]))
    tokens = {
        "a": Tokens(
            torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]]), torch.tensor([[True, True, False]])
        ),
        "b": Tokens(torch.tensor([[[5.0, 7.0]]]), torch.tensor([[True]])),
    }
    fused = fusion(tokens, BOTH)
    assert fused.columns["a"].tolist() == [[3, 4]]
    assert fused.columns["b"].tolist() == [[5, 17]]


@pytest.mark.parametrize("kind", ["cross_attention", "transformer", "bottleneck"])
def test_heads_must_divide_the_width(kind: str) -> None:
    with pytest.raises(ValidationError, match="width 10 must be even and a multiple of heads"):
        FUSIONS[kind].Config(width=10, heads=4)


def test_bottleneck_needs_two_layers_to_exchange_anything() -> None:
    with pytest.raises(ValidationError, match="layers"):
        FUSIONS["bottleneck"].Config(layers=1)


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers).view(1, -1, 1)


def test_shorten_averages_neighbours() -> None:
    tokens = Tokens(column(1, 2, 3, 4, 5, 99), torch.tensor([[True] * 5 + [False]]))
    short = shorten(tokens, 2)
    # Five real tokens in two groups: ⌊i · 2 / 5⌋ is 0 for the first three.
    assert short.values.flatten().tolist() == [2.0, 4.5]
    assert short.mask.tolist() == [[True, True]]


def test_shorten_goes_by_each_row_alone() -> None:
    nan = float("nan")
    tokens = Tokens(
        torch.cat([column(1, 2, 3, 4, 5), column(7, nan, 8, nan, nan)]),
        torch.tensor([[True, True, True, True, True], [True, False, True, False, False]]),
    )
    short = shorten(tokens, 4)
    assert short.values[0].flatten().tolist() == [1.5, 3.0, 4.0, 5.0]
    assert short.values[1].flatten().tolist() == [7.0, 8.0, 0.0, 0.0]
    assert short.mask.tolist() == [[True, True, True, True], [True, True, False, False]]


def test_shorten_leaves_short_sequences_alone() -> None:
    tokens = Tokens(column(1, 2, 3), torch.tensor([[True, True, False]]))
    assert shorten(tokens, 3) is tokens


def test_a_long_input_is_capped() -> None:
    fusion = FUSIONS["transformer"](FUSIONS["transformer"].Config(width=4, heads=2), {"sound": 3}, ["kind"])
    tokens = Tokens(torch.randn(2, 5000, 3), torch.arange(5000) < torch.tensor([[5000], [100]]))
    fused = fusion({"sound": tokens}, torch.ones(2, 1, dtype=torch.bool))
    assert fused.tokens.shape == (2, 128, 4)
    assert fused.mask.sum(dim=1).tolist() == [128, 100]
