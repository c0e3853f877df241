"""Answers that are cut out of a text of their row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sensorium.batch import Fused, Place, Raw, to_device
from sensorium.data.answer import AnswerColumn
from sensorium.data.column import ColumnConfig
from sensorium.data.text import TextColumn, TextConfig
from sensorium.decoders.extract import ExtractDecoder, ExtractDecoderConfig, found
from sensorium.decoders.writing import WritingConfig
from sensorium.encoded import encode_all, predict_encoded
from sensorium.errors import RecipeError
from sensorium.fitting import train_in
from sensorium.predict import load
from sensorium.recipe import parse_recipe
from sensorium.training.progress import Silent

IDS = torch.tensor([[5, 6, 7, 5, 6, -1], [8, 9, -1, -1, -1, -1]])
SCORES = [[(2.5, 0.0), (0.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.0, 3.0)], [(0.0, 0.0), (1.0, 1.0)]]


def raw(rows: list[list[int]]) -> Raw:
    longest = max(1, *map(len, rows))
    values = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    return Raw(values, torch.tensor([[place < len(row) for place in range(longest)] for row in rows]))


def scored() -> tuple[ExtractDecoder, Fused]:
    """A decoder that gives the tokens' two numbers as the scores of begin and end."""
    decoder = ExtractDecoder(ExtractDecoderConfig(), AnswerColumn(ColumnConfig()), 2, 2).eval()
    decoder.ends = nn.Sequential()
    tokens, mask = torch.full((2, 6, 2), 99.0), IDS >= 0
    for row, pairs in enumerate(SCORES):
        tokens[row, : len(pairs)] = torch.tensor(pairs)
    columns = {"text": tokens.mean(dim=1)}
    return decoder, Fused(columns["text"], tokens, mask, columns, {"text": Place(0, 6)}, ids={"text": IDS})


def log_share(score: float, scores: list[float]) -> float:
    return score - math.log(sum(math.exp(one) for one in scores))


def test_an_answer_is_found_wherever_it_stands() -> None:
    assert found(IDS, raw([[5, 6], [9]])).nonzero().tolist() == [[0, 0], [0, 3], [1, 1]]
    assert not found(IDS, raw([[6, 8], []])).any()
    assert found(IDS, raw([[6], [9, 8]])).nonzero().tolist() == [[0, 1], [0, 4]]


def test_the_probabilities_of_all_places_of_an_answer_are_added() -> None:
    decoder, fused = scored()
    begin, end = [2.5, 0, 0, 1, 0], [0, 1.0, 0, 0, 3]
    first = math.exp(log_share(2.5, begin) + log_share(1, end))
    second = math.exp(log_share(1, begin) + log_share(3, end))
    loss = decoder.loss(fused, raw([[5, 6], [9]]))
    alone = log_share(1, [0, 1.0])
    assert loss.tolist() == pytest.approx([-math.log(first + second) / 2, -alone])


def test_what_cannot_be_found_teaches_nothing() -> None:
    decoder, fused = scored()
    fused.tokens.requires_grad_()
    loss = decoder.loss(fused, raw([[7, 8], []]))
    assert loss.tolist() == [0.0, 0.0]
    (gradient,) = torch.autograd.grad(loss.sum(), fused.tokens)
    assert not gradient.any()


def test_the_likeliest_parts_are_written_first() -> None:
    decoder, fused = scored()
    written = decoder.write(fused, WritingConfig(length=3, beams=2, best=2))
    # With three tokens at most, 5 6 at the end (1 + 3) is likelier than 5 6 at the start (2.5 + 1).
    assert written.ids[0].T.tolist() == [[5, 6, 0], [5, 6, 0]]
    assert written.ids[1].T.tolist() == [[9, 0, 0], [8, 9, 0]]
    begin, end = log_share(1, [2.5, 0, 0, 1, 0]), log_share(3, [0, 1.0, 0, 0, 3])
    assert written.scores[0, 0].item() == pytest.approx((begin + end) / 2)
    whole = decoder.write(fused, WritingConfig(length=5))
    assert whole.ids[0, :, 0].tolist() == [5, 6, 7, 5, 6]


def test_a_missing_text_gives_no_answer() -> None:
    decoder, fused = scored()
    present = {"text": torch.tensor([True, False])}
    hidden = Fused(
        fused.vector, fused.tokens, fused.mask, fused.columns, fused.places, {}, present, fused.ids
    )
    assert decoder.loss(hidden, raw([[7], [9]]))[1] == 0
    assert not decoder.write(hidden, WritingConfig(length=3)).ids[1].any()


