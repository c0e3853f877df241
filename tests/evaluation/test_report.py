"""The report: true sentences, everything escaped, nothing loaded from anywhere."""

import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sensorium.errors import SensoriumError
from sensorium.evaluation import (
    Evaluation,
    InputSubset,
    Interval,
    OutputEvaluation,
    print_evaluation,
    write_report,
)
from sensorium.evaluation.baseline import Baseline
from sensorium.evaluation.evaluate import Unreadable
from sensorium.evaluation.metrics import Confusion
from sensorium.evaluation.output import Points
from sensorium.evaluation.report import FILTERS, as_html
from sensorium.evaluation.words import (
    facts,
    interval_notes,
    limits,
    number,
    sentences,
    subset_name,
    summary,
    value,
)
from sensorium.inference import subsets

EVIL = "<script>alert('x')</script>&\"[red]"


def interval(value: float, reach: float = 0.05, rows: int = 100) -> Interval:
    return Interval(value, value - reach, value + reach, rows, 1000, "bootstrap")


def output(**changes: object) -> OutputEvaluation:
    """A category, measured."""
    made = OutputEvaluation(
        type="category",
        metric="accuracy",
        goal="max",
        metrics={"accuracy": interval(0.8), "auc": Interval(math.nan, math.nan, math.nan, 100, 0, "none")},
        baseline=Baseline("answering “a”", {"accuracy": 0.5}),
        scored=100,
        without_target=0,
        not_learned=0,
        confusion=Confusion(["a", "b"], np.array([[40, 10], [10, 40]])),
        points=None,
    )
    return replace(made, **changes)


def number_output() -> OutputEvaluation:
    return OutputEvaluation(
        "number",
        "mae",
        "min",
        {"mae": interval(12.0, 2.0)},
        None,
        100,
        0,
        0,
        None,
        Points([1.0, 2.0], [1.5, 1.5], 2),
    )


def evaluation(**changes: object) -> Evaluation:
    """One with all that a report can show."""
    inputs = {"title": 100, "picture": 90}
    outputs = {"kind": output(), "price": number_output()}
    made = Evaluation(
        model="stamps",
        source="stamps.csv",
        part="test",
        training_table=True,
        rows=100,
        inputs=inputs,
        outputs=outputs,
        not_measured=[],
        subsets=[
            InputSubset(one, {name: interval(0.5) for name in outputs}) for one in subsets(list(inputs))
        ],
        subset_rows=100,
        studies={},
        unreadable=Unreadable(0, []),
        history=[
            {"epoch": 1, "train_loss": 1.0, "validation": {"loss": 1.1, "kind.accuracy": 0.7}, "best": True}
        ],
        manifest={
            "seed": 3,
            "parameters": 1234567,
            "versions": {"torch": "2"},
            "rows": {"train": 800},
            "duplicates": [],
        },
    )
    return replace(made, **changes)


