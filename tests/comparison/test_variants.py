"""From a recipe and its fields to variants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sensorium.comparison.variants import given, variants_of
from sensorium.encoders import ENCODERS
from sensorium.errors import RecipeError
from sensorium.fusion import FUSIONS
from sensorium.recipe import Recipe, parse_recipe, read_recipe
from tests import made

RECIPES = sorted((Path(__file__).parents[2] / "examples").glob("*/*.yaml"))


def simple(**more: Any) -> Recipe:
    return parse_recipe({**made.simple_recipe(), **more})


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_what_a_recipe_says_itself_makes_the_same_recipe(path: Path) -> None:
    recipe = read_recipe(path)
    assert parse_recipe(given(recipe), folder=recipe.folder).as_dict() == recipe.as_dict()


def test_every_value_changes_its_field_and_nothing_else() -> None:
    recipe = simple()
    for variant, batch in zip(
        variants_of(recipe, {"training.batch_size": "8..24:8"}), (8, 16, 24), strict=True
    ):
        assert variant.name == str(batch)
        assert variant.recipe is not None
        expected = recipe.as_dict()
        expected["training"]["batch_size"] = batch
        assert variant.recipe.as_dict() == expected


def test_without_values_everything_that_the_table_lists() -> None:
    assert [one.name for one in variants_of(simple(), {"fusion.kind": None})] == list(FUSIONS)
    encoders = variants_of(simple(), {"inputs.words.encoder.kind": None})
    assert [one.name for one in encoders] == list(ENCODERS["text"])
    optimizers = variants_of(simple(), {"training.optimizer.kind": None})
    assert [one.name for one in optimizers] == ["adamw", "sgd", "lion", "muon"]
    assert [one.name for one in variants_of(simple(), {"training.bucket": None})] == ["False", "True"]


def test_several_fields_make_a_grid() -> None:
    variants = variants_of(simple(), {"fusion.kind": ["concat", "late"], "fusion.width": [8, 16]})
    assert [one.name for one in variants] == [
        "kind=concat, width=8", "kind=concat, width=16", "kind=late, width=8", "kind=late, width=16",
    ]  # fmt: skip
    last = variants[-1].recipe
    assert last is not None
    assert (last.fusion.kind, last.fusion.width) == ("late", 16)


def test_a_new_kind_brings_its_own_defaults_and_drops_what_it_does_not_know() -> None:
    recipe = simple(fusion={"kind": "concat", "width": 16, "layers": 2})
    concat, late, tensor = variants_of(recipe, {"fusion.kind": ["concat", "late", "tensor"]})
    assert concat.dropped == []
    assert late.dropped == ["fusion.layers"]
    assert late.recipe is not None
    assert late.recipe.fusion.model_dump() == {"kind": "late", "width": 16, "dropout": 0.1}
    assert tensor.recipe is not None
    assert (tensor.recipe.fusion.layers, tensor.recipe.fusion.factor_width) == (2, 16)
    lstm = variants_of(recipe, {"inputs.words.encoder.kind": ["mean", "lstm"]})[1]
    assert lstm.recipe is not None
    assert lstm.recipe.inputs["words"].encoder.dropout == 0.3  # that of lstm, not that of mean


def test_a_field_of_one_kind_alone_is_refused_for_the_others() -> None:
    variants = variants_of(simple(), {"fusion.rank": [2, 4], "fusion.kind": ["low_rank", "late"]})
    assert [one.recipe is None for one in variants] == [False, True, False, True]
    assert "fusion.rank: unknown field" in variants[1].refused


@pytest.mark.parametrize("name", ["a.b", "价格", "encoder", "a"])
def test_an_input_may_have_any_name(name: str) -> None:
    inputs = {
        "a": {"type": "text"},
        "a.b": {"type": "text"},
        "价格": {"type": "text"},
        "encoder": {"type": "text"},
    }
    recipe = simple(inputs=inputs)
    (variant,) = variants_of(recipe, {f"inputs.{name}.encoder.kind": ["lstm"]})
    assert variant.recipe is not None
    changed = [key for key, part in variant.recipe.inputs.items() if part.encoder.kind == "lstm"]
    assert changed == [name]


@pytest.mark.parametrize(
    ("field", "values", "words"),
    [
        ("fusoin.kind", None, r"unknown section \(did you mean fusion\?\)"),
        ("fusion.widht", [1], r"fusion.widht: unknown field \(did you mean width\?\)"),
        ("fusion.widht", None, r"fusion.widht: unknown field \(did you mean width\?\)"),
        ("fusion.kind", ["lat"], r"'lat' is not known \(did you mean late\?\)"),
        ("inputs.wrods.encoder.kind", None, r"did you mean words\?"),
        ("inputs.words", ["text"], "a field of one of the inputs"),
        ("inputs.words.encoder.kindd", ["cnn"], r"did you mean kind\?"),
        ("inputs.words.type", ["category"], "keeps the columns"),
        ("outputs.label.column", ["shop"], "keeps the columns"),
        ("data.split.seed", [1, 2], "keeps the table, its split and the seeds"),
        ("training.seed", [1, 2], "keeps the table, its split and the seeds"),
        ("training.epochs", None, "say which values"),
        ("training.epochs", [], "no value is given"),
        ("training.batch_size.rows", [1], "training.batch_size is a value here"),
        ("training.epochs", [0], "greater than or equal to 1"),
    ],
)
def test_a_slip_is_named(field: str, values: list[Any] | None, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        variants_of(simple(training={"batch_size": 16}), {field: values})


def test_nothing_to_compare() -> None:
    with pytest.raises(RecipeError, match="name a field"):
        variants_of(simple(), {})


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("fusion.kind=concat,late", "over is a dict of fields and their values"),
        ({"fusion.kind": 5}, r"--over fusion.kind: 5 is no list of values: give \[5\], or several"),
    ],
)
def test_what_is_no_question_is_said_in_one_line(over: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        variants_of(simple(), over)