def test_answers_that_do_not_stand_in_their_texts_are_told() -> None:
    decoder, fused = scored()
    decoder.train()
    decoder.loss(fused, raw([[5, 6], [7]]))
    assert decoder.remarks()[0].startswith("1 of 2 rows have an answer that is not found in their text")
    assert decoder.remarks() == []
    for _ in range(15):
        decoder.loss(fused, raw([[5], [7]]))
    with pytest.raises(RecipeError, match="17 of 32 rows have an answer that is not found"):
        decoder.loss(fused, raw([[8], [7]]))


def test_nothing_is_drawn() -> None:
    decoder, fused = scored()
    with pytest.raises(RecipeError, match="extract draws no texts"):
        decoder.write(fused, WritingConfig(temperature=1.0))


def test_an_answer_is_read_as_its_text_is() -> None:
    text = TextColumn(TextConfig(lowercase=False))
    text.fit(["Room 417 is free", "Room 52 is shut"] * 3)
    answer = AnswerColumn(ColumnConfig())
    answer.source = text
    whole, part = text.decode("Room 417 is free"), answer.decode("417")
    assert found(torch.from_numpy(whole)[None], raw([part.tolist()])).sum() == 1
    assert answer.text(part) == "417"


def recipe(**text: Any) -> dict[str, Any]:
    transformer = {"kind": "transformer", "width": 8, "depth": 1, "heads": 2}
    return {
        "inputs": {
            "text": {"type": "text", "min_count": 1, "encoder": transformer, **text},
            "question": {"type": "text", "min_count": 1, "encoder": {"kind": "mean", "embedding": 8}},
        },
        "fusion": {"kind": "transformer", "width": 8, "layers": 1, "heads": 2},
        "outputs": {"answer": {"type": "text", "decoder": {"kind": "extract", "input": "text"}}},
        "training": {"epochs": 1},
    }


TABLE = {
    "text": [f"room {number} is free" for number in range(100, 140)],
    "question": ["which room is free?"] * 40,
    "answer": [str(number) for number in range(100, 140)],
}


def test_a_model_that_is_encoded_apart_or_saved_and_loaded_cuts_the_same_answers_out(tmp_path: Path) -> None:
    predictor = load(train_in(parse_recipe(recipe()), tmp_path / "run", Silent(), data=TABLE))
    asked = {"text": ["room 417 is free", None], "question": ["which room is free?"] * 2}
    first, second = predictor.predict_table(asked)["answer_prediction"].to_pylist()
    assert first
    assert first in "room 417 is free"
    assert not second
    loader = predictor.loader(predictor.open(asked))
    inputs = to_device(loader.batch(np.arange(2)).inputs, torch.device("cpu"))
    encoded = predict_encoded(predictor.model, encode_all(predictor.model, inputs))
    assert predictor.model.predict(inputs)["answer"]["ids"].tolist() == encoded["answer"]["ids"].tolist()
    predictor.save(tmp_path / "saved")
    again = load(tmp_path / "saved").predict_table(asked)["answer_prediction"].to_pylist()
    assert again == [first, second]


def test_a_text_of_one_vector_holds_no_answers(tmp_path: Path) -> None:
    content = parse_recipe(recipe(encoder={"kind": "mean", "embedding": 8}))
    with pytest.raises(RecipeError, match="text must come with a token a word"):
        train_in(content, tmp_path / "run", Silent(), data=TABLE)


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        ({"input": "texts"}, r"outputs.answer.decoder.input: 'texts' is no input \(did you mean text\?\)"),
        ({}, r"outputs.answer.decoder.input: extract reads one input; name one of text, question"),
    ],
)
def test_the_text_is_named(decoder: dict[str, Any], message: str) -> None:
    content = recipe()
    content["outputs"]["answer"]["decoder"] = {"kind": "extract", **decoder}
    with pytest.raises(RecipeError, match=message):
        parse_recipe(content)


def test_answers_are_not_cut_out_of_a_picture(tmp_path: Path) -> None:
    content = recipe()
    content["inputs"]["text"] = {"type": "category"}
    with pytest.raises(RecipeError, match="extract copies from an input of type text"):
        train_in(parse_recipe(content), tmp_path / "run", Silent(), data=TABLE)
