"""A causal language model as a decoder: what it learns, what it keeps, and that it says the same later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sensorium.batch import Fused, Place, Raw
from sensorium.data.causal_text import CausalTextColumn
from sensorium.decoders.causal import CausalDecoder, CausalDecoderConfig
from sensorium.decoders.writing import WritingConfig
from sensorium.errors import RecipeError, SensoriumError, WeightsError
from sensorium.fitting import train_in
from sensorium.predict import load
from sensorium.recipe import Recipe, parse_recipe
from sensorium.training.checkpoint import load_checkpoint
from sensorium.training.progress import Silent
from sensorium.training.run import RunFolder
from sensorium.weights import find
from tests import made
from tests.decoders.made_language_model import made_language_model
from tests.made_checkpoints import made_checkpoint

WIDTH = 8
COLOURS = ["red", "green", "blue", "black"]
TABLE: dict[str, list[Any]] = {
    "words": [f"a {COLOURS[row % 4]} thing {row % 7}" for row in range(48)],
    "size": [row % 5 for row in range(48)],
    "answer": [COLOURS[row % 4] for row in range(47)] + [None],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny language model and a table."""
    folder = tmp_path_factory.mktemp("causal")
    made_language_model(folder / "tiny")
    made.write_csv(folder / "table.csv", TABLE)
    return folder


def decoder_of(home: Path, **fields: Any) -> CausalDecoder:
    torch.manual_seed(0)
    config = CausalDecoderConfig(weights="tiny", length=8, **fields)
    column = CausalDecoder.target(config, None)
    column.base = home
    return CausalDecoder(config, column, WIDTH, WIDTH)


