"""Whisper's decoder says what transformers' says, on a tiny checkpoint with random weights."""

import json

import pytest
import torch
import transformers

from sensorium.batch import Fused, Place, Raw
from sensorium.decoders.whisper import WhisperDecoder
from sensorium.decoders.writing import WritingConfig
from sensorium.errors import RecipeError, WeightsError
from tests.made import WORDS
from tests.made_checkpoints import made_checkpoint, made_whisper

END, START, LAST = (len(WORDS) + number for number in range(3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_whisper(tmp_path_factory.mktemp("whisper"), max_source_positions=7)


def decoder_of(folder, width=32, **settings):
    config = WhisperDecoder.Config(weights=str(folder), **settings)
    return WhisperDecoder(config, WhisperDecoder.target(config, None), 1, width).eval()


def fused(tokens, lengths=None):
    rows, count, _ = tokens.shape
    mask = torch.arange(count) < torch.tensor(lengths or [count] * rows).unsqueeze(1)
    return Fused(tokens[:, 0], tokens, mask, {}, {"speech": Place(0, count)})


def test_logits_and_losses_are_those_of_transformers(folder):
    decoder, sounds = decoder_of(folder), torch.randn(2, 7, 32)
    words = torch.tensor([[4, 5, 6], [7, 8, 9]])
    model = transformers.WhisperModel.from_pretrained(folder).decoder.eval()
    with torch.no_grad():
        ids = torch.cat([torch.tensor([[START, LAST]] * 2), words], dim=1)
        states = model(ids, encoder_hidden_states=sounds).last_hidden_state
        logits = (states @ model.embed_tokens.weight.T)[:, 1:]
        wanted = torch.cat([words, torch.tensor([[END]] * 2)], dim=1)
        expected = torch.nn.functional.cross_entropy(logits.transpose(1, 2), wanted, reduction="none").mean(
            dim=1
        )
    loss = decoder.loss(fused(sounds), Raw(words + 1, torch.ones_like(words, dtype=torch.bool)))
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    first = decoder.write(fused(sounds), WritingConfig(length=1)).ids[:, 0, 0] - 1
    allowed = logits[:, 0].clone()
    allowed[:, END + 1 :] = -torch.inf
    assert torch.where(first < 0, END, first).tolist() == allowed.argmax(dim=1).tolist()


@pytest.mark.parametrize("beams", [1, 3])
def test_other_rows_change_nothing(folder, beams):
    decoder, sounds = decoder_of(folder), torch.randn(2, 7, 32)
    writing = WritingConfig(length=6, beams=beams)
    alone = decoder.write(fused(sounds[:1]), writing)
    among = decoder.write(fused(sounds), writing)
    torch.testing.assert_close(among.ids[:1], alone.ids)
    torch.testing.assert_close(among.scores[:1], alone.scores)


def test_texts_go_through_the_column(folder):
    column = WhisperDecoder.target(WhisperDecoder.Config(weights=str(folder)), None)
    ids = column.decode("red green")
    assert ids.tolist() == [WORDS.index("red") + 1, WORDS.index("green") + 1]
    assert column.text([*ids, END + 1, 0, 0]) == "red green"
    again = WhisperDecoder.target(WhisperDecoder.Config(weights="nowhere"), None)
    again.load_state(json.loads(json.dumps(column.state())))
    assert again.text(ids) == "red green"
    assert again.vocabulary_size == 65


def test_frozen_or_trained(folder):
    assert not any(one.requires_grad for one in decoder_of(folder).parameters())
    assert decoder_of(folder).learning_rates(1e-3) == {}
    trained = decoder_of(folder, tune="full", lr=3e-6).train()
    assert set(trained.learning_rates(1e-3).values()) == {3e-6}
    assert set(trained.learning_rates(1e-3)) == set(trained.parameters())
    words = torch.tensor([[5, 6]])
    trained.loss(fused(torch.randn(1, 7, 32)), Raw(words, words > 0)).sum().backward()
    assert all(one.grad is not None for one in trained.parameters())


def test_a_missing_sound_or_text_teaches_and_says_nothing(folder):
    decoder, rows = decoder_of(folder), fused(torch.randn(2, 7, 32))
    rows.present["speech"] = torch.tensor([False, True])
    words = torch.tensor([[5], [5]])
    losses = decoder.loss(rows, Raw(words, torch.tensor([[True], [False]])))
    assert losses.tolist() == [0.0, 0.0]
    assert not decoder.write(rows, WritingConfig(length=4)).ids[0].any()


def test_what_a_recipe_cannot_have(folder, tmp_path):
    with pytest.raises(RecipeError, match=r"fusion: \{kind: plain, width: 32\}"):
        decoder_of(folder, width=16)
    with pytest.raises(RecipeError, match="knows English alone"):
        decoder_of(folder, language="xx")
    with pytest.raises(RecipeError, match="500 is more than Whisper can write, 446 tokens"):
        decoder_of(folder).write(fused(torch.randn(1, 7, 32)), WritingConfig(length=500))
    with pytest.raises(RecipeError, match="wants all 7 moments of its encoder: write pool: whole"):
        decoder_of(folder).write(fused(torch.randn(1, 7, 32), [5]), WritingConfig())
    with pytest.raises(WeightsError, match="no checkpoint of Whisper"):
        decoder_of(made_checkpoint(tmp_path / "hubert", "hubert"))
