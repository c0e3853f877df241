"""A similarity from recipe to report: its target, its vectors, what it refuses, and that it learns."""

from __future__ import annotations

import io
import json
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sensorium
from sensorium.batch import Fused, Raw
from sensorium.data.identity import IdentityColumn
from sensorium.errors import RecipeError, SensoriumError, TableError
from sensorium.heads.similarity import SimilarityHead
from sensorium.predict import Predictor
from sensorium.prepare import prepare
from sensorium.recipe import parse_recipe
from sensorium.training.loop import Trainer
from sensorium.training.machine import choose_micro_batch
from sensorium.training.progress import Silent
from sensorium.training.run import RunFolder
from tests import made

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "yellow": (210, 210, 20)}
SIZES = {"dark": 0.4, "bright": 1.0}


def recipe_of(**changes: Any) -> dict[str, Any]:
    return {
        "name": "search",
        "data": {"cache": False, "split": {"validation": 0.2, "test": 0, "group": "caption"}},
        "inputs": {
            "image": {"type": "image", "size": 16, "encoder": {"kind": "cnn", "channels": [8]}},
            "caption": {"type": "text", "tokenizer": "word", "min_count": 1, "encoder": "mean"},
        },
        "fusion": {"kind": "concat", "width": 16},
        "outputs": {"match": {"type": "similarity", "between": ["image", "caption"], "width": 8}},
        "training": {"epochs": 2, "batch_size": 16, "precision": "fp32"},
        **changes,
    }


def rows_of(count: int) -> dict[str, list[Any]]:
    """Plain pictures and their colour in words; every caption comes several times."""
    names = [f"{size} {colour}" for size in SIZES for colour in COLOURS]
    chosen = [names[row % len(names)] for row in range(count)]
    return {"image": [_picture(name, row) for row, name in enumerate(chosen)], "caption": chosen}


