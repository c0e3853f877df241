"""The verb `explain` on a run folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sensorium.cli import main
from sensorium.fitting import train_recipe
from sensorium.recipe import read_recipe
from sensorium.training.progress import Silent
from tests.made import simple_recipe, simple_rows, write_csv, write_recipe


@pytest.fixture
def run(here: Path) -> Path:
    write_csv(here / "table.csv", simple_rows(40))
    recipe = write_recipe(here / "recipe.yaml", simple_recipe())
    return train_recipe(read_recipe(recipe), here / "runs", Silent())


def test_rows_of_the_test_part_are_explained(run: Path, capsys: pytest.CaptureFixture[str]):
    main_ends(["explain", str(run)])
    assert f"wrote {run / 'explanation.html'}" in capsys.readouterr().out
    found = json.loads((run / "explanation.json").read_text())
    assert len(found["rows"]) == 6
    assert set(found["rows"][0]["inputs"]) == {"words", "size", "shop"}


def test_rows_and_keys_of_another_table(run: Path, here: Path):
    write_csv(here / "new.csv", simple_rows(9))
    chosen = ["--rows", "3,7", "--key", "id=row-001", "--class", "dog"]
    main_ends(["explain", str(run), "new.csv", *chosen, "--method", "integrated_gradients", "-o", "x.html"])
    found = json.loads((here / "x.json").read_text())
    assert [row["row"] for row in found["rows"]] == [3, 7, 1]
    assert found["rows"][2]["key"] == "id=row-001"
    assert {row["target"]["label"] for row in found["rows"]} == {"dog"}
    assert found["method"] == "integrated_gradients"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rows", "400"], "there is no row 400"),
        (["--output", "labels"], "did you mean 'label'?"),
        (["-o", "page.htm"], "must end in .html"),
        (["--method", "magic"], "one of occlusion"),
    ],
)
def test_mistakes_are_one_line(
    run: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as ended:
        main(["explain", str(run), *arguments])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def main_ends(arguments: list[str]) -> None:
    """Runs the command line, which ends with exit code 0."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
