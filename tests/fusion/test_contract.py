"""What every fusion promises, for every entry of the table."""

from __future__ import annotations

import io
from itertools import product
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from sensorium.batch import Fused, Tokens
from sensorium.fusion import FUSIONS

ROWS = 5
WIDTH = 8
OUTPUTS = ("type", "b.c", "价格")
INPUTS: list[dict[str, tuple[int, int]]] = [  # name → (width, length)
    {"type": (3, 1)},
    {"图片": (4, 6)},
    {"a.b": (3, 4), "items": (5, 1)},
    {"type": (4, 7), "a.b": (1, 1), "图片": (6, 3)},
]
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "concat": [{}, {"layers": 0}],
    "parallel": [{}, {"weights": "learned", "layers": 2}],
    "product": [{}, {"residual": False}],
    "tensor": [{"factor_width": 3}, {"factor_width": 2, "layers": 0}],
    "cross_attention": [{"heads": 2}, {"heads": 2, "max_tokens": 2, "layers": 2}],
    "transformer": [{"heads": 2}, {"heads": 2, "max_tokens": 2}],
    "bottleneck": [{"heads": 2}, {"heads": 2, "max_tokens": 2, "bottleneck": 1}],
    "decoupled": [{}, {"join": "product"}],
}
MIXED = ("cross_attention", "transformer", "bottleneck")
CASES = [(kind, settings) for kind in FUSIONS for settings in SETTINGS.get(kind, [{}])]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    chosen: tuple[str, dict[str, Any]] = request.param
    return chosen


def build(case: tuple[str, dict[str, Any]], inputs: dict[str, tuple[int, int]]) -> nn.Module:
    """A fusion in training mode whose biases are not zero, so that no path is shut by chance."""
    kind, settings = case
    torch.manual_seed(0)
    config = FUSIONS[kind].Config(width=WIDTH, **settings)
    fusion: nn.Module = FUSIONS[kind](config, {name: dim for name, (dim, _) in inputs.items()}, OUTPUTS)
    return fusion


def make_tokens(inputs: dict[str, tuple[int, int]], rows: int = ROWS) -> dict[str, Tokens]:
    """Random tokens; each row has its own number of real ones, at least one."""
    generator = torch.Generator().manual_seed(1)
    tokens = {}
    for name, (dim, length) in inputs.items():
        real = torch.randint(1, length + 1, (rows, 1), generator=generator)
        real[0] = length
        values = torch.randn(rows, length, dim, generator=generator)
        tokens[name] = Tokens(values, torch.arange(length) < real)
    return tokens


def everything(inputs: dict[str, Any], rows: int = ROWS) -> Tensor:
    return torch.ones(rows, len(inputs), dtype=torch.bool)


def parts(fused: Fused) -> dict[str, Tensor]:
    """Every tensor that a head may read, padding left out."""
    real = torch.where(fused.mask.unsqueeze(-1), fused.tokens, torch.zeros(()))
    columns = {f"column {name}": values for name, values in fused.columns.items()}
    outputs = {f"output {name}": values for name, values in fused.per_output.items()}
    return {"vector": fused.vector, "tokens": real, **columns, **outputs}


