"""Robustness in one number by hand, the late fusion, and whole curves of a tiny model."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sensorium.batch import Raw, Tokens
from sensorium.data.column import Cells
from sensorium.data.table import read_table
from sensorium.data.tabular import NumberColumn
from sensorium.encoded import Encoded
from sensorium.evaluation import evaluate, noise
from sensorium.evaluation.corruptions import CORRUPTIONS, corrupt
from sensorium.evaluation.late_fusion import late_fusion
from sensorium.evaluation.metrics import Interval
from sensorium.evaluation.noise import Curve, Noise, Point, Source
from sensorium.evaluation.noise_words import levels_in_words, sentences, view
from sensorium.evaluation.report import as_html
from sensorium.evaluation.robustness import area, effective_robustness, relative_robustness
from sensorium.heads.number import NumberHead
from sensorium.predict import Predictor
from sensorium.recipe import parse_recipe
from tests import made
from tests.evaluation.test_evaluate import RECIPE, ROWS, make
from tests.made_checkpoint import text_checkpoint


def test_the_area_by_hand():
    assert area([1.0, 1.0, 1.0]) == pytest.approx(1.0)
    assert area([1.0, 0.0]) == pytest.approx(0.5)
    assert area([1.0, 0.5, 0.0]) == pytest.approx(0.5)
    assert area([0.8, 0.6, 0.1]) == pytest.approx((0.7 + 0.35) / 2)


def test_relative_robustness_by_hand():
    assert relative_robustness([0.8, 0.8, 0.8], "max") == pytest.approx(1.0)
    assert relative_robustness([0.8, 0.4, 0.0], "max") == pytest.approx(0.5)
    assert relative_robustness([2.0, 4.0, 6.0], "min") == pytest.approx(0.5)  # on average twice the error
    assert math.isnan(relative_robustness([0.0, 0.0], "max"))


def test_effective_robustness_by_hand():
    # the reference, moved up by 0.2 to start alike, falls to 0.4; the model to 0.6: half of 0.2 between them
    assert effective_robustness([0.8, 0.6], [0.6, 0.2], "max") == pytest.approx(0.1)
    assert effective_robustness([0.8, 0.4], [0.8, 0.4], "max") == pytest.approx(0.0)
    # an error that rises less than the reference's is the more robust one
    assert effective_robustness([1.0, 2.0], [2.0, 5.0], "min") == pytest.approx(1.0)


def encoded(present: list[bool]) -> Encoded:
    nothing = Tokens(torch.zeros(len(present), 1, 1), torch.ones(len(present), 1, dtype=torch.bool))
    return Encoded(nothing, torch.tensor(present))


def answers(shares: list[float], price: float) -> dict[str, dict[str, np.ndarray]]:
    """The same for three rows."""
    kind = {"codes": np.ones(3, dtype=np.int64), "probabilities": np.tile(shares, (3, 1))}
    return {"kind": kind, "price": {"values": np.full(3, price)}}


def test_the_late_fusion_is_the_mean_over_the_inputs_that_a_row_has():
    alone = {
        "size": answers([0.8, 0.2], 1.0),
        "colour": answers([0.4, 0.6], 3.0),
    }
    there = {"size": encoded([True, True, False]), "colour": encoded([True, False, False])}
    found = late_fusion(parse_recipe(RECIPE), alone, there)
    assert found["kind"]["probabilities"] == pytest.approx(np.array([[0.6, 0.4], [0.8, 0.2], [0.6, 0.4]]))
    assert found["price"]["values"] == pytest.approx([2.0, 1.0, 2.0])
    assert late_fusion(parse_recipe(RECIPE), {"size": alone["size"]}, there) == {}


@pytest.fixture(scope="module")
def measured() -> Noise:
    patch = pytest.MonkeyPatch()
    patch.setattr(noise, "RESAMPLES", 20)
    found: Noise = evaluate(make(), read_table(ROWS), studies=("noise",)).studies["noise"]
    patch.undo()
    return found


def test_a_curve_for_each_input_and_one_for_all(measured: Noise):
    assert measured.rows == 6
    assert measured.metrics == {"kind": "accuracy", "price": "mae"}
    sources = [curve.sources for curve in measured.curves if curve.output == "price"]
    size, colour = Source("size", "noise"), Source("colour", "wrong class")
    assert sources == [(size,), (colour,), (size, colour)]
    assert all([point.level for point in curve.points] == list(noise.LEVELS) for curve in measured.curves)


def test_a_point_scores_as_the_corrupted_cells_predicted_by_hand(measured: Noise):
    """Level 1 of the size, against `Model.predict` of the corrupted cells, all rows in one batch."""
    predictor = make()
    loader = predictor.loader(read_table(ROWS))
    decoded = loader.batch(np.arange(6))
    column = predictor.inputs["size"].column
    cells = dict(decoded.inputs)
    cells["size"] = corrupt(cells["size"], np.arange(6), 1.0, CORRUPTIONS["number"]["noise"], column, seed=0)
    raw = {name: Raw(*map(torch.from_numpy, one)) for name, one in cells.items()}
    head = predictor.model.head("price")
    predicted = {key: value.numpy() for key, value in predictor.model.predict(raw)["price"].items()}
    expected = head.metrics(predicted, decoded.targets["price"])["mae"]
    curve = next(one for one in measured.curves if one.output == "price")
    assert curve.points[-1].score.value == pytest.approx(expected, abs=1e-5)
    assert curve.points[0].score.value != pytest.approx(expected, abs=1e-3)
    hidden = {key: value.numpy() for key, value in predictor.model.predict(raw, ["size"])["price"].items()}
    assert curve.absent == pytest.approx(head.metrics(hidden, decoded.targets["price"])["mae"], abs=1e-5)


def test_the_batch_size_changes_nothing(measured: Noise, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(noise, "RESAMPLES", 20)
    monkeypatch.setattr(noise, "BATCH_SIZE", 2)
    again = evaluate(make(), read_table(ROWS), studies=("noise",)).studies["noise"]
    for one, other in zip(measured.curves, again.curves, strict=True):
        assert [point.score.value for point in one.points] == pytest.approx(
            [point.score.value for point in other.points], abs=1e-5
        )
        assert one.effective == pytest.approx(other.effective, abs=1e-5)


def test_one_input_has_no_reference(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(noise, "RESAMPLES", 20)
    recipe = {**RECIPE, "inputs": {"size": "number"}, "outputs": {"price": "number"}}
    found = evaluate(make(recipe), read_table(ROWS), studies=("noise",))
    (curve,) = found.studies["noise"].curves
    assert curve.effective is None
    assert math.isnan(curve.points[0].late_fusion)
    assert "effective robustness" not in as_html(found)


def test_the_page_and_the_json_hold_the_curves(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(noise, "RESAMPLES", 20)
    found = evaluate(make(), read_table(ROWS), studies=("noise",))
    page = as_html(found)
    assert page.count("<svg") >= 6
    assert "noise on all inputs together" in page
    content = json.loads(json.dumps(found.as_dict(), allow_nan=False))["studies"]["noise"]
    assert len(content["curves"]) == 6
    assert content["curves"][0]["sources"] == [{"input": "size", "corruption": "noise"}]
    assert len(content["curves"][0]["points"]) == 11


def curve(absent: float, worse: list[float], *inputs: str) -> Curve:
    points = [Point(level, Interval(0.5, 0.4, 0.6, 9, 20, "bootstrap"), math.nan) for level in noise.LEVELS]
    sources = tuple(Source(name, "pixel noise") for name in inputs)
    return Curve("kind", sources, "share", None, points, absent, worse, 0.75, None)


def test_sentences_and_pictures():
    curves = [curve(0.3, [], "front"), curve(0.7, list(noise.LEVELS[4:]), "front", "back")]
    answer = Noise(9, {"kind": "accuracy"}, curves)
    first, second = sentences(answer)
    kept = "relative robustness of the accuracy 0.750"
    assert first == f"pixel noise on front: {kept}; at no level worse than without it."
    assert second.startswith("noise on all inputs together: ")
    assert second.endswith("from level 0.4 on worse than without them.")
    shown = view(answer)
    assert shown["several"]
    assert "front" not in shown["curves"][0]["picture"]  # no text of the user inside


def test_from_a_level_on_means_every_later_level():
    assert levels_in_words(list(noise.LEVELS[7:])) == "from level 0.7 on"
    assert levels_in_words([0.1, *noise.LEVELS[7:]]) == "at levels 0.1, 0.7, 0.8, 0.9, 1"
    assert levels_in_words([0.4]) == "at level 0.4"
    assert levels_in_words([]) == ""


def test_worse_than_absent_is_a_paired_difference():
    """The rows differ far more than the two do, so only pairs tell them apart."""
    column = NumberColumn(NumberColumn.Config(scale="none", clip=None))
    head = NumberHead(NumberHead.Config(scale="none"), column, 2, 2)
    errors = np.linspace(0, 1000, 40)
    target = Cells(np.zeros((40, 1), dtype=np.float32), np.ones((40, 1), dtype=np.bool_))
    absent, worse, better = ({"values": own} for own in (errors, 1.01 * errors, 0.99 * errors))
    assert noise._worse_than(head, [better, absent, worse], absent, target) == [2]


def test_many_rows_are_sampled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(noise, "RESAMPLES", 20)
    monkeypatch.setattr(noise, "MOST_ROWS", 4)
    predictor: Predictor = make()
    found = evaluate(predictor, read_table(ROWS), studies=("noise",)).studies["noise"]
    assert found.rows == 4


def frozen_text(folder: Path) -> tuple[Predictor, dict[str, list[Any]]]:
    """A tiny frozen language model beside a number, and six rows with five different texts."""
    texts = [f"{made.WORDS[place]} {made.WORDS[place + 1]}" for place in (0, 2, 4, 6, 8, 0)]
    rows = {"words": texts, "size": ROWS["size"], "kind": ["a", "b"] * 3}
    encoder = {"kind": "pretrained", "weights": str(text_checkpoint(folder / "tiny"))}
    recipe = {
        "data": {"cache": False},
        "inputs": {"words": {"type": "text", "encoder": encoder}, "size": "number"},
        "outputs": {"kind": "category"},
    }
    return make(recipe, rows), rows


def test_of_pretrained_encoders_fewer_rows_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert noise.MOST_ROWS_PRETRAINED == 50
    monkeypatch.setattr(noise, "RESAMPLES", 20)
    monkeypatch.setattr(noise, "MOST_ROWS_PRETRAINED", 4)
    predictor, rows = frozen_text(tmp_path)
    found = evaluate(predictor, read_table(rows), studies=("noise",))
    assert found.studies["noise"].rows == 4
    assert "predicted again on 4 rows, a fixed sample of the 6" in " ".join(as_html(found).split())
    assert evaluate(make(), read_table(ROWS), studies=("noise",)).studies["noise"].rows == 6


def test_a_frozen_backbone_sees_every_distinct_cell_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Over all studies; words lost to noise and words taken away make other cells of it."""
    monkeypatch.setattr(noise, "RESAMPLES", 20)
    predictor, rows = frozen_text(tmp_path)
    encoder, column = predictor.model.encoder("words"), predictor.inputs["words"].column
    own = {column.decode(text).astype(np.int64).tobytes() for text in rows["words"]}
    seen: Counter[bytes] = Counter()
    features = encoder.features

    def counted(raw: Raw) -> Tokens:
        seen.update(ids[mask].numpy().tobytes() for ids, mask in zip(*raw, strict=True))
        return features(raw)

    monkeypatch.setattr(encoder, "features", counted)
    answers = evaluate(predictor, read_table(rows)).studies
    assert {"contributions", "noise", "explanation"} <= set(answers)
    assert len(own) == 5
    assert {seen[ids] for ids in own} == {1}
    assert len(seen) > 5
