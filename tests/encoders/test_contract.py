"""What every encoder promises, asked of every entry of the table: a new one is tested once it is listed."""

from __future__ import annotations

import copy
import functools
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from sensorium.batch import Raw, Tokens
from sensorium.encoders import ENCODERS
from tests.made_checkpoints import made_checkpoint

ENTRIES = [(kind_of_column, kind) for kind_of_column, kinds in ENCODERS.items() for kind in kinds]
PADDED = [entry for entry in ENTRIES if entry[0] in ("text", "audio", "video")]
SMALL: dict[tuple[str, str], dict[str, Any]] = {
    ("text", "cnn"): {"embedding": 12, "filters": 5, "kernels": [2, 3]},
    ("text", "transformer"): {"width": 16, "heads": 2, "positions": "learned"},
    ("image", "cnn"): {"channels": [8, 12]},
    ("image", "vit"): {"patch": 8, "width": 24, "depth": 2},
    ("audio", "cnn"): {"channels": [4, 8], "dense": 10, "log_mel": {"mels": 20}},
    ("audio", "lstm"): {"hidden": 6, "layers": 2},
    ("audio", "transformer"): {"width": 16, "heads": 2},
    ("audio", "conformer"): {"channels": 3, "width": 16, "heads": 2, "depth": 2, "kernel": 5},
    ("video", "frames"): {"image": {"kind": "cnn", "channels": [4, 6], "pool": "mean"}},
    ("number", "token"): {"frequencies": 3},
}
AUGMENT = SimpleNamespace(
    flip=True, shift=0.1, scale=0.2, rotate=10.0, brightness=0.2, contrast=0.2, erase=0.5
)
COLUMNS = {
    "text": SimpleNamespace(
        vocabulary_size=30,
        config=SimpleNamespace(length=16),
        ngrams=np.arange(3, 31),  # of one token each: the hash of token i is i + 1
        rarity=np.linspace(1, 2, 28, dtype=np.float32),
    ),
    "image": SimpleNamespace(height=32, width=40, config=SimpleNamespace(augment=AUGMENT)),
    "audio": SimpleNamespace(rate=8000),
    "video": SimpleNamespace(height=16, width=16, config=SimpleNamespace(augment=AUGMENT)),
    "number": SimpleNamespace(),
    "category": SimpleNamespace(size=7),
    "categories": SimpleNamespace(size=7),
}
PRETRAINED = {"text": "bert", "audio": "wav2vec2", "image": "convnext", "video": "convnext"}
"""Type of column → the architecture of its tiny checkpoint; tests of each type go through the others."""
READ_AS: dict[str, dict[str, Any]] = {"image": {"size": (32, 40)}, "video": {"size": 16, "frames": 5}}
"""Type of column → how a pretrained encoder's column is configured."""
ROWS = 3


def lengths(*counts: int) -> Tensor:
    """The mask of rows with so many real tokens each."""
    return torch.arange(max(counts)) < torch.tensor(counts).unsqueeze(1)


def raw_values(kind_of_column: str) -> Raw:
    """Three rows of a column, with padding where the column has any."""
    single = torch.ones(ROWS, 1, dtype=torch.bool)
    return {
        "text": lambda: Raw(torch.randint(2, 30, (ROWS, 9)), lengths(9, 4, 1)),
        "image": lambda: Raw(torch.randint(0, 256, (ROWS, 3, 32, 40), dtype=torch.uint8), single),
        "audio": lambda: Raw(torch.randn(ROWS, 3000) / 5, lengths(3000, 1500, 7)),
        "video": lambda: Raw(
            torch.randint(0, 256, (ROWS, 5, 3, 16, 16), dtype=torch.uint8), lengths(5, 3, 1)
        ),
        "number": lambda: Raw(torch.tensor([[0.5], [-1.0], [2.0]]), single),
        "category": lambda: Raw(torch.tensor([[3], [0], [6]]), single),
        "categories": lambda: Raw(
            torch.tensor([[0.0, 1, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]]), single
        ),
    }[kind_of_column]()


def build(kind_of_column: str, kind: str) -> Any:
    """A small encoder of this entry, always with the same weights."""
    encoder = copy.deepcopy(_built(kind_of_column, kind))
    torch.manual_seed(1)
    return encoder


@functools.cache
def _built(kind_of_column: str, kind: str) -> Any:
    torch.manual_seed(0)
    encoder = ENCODERS[kind_of_column][kind]
    config = encoder.Config(**SMALL.get((kind_of_column, kind), {}))
    if kind != "pretrained":
        return encoder(config, COLUMNS[kind_of_column])
    pytest.importorskip("transformers")
    with tempfile.TemporaryDirectory() as folder:
        made_checkpoint(Path(folder), PRETRAINED[kind_of_column])
        read_as = encoder.Column.Config(**READ_AS.get(kind_of_column, {}))
        return encoder(config, encoder.Column(read_as, folder, Path()))


def assert_same_real_tokens(first: Tokens, second: Tokens) -> None:
    """Equal counts of real tokens a row, and equal values there."""
    assert first.mask.sum(dim=1).tolist() == second.mask.sum(dim=1).tolist()
    expected = second.values[second.mask].detach()
    tolerance = 1e-5 * float(expected.square().mean().sqrt()) + 1e-6
    torch.testing.assert_close(first.values[first.mask].detach(), expected, atol=tolerance, rtol=1e-4)


every_entry = pytest.mark.parametrize(("kind_of_column", "kind"), ENTRIES)


