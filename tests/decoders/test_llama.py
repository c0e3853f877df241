"""The own forward pass against transformers', with padding, a memory and other rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sensorium.decoders.language_model import LanguageModel, TransformersWriter, Writer, open_writer
from sensorium.decoders.llama import Llama, is_quick
from sensorium.encoders.pretrained.tune import merged_state
from sensorium.errors import WeightsError
from sensorium.weights import find
from tests.decoders.made_language_model import made_language_model
from tests.made_checkpoints import made_checkpoint

IDS = torch.arange(27).view(3, 9) * 11 % 259
MASK = torch.ones(3, 9, dtype=torch.bool)
MASK[1, 2:5] = False
MASK[2, :3] = False


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return LanguageModel(find(str(made_language_model(tmp_path_factory.mktemp("llama"))), Path()))


def plain(model: LanguageModel) -> Llama:
    """In float32, whatever this machine multiplies fast."""
    return Llama(model.config, merged_state(model.backbone), torch.float32)


@torch.no_grad()
def read_in_parts(writer: Writer) -> list[Tensor]:
    """Logits of six tokens, of three more, and of one more of other rows."""
    memory = writer.begin(MASK, 20)
    found = []
    for part in (slice(0, 6), slice(6, 9)):
        states, memory = writer.read(writer.embed(IDS[:, part]), memory)
        found.append(writer.logits(states)[MASK[:, part]])
    memory = memory.rows(torch.tensor([2, 1, 1, 0]))
    states, _ = writer.read(writer.embed(torch.tensor([[5], [6], [7], [8]])), memory)
    return [*found, writer.logits(states[:, 0])]


def test_both_writers_say_what_the_whole_model_says(model: LanguageModel) -> None:
    with torch.no_grad():
        whole = functional.linear(model.states(model.embed(IDS), MASK), model.output_weight)
    for writer in (plain(model), TransformersWriter(model)):
        first, then, after = read_in_parts(writer)
        torch.testing.assert_close(first, whole[:, :6][MASK[:, :6]], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(then, whole[:, 6:][MASK[:, 6:]], atol=1e-4, rtol=1e-4)
        assert after.shape == (4, 272)
    torch.testing.assert_close(after, read_in_parts(plain(model))[2], atol=1e-4, rtol=1e-4)


def test_rows_of_one_beginning_go_different_ways(model: LanguageModel) -> None:
    after = read_in_parts(plain(model))[2]
    assert not torch.allclose(after[1], after[2], atol=1e-2)


def test_bfloat16_is_close(model: LanguageModel) -> None:
    lowered = Llama(model.config, merged_state(model.backbone), torch.bfloat16)
    for one, other in zip(read_in_parts(lowered), read_in_parts(plain(model)), strict=True):
        assert float(functional.cosine_similarity(one, other, dim=1).min()) > 0.999


def test_an_output_of_its_own_and_another_architecture_write_through_the_same_door(tmp_path: Path) -> None:
    for name, changes in (("llama", {"tie_word_embeddings": False}), ("qwen3", {})):
        model = LanguageModel(find(str(made_language_model(tmp_path / name, name, **changes)), Path()))
        assert is_quick(model.config) == (name == "llama")
        assert (model.output is None) == (name == "qwen3")
        with torch.no_grad():
            whole = functional.linear(model.states(model.embed(IDS), MASK), model.output_weight)
        first, _, _ = read_in_parts(model.writer())
        assert float(functional.cosine_similarity(first, whole[:, :6][MASK[:, :6]], dim=1).min()) > 0.999


def test_a_writer_is_made_anew_where_weights_have_changed(model: LanguageModel) -> None:
    before = model.writer()
    assert model.writer() is before
    with torch.no_grad():
        model.backbone.norm.weight.mul_(1.0)
    assert model.writer() is not before


def test_a_writer_of_the_files_alone_says_the_same(model: LanguageModel, tmp_path: Path) -> None:
    checkpoint = find(str(made_language_model(tmp_path / "again")), Path())
    for one, other in zip(read_in_parts(open_writer(checkpoint)), read_in_parts(model.writer()), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["bert", "vit"])
def test_what_is_no_causal_model_is_refused(tmp_path: Path, architecture: str) -> None:
    checkpoint = find(str(made_checkpoint(tmp_path, architecture)), Path())
    with pytest.raises(WeightsError, match="no causal language model") as error:
        LanguageModel(checkpoint)
    assert "\n" not in str(error.value)
