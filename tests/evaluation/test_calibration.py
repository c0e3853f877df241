"""Calibration measured: by hand on a tiny model, in words, and as a section of the page."""

import json
import math
from importlib.resources import files
from xml.etree import ElementTree

import jinja2
import numpy as np
import pytest

import sensorium as sm
from sensorium.calibration import Calibration
from sensorium.data.table import read_table
from sensorium.evaluation.calibration import (
    CalibrationStudy,
    Claims,
    OutputCalibration,
    Reliability,
    SubsetCoverage,
    reliability,
    study_calibration,
)
from sensorium.evaluation.calibration_plot import reliability_svg
from sensorium.evaluation.calibration_words import sentences, verdict, view
from sensorium.evaluation.evaluate import plain
from sensorium.evaluation.metrics import Interval, wilson
from sensorium.evaluation.report import FILTERS
from sensorium.inference import collect, subsets
from sensorium.predict import Predictor
from tests.evaluation.test_evaluate import RECIPE, ROWS, answer_always, make

SVG = "{http://www.w3.org/2000/svg}"
ALL, SIZE, COLOUR, NONE = (frozenset(one) for one in (["size", "colour"], ["size"], ["colour"], []))


def study(predictor: Predictor, coverage: float = 0.9, rows: dict = ROWS) -> CalibrationStudy | None:
    loader = predictor.loader(read_table(rows))
    collected = collect(predictor.model, loader, np.arange(len(rows["size"])))
    names = list(predictor.inputs)
    hidden = {tuple(left): [name for name in names if name not in left] for left in subsets(names)}
    by_subset = {
        left: collect(predictor.model, loader, collected.rows, hidden=absent).predicted
        for left, absent in hidden.items()
    }
    return study_calibration(predictor, collected, by_subset, coverage)


def calibrated(scores: dict, temperature: float = 1.0) -> Predictor:
    """A model that says apple 1/2, pear 1/4, plum 1/4, and the price 4, at temperature 1."""
    predictor = make()
    answer_always(predictor, "kind", [math.log(2.0), 0.0, 0.0])
    answer_always(predictor, "price", [0.0])
    own = {name: {key: np.array(one) for key, one in each.items()} for name, each in scores.items()}
    predictor.calibration = Calibration(["size", "colour"], {"kind": temperature, "price": 1.0}, own)
    predictor.calibration.set_temperatures(predictor.model)
    return predictor


def test_reliability_by_hand():
    confidence = np.repeat([0.6, 0.9], 10)
    right = np.array([True] * 4 + [False] * 6 + [True] * 10)
    found = reliability(Claims(confidence, right, 0.5))
    assert [one.claims for one in found.bins] == [10, 10]
    assert found.error == pytest.approx((0.2 + 0.1) / 2)
    assert found.log_loss == 0.5


def test_bins_have_equal_mass():
    confidence = np.linspace(0.1, 1, 150)
    right = np.arange(150) % 2 == 0
    found = reliability(Claims(confidence, right, 0.0))
    assert [one.claims for one in found.bins] == [10] * 15
    assert [one.accuracy for one in found.bins] == [0.5] * 15
    expected = np.abs(confidence.reshape(15, 10).mean(axis=1) - 0.5).mean()
    assert found.error == pytest.approx(expected)


def test_sets_by_hand_for_every_subset():
    """Three of six are apples. Thresholds of 1/2 let in apple, of 3/4 all, of 0 none."""
    scores = {
        "kind": {ALL: [0.5] * 9, SIZE: [0.0] * 9, COLOUR: [0.75] * 9, NONE: [0.5] * 2},
        # one unit of the price is 1 / spread
        "price": {ALL: [0.0] * 9, NONE: [10.0] * 9},
    }
    found = study(calibrated(scores))
    assert found is not None
    assert (found.rows, found.inputs, found.calibrated) == (6, ["size", "colour"], True)
    assert [one.present for one in found.outputs["kind"].subsets] == subsets(["size", "colour"])
    whole, size, colour, none = found.outputs["kind"].subsets
    # the last row has no colour, so of its size alone nothing is let in: its plum is not covered
    assert whole.coverage == Interval(3 / 6, *wilson(3 / 6, 6), 6, 0, "wilson")
    assert (whole.size, whole.answered) == (pytest.approx(5 / 6), pytest.approx(5 / 6))
    assert whole.accuracy is not None
    assert (whole.accuracy.value, whole.accuracy.rows) == (3 / 5, 5)
    assert (size.coverage.value, size.size, size.answered) == (0, 0, 0)
    assert size.accuracy is not None
    assert math.isnan(size.accuracy.value)
    assert (colour.coverage.value, colour.size, colour.unlimited) == (1, 3, 1)
    assert (none.coverage.value, none.size, none.unlimited) == (1, 3, 6)
    price = found.outputs["price"]
    assert price.before is price.after is None
    assert price.subsets[0].coverage.value == 2 / 6  # the price of 4, and the row without a colour
    spread = float(np.std(ROWS["price"]))
    assert price.subsets[-1].size == pytest.approx(20 * spread, rel=1e-6)
    assert price.subsets[0].answered is price.subsets[0].accuracy is None