def rows_of(decoder: CausalDecoder) -> tuple[Fused, Raw]:
    """Three rows, the second with a token less and the third without a target."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(3, 4, WIDTH, generator=generator)
    mask = torch.tensor([[True] * 4, [True, True, False, True], [True] * 4])
    places = {"words": Place(0, 3), "size": Place(3, 1)}
    cells = decoder.column.collate([decoder.column.decode(one) for one in ("red", "a cat")] + [None])
    fused = Fused(tokens[:, 0], tokens, mask, {}, places)
    return fused, Raw(torch.from_numpy(cells.values), torch.from_numpy(cells.mask))


def one_row(fused: Fused, row: int) -> Fused:
    return Fused(fused.vector[[row]], fused.tokens[[row]], fused.mask[[row]], {}, fused.places)


def test_the_loss_is_that_of_the_answer_alone(home: Path) -> None:
    decoder = decoder_of(home, prompt="{size} what?", chat=False)
    fused, target = rows_of(decoder)
    prompt, _ = decoder.vectors(decoder._prompt(fused), decoder.projector(fused), 3)
    assert prompt.shape[1] == 1 + 3 + len(" what?")
    answer = target.values[[0], :3] - 1
    ids = torch.cat([answer, torch.tensor([[2]])], dim=1)  # <|im_end|>
    whole = torch.cat([prompt[:1], decoder.language.embed(answer)], dim=1)
    states = decoder.language.states(whole, torch.ones(1, whole.shape[1], dtype=torch.bool))
    logits = states[:, -4:] @ decoder.language.output_weight.T
    wanted = torch.nn.functional.cross_entropy(logits[0], ids[0])
    losses = decoder.loss(fused, target)
    torch.testing.assert_close(losses[0], wanted)
    assert losses[2] == 0


def test_rows_and_padding_do_not_matter(home: Path) -> None:
    decoder = decoder_of(home)
    fused, target = rows_of(decoder)
    whole, writing = decoder.loss(fused, target), WritingConfig(length=6)
    written = decoder.write(fused, writing)
    for row in range(3):
        alone = one_row(fused, row)
        alone.tokens[~alone.mask] = float("nan")
        own = decoder.loss(alone, target.rows(torch.tensor([row])))
        torch.testing.assert_close(own, whole[[row]], atol=1e-4, rtol=1e-4)
        ids = decoder.write(alone, writing).ids[0, :, 0]
        assert torch.equal(ids, written.ids[row, : len(ids), 0])
        assert not written.ids[row, len(ids) :].any()


@pytest.mark.parametrize(
    ("tune", "moves"),
    [("projector", ""), ("lora", "lora_"), ("last-1", "layers.1."), ("full", "layers.0.")],
)
def test_what_is_tuned_gets_a_gradient(home: Path, tune: str, moves: str) -> None:
    decoder = decoder_of(home, tune=tune, gradient_checkpointing=tune == "full", lora_dropout=0.1).train()
    decoder.begin_tuning()
    decoder.loss(*rows_of(decoder)).sum().backward()
    moved = {name for name, one in decoder.named_parameters() if one.grad is not None}
    assert all(name in moved for name, _ in decoder.named_parameters() if name.startswith("projector."))
    of_model = {name for name in moved if name.startswith("language.")}
    assert any(moves in name for name in of_model) == bool(moves)
    trained = {name for name, one in decoder.named_parameters() if one.requires_grad}
    assert moved == trained
    rates = decoder.learning_rates(1e-3)
    assert {name for name, one in decoder.named_parameters() if one in rates} == of_model


def test_beams_and_drawn_texts(home: Path) -> None:
    decoder = decoder_of(home)
    fused, _ = rows_of(decoder)
    beams = decoder.write(fused, WritingConfig(length=5, beams=3, best=2))
    assert beams.ids.shape == (3, 5, 2)
    assert (beams.scores[:, 0] >= beams.scores[:, 1]).all()
    how = WritingConfig(length=5, temperature=1.0, best=2, seed=3)
    assert torch.equal(decoder.write(fused, how).ids, decoder.write(fused, how).ids)


def recipe_of(home: Path, training: dict[str, Any] | None = None, **decoder: Any) -> Recipe:
    fields = {"kind": "causal", "weights": "tiny", "prompt": "What is {words}?", "length": 8, **decoder}
    content = {
        "data": "table.csv",
        "inputs": {"words": {"type": "text", "tokenizer": "word", "min_count": 1}, "size": "number"},
        "outputs": {
            "answer": {
                "type": "text",
                "decoder": fields,
                "writing": {"length": 8},
                "metric": "exact_match",
            }
        },
        "training": {"epochs": 1, "batch_size": 16, **(training or {})},
    }
    return parse_recipe(content, folder=home)


def test_it_learns_and_says_the_same_when_it_is_loaded(home: Path, tmp_path: Path) -> None:
    training = {"epochs": 35, "optimizer": {"lr": 0.01}}
    run = train_in(recipe_of(home, training, tune="full", lr=0.01, chat=False), tmp_path / "run", Silent())
    predictor = load(run)
    said = predictor.predict(home / "table.csv")
    assert np.mean(said[:47] == np.array(TABLE["answer"][:47])) > 0.9
    alone = predictor.predict({name: cells[:3] for name, cells in TABLE.items() if name != "answer"})
    assert alone.tolist() == said[:3].tolist()


def test_frozen_weights_are_in_the_model_and_in_no_checkpoint(home: Path, tmp_path: Path) -> None:
    run = train_in(recipe_of(home, tune="lora"), tmp_path / "run", Silent())
    tensors, _ = load_checkpoint(RunFolder(run).best)
    assert any(".lora_A." in name for name in tensors)
    assert not any("embed_tokens" in name for name in tensors)
    decoder = load(run).model.decoders()["answer"]
    state = decoder.state_dict()
    assert not any("lora" in name for name in state)
    checkpoint = find("tiny", home)
    kept = CausalTextColumn(None, "tiny", 8)
    kept.base = home
    assert kept.checkpoint.digest == checkpoint.digest
    again = decoder_of(home).language.state_dict()
    norm = "backbone.layers.0.input_layernorm.weight"
    assert torch.equal(state[f"language.{norm}"], again[norm])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": "{wrds}?"}, r"outputs\.answer\.decoder\.prompt: 'wrds' is no input \(did you mean words"),
        ({"tune": "frozen"}, r"outputs\.answer\.decoder\.tune: write projector"),
        ({"stop": [""]}, r"outputs\.answer\.decoder\.stop: a stop string is not empty"),
    ],
)
def test_a_wrong_field_is_named(home: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        recipe_of(home, **fields)


def test_what_cannot_be_trained_is_said_before(home: Path, tmp_path: Path) -> None:
    made_checkpoint(home / "bert", "bert")
    for fields, error, words in (
        ({"weights": "bert"}, WeightsError, r"outputs\.answer: bert: no causal language model"),
        ({"weights": "nowhere/no"}, WeightsError, "nowhere/no"),
        ({"tune": "last-9"}, RecipeError, r"outputs\.answer\.decoder\.tune: last-9: tiny has 2 blocks"),
        ({"grammar": "start: x"}, RecipeError, r"outputs\.answer: grammar: "),
    ):
        with pytest.raises(error, match=words) as raised:
            train_in(recipe_of(home, **fields), tmp_path / "run", Silent())
        assert "\n" not in str(raised.value)


def test_a_prompt_that_fills_the_context_is_said(home: Path) -> None:
    decoder = decoder_of(home, prompt="word " * 60)
    fused, target = rows_of(decoder)
    with pytest.raises(SensoriumError, match="the context of tiny holds 256"):
        decoder.write(fused, WritingConfig())
    with pytest.raises(SensoriumError, match="the context of tiny holds 256"):
        decoder.loss(fused, target)
