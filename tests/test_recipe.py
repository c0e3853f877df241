"""The recipe: short to write, checked, and written back whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sensorium.data import COLUMNS
from sensorium.encoders import ENCODERS
from sensorium.errors import RecipeError
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from sensorium.recipe import Recipe, parse_recipe, read_recipe
from tests import made

EXAMPLES = sorted(Path(__file__).parent.parent.glob("examples/**/*.yaml"))
SMALL = {"inputs": {"a": "text"}, "outputs": {"b": "category"}}


def with_(**parts: Any) -> dict[str, Any]:
    return {**SMALL, **parts}


def again(recipe: Recipe) -> Recipe:
    return parse_recipe(yaml.safe_load(recipe.as_yaml()), folder=recipe.folder)


def test_the_shortest_recipe_has_every_default() -> None:
    recipe = parse_recipe(SMALL)
    assert recipe.inputs["a"].encoder.kind == next(iter(ENCODERS["text"]))
    assert recipe.fusion.kind == "concat"
    assert recipe.outputs["b"].type == "category"
    assert recipe.training.epochs == 20
    assert recipe.name == "model"


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_type_alone_is_an_input(kind: str) -> None:
    short = parse_recipe(with_(inputs={"a": kind}))
    long = parse_recipe(with_(inputs={"a": {"type": kind, "encoder": {"kind": next(iter(ENCODERS[kind]))}}}))
    assert short.as_dict() == long.as_dict()


def test_short_forms_mean_the_long_ones() -> None:
    short = with_(data="t.csv", training={"optimizer": "sgd"}, fusion="gated")
    short["inputs"] = {"a": {"type": "text", "encoder": "lstm"}}
    long = with_(data={"path": "t.csv"}, training={"optimizer": {"kind": "sgd"}}, fusion={"kind": "gated"})
    long["inputs"] = {"a": {"type": "text", "encoder": {"kind": "lstm"}}}
    assert parse_recipe(short).as_dict() == parse_recipe(long).as_dict()
    assert parse_recipe(with_(data={"key": "id"})).data.key == ["id"]
    assert parse_recipe(with_(data=["a.csv", "b.csv"])).data.path == ["a.csv", "b.csv"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_examples_round_trip(path: Path) -> None:
    recipe = read_recipe(path)
    assert again(recipe) == recipe
    assert again(recipe).digest() == recipe.digest()


@pytest.mark.parametrize(
    "part",
    [
        *({"inputs": {"a": {"type": kind, "encoder": name}}} for kind in ENCODERS for name in ENCODERS[kind]),
        *({"fusion": name} for name in FUSIONS),
        *({"outputs": {"b": name}} for name in HEADS if name != "similarity"),
        {
            "inputs": {"a": "text", "c": "number"},
            "outputs": {"b": {"type": "similarity", "between": ["a", "c"]}},
        },
        {"inputs": {"a": {"type": "image", "size": [32, 48], "augment": True}}},
        {"inputs": {"a": {"type": "image", "augment": False}}},
        {
            "inputs": {
                "a": {"type": "video", "sampling": "window", "encoder": {"image": {"kind": "resnet18"}}}
            }
        },
        {"inputs": {"a": {"type": "text", "stop_words": ["the", "of"]}}},
        {"inputs": {"类型": {"type": "text", "column": "a.b"}}},
        {"outputs": {"b": {"type": "category", "class_weights": {1: 2.0, "x": 1}}}},
        {"outputs": {"b": {"type": "number", "loss": "quantile"}}},
        {"training": {"early_stop": None, "ema": 0.99, "input_dropout": {"a": 0.5}, "micro_batch": 4}},
        {"data": {"path": ["a", "b"], "key": ["x", "y"], "cache": "folder", "limits": {"max_seconds": 5}}},
    ],
    ids=str,
)
def test_everything_round_trips(part: dict[str, Any]) -> None:
    recipe = parse_recipe(with_(**part))
    assert again(recipe) == recipe
    json.dumps(recipe.as_dict())


def test_the_digest_is_of_what_is_learned() -> None:
    recipe = parse_recipe(SMALL)
    assert parse_recipe(with_(name="other")).digest() == recipe.digest()
    assert parse_recipe(with_(training={"epochs": 20})).digest() == recipe.digest()
    assert parse_recipe(with_(training={"epochs": 21})).digest() != recipe.digest()
    swapped = {"inputs": {"a": "text"}, "outputs": {"b": {"type": "category", "weight": 2}}}
    assert parse_recipe(swapped).digest() != recipe.digest()


def test_a_recipe_of_before_versions_is_the_same() -> None:
    """A run that began before recipes had a version goes on."""
    recipe = parse_recipe(made.simple_recipe())
    assert recipe.as_dict()["version"] == 1
    assert parse_recipe({**made.simple_recipe(), "version": 1}).digest() == recipe.digest()
    before = {name: part for name, part in recipe.as_dict().items() if name not in ("version", "name")}
    del before["data"]["threads"], before["data"]["cache"]
    for field in ("checkpoint_minutes", "minutes", "memory_gb"):
        del before["training"][field]
    assert recipe.digest() == hashlib.sha256(json.dumps(before).encode()).hexdigest()


def test_the_order_of_inputs_is_part_of_what_is_learned() -> None:
    """Fusions see inputs in order, so weights of one order do not fit another."""
    one = parse_recipe(with_(inputs={"a": "text", "c": "number"}))
    other = parse_recipe(with_(inputs={"c": "number", "a": "text"}))
    assert list(one.inputs) != list(other.inputs)
    assert one.digest() != other.digest()


def test_names_that_are_no_text() -> None:
    recipe = parse_recipe(yaml.safe_load("inputs: {1: text, 0.5: number}\noutputs: {2024-01-01: category}"))
    assert list(recipe.inputs) == ["1", "0.5"]
    assert list(recipe.outputs) == ["2024-01-01"]


@pytest.mark.parametrize(
    ("file", "expected"), [("recipe.yaml", "place"), ("digits.yaml", "digits"), ("a b.yml", "a b")]
)
def test_the_name_of_a_run(tmp_path: Path, file: str, expected: str) -> None:
    (tmp_path / "place").mkdir()
    assert read_recipe(made.write_recipe(tmp_path / "place" / file, SMALL)).name == expected


def test_paths_start_from_the_recipe(tmp_path: Path) -> None:
    data = {"path": ["a.csv", "../b.csv"], "media_root": "pictures"}
    recipe = read_recipe(made.write_recipe(tmp_path / "recipe.yaml", with_(data=data)))
    assert recipe.table_paths() == [str(tmp_path / "a.csv"), str(tmp_path / "../b.csv")]
    assert recipe.media_root() == tmp_path / "pictures"
    assert parse_recipe(SMALL).media_root() is None
    with pytest.raises(RecipeError, match="names no table"):
        parse_recipe(SMALL).table_paths()


def test_a_byte_order_mark_is_no_field(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump(SMALL).encode())
    assert list(read_recipe(path).inputs) == ["a"]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"input": {}}, r"input: unknown field \(did you mean inputs\?\)"),
        ({"inputs": ["a"]}, "inputs: name at least one"),
        ({"inputs": {"a": None}}, r"inputs\.a: write a mapping"),
        ({"inputs": {"a": {"encoder": "lstm"}}}, r"inputs\.a\.type: missing; one of image"),
        ({"inputs": {"a": {"type": 3}}}, r"inputs\.a\.type: 3 is not known; one of image"),
        ({"inputs": {"a": {"type": "text", "encoder": 3}}}, r"inputs\.a\.encoder: write a mapping"),
        (
            {"inputs": {"a": {"type": "text", "encoder": {"hiden": 3, "kind": "lstm"}}}},
            r"\(did you mean hidden\?\)",
        ),
        (
            {"inputs": {"a": {"type": "image", "augment": {"flipp": True}}}},
            r"augment\.flipp: .*did you mean flip",
        ),
        (
            {"inputs": {"a": {"type": "video", "encoder": {"image": {"kind": "cnn", "chanels": [1]}}}}},
            "did you mean",
        ),
        ({"outputs": {"b": {}}}, r"outputs\.b\.type: missing; one of category"),
        ({"fusion": {"kind": "concat", "widht": 3}}, r"fusion\.widht: .*did you mean width"),
        ({"fusion": 3}, "fusion: write a mapping"),
        ({"training": {"optimizer": "adam"}}, r"training\.optimizer\.kind: .*adamw.*\(given: 'adam'\)"),
        ({"training": {"micro_batch": 0}}, "micro_batch is a number of rows"),
        ({"training": {"micro_batch": "all"}}, r"training\.micro_batch"),
        ({"training": {"input_dropout": 1.0}}, "input_dropout is a share of rows"),
        ({"training": {"input_dropout": {"c": 0.1}}}, r"training\.input_dropout\.c: unknown field"),
        ({"training": {"optimizer": {"lr": float("nan")}}}, r"training\.optimizer\.lr"),
        ({"training": []}, "training: write a mapping, not list"),
        ({"data": {"limits": {"max_pixel": 3}}}, r"data\.limits\.max_pixel: .*did you mean max_pixels"),
        ({"data": {"split": {"time": "t", "group": "g"}}}, "time cannot go with group"),
        ({"training": 0}, "training: write a mapping, not int"),
        ({"inputs": {True: "text"}}, "inputs: YAML reads a name as True; write it in quotes"),
        ({"outputs": {None: "category"}}, "outputs: YAML reads a name as None; write it in quotes"),
        ({"name": 2024}, "name: 2024 cannot name"),
        ({"name": ""}, "name: '' cannot name"),
        ({"name": ".."}, "cannot name a run folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(part: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        parse_recipe(with_(**part))
    assert "\n" not in str(caught.value)


def test_an_empty_section_is_left_out() -> None:
    assert (
        parse_recipe(with_(training=None, data=None, fusion=None)).as_dict() == parse_recipe(SMALL).as_dict()
    )


def test_one_name_for_an_input_and_an_output_is_refused() -> None:
    """Reading the answer as an input would teach nothing."""
    with pytest.raises(RecipeError, match="column 'b' is both an input and an output"):
        parse_recipe({"inputs": {"a": "text", "b": "category"}, "outputs": {"b": "category"}})
    with pytest.raises(RecipeError, match="column 'b' is both an input and an output"):
        parse_recipe({"inputs": {"a": {"type": "text", "column": "b"}}, "outputs": {"b": "category"}})


@pytest.mark.parametrize("key", ["missing", "unreadable", "b_prediction", "b_probability_x"])
def test_a_key_named_as_a_column_of_the_predictions_is_refused(key: str) -> None:
    with pytest.raises(RecipeError, match=rf"data\.key: predictions have a column '{key}' of their own"):
        parse_recipe(with_(data={"key": ["id", key]}))
    assert parse_recipe(with_(data={"key": "b_id"})).data.key == ["b_id"]


def test_a_field_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("inputs: {a: text}\noutputs: {b: category}\ninputs: {c: number}\n")

    with pytest.raises(RecipeError, match=r"line 3: not valid YAML: 'inputs' stands twice in one mapping"):
        read_recipe(path)


def test_what_only_costs_time_is_not_in_the_digest() -> None:
    plain = {"inputs": {"a": "text"}, "outputs": {"b": "category"}}
    quick = {**plain, "data": {"threads": 2, "cache": False}, "training": {"checkpoint_minutes": 9}}

    assert parse_recipe(plain).digest() == parse_recipe(quick).digest()