def assert_same(one: Fused, other: Fused) -> None:
    assert parts(one).keys() == parts(other).keys()
    for (name, left), right in zip(parts(one).items(), parts(other).values(), strict=True):
        torch.testing.assert_close(
            left, right, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("inputs", INPUTS, ids=lambda inputs: "+".join(inputs))
class TestEveryNumberOfInputs:
    def test_shapes(self, case: tuple[str, dict[str, Any]], inputs: dict[str, tuple[int, int]]) -> None:
        fusion = build(case, inputs)
        tokens = make_tokens(inputs)
        fused = fusion(tokens, everything(inputs))
        assert fusion.width == WIDTH
        assert fused.vector.shape == (ROWS, fusion.dim)
        kept = [min(length, case[1].get("max_tokens", length)) for _, length in inputs.values()]
        assert fused.tokens.shape == (ROWS, sum(kept), WIDTH)
        assert fused.mask.shape == (ROWS, sum(kept))
        assert fused.mask.dtype == torch.bool
        real = sum(
            each.mask.sum(dim=1).clamp(max=case[1].get("max_tokens", 10**6)) for each in tokens.values()
        )
        assert torch.equal(fused.mask.sum(dim=1), torch.as_tensor(real))
        assert list(fused.columns) == list(inputs)
        assert all(column.shape == (ROWS, WIDTH) for column in fused.columns.values())
        for output in OUTPUTS:
            assert fused.for_output(output).vector.shape == (ROWS, fusion.dim)
        assert all(torch.isfinite(values).all() for values in parts(fused).values())
        assert not fused.tokens[~fused.mask].any(), "padding is zero"

    def test_columns_are_the_means_of_their_tokens(
        self, case: tuple[str, dict[str, Any]], inputs: dict[str, tuple[int, int]]
    ) -> None:
        if case[0] in MIXED:
            pytest.skip("its tokens look at one another, its columns do not")
        fused = build(case, inputs).eval()(make_tokens(inputs), everything(inputs))
        lengths = [min(length, case[1].get("max_tokens", length)) for _, length in inputs.values()]
        split = zip(fused.tokens.split(lengths, dim=1), fused.mask.split(lengths, dim=1), strict=True)
        for (values, mask), column in zip(split, fused.columns.values(), strict=True):
            mean = torch.stack([row[real].mean(dim=0) for row, real in zip(values, mask, strict=True)])
            torch.testing.assert_close(column, mean, rtol=1e-4, atol=1e-5)

    def test_a_column_knows_of_its_own_input_alone(
        self, case: tuple[str, dict[str, Any]], inputs: dict[str, tuple[int, int]]
    ) -> None:
        fusion = build(case, inputs).eval()
        tokens = make_tokens(inputs)
        before = fusion(tokens, everything(inputs))
        for name in inputs:
            changed = {**tokens, name: Tokens(tokens[name].values + 3, tokens[name].mask)}
            after = fusion(changed, everything(inputs))
            for other in inputs:
                same = torch.equal(after.columns[other], before.columns[other])
                assert same == (other != name), f"{name} was changed, column {other}"

    def test_gradients_reach_every_input_and_parameter(
        self, case: tuple[str, dict[str, Any]], inputs: dict[str, tuple[int, int]]
    ) -> None:
        fusion = build(case, inputs)
        # Attention to a single token has nothing to choose from, and teaches its queries nothing.
        longer = {name: (dim, length + 2) for name, (dim, length) in inputs.items()}
        tokens = {
            name: Tokens(each.values.requires_grad_(), each.mask)
            for name, each in make_tokens(longer).items()
        }
        fused = fusion(tokens, everything(inputs))
        vectors = [fused.for_output(output).vector for output in OUTPUTS]
        torch.stack([vector.square().sum() for vector in vectors]).sum().backward()
        for name, each in tokens.items():
            assert each.values.grad is not None, name
            assert each.values.grad[each.mask].abs().amax(dim=-1).min() > 0, (
                f"a real token of {name} has none"
            )
            assert not each.values.grad[~each.mask].any(), f"padding of {name} has one"
        for name, parameter in fusion.named_parameters():
            # None would stop distributed training, which waits for every parameter.
            assert parameter.grad is not None, name
            # With one input a weighted mean has nothing to weigh: its scores learn nothing.
            alone = len(inputs) == 1 and name.startswith("score")
            assert alone or parameter.grad.any(), name

    def test_padding_changes_nothing(
        self, case: tuple[str, dict[str, Any]], inputs: dict[str, tuple[int, int]]
    ) -> None:
        fusion = build(case, inputs).eval()
        tokens = make_tokens(inputs)
        before = fusion(tokens, everything(inputs))
        for filling in (float("nan"), float("inf"), 1e30):
            padded = {name: pad(each, filling) for name, each in tokens.items()}
            after = fusion(padded, everything(inputs))
            assert torch.equal(after.mask.sum(dim=1), before.mask.sum(dim=1))
            torch.testing.assert_close(
                after.tokens[after.mask], before.tokens[before.mask], rtol=1e-4, atol=1e-5
            )
            for name in ("vector", *(f"column {name}" for name in inputs)):
                torch.testing.assert_close(parts(after)[name], parts(before)[name], rtol=1e-4, atol=1e-5)

    def test_padding_of_nan_leaves_gradients_finite(
        self, case: tuple[str, dict[str, Any]], inputs: dict[str, tuple[int, int]]
    ) -> None:
        fusion = build(case, inputs)
        fused = fusion(
            {name: pad(each, float("nan")) for name, each in make_tokens(inputs).items()}, everything(inputs)
        )
        torch.stack([values.square().sum() for values in parts(fused).values()]).sum().backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in fusion.parameters())

    def test_rows_are_independent(
        self, case: tuple[str, dict[str, Any]], inputs: dict[str, tuple[int, int]]
    ) -> None:
        fusion = build(case, inputs).eval()
        tokens = make_tokens(inputs)
        present = torch.tensor(list(product([True, False], repeat=len(inputs))))[:ROWS]
        present = torch.cat([present, everything(inputs, ROWS - len(present))])
        together = fusion(tokens, present)
        for row in range(ROWS):
            one = {name: Tokens(each.values[[row]], each.mask[[row]]) for name, each in tokens.items()}
            alone = fusion(one, present[[row]])
            assert_same(alone, take(together, row))

    def test_any_inputs_may_be_absent(
        self, case: tuple[str, dict[str, Any]], inputs: dict[str, tuple[int, int]]
    ) -> None:
        fusion = build(case, inputs)
        present = torch.tensor(list(product([True, False], repeat=len(inputs))))
        tokens = make_tokens(inputs, rows=len(present))
        for column, (name, each) in enumerate(tokens.items()):
            gone = ~present[:, column]
            values, mask = each.values.clone(), each.mask.clone()
            values[gone], mask[gone] = 0.0, False
            mask[gone, 0] = True
            tokens[name] = Tokens(values.requires_grad_(), mask)
        fused = fusion(tokens, present)
        assert all(torch.isfinite(values).all() for values in parts(fused).values())
        torch.stack([values.square().sum() for values in parts(fused).values()]).sum().backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in fusion.parameters())

    def test_no_input_present_is_as_all_present(
        self, case: tuple[str, dict[str, Any]], inputs: dict[str, tuple[int, int]]
    ) -> None:
        fusion = build(case, inputs).eval()
        tokens = make_tokens(inputs)
        assert_same(fusion(tokens, ~everything(inputs)), fusion(tokens, everything(inputs)))

    def test_state_round_trip_and_determinism(
        self, case: tuple[str, dict[str, Any]], inputs: dict[str, tuple[int, int]]
    ) -> None:
        fusion = build(case, inputs).eval()
        tokens = make_tokens(inputs)
        before = fusion(tokens, everything(inputs))
        memory = io.BytesIO()
        torch.save(fusion.state_dict(), memory)
        memory.seek(0)
        other = build(case, inputs).eval()
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1.0)
        assert not torch.equal(other(tokens, everything(inputs)).vector, before.vector)
        other.load_state_dict(torch.load(memory, weights_only=True))
        after = other(tokens, everything(inputs))
        for left, right in zip(parts(before).values(), parts(after).values(), strict=True):
            assert torch.equal(left, right)