def test_before_and_after_the_temperature_by_hand():
    found = study(calibrated({}, temperature=0.5))
    assert found is not None
    kind = found.outputs["kind"]
    assert kind.before is not None
    assert kind.after is not None
    # three of six are apples: 1/2 is what should be claimed; twice the logits claim 4/6
    assert kind.before.log_loss == pytest.approx(-(3 * math.log(1 / 2) + 3 * math.log(1 / 4)) / 6)
    assert kind.after.log_loss == pytest.approx(-(3 * math.log(4 / 6) + 3 * math.log(1 / 6)) / 6)
    # fewer than ten rows make one bin
    assert [one.confidence for one in kind.before.bins] == pytest.approx([1 / 2])
    assert [one.confidence for one in kind.after.bins] == pytest.approx([4 / 6])
    assert kind.subsets == []


def test_many_labels_are_claims_one_by_one():
    recipe = {**RECIPE, "outputs": {"tags": "categories"}}
    rows = {**ROWS, "tags": [["a"], ["a"], ["a"], ["a", "b"], [], []]}
    predictor = make(recipe, rows)
    answer_always(predictor, "tags", [math.log(3.0), 0.0])
    found = study(predictor, rows=rows)
    assert found is not None
    assert not found.calibrated
    tags = found.outputs["tags"]
    assert tags.after is not None
    assert sum(one.claims for one in tags.after.bins) == 12
    # a: 3/4 claimed and 4 of 6 true; b: 1/2 claimed and 1 of 6 true
    expected = -(4 * math.log(3 / 4) + 2 * math.log(1 / 4) + 6 * math.log(1 / 2)) / 12
    assert tags.after.log_loss == pytest.approx(expected)


def test_without_probabilities_and_sets_there_is_nothing_to_study():
    predictor = make({**RECIPE, "outputs": {"price": "number"}})
    assert study(predictor) is None


def test_rows_without_a_target_do_not_count():
    scores = {"kind": {ALL: [0.5] * 9, SIZE: [0.5] * 9, COLOUR: [0.5] * 9, NONE: [0.5] * 9}}
    found = study(calibrated(scores), rows={**ROWS, "kind": ["apple", None, "kiwi", None, "pear", None]})
    assert found is not None
    assert found.outputs["kind"].subsets[0].coverage.rows == 2
    nothing = study(calibrated(scores), rows={**ROWS, "kind": [None] * 6})
    assert nothing is not None
    kind = nothing.outputs["kind"]
    assert kind.before is kind.after is None
    assert math.isnan(kind.subsets[0].coverage.value)
    assert sentences(nothing) == []


def test_a_trained_model_agrees_with_its_own_tables():
    rows = {"size": [float(row % 7) for row in range(120)], "kind": ["a", "b", "b"] * 40}
    model = sm.fit(rows, target="kind", training={"epochs": 2}, verbose=False)
    loader = model.loader(read_table(rows))
    collected = collect(model.model, loader, np.arange(120))
    found = study(model, 0.7, rows)
    assert found is not None
    kind, head = found.outputs["kind"], model.model.head("kind")
    predicted = model.predict_table(rows, coverage=0.7)
    sets = predicted["kind_set"].to_pylist()
    held = [truth in labels for truth, labels in zip(rows["kind"], sets, strict=True)]
    assert kind.subsets[0].coverage.value == pytest.approx(np.mean(held))
    assert kind.subsets[0].size == pytest.approx(np.mean([len(labels) for labels in sets]))
    assert kind.subsets[0].answered == pytest.approx(1 - np.mean(predicted["kind_abstain"].to_pylist()))
    assert kind.before is not None
    assert kind.after is not None
    after = head.metrics(collected.predicted["kind"], collected.targets["kind"])
    assert kind.after.log_loss == pytest.approx(after["log_loss"])
    assert kind.temperature == head.temperature
    head.temperature = 1.0
    cold = collect(model.model, loader, np.arange(120))
    before = head.metrics(cold.predicted["kind"], cold.targets["kind"])
    assert kind.before.log_loss == pytest.approx(before["log_loss"])
    assert json.loads(json.dumps(plain(found), allow_nan=False))["outputs"]["kind"]["subsets"]


def test_the_verdict_on_a_coverage():
    def measured(low: float, high: float) -> Interval:
        return Interval((low + high) / 2, low, high, 99, 0, "wilson")

    assert verdict(measured(0.85, 0.93), 0.9) == "contains"
    assert verdict(measured(0.9, 0.93), 0.9) == "contains"
    assert verdict(measured(0.80, 0.89), 0.9) == "below"
    assert verdict(measured(0.91, 0.99), 0.9) == "above"
    assert verdict(measured(math.nan, math.nan), 0.9) == "unknown"


