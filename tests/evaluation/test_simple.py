"""Simple features by hand, models on them, and whether a simple model would do, in words."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from sensorium.data.audio import AudioColumn
from sensorium.data.column import Cells
from sensorium.data.image import ImageColumn
from sensorium.data.table import read_table
from sensorium.data.tabular import CategoriesColumn, CategoryColumn, NumberColumn
from sensorium.data.video import VideoColumn
from sensorium.evaluation import evaluate, simple, simple_models
from sensorium.evaluation.features import (
    BANDS,
    FEATURES,
    PARTS,
    SHADES,
    SIDE,
    Features,
    categories_features,
    category_features,
    picture_features,
    simple_features,
    sound_features,
    video_features,
)
from sensorium.evaluation.metrics import Interval
from sensorium.evaluation.report import as_html
from sensorium.evaluation.simple import SimpleModels, SimpleOutput, SimpleScore, compare, sentences
from sensorium.evaluation.simple_models import (
    ANSWERS,
    MOST_STEPS,
    SIMPLE_MODELS,
    designs,
    rounds,
)
from sensorium.evaluation.study import Training
from sensorium.heads import HEADS
from tests import made
from tests.evaluation.test_contributions import category_head
from tests.evaluation.test_evaluate import make

IMAGE = ImageColumn(ImageColumn.Config(size=(12, 20)))


# Features.


def test_a_picture_of_one_colour_by_hand():
    pixels = np.zeros((1, 3, 12, 20), np.uint8)
    pixels[:, 0], pixels[:, 1] = 255, 64  # red is in the last of four shades, green in the second
    features = picture_features(Cells(pixels, np.ones((1, 1), np.bool_)), IMAGE)[0]
    assert features.shape == (3 * SIDE**2 + SHADES**3,)
    thumbnail, histogram = features[: 3 * SIDE**2].reshape(3, -1), features[3 * SIDE**2 :]
    assert thumbnail.mean(dim=1).tolist() == pytest.approx([1.0, 64 / 255, 0.0])
    assert histogram.argmax() == 3 * 16 + 1 * 4 + 0
    assert histogram.max().item() == pytest.approx(1.0)


def test_a_video_that_changes_by_hand():
    column = VideoColumn(VideoColumn.Config(frames=4, size=8))
    values = np.zeros((2, 4, 3, 8, 8), np.uint8)
    values[0, 1] = 255  # black, white, and two frames that are not there
    cells = Cells(values, np.array([[True, True, False, False], [False] * 4]))
    features = video_features(cells, column)
    assert features.shape == (2, 6 * SIDE**2 + SHADES**3)
    assert features[0, : 3 * SIDE**2].unique().tolist() == [0.5]
    assert features[0, -3 * SIDE**2 :].unique().tolist() == [1.0]  # each place changes from 0 to 1
    assert not features[1, -3 * SIDE**2 :].any()


def test_a_sounds_padding_changes_nothing():
    column = AudioColumn(AudioColumn.Config(seconds=1, rate=8000))
    tone = (8000 * np.sin(np.arange(4000) / 5)).astype(np.int16)
    alone = sound_features(column.collate([tone]), column)
    beside = sound_features(column.collate([tone, np.resize(tone, 8000)]), column)
    assert alone.shape == (1, (2 + PARTS) * BANDS)
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-5)
    quarters = alone[0, 2 * BANDS :].reshape(PARTS, BANDS)
    np.testing.assert_allclose(quarters.mean(dim=0), alone[0, :BANDS], atol=0.05)
    assert sound_features(column.collate([None]), column).isfinite().all()


def test_labels_become_columns(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sensorium.evaluation.features.MOST_LABELS", 2)
    column = CategoryColumn(CategoryColumn.Config())
    column.fit(list("aaabbc"))
    cells = column.collate([column.decode(one) for one in ("a", "b", "c", "new")])
    # c is rarer than the two that have columns, so it shares the first with what is not known
    assert category_features(cells, column).tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]]
    several = CategoriesColumn(CategoriesColumn.Config())
    several.fit(["a|b", "a|c", "a|b"])
    tags = several.collate([several.decode("a|c")])
    assert categories_features(tags, several).tolist() == [[0, 1, 0]]


RECIPE = {
    "name": "simple",
    "data": {"cache": False},
    "inputs": {
        "words": {"type": "text", "tokenizer": "word", "min_count": 1, "encoder": {"kind": "mean"}},
        "size": "number",
        "shop": "category",
    },
    "fusion": {"kind": "concat", "width": 16},
    "outputs": {"label": "category", "amount": {"type": "number", "quantiles": [0.1, 0.9]}},
}


def test_features_of_a_table_with_missing_cells():
    rows = {**made.simple_rows(6), "label": ["a", "b"] * 3}
    rows["size"] = [1.0, None, 2.0, 3.0, None, 4.0]
    rows["words"] = ["one", None, "three", "four", "five", "six"]
    predictor = make(RECIPE, rows)
    kinds = {"words": "text", "size": "number", "shop": "category"}
    features = simple_features(predictor.loader(read_table(rows)), kinds, np.array([1, 0, 4]))
    assert features.texts == {"words": ["", "one", "five"]}
    # the size and whether it is missing; none of the rare shops, three shops, and whether it is missing
    assert features.numbers.shape == (3, 2 + 4 + 1)
    assert features.numbers[:, :2].tolist() == [[0, 1], [pytest.approx(features.numbers[1, 0]), 0], [0, 1]]
    assert features.numbers[:, -1].tolist() == [0, 0, 0]


def test_every_type_of_input_has_features_or_is_text():
    from sensorium.data import COLUMNS

    assert set(FEATURES) | {"text"} == set(COLUMNS)


# Models.


def test_texts_and_numbers_are_prepared_on_the_training_rows():
    training = Features(np.array([[0.0], [2.0]], np.float32), {"words": ["red cat", "blue dog"]})
    measured = Features(np.array([[4.0]], np.float32), {"words": ["unseen"]})
    first, second = designs(training, measured)
    assert first.wide.shape[0] == 2
    assert second.wide.shape == (1, first.wide.shape[1])
    assert first.wide[:, 0].toarray().ravel().tolist() == [-1, 1]  # mean 1, deviation 1
    assert second.wide[0, 0] == 3
    assert second.narrow[0, 0] == 4
    assert first.narrow.shape[1] == second.narrow.shape[1] == 1 + 1  # two texts have one direction


@pytest.mark.parametrize("texts", [["", ""], ["!", "!"], ["same", "same"], ["猫 坐", "狗"]])
def test_poor_texts_are_no_trouble(texts: list[str]):
    training = Features(np.zeros((2, 0), np.float32), {"words": texts})
    for design in designs(training, training):
        assert np.isfinite(design.wide.toarray()).all()
        assert np.isfinite(design.narrow).all()
        assert design.narrow.shape[1] >= 1


@pytest.mark.parametrize(("trees", "expected"), [(1, 100), (10, 100), (50, 20), (1000, 10)])
def test_many_classes_get_fewer_rounds(trees: int, expected: int):
    assert rounds(trees) == expected


def numbers(count: int = 60) -> tuple[Features, Features]:
    """One column that says everything: below or above zero."""
    values = np.linspace(-1, 1, count, dtype=np.float32)[:, None]
    return Features(values, {}), Features(np.array([[-0.9], [0.9]], np.float32), {})


@pytest.mark.parametrize("name", ["logistic regression", "gradient boosting"])
def test_classes_that_a_number_tells_apart(name: str):
    column = CategoryColumn(CategoryColumn.Config())
    column.fit(["low"] * 3 + ["high"] * 2 + ["never"])
    training, measured = designs(*numbers())
    codes = np.repeat([1, 2], 30)[:, None]
    target = Cells(codes, np.ones((60, 1), np.bool_))
    model = SIMPLE_MODELS["category"][name]
    features = [getattr(one, model.design) for one in (training, measured)]
    found = ANSWERS["category"](model, features[0], target, features[1], column)
    assert found.converged
    assert found.predicted.shape == (2, 3)
    assert found.predicted.argmax(axis=1).tolist() == [0, 1]
    assert found.predicted[:, 2].tolist() == [0, 0]  # a class that no training row has
    lonely = replace_codes(target, 1)
    alone = ANSWERS["category"](model, features[0], lonely, features[1], column)
    assert alone.predicted.tolist() == [[1, 0, 0], [1, 0, 0]]


def replace_codes(target: Cells, code: int) -> Cells:
    return Cells(np.full_like(target.values, code), target.mask)


def test_labels_that_a_number_tells_apart():
    column = CategoriesColumn(CategoriesColumn.Config())
    column.fit(["a|b", "a"])
    truth = np.zeros((60, 3), np.float32)
    truth[:, 1], truth[30:, 2] = 1, 1  # a always, b above zero
    training, measured = designs(*numbers())
    found = ANSWERS["categories"](
        SIMPLE_MODELS["categories"]["gradient boosting"],
        training.narrow, Cells(truth, np.ones((60, 1), np.bool_)), measured.narrow, column,
    )  # fmt: skip
    assert found.predicted[:, 0].tolist() == [1, 1]
    assert found.predicted[0, 1] < 0.1 < 0.9 < found.predicted[1, 1]


@pytest.mark.parametrize("name", ["ridge regression", "gradient boosting"])
def test_a_number_from_a_number(name: str):
    column = NumberColumn(NumberColumn.Config(scale="none", clip=None))
    training, measured = designs(*numbers())
    features = numbers()[0].numbers
    model = SIMPLE_MODELS["number"][name]
    target = Cells(2 * features, np.ones((60, 1), np.bool_))
    found = ANSWERS["number"](
        model, getattr(training, model.design), target, getattr(measured, model.design), column
    )
    assert found.predicted == pytest.approx([-1.8, 1.8], abs=0.5)  # 20 rows a leaf round it off


def test_an_optimiser_that_is_stopped_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(simple_models, "MOST_STEPS", 1)
    column = CategoryColumn(CategoryColumn.Config())
    column.fit(["a", "b"])
    training, measured = designs(*numbers())
    target = Cells(np.repeat([1, 2], 30)[:, None], np.ones((60, 1), np.bool_))
    model = SIMPLE_MODELS["category"]["logistic regression"]
    assert MOST_STEPS > 1
    assert not ANSWERS["category"](model, training.wide, target, measured.wide, column).converged


def test_every_type_of_output_has_simple_models():
    # beside a similarity stands a ridge regression between its inputs: see evaluation/ridge.py
    assert set(SIMPLE_MODELS) == set(ANSWERS) == set(HEADS) - {"similarity"}


# The study.


def test_the_comparison_is_paired():
    head = category_head()
    target = Cells(np.ones((10, 1), np.int64), np.ones((10, 1), np.bool_))
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    mixed = {"probabilities": np.array([right, wrong] * 5)}
    score, difference = compare(head, mixed, mixed, target)
    assert score.value == 0.5
    assert difference.value == 0
    assert difference.method == "none"
    score, difference = compare(head, {"probabilities": np.array([right] * 10)}, mixed, target)
    assert difference.value == pytest.approx(0.5)
    assert difference.low > 0


@pytest.fixture(scope="module")
def measured() -> object:
    rows = made.simple_rows(60)
    predictor, table = make(RECIPE, rows), read_table(rows)
    part = {"train": np.arange(40), "validation": np.arange(0), "test": np.arange(40, 60)}
    return evaluate(
        predictor,
        table,
        part["test"],
        part="test",
        training=Training(table, part),
        studies=("simple_models",),
    )


def test_simple_models_are_trained_and_scored(measured: object):
    study = measured.studies["simple_models"]
    assert (study.reason, study.training_rows, study.of_training_rows) == ("", 40, 40)
    assert set(study.outputs) == {"label", "amount"}
    label, amount = study.outputs["label"].models, study.outputs["amount"].models
    # the words say the label, so that even a simple model sees it
    assert label["logistic regression"].score.value > 0.7
    assert label["logistic regression"].score.rows == 20
    assert label["logistic regression"].difference.value == pytest.approx(
        measured.outputs["label"].main.value - label["logistic regression"].score.value
    )
    assert amount["ridge regression"].difference.value == pytest.approx(
        amount["ridge regression"].score.value - measured.outputs["amount"].main.value
    )
    assert all(one.seconds > 0 for one in (*label.values(), *amount.values()))


def test_the_page_and_the_json_hold_the_simple_models(measured: object):
    page = as_html(measured)
    assert "Would a simple model do?" in page
    assert "ridge regression" in page
    content = json.loads(json.dumps(measured.as_dict(), allow_nan=False))["studies"]["simple_models"]
    assert content["outputs"]["label"]["models"]["gradient boosting"]["score"]["rows"] == 20


def test_without_its_training_the_section_says_why():
    rows = made.simple_rows(20)
    found = evaluate(make(RECIPE, rows), read_table(rows), studies=("simple_models",))
    assert found.studies["simple_models"] == SimpleModels({}, simple.UNKNOWN)
    assert "is not known or has changed" in as_html(found)
    assert "is not known or has changed" in " ".join(str(found).split())


def test_of_many_training_rows_a_sample_is_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(simple.MOST_ROWS, "text", 30)
    rows = made.simple_rows(50)
    table = read_table(rows)
    training = Training(table, {"train": np.arange(40)})
    found = evaluate(
        make(RECIPE, rows), table, np.arange(40, 50), training=training, studies=("simple_models",)
    )
    study = found.studies["simple_models"]
    assert (study.training_rows, study.of_training_rows) == (30, 40)


def test_the_margin_of_an_error_is_a_share_of_it():
    gain = Interval(1.0, -1.5, 1.9, 50, 1000, "bootstrap")
    assert simple.compared(gain, simple._margin("mae", 100.0)) == "alike"
    assert simple.compared(gain, simple._margin("mae", 50.0)) == "unclear"
    assert simple._margin("accuracy", 0.5) == 0.02


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.1, 0.05, 0.15, "this model is better by 0.100 (0.050 to 0.150)."),
        (-0.1, -0.15, -0.05, "the simple model is better by 0.100 (0.050 to 0.150): it would do."),
        (0.01, -0.05, 0.07, "until more rows show a gain, the simple model is the safer choice."),
        (0.005, -0.01, 0.02, "0.005 (−0.010 to 0.020), too small to matter: the simple model would do."),
        (
            0.0,
            math.nan,
            math.nan,
            "none of the 50 rows is scored differently by this model, so these rows cannot tell.",
        ),
    ],
)
def test_whether_a_simple_model_would_do_in_words(value: float, low: float, high: float, words: str):
    score = SimpleScore(
        Interval(0.66, 0.6, 0.7, 50, 1000, "bootstrap"),
        Interval(value, low, high, 50, 1000, "bootstrap"),
        seconds=1.0,
        converged=True,
    )
    answer = SimpleModels({"kind": SimpleOutput("accuracy", "max", {"gradient boosting": score})}, "")
    (line,) = sentences(answer)
    assert line.startswith("Gradient boosting on simple features gives accuracy 0.660 (0.600 to 0.700): ")
    assert line.endswith(words)
    stopped = {"gradient boosting": score._replace(converged=False)}
    stopped_answer = replace(answer, outputs={"kind": SimpleOutput("accuracy", "max", stopped)})
    assert "stopped before it converged" in sentences(stopped_answer)[1]
