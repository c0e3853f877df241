"""Small made tables whose texts can be known: what decodes them writes nearly every one of them whole."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmarks.text_baselines import dictionary
from examples.pairs import build as pairs
from examples.questions import build as questions
from examples.reading import build as reading
from sensorium.fitting import train_in
from sensorium.predict import load
from sensorium.recipe import parse_recipe
from sensorium.training.progress import Silent

EXAMPLES = Path(pairs.__file__).parents[1]
Row = dict[str, str]


def right(content: dict[str, Any], rows: list[Row], folder: Path) -> float:
    """Share of the test rows whose text comes out whole."""
    (output,) = content["outputs"]
    content["training"] |= {"precision": "fp32", "early_stop": None}
    train, test = ([row for row in rows if row["split"] == part] for part in ("train", "test"))
    predictor = load(train_in(parse_recipe(content), folder / "run", Silent(), data=columns(train)))
    asked = columns(test)
    wanted = asked.pop(output)
    said = predictor.predict_table(asked)[f"{output}_prediction"].to_pylist()
    return float(np.mean([one == other for one, other in zip(said, wanted, strict=True)]))


def columns(rows: list[Row]) -> dict[str, list[str]]:
    return {name: [row[name] for row in rows] for name in rows[0] if name != "split"}


def test_a_made_up_language_is_translated(tmp_path: Path) -> None:
    grammar = pairs.Grammar(pairs.NOUNS[:4], tuple(pairs.ADJECTIVES)[:2], tuple(pairs.VERBS)[:2], ())
    lstm = {"kind": "lstm", "embedding": 48, "hidden": 32, "dropout": 0.0}
    decoder = {"kind": "transformer", "tokenizer": "word", "length": 12, "width": 48, "dropout": 0.0}
    content = {
        "inputs": {"english": {"type": "text", "tokenizer": "word", "encoder": lstm}},
        "fusion": {"kind": "concat", "width": 48, "dropout": 0.0},
        "outputs": {"made": {"type": "text", "decoder": decoder, "metric": "exact_match"}},
        "training": {"epochs": 9, "batch_size": 16, "optimizer": {"lr": 0.005}},
    }
    assert right(content, pairs.rows(800, 100, grammar), tmp_path) >= 0.97


def test_answers_are_cut_out_of_a_text_with_numbers_never_seen(tmp_path: Path) -> None:
    transformer = {"kind": "transformer", "width": 32, "depth": 1, "heads": 2, "dropout": 0.0}
    text = {"type": "text", "lowercase": False, "vocabulary": 200, "encoder": transformer}
    decoder = {"kind": "extract", "input": "text", "dropout": 0.0}
    content = {
        "inputs": {"text": text, "question": text},
        "fusion": {"kind": "transformer", "width": 32, "heads": 2, "dropout": 0.0},
        "outputs": {"answer": {"type": "text", "decoder": decoder, "metric": "exact_match"}},
        "training": {"epochs": 14, "optimizer": {"lr": 0.005}},
    }
    assert right(content, reading.rows(500, 100, people=1), tmp_path) >= 0.97


@pytest.mark.parametrize("example", ["pairs", "reading"])
def test_the_committed_table_is_what_is_built(example: str) -> None:
    built = {"pairs": lambda: pairs.rows(pairs.TRAIN, pairs.TEST, pairs.Grammar())}
    built["reading"] = lambda: reading.rows(reading.TRAIN, reading.TEST)
    text = (EXAMPLES / example / "data" / f"{example}.csv").read_text(encoding="utf-8")
    assert list(csv.DictReader(io.StringIO(text))) == built[example]()


def test_no_sentence_is_asked_that_was_taught() -> None:
    rows = pairs.rows(300, 50, pairs.Grammar())
    assert len({row["english"] for row in rows}) == 350
    assert Counter(row["split"] for row in rows) == {"train": 300, "test": 50}


def test_an_answer_stands_in_its_text_and_others_like_it_beside() -> None:
    for row in reading.rows(100, 0):
        assert row["answer"] in row["text"]
        asked = next(name for name in reading.NAMES if name in row["question"])
        sentence = next(part for part in row["text"].split(".") if row["answer"] in part and asked in part)
        assert sentence


def test_a_scene_shows_what_its_answers_say() -> None:
    for row in questions.scenes(30, 0):
        pixels = np.asarray(Image.open(io.BytesIO(row["picture"])).convert("RGB"))
        seen = {
            name
            for name, colour in questions.COLOURS.items()
            if (np.abs(pixels - np.array(colour)).sum(axis=2) == 0).any()
        }
        words = set(row["question"].rstrip("?").split())
        if row["kind"] == "colour":
            assert row["answer"] in seen
        elif row["kind"] == "what":
            assert words & seen
        elif row["kind"] == "how many" and words & set(questions.COLOURS):
            assert (row["answer"] == "none") == (not words & seen)
        elif row["answer"] == "yes":
            assert words & seen


def test_the_questions_about_scenes_are_committed_as_they_are_built() -> None:
    committed = pq.read_table(EXAMPLES / "questions" / "data" / "scenes.parquet").to_pylist()
    built = questions.scenes(questions.TRAIN, questions.TEST)
    for row in (*committed, *built):
        del row["picture"]  # how a PNG is packed is for its library to say
    assert committed == built


def test_word_by_word_finds_the_words_that_go_together() -> None:
    known = dictionary([(["red", "dog"], ["kano", "rubo"]), (["red"], ["rubo"]), (["dog"], ["kano"])])
    assert known == {"red": "rubo", "dog": "kano"}