def output(whole: float, alone: float, error: float = 0.02, **changed: object) -> OutputCalibration:
    """Of 1,000 rows, with an input and without it; temperature 2 brings the error from 0.1 to `error`."""

    def covered(present: list[str], share: float) -> SubsetCoverage:
        interval = Interval(share, *wilson(share, 1000), 1000, 0, "wilson")
        right = Interval(0.95, *wilson(0.95, 800), 800, 0, "wilson")
        return SubsetCoverage(present, interval, 1.25, 0, 0.8, right, 2)

    bins = [reliability(Claims(np.array([0.5, 0.9]), np.array([True, False]), 0.0)).bins[0]]
    fields = {
        "type": "category",
        "temperature": 2.0,
        "before": Reliability(0.1, 0.7, bins),
        "after": Reliability(error, 0.6, bins),
        "subsets": [covered(["<b>"], whole), covered([], alone)],
    }
    return OutputCalibration(**(fields | changed))  # type: ignore[arg-type]


def of(found: OutputCalibration, calibrated: bool = True) -> CalibrationStudy:
    return CalibrationStudy(calibrated, 0.9, ["<b>"], 1000, {"<kind>": found})


def test_sentences_say_what_improved_and_what_holds():
    good = " ".join(sentences(of(output(0.9, 0.9))))
    assert (
        "<kind>: A temperature of 2.000, learned on the validation rows, makes the model less sure." in good
    )
    assert "lowers the expected calibration error from 0.100 to 0.020" in good
    assert "lowers the log loss from 0.700 to 0.600" in good
    assert "hold the truth in 0.900 of 1,000 rows" in good
    assert "agrees with the 0.9 asked for" in good
    assert (
        "A set has 1.250 classes on average. 0.800 of the rows are answered with one class; of these" in good
    )
    assert "The set of 2 rows has no class: " in good
    assert "With inputs absent, 0.9 lies in the interval of every subset." in good
    bad = " ".join(sentences(of(output(0.8, 0.99, error=0.12))))
    assert "does not lower the expected calibration error (0.100 before, 0.120 after)" in bad
    assert "does not contain the 0.9 asked for: too often the truth is left out" in bad
    assert "misses 0.9 for 1 of 1 subset (above: no input)" in bad
    assert "larger than they need be" in " ".join(sentences(of(output(0.99, 0.9))))
    bare = sentences(of(output(0.9, 0.9, temperature=1.0, subsets=[]), calibrated=False))
    assert "was not calibrated" in bare[0]
    assert bare[1].endswith("No temperature was learned.")
    assert len(bare) == 2


def test_sentences_of_numbers_and_of_few_rows():
    made = output(0.9, 0.9)
    numbers = [one._replace(answered=None, accuracy=None, unlimited=7, empty=0) for one in made.subsets]
    said = sentences(of(output(0.9, 0.9, before=None, after=None, subsets=numbers)))
    assert "the intervals hold the truth" in said[0]
    assert said[1] == "<kind>: An interval is 1.250 wide on average."
    assert "have the inputs of 7 rows: nothing is ruled out there" in said[2]


@pytest.mark.parametrize("temperature", [2.0, 1.0])
@pytest.mark.parametrize("kind", ["category", "number"])
def test_the_section_of_the_page(temperature: float, kind: str):
    found = output(0.8, 0.9, temperature=temperature)
    if kind == "number":
        few = [one._replace(answered=None, accuracy=None, unlimited=1, empty=0) for one in found.subsets]
        found = output(0.8, 0.9, type=kind, before=None, after=None, subsets=few)
    page = render(of(found))
    root = ElementTree.fromstring(page)  # noqa: S314 - our own
    text = " ".join(" ".join(root.itertext()).split())
    assert "<kind>" in text
    assert "(below)" in text
    assert text.count("(below)") == 1
    assert ("no limit" in text) == (kind == "number")
    assert ("of these right" in text) == (kind == "category")
    assert len(list(root.iter(f"{SVG}svg"))) == (kind == "category")
    assert len([row for row in root.iter("tr") if row.get("class") == "main"]) == 1


def test_the_section_of_a_model_that_was_not_calibrated():
    page = render(of(output(0.9, 0.9, temperature=1.0, subsets=[]), calibrated=False))
    assert "was not calibrated" in page
    assert "<table" not in page


def render(found: CalibrationStudy) -> str:
    """As the report does."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(FILTERS)
    source = files("sensorium.evaluation").joinpath("sections/calibration.html.jinja").read_text("utf-8")
    section = f"<section>{source}</section>"
    return environment.from_string(section).render(study=found, view=view(found)).replace("<br>", "<br/>")


def test_the_diagram_has_a_mark_for_every_bin():
    before = reliability(Claims(np.linspace(0.2, 1, 150), np.arange(150) % 3 > 0, 0.0))
    after = reliability(Claims(np.linspace(0.3, 0.8, 150), np.arange(150) % 3 > 0, 0.0))
    for second in (after, None):
        root = ElementTree.fromstring(reliability_svg(before, second, "one"))  # noqa: S314 - our own
        marks = [use.get("style") or "" for use in root.iter(f"{SVG}use")]
        assert sum("var(--second)" in style for style in marks) == 15
        assert sum("var(--first)" in style for style in marks) == (15 if second else 0)
        assert {"confidence", "share right"} <= {one.text for one in root.iter(f"{SVG}text")}