def _picture(name: str, seed: int) -> bytes:
    size, colour = name.split()
    noise = np.random.default_rng(seed).integers(0, 20, (16, 16, 3))
    pixels = (np.array(COLOURS[colour]) * SIZES[size] + noise).clip(0, 255).astype(np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def head_of(between: list[str], **options: Any) -> SimilarityHead:
    torch.manual_seed(0)
    config = SimilarityHead.Config(between=between, width=5, **options)
    return SimilarityHead(config, SimilarityHead.target(config), 7, 6).eval()


def fused_of(rows: int, present: dict[str, list[bool]]) -> Fused:
    torch.manual_seed(1)
    columns = {name: torch.randn(rows, 6) for name in present}
    there = {name: torch.tensor(flags) for name, flags in present.items()}
    nothing = torch.zeros(rows, 0, 6)
    return Fused(torch.zeros(rows, 7), nothing, nothing[:, :, 0].bool(), columns, present=there)


def test_equal_contents_have_equal_numbers_and_lone_cells_do_not_count():
    column = IdentityColumn(2)
    cells = [column.decode(one) for one in [(b"x", b"a"), (b"y", b"a"), (b"x", None)]]
    values, mask = column.collate([*cells, None])
    assert values[0, 1] == values[1, 1]
    assert values[0, 0] != values[1, 0]
    assert mask.tolist() == [[True, True], [True, True], [False, False], [False, False]]
    assert (column.collate([None]).values.shape, column.collate([None]).mask.shape) == ((1, 2), (1, 2))


def test_the_target_reads_the_columns_of_its_inputs(tmp_path: Path):
    rows = rows_of(6)
    for name, row in (("one.png", 0), ("two.png", 0), ("three.png", 1)):
        (tmp_path / name).write_bytes(rows["image"][row])
    table = {
        "picture": ["one.png", "two.png", "three.png", None, "gone.png", "one.png"],
        "caption": ["a", "b", "a", "c", "d", None],
    }
    recipe = recipe_of(
        data={"cache": False, "media_root": str(tmp_path), "split": {"validation": 0, "test": 0}}
    )
    recipe["inputs"]["image"]["column"] = "picture"
    prepared = prepare(parse_recipe(recipe), table)
    values, mask = prepared.loader.batch(np.arange(6)).targets["match"]
    assert mask.all(axis=1).tolist() == [True, True, True, False, False, False]
    assert values[0, 0] == values[1, 0]  # two files of the same bytes
    assert values[0, 0] != values[2, 0]
    assert values[0, 1] == values[2, 1]
    again = prepared.loader.batch(np.array([2, 0])).targets["match"]
    np.testing.assert_array_equal(again.values, values[[2, 0]])


def test_embeddings_are_unit_vectors_and_zero_where_the_input_is_missing():
    head = head_of(["a", "b"])
    embedded = head.embed(fused_of(3, {"a": [True, False, True], "b": [True, True, True], "c": [True] * 3}))
    assert list(embedded) == ["a", "b"]
    assert embedded["a"].norm(dim=1).tolist() == pytest.approx([1, 0, 1])
    assert embedded["b"].norm(dim=1).tolist() == pytest.approx([1, 1, 1])


def test_the_answer_is_the_cosine_of_the_own_pair():
    head = head_of(["a", "b"])
    fused = fused_of(3, {"a": [True, False, True], "b": [True, True, True]})
    predicted = {key: value.detach().numpy() for key, value in head.predict(fused).items()}
    embedded = {name: one.detach().numpy() for name, one in head.embed(fused).items()}
    answers = head.answers(predicted)["prediction"]
    assert answers[0] == pytest.approx(float(embedded["a"][0] @ embedded["b"][0]), abs=1e-6)
    assert math.isnan(answers[1])


def test_three_inputs_are_the_mean_of_the_pairs_that_a_row_has():
    names = ["a", "b", "c"]
    head = head_of(names)
    fused = fused_of(4, {"a": [True] * 4, "b": [True] * 4, "c": [True, True, False, True]})
    values = torch.arange(1, 13).view(4, 3)
    losses = head.loss(fused, Raw(values, torch.ones(4, 3, dtype=torch.bool)))
    total, count = torch.zeros(4), torch.zeros(4)
    for one, other in combinations(range(3), 2):
        two = head_of(names)
        pair = SimilarityHead(
            two.config.model_copy(update={"between": [names[one], names[other]]}), two.column, 7, 6
        )
        pair.projections[0].load_state_dict(head.projections[one].state_dict())
        pair.projections[1].load_state_dict(head.projections[other].state_dict())
        own = pair.loss(fused, Raw(values[:, [one, other]], torch.ones(4, 2, dtype=torch.bool)))
        total, count = total + own, count + (own > 0)
    torch.testing.assert_close(losses, total / count)
    answers = head.answers({key: value.detach().numpy() for key, value in head.predict(fused).items()})
    assert list(answers) == ["prediction", "a_b", "a_c", "b_c"]
    assert answers["prediction"][2] == pytest.approx(answers["a_b"][2])
    assert answers["prediction"][0] == pytest.approx(
        np.mean([answers[key][0] for key in ("a_b", "a_c", "b_c")])
    )


def test_intervals_draw_the_questions_and_keep_the_answers():
    """A row asked alone still has to find its own among all rows."""
    head = head_of(["a", "b"])
    embeddings = np.zeros((12, 2, 5), dtype=np.float32)
    embeddings[:, 0] = embeddings[:, 1] = np.random.default_rng(0).normal(size=(12, 5))
    embeddings[0, 0] = -embeddings[0, 1]
    target = IdentityColumn(2).collate([np.array([row, row]) for row in range(1, 13)])
    metrics_of = head.metrics_of_rows({"embeddings": embeddings}, target)
    assert metrics_of(np.array([0]))["recall_at_1_a_to_b"] == 0
    whole = head.metrics({"embeddings": embeddings}, target)
    each = [metrics_of(np.array([row]))["recall_at_1"] for row in range(12)]
    assert whole["recall_at_1"] == pytest.approx(np.mean(each))


@pytest.mark.parametrize(
    ("between", "words"),
    [
        (["image", "captoin"], "outputs.match.between: 'captoin' is no input (did you mean caption?)"),
        (["image"], "outputs.match.between: name two inputs at least"),
        (["image", "image"], "outputs.match.between: each input may be named once"),
    ],
)
def test_what_between_may_not_be(between: list[str], words: str):
    with pytest.raises(RecipeError) as error:
        parse_recipe(recipe_of(outputs={"match": {"type": "similarity", "between": between}}))
    assert str(error.value).startswith(words)


def test_a_batch_is_larger_where_rows_choose_among_it():
    assert parse_recipe(recipe_of(training={})).training.batch_size == 256
    assert parse_recipe(recipe_of(training={"batch_size": 48})).training.batch_size == 48
    assert parse_recipe(recipe_of(outputs={"kind": "category"}, training={})).training.batch_size == 32


def test_it_has_no_column_of_its_own():
    output = {"type": "similarity", "between": ["image", "caption"], "column": "caption"}
    with pytest.raises(RecipeError, match=r"outputs\.match\.column"):
        parse_recipe(recipe_of(outputs={"match": output}))


def test_an_output_may_be_called_as_an_input_is():
    parse_recipe(recipe_of(outputs={"image": {"type": "similarity", "between": ["image", "caption"]}}))


def test_a_table_without_any_pair_is_refused():
    rows = rows_of(6)
    rows["image"][::2] = [None] * 3
    rows["caption"][1::2] = [None] * 3
    with pytest.raises(SensoriumError, match="no training row has two of the columns image, caption"):
        sensorium.fit(
            rows, recipe=recipe_of(data={"cache": False, "split": {"validation": 0}}), verbose=False
        )


def test_a_batch_passes_whole_and_says_so(tmp_path: Path):
    lines: list[str] = []

    class Heard(Silent):
        def say(self, line: str) -> None:
            lines.append(line)

    recipe = recipe_of(training={"batch_size": 16, "micro_batch": 4, "precision": "fp32"})
    trainer = Trainer(prepare(parse_recipe(recipe), rows_of(32)), RunFolder(tmp_path), Heard())
    assert trainer.micro_batch == 16
    assert "training.micro_batch: 4 is not used" in lines[0]
    assert choose_micro_batch("auto", 128, trainer.model, torch.device("cpu")) == 128
    trainer.stepper.use_fewer_rows("out of memory")
    assert "with fewer wrong answers a row, so the loss is another one" in lines[-1]


@pytest.fixture(scope="module")
def trained() -> Predictor:
    training = {"epochs": 15, "batch_size": 64, "precision": "fp32", "optimizer": {"lr": 0.01}}
    return sensorium.fit(rows_of(96), recipe=recipe_of(training=training), verbose=False)


def test_it_learns_to_find_colours(trained: Predictor):
    rows = rows_of(32)
    measured = trained.evaluate(rows, skip=["noise"])
    scores = measured.outputs["match"].metrics
    assert scores["recall_at_1_caption_to_image"].value > 0.7
    assert measured.outputs["match"].baseline.metrics["recall_at_1_image_to_caption"] == pytest.approx(1 / 8)
    assert scores["recall_at_10_image_to_caption"].value == 1  # there are eight captions
    assert scores["recall_at_10"].low > 0.7


def test_questions_of_one_input_alone(trained: Predictor):
    rows = rows_of(16)
    both = trained.embed(rows)
    pictures, texts = trained.embed({"image": rows["image"]}), trained.embed({"caption": rows["caption"]})
    np.testing.assert_allclose(pictures["image"], both["image"], atol=1e-5)
    np.testing.assert_allclose(texts["caption"], both["caption"], atol=1e-5)
    assert not pictures["caption"].any()
    assert both["image"].dtype == np.float32
    found = (both["caption"] @ both["image"].T).argmax(axis=1)
    assert (
        np.mean([rows["caption"][one] == own for one, own in zip(found, rows["caption"], strict=True)]) > 0.7
    )


def test_without_a_similarity_every_input_has_a_space_of_its_own():
    recipe = recipe_of(outputs={"kind": "category"}, training={"epochs": 1, "precision": "fp32"})
    recipe["data"] = {"cache": False, "split": {"validation": 0}}
    rows = {**rows_of(8), "kind": ["a", "b"] * 4}
    predictor = sensorium.fit(rows, recipe=recipe, verbose=False)
    embedded = predictor.embed({"caption": [*rows["caption"][:2], None]})
    assert embedded["caption"].shape[1] == predictor.model.encoder("caption").dim
    assert np.linalg.norm(embedded["caption"], axis=1) == pytest.approx([1, 1, 0])


def test_saved_and_loaded_it_gives_the_same(trained: Predictor, tmp_path: Path):
    trained.save(tmp_path / "model")
    again = sensorium.load(tmp_path / "model")
    table, loaded = trained.predict_table(rows_of(8)), again.predict_table(rows_of(8))
    assert table.column_names == ["row", "match_prediction", "missing", "unreadable"]
    assert table.equals(loaded)


def test_the_report_shows_what_is_found_and_leaves_out_what_has_no_meaning(
    trained: Predictor, tmp_path: Path
):
    measured = trained.evaluate({**rows_of(24), "shop": ["a", "b", "c"] * 8}, slices=["shop"])
    assert {"retrieval", "noise", "slices"} <= set(measured.studies)
    assert not {"contributions", "calibration", "curves", "rows"} & set(measured.studies)
    (forth, back), ridge = measured.studies["retrieval"]["match"]
    assert ridge is None  # no encoder is frozen
    assert (forth.query, forth.item, forth.items, back.items) == ("image", "caption", 8, 24)
    assert all(len(one.nearest) == 5 for one in (*forth.examples, *back.worst))
    first = back.examples[0]
    assert (first.place == 1) == first.nearest[0].right
    assert [one.similarity for one in first.nearest] == sorted([one.similarity for one in first.nearest])[
        ::-1
    ]
    page = measured.save(tmp_path).read_text()
    assert "With inputs absent" not in page
    assert "R@10, image to caption" in page
    assert page.count("data:image/jpeg") > 20
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["outputs"]["match"]["metrics"]["recall_at_10_image_to_caption"]["method"] in (
        "bootstrap",
        "wilson",
    )
    assert "recall at 10" not in str(measured)


def test_evaluation_needs_the_columns_of_all_inputs(trained: Predictor):
    with pytest.raises(TableError, match="none of the target columns"):
        trained.evaluate({"caption": ["bright red", "dark blue"]})


def test_beside_another_output(tmp_path: Path):
    rows = made.simple_rows(48)
    recipe = made.simple_recipe(auxiliary=0.1, epochs=1)
    recipe["data"] = {"split": {"validation": 0.2, "test": 0}}
    recipe["outputs"] = {"label": "category", "match": {"type": "similarity", "between": ["words", "shop"]}}
    predictor = sensorium.fit(rows, recipe=recipe, verbose=False)
    measured = predictor.evaluate(rows, skip=["noise", "simple_models", "curves", "slices"])
    assert list(measured.studies["contributions"].outputs) == ["label"]
    assert list(measured.subsets[0].scores) == ["label"]
    assert "match compares inputs" in measured.save(tmp_path).read_text()
    assert "label: accuracy" in str(measured)