def pad(tokens: Tokens, filling: float) -> Tokens:
    """Two more tokens, and whatever was padding, filled with what must not be read."""
    rows, _, dim = tokens.values.shape
    more = torch.full((rows, 2, dim), filling)
    values = torch.where(tokens.mask.unsqueeze(-1), tokens.values, torch.tensor(filling))
    return Tokens(torch.cat([values, more], dim=1), torch.cat([tokens.mask, torch.zeros(rows, 2) > 0], dim=1))


def take(fused: Fused, row: int) -> Fused:
    """One row as a batch of its own."""
    return Fused(
        vector=fused.vector[[row]],
        tokens=fused.tokens[[row]],
        mask=fused.mask[[row]],
        columns={name: values[[row]] for name, values in fused.columns.items()},
        per_output={name: values[[row]] for name, values in fused.per_output.items()},
    )


@pytest.mark.parametrize("kind", ["attention", "parallel", "late", "bottleneck"])
def test_an_absent_input_does_not_touch_the_vector(kind: str) -> None:
    inputs = INPUTS[3]
    fusion = build((kind, {"heads": 2} if kind == "bottleneck" else {}), inputs).eval()
    present = everything(inputs)
    present[:, 1] = False
    tokens = make_tokens(inputs)
    before = fusion(tokens, present)
    tokens["a.b"] = Tokens(tokens["a.b"].values + 100, tokens["a.b"].mask)
    after = fusion(tokens, present)
    torch.testing.assert_close(after.vector, before.vector)
    assert not torch.equal(after.columns["a.b"], before.columns["a.b"])


@pytest.mark.parametrize("kind", MIXED)
def test_inputs_see_one_another(kind: str) -> None:
    inputs = INPUTS[3]
    fusion = build((kind, {"heads": 2}), inputs).eval()
    tokens = make_tokens(inputs)
    before = fusion(tokens, everything(inputs))
    tokens["a.b"] = Tokens(tokens["a.b"].values + 3, tokens["a.b"].mask)
    after = fusion(tokens, everything(inputs))
    for name in inputs:
        assert (after.only(name).tokens - before.only(name).tokens).abs().max() > 1e-6, name


@pytest.mark.parametrize("kind", FUSIONS)
def test_half_precision(kind: str) -> None:
    inputs = INPUTS[2]
    fusion = build((kind, SETTINGS.get(kind, [{}])[0]), inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fused = fusion(make_tokens(inputs), everything(inputs))
    assert all(torch.isfinite(values).all() for values in parts(fused).values())


@pytest.mark.parametrize("kind", FUSIONS)
def test_configuration(kind: str) -> None:
    make = FUSIONS[kind].Config
    config = make(width=12, dropout=0.25)
    assert config.kind == kind
    assert make.model_validate_json(config.model_dump_json()) == config
    assert next(iter(make.model_fields)) == "kind"
    assert all(field.description for name, field in make.model_fields.items() if name != "kind")
    with pytest.raises(ValidationError, match="Extra inputs"):
        make(wdith=12)
    with pytest.raises(ValidationError, match="kind"):
        make(kind="other")
    with pytest.raises(ValidationError, match="frozen"):
        config.width = 3