@every_entry
def test_the_table_lists_an_encoder_under_its_kind(kind_of_column: str, kind: str) -> None:
    assert issubclass(ENCODERS[kind_of_column][kind], nn.Module)
    assert ENCODERS[kind_of_column][kind].Config().kind == kind


@every_entry
@pytest.mark.parametrize("training", [True, False])
def test_tokens_have_the_promised_shape_and_are_finite(
    kind_of_column: str, kind: str, training: bool
) -> None:
    encoder, raw = build(kind_of_column, kind).train(training), raw_values(kind_of_column)

    tokens = encoder(raw)

    assert tokens.values.shape == (*tokens.mask.shape, encoder.dim)
    assert len(tokens.values) == ROWS
    assert tokens.mask.dtype == torch.bool
    assert tokens.mask.any(dim=1).all()
    assert tokens.values.isfinite().all()


@every_entry
def test_the_gradient_reaches_every_parameter(kind_of_column: str, kind: str) -> None:
    encoder = build(kind_of_column, kind)
    tokens = encoder(raw_values(kind_of_column))
    answer = (tokens.values[tokens.mask] * torch.randn(encoder.dim)).sum()
    trained = {name: value for name, value in encoder.named_parameters() if value.requires_grad}
    if trained:
        answer.backward()

    silent = [name for name, value in trained.items() if value.grad is None or not value.grad.any()]
    assert silent == []


@pytest.mark.parametrize(("kind_of_column", "kind"), PADDED)
def test_padding_changes_nothing(kind_of_column: str, kind: str) -> None:
    encoder, raw = build(kind_of_column, kind).eval(), raw_values(kind_of_column)
    rubbish = {"text": 17, "audio": float("nan"), "video": 200}[kind_of_column]
    real = raw.mask.view(*raw.mask.shape, *(1,) * (raw.values.dim() - 2))
    longer = raw.values.shape[1] + {"text": 4, "audio": 777, "video": 2}[kind_of_column]
    values = raw.values.new_full((ROWS, longer, *raw.values.shape[2:]), rubbish)
    values[:, : raw.values.shape[1]] = torch.where(real, raw.values, values[:, : raw.values.shape[1]])
    mask = torch.zeros(ROWS, longer, dtype=torch.bool)
    mask[:, : raw.mask.shape[1]] = raw.mask

    padded = encoder(Raw(values, mask))

    assert_same_real_tokens(encoder(raw), padded)
    assert padded.values.isfinite().all()


@every_entry
def test_rows_do_not_influence_each_other(kind_of_column: str, kind: str) -> None:
    encoder, raw = build(kind_of_column, kind).eval(), raw_values(kind_of_column)
    together = encoder(raw)

    for row in range(ROWS):
        alone = encoder(raw.rows(torch.tensor([row])))
        assert_same_real_tokens(alone, Tokens(together.values[row : row + 1], together.mask[row : row + 1]))


@every_entry
def test_a_batch_of_one_row_can_be_trained(kind_of_column: str, kind: str) -> None:
    encoder = build(kind_of_column, kind)

    tokens = encoder(raw_values(kind_of_column).rows(torch.tensor([ROWS - 1])))

    assert tokens.values.isfinite().all()
    if any(value.requires_grad for value in encoder.parameters()):
        tokens.values.sum().backward()


@every_entry
def test_saved_weights_give_the_same_tokens(kind_of_column: str, kind: str) -> None:
    raw = raw_values(kind_of_column)
    first, second = build(kind_of_column, kind), build(kind_of_column, kind)
    first(raw)  # moves the running statistics
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(torch.randn_like(parameter) / 10)

    second.load_state_dict(first.state_dict())

    assert torch.equal(first.eval()(raw).values, second.eval()(raw).values)


@every_entry
def test_the_configuration_refuses_an_unknown_field(kind_of_column: str, kind: str) -> None:
    with pytest.raises(ValidationError, match="colour_of_the_sky"):
        ENCODERS[kind_of_column][kind].Config(colour_of_the_sky="blue")


@every_entry
def test_the_configuration_survives_json(kind_of_column: str, kind: str) -> None:
    config = ENCODERS[kind_of_column][kind].Config(**SMALL.get((kind_of_column, kind), {}))

    assert type(config).model_validate_json(config.model_dump_json()) == config
    assert type(config).model_json_schema()["properties"]["kind"]["const"] == kind
    described = type(config).model_json_schema()["properties"]
    assert [name for name, field in described.items() if name != "kind" and "description" not in field] == []


@every_entry
def test_in_use_nothing_is_drawn(kind_of_column: str, kind: str) -> None:
    encoder, raw = build(kind_of_column, kind).eval(), raw_values(kind_of_column)
    before = torch.get_rng_state()

    first = encoder(raw)

    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.values, encoder(raw).values)


@every_entry
def test_a_restored_generator_repeats_training_bit_for_bit(kind_of_column: str, kind: str) -> None:
    encoder, raw = build(kind_of_column, kind), raw_values(kind_of_column)
    before = torch.get_rng_state()
    first = encoder(raw)

    torch.set_rng_state(before)

    assert torch.equal(first.values, encoder(raw).values)


@every_entry
def test_half_precision_stays_close(kind_of_column: str, kind: str) -> None:
    encoder, raw = build(kind_of_column, kind).eval(), raw_values(kind_of_column)
    full = encoder(raw)

    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(raw)

    assert half.values.isfinite().all()
    scale = full.values[full.mask].square().mean().sqrt()
    assert (half.values.float() - full.values)[full.mask].square().mean().sqrt() < 0.1 * scale + 1e-3