class Page(HTMLParser):
    """Collects a page's tags and text, and checks that tags close in their order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def test_the_page_says_what_was_measured_and_how_well():
    text = re.sub(r"\s+", " ", Page(as_html(evaluation())).text)
    for sentence in (
        "Measured on 100 rows: the test part of stamps.csv.",
        "Accuracy 0.800 (95 % interval 0.750 to 0.850) on 100 rows.",
        "Always answering “a” gives 0.500 on the same rows: the whole interval is better.",
        "Mean absolute error 12.00 (95 % interval 10.00 to 14.00) on 100 rows.",
        "Of all 100 rows, 100 have title; 90 have picture.",
        "The dashed line marks epoch 1, whose weights were kept.",
        "1,234,567",
        "none found",
        "Intervals cover 95 %",
    ):
        assert sentence in text


def test_the_page_loads_nothing():
    page = as_html(evaluation())
    for tag, attributes in Page(page).tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "video", "audio"}
        for name in ("href", "xlink:href", "src"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_whatever_comes_from_the_data_is_escaped():
    evil_output = output(
        confusion=Confusion([EVIL, "b"], np.eye(2, dtype=np.int64)),
        baseline=Baseline(EVIL, {"accuracy": 0.5}),
    )
    made = evaluation(
        model=EVIL,
        source=EVIL,
        inputs={EVIL: 90},
        outputs={EVIL: evil_output},
        not_measured=[EVIL],
        subsets=[InputSubset([EVIL], {EVIL: interval(0.5)}), InputSubset([], {EVIL: interval(0.4)})],
        unreadable=Unreadable(3, [EVIL]),
        history=[{"epoch": 1, "train_loss": 1.0, "validation": {f"{EVIL}.accuracy": 0.5}}],
        manifest={"duplicates": [EVIL], "versions": {EVIL: EVIL}, "seed": EVIL, "precision": EVIL},
    )
    page = Page(as_html(made))
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert page.text.count(EVIL) >= 10
    assert {attributes.get("title") for tag, attributes in page.tags if tag == "th"} >= {EVIL}
    assert EVIL in str(made)


def test_the_confusion_is_a_table_of_counts():
    page = Page(as_html(evaluation()))
    cells = [
        attributes["style"]
        for tag, attributes in page.tags
        if tag == "td" and "heat" in (attributes.get("style") or "")
    ]
    assert cells == [f"background:rgba(var(--heat),{share})" for share in ("0.80", "0.20", "0.20", "0.80")]


def test_bars_stand_for_values_and_limits():
    page = Page(as_html(evaluation()))
    styles = [attributes["style"] for tag, attributes in page.tags if tag == "i"]
    assert styles[:3] == ["width:50.0%", "left:50.0%", "left:45.0%;width:10.0%"]  # of the accuracy, 0 to 1
    assert styles[-2:] == ["width:90.91%", "left:81.82%;width:18.18%"]  # of the error, 0 to 0.55


@pytest.mark.parametrize("inputs", [1, 2, 6])
def test_any_number_of_inputs(inputs: int):
    names = {f"input {position}": 100 for position in range(inputs)}
    tried = [InputSubset(one, {"kind": interval(0.5)}) for one in subsets(list(names))]
    page = Page(as_html(evaluation(inputs=names, outputs={"kind": output()}, subsets=tried)))
    assert len([tag for tag, attributes in page.tags if attributes.get("class") == "names"]) == len(tried)
    assert ("all but input 0" in page.text) == (inputs == 6)


def test_subsets_in_words():
    assert subset_name(["a"], ["a"]) == "a"
    assert subset_name(["a", "b"], ["a", "b"]) == "all"
    assert subset_name(["a"], ["a", "b"]) == "a"
    assert subset_name(["a", "c"], ["a", "b", "c"]) == "all but b"
    assert subset_name([], ["a", "b"]) == "none"


@pytest.mark.parametrize(
    ("baseline", "goal", "said"),
    [
        (0.5, "max", "the whole interval is better"),
        (0.9, "max", "the whole interval is worse"),
        (0.9, "min", "the whole interval is better"),
        (0.78, "max", "The interval includes this baseline: on these rows the model cannot be told from it."),
    ],
)
def test_the_baseline_in_words(baseline: float, goal: str, said: str):
    lines = sentences("kind", output(goal=goal, baseline=Baseline("answering “a”", {"accuracy": baseline})))
    assert said in " ".join(lines)


def test_what_did_not_count_is_said():
    lines = " ".join(sentences("kind", output(without_target=1, not_learned=1234, scored=20)))
    assert "1 row without a readable kind did not count." in lines
    assert "1,234 rows of a class that training did not have did not count." in lines
    assert "Fewer than 30 rows" in lines
    assert sentences("kind", output(scored=0)) == ["No row has a known kind, so there is nothing to score."]


@pytest.mark.parametrize(
    ("part", "training_table", "said"),
    [
        ("train", True, "trained on these very rows"),
        ("validation", True, "chose which weights were kept"),
        (None, True, "the whole table that the model was trained on"),
        (None, False, "Measured on 100 rows: stamps.csv."),
        ("test", True, "the test part of stamps.csv."),
    ],
)
def test_the_summary_says_which_rows(part: str | None, training_table: bool, said: str):
    lines = summary(evaluation(part=part, training_table=training_table))
    assert said in " ".join(lines)
    assert len(lines) == (1 if part == "test" or not training_table else 2)


def test_the_summary_says_what_speaks_against_the_scores():
    lines = summary(
        evaluation(
            not_measured=["colour"], unreadable=Unreadable(1, ["row 1"]), manifest={"duplicates": ["3 rows"]}
        )
    )
    assert "Not measured, as the table has no such column: colour." in lines
    assert "1 cell could not be read and counted as missing." in lines
    assert "Some content stands on two sides of the split (see below), which can flatter the scores." in lines
    elsewhere = summary(evaluation(part=None, training_table=False, manifest={"duplicates": ["3 rows"]}))
    assert len(elsewhere) == 1


def test_interval_notes_name_the_methods():
    assert "1,000 resamples" in interval_notes(evaluation())[0]
    wilson = output(metrics={"accuracy": Interval(1.0, 0.9, 1.0, 30, 0, "wilson")})
    notes = interval_notes(evaluation(outputs={"kind": wilson}, subsets=[]))
    assert notes[0].startswith("Where too few rows differ")
    nothing = output(metrics={"accuracy": Interval(math.nan, math.nan, math.nan, 0, 0, "none")}, scored=0)
    assert interval_notes(evaluation(outputs={"kind": nothing}, subsets=[])) == []


def test_facts_leave_out_what_is_not_known():
    assert facts(evaluation(manifest={}, history=[])) == []
    assert dict(facts(evaluation()))["rows"] == "800 train"
    page = Page(as_html(evaluation(manifest={}, history=[], subsets=[], outputs={"kind": output(scored=0)})))
    assert "Training" not in page.text
    assert "Learning curves" not in page.text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.848, "0.848"),
        (1.0, "1.000"),
        (0.0, "0.000"),
        (-0.25, "−0.250"),
        (12.5, "12.50"),
        (231.0, "231.0"),
        (1234.5, "1234"),
        (12345.6, "12,346"),
        (1e15, "1.000e+15"),
        (0.00123, "0.00123"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_numbers_show_the_digits_that_count(value: float | None, shown: str):
    assert number(value) == shown


def test_a_score_and_its_limits_have_the_same_decimals():
    small = Interval(0.00938, 0.0, 0.121, 40, 1000, "bootstrap")
    assert (value(small), limits(small)) == ("0.009", "0.000 to 0.121")
    tiny = Interval(0.0021, 0.0019, 0.0023, 40, 1000, "bootstrap")  # three decimals would show no interval
    assert (value(tiny), limits(tiny)) == ("0.0021", "0.0019 to 0.0023")


def test_the_page_counts_one_row_as_one():
    assert FILTERS["rows"](1) == "1 row"
    assert FILTERS["rows"](1200) == "1,200 rows"


def test_tracks_are_equally_long_and_words_whole():
    css = (files("sensorium.evaluation") / "report.css").read_text(encoding="utf-8")
    assert "grid-template-columns: minmax(0, 1fr) 12rem" in css
    chip = css[css.index(".chip {") :]
    assert "white-space: nowrap" in chip[: chip.index("}")]


def test_the_files_are_written_whole(tmp_path: Path):
    made = evaluation()
    path = write_report(made, tmp_path / "runs" / "evaluation")
    assert path == tmp_path / "runs" / "evaluation" / "report.html"
    assert sorted(file.name for file in path.parent.iterdir()) == ["report.html", "report.json"]
    assert path.read_text(encoding="utf-8") == as_html(made)
    content = json.loads((path.parent / "report.json").read_text(encoding="utf-8"))
    assert content == made.as_dict()
    assert content["outputs"]["kind"]["metrics"]["auc"]["value"] is None
    assert content["outputs"]["kind"]["confusion"]["counts"] == [[40, 10], [10, 40]]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(SensoriumError, match="the report cannot be written"):
        write_report(evaluation(), tmp_path / "file")


@pytest.mark.parametrize("width", [20, 80, 200])
def test_a_terminal_of_any_width(width: int):
    console = Console(file=io.StringIO(), width=width)
    print_evaluation(evaluation(), console)
    written = console.file.getvalue()
    assert max(map(len, written.splitlines())) <= width
    assert "accuracy" in written or width == 20


def test_the_text_shows_markup_as_it_is():
    text = str(evaluation(outputs={"[red]kind[/red]": output()}, subsets=[]))
    assert "[red]kind[/red]" in text
    assert "0.750 to 0.850" in text
