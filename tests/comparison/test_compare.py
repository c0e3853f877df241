"""A whole comparison: trained, scored, resumed, written."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

import sensorium
from sensorium.cli import main
from sensorium.comparison import compare_in, print_comparison, question_folder, write_comparison
from sensorium.comparison.chart import chart_of, ticks_of
from sensorium.comparison.page import as_html
from sensorium.comparison.paired import Difference
from sensorium.comparison.scores import ROW_SCORES, answers_of, counted, row_scores_of
from sensorium.comparison.words import notes, sentences
from sensorium.errors import SensoriumError
from sensorium.evaluation.run import held_back
from sensorium.prepare import split_table
from sensorium.recipe import parse_recipe
from sensorium.training.loop import Trainer
from sensorium.training.progress import Silent
from tests import made

OVER = {"fusion.kind": ["late", "concat", "tensor"]}


def recipe() -> dict[str, Any]:
    """Four inputs, which are too many for tensor; three outputs, of every type."""
    content = made.simple_recipe(epochs=1)
    content["fusion"]["layers"] = 1
    content["inputs"]["again"] = {"type": "number", "column": "size"}
    content["outputs"] = {"label": "category", "amount": "number", "<b>标签</b>": "categories"}
    return content


def rows() -> dict[str, list[Any]]:
    table = made.simple_rows(60)
    return {**table, "<b>标签</b>": [list(pair) for pair in zip(table["label"], table["shop"], strict=True)]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comparison")


@pytest.fixture(scope="module")
def comparison(home: Path) -> sensorium.comparison.Comparison:
    return sensorium.compare(recipe(), OVER, seeds=2, data=rows(), folder=home, verbose=False)


def test_a_variant_that_cannot_be_is_a_line(comparison: Any) -> None:
    assert [one.name for one in comparison.variants] == ["late", "concat", "tensor"]
    late, concat, tensor = comparison.variants
    assert late.dropped == ["fusion.layers"]
    assert (late.refused, concat.refused) == ("", "")
    assert "outer product of 4 inputs" in tensor.refused
    assert all(set(output.variants) == {"late", "concat"} for output in comparison.outputs.values())
    assert "tensor: refused: fusion: the outer product" in " ".join(str(comparison).split())


def test_the_reference_is_the_recipe_as_it_is(comparison: Any) -> None:
    assert comparison.reference == "concat"
    for output in comparison.outputs.values():
        assert output.variants["concat"].difference is None
        late, concat = output.variants["late"], output.variants["concat"]
        assert late.difference.value == pytest.approx(late.score.value - concat.score.value)
        assert late.difference.low <= late.difference.value <= late.difference.high


def test_scores_are_those_of_the_runs(comparison: Any, home: Path) -> None:
    for name, output in comparison.outputs.items():
        for variant, scores in output.variants.items():
            for seed, score in enumerate(scores.seeds):
                (folder,) = home.glob(f"{variant}-seed-{seed}-*")
                predictor = sensorium.load(folder)
                table = predictor.open(rows())
                part, test = held_back(table, split_table(predictor.recipe, table, predictor.targets))
                collected = predictor.collect(table, test)
                head, target = predictor.model.head(name), collected.targets[name]
                assert (comparison.part, output.rows) == (part, head.scored(target).sum())
                assert score == pytest.approx(head.metrics(collected.predicted[name], target)[output.metric])
            assert scores.score.value == pytest.approx(np.mean(scores.seeds))


def test_a_second_call_trains_nothing_and_says_the_same(
    comparison: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    whole = Trainer.run

    def counting(self: Trainer) -> Path:
        trained.append(self.folder.path.name)
        return whole(self)

    monkeypatch.setattr(Trainer, "run", counting)
    again = sensorium.compare(recipe(), OVER, seeds=2, data=rows(), folder=home, verbose=False)
    assert trained == []
    assert again.as_dict() == comparison.as_dict()
    compare_in(home, parse_recipe(recipe()), {"fusion.kind": "late"}, 3, Silent(), rows())
    assert [name.partition("-seed-")[::2][1][0] for name in trained] == ["2"]


def test_words_of_one_seed_are_about_the_trained_models(comparison: Any) -> None:
    output = comparison.outputs["label"]
    apart = Difference(0.2, 0.1, 0.3, 0.01, 0.01)
    late = replace(output.variants["late"], difference=apart)
    told = replace(output, variants={**output.variants, "late": late})
    several = sentences(replace(comparison, outputs={"label": told}), "label")
    assert "Better than concat: late." in several
    assert any(line.startswith("Fewer than 30 rows") for line in several)
    one = sentences(replace(comparison, seeds=[0], outputs={"label": replace(told, rows=30)}), "label")
    assert one[1:] == ["Of these trained models alone, not of the variants: better than concat: late."]


def test_notes_say_how_the_seeds_count(comparison: Any) -> None:
    assert "the spread of the seeds" in notes(comparison)[0]
    assert "seeds" not in " ".join(notes(replace(comparison, seeds=[0])))


def test_scores_of_rows_have_the_main_metric_as_their_mean(home: Path, comparison: Any) -> None:
    (folder,) = home.glob("late-seed-0-*")
    predictor = sensorium.load(folder)
    table = predictor.open(rows())
    answers = answers_of(folder, predictor.recipe, table, np.arange(60))
    for name, config in predictor.recipe.outputs.items():
        chosen = counted([[answers[name]]])
        scores = row_scores_of(config.type, [[answers[name]]], chosen)
        if scores is not None:
            metric = answers[name].head.metric
            assert scores.mean() == pytest.approx(answers[name].metrics(chosen)[metric])
    assert {config.type for config in predictor.recipe.outputs.values()} >= set(ROW_SCORES)


def test_it_is_written_as_page_charts_and_json(comparison: Any, tmp_path: Path) -> None:
    page = write_comparison(comparison, tmp_path / "out").read_text(encoding="utf-8")
    assert "<b>标签</b>" not in page
    assert "&lt;b&gt;标签" in page
    assert page.count("<svg") == 3
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    content = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert content["outputs"]["label"]["variants"]["late"]["difference"].keys() >= {
        "value",
        "low",
        "high",
        "p",
    }
    charts = sorted(path.name for path in (tmp_path / "out").glob("*.svg"))
    assert charts == ["compare-0-label.svg", "compare-1-amount.svg", "compare-2--b-标签-b-.svg"]
    drawn = ElementTree.parse(tmp_path / "out" / charts[0])  # noqa: S314 - written just now
    circles = drawn.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2 * (2 + 1)  # two variants, each with two seeds and a mean


def test_one_seed_is_not_drawn_beside_its_mean(comparison: Any) -> None:
    assert "single seeds" in as_html(comparison)
    output = comparison.outputs["label"]
    variants = {name: replace(one, seeds=one.seeds[:1]) for name, one in output.variants.items()}
    alone = replace(comparison, seeds=[0], outputs={"label": replace(output, variants=variants)})
    assert "single seeds" not in as_html(alone)
    assert [mark.seeds for mark in chart_of(alone, "label").marks] == [[], []]


def test_a_range_of_numbers_is_a_line(comparison: Any) -> None:
    assert chart_of(comparison, "label").kind == "dots"
    content = comparison.outputs["label"]
    late = content.variants["late"]
    variants = [
        replace(comparison.variants[0], name=str(size), settings={"s": size}) for size in (1, 10, 100)
    ]
    output = replace(content, variants={one.name: late for one in variants})
    ranged = replace(comparison, over=["s"], variants=variants, outputs={"label": output})
    chart = chart_of(ranged, "label")
    assert chart.kind == "line"
    first, second, third = (mark.along for mark in chart.marks)
    assert second - first == pytest.approx(third - second, abs=0.2)  # a factor of 100: a logarithmic axis


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.5, 0.9, [0.5, 0.6, 0.7, 0.8, 0.9]),
        (0.47, 0.93, [0.4, 0.6, 0.8, 1.0]),
        (-3, 17, [-5, 0, 5, 10, 15, 20]),
        (2, 2, [1.8, 1.9, 2, 2.1, 2.2]),
    ],
)
def test_ticks_enclose_what_is_drawn(low: float, high: float, expected: list[float]) -> None:
    assert ticks_of(low, high) == expected


def test_all_refused_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SensoriumError, match="outer product"):
        sensorium.compare(
            recipe(), {"fusion.kind": ["tensor"]}, seeds=1, data=rows(), folder=tmp_path, verbose=False
        )


def test_nothing_held_back_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    content = recipe()
    content["data"] = {"split": {"validation": 0, "test": 0}}
    with pytest.raises(SensoriumError, match="hold some back"):
        sensorium.compare(content, OVER, data=rows(), folder=tmp_path / "runs", verbose=False)
    assert not (tmp_path / "runs").exists()


def test_a_terminal_of_80_columns_breaks_no_word(comparison: Any) -> None:
    renamed = replace(comparison.variants[2], name="cross_attention", refused="")
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_comparison(replace(comparison, variants=[*comparison.variants[:2], renamed]), console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert sum(line.strip().startswith("cross_attention ") for line in lines) == 3
    assert sum(line.rstrip().endswith(" parameters") for line in lines) == 3
    assert any(line.rstrip().endswith(f"{comparison.parameters['concat']:,}") for line in lines)


def test_every_question_has_a_folder_of_its_own() -> None:
    assert question_folder(Path("home"), ["fusion.kind"]) == Path("home/fusion.kind")
    assert question_folder(Path("home"), ["fusion.kind", "inputs.a/b c.width"]) == Path(
        "home/fusion.kind+inputs.a-b-c.width"
    )


def test_the_command_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.write_csv(here / "table.csv", made.simple_rows(60))
    made.write_recipe(here / "recipe.yaml", made.simple_recipe(epochs=1))
    arguments = ["compare", "recipe.yaml", "--over", "training.batch_size=8..16:8", "--seeds", "1"]
    for line in ("2/2  16, seed 0: accuracy", "(was trained before)"):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        assert ended.value.code == 0, printed.err
        assert line in printed.out
        assert "wrote runs/simple-compare/training.batch_size/compare.html" in printed.out
        assert "One seed says nothing" in printed.out
    written = here / "runs" / "simple-compare" / "training.batch_size"
    assert (written / "compare.svg").exists()
