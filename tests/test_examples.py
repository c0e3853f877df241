"""Every recipe of the examples trains an epoch on a few rows of its table, and predicts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.questions.build import about_stamps, write
from examples.reviews import build
from sensorium.data.table import Table, read_table
from sensorium.fitting import train_in
from sensorium.predict import load
from sensorium.recipe import Recipe, parse_recipe, read_recipe
from sensorium.training.progress import Silent

EXAMPLES = Path(__file__).parent.parent / "examples"
RECIPES = sorted(path.relative_to(EXAMPLES) for path in EXAMPLES.glob("*/*.yaml"))
ROWS = 36
SMALLER: dict[str, dict[str, Any]] = {
    # 205 million weights are a lesson, not a test.
    "classic/cnn_224.yaml": {
        "image": {"size": 32, "encoder": {"kind": "cnn", "pool": "flatten", "dense": 16}}
    },
    "classic/resnet_concat.yaml": {"image": {"size": 32}},
    "classic/resnet_decoupled.yaml": {"image": {"size": 32}},
    "stamps/recipe.yaml": {"image": {"size": 48}, "voice": {"seconds": 1.0}},
    "clips/recipe.yaml": {"film": {"size": 48, "frames": 3}},
}


def shortened(path: Path) -> Recipe:
    """The recipe with one epoch, and smaller pictures where they would take long."""
    recipe = read_recipe(EXAMPLES / path)
    content = recipe.as_dict()
    content["training"] |= {"epochs": 1, "batch_size": 12}
    for name, fields in SMALLER.get(path.as_posix(), {}).items():
        content["inputs"][name] |= fields
    return parse_recipe(content, folder=recipe.folder)


def table_of(path: Path, recipe: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """Some rows of the example's table, spread over it; reviews are built first."""
    if path.parts[0] == "speech" and not Path(str(recipe.table_paths())).exists():
        pytest.skip("made speech is built by python -m examples.speech.build and its neighbours")
    if path.as_posix() == "questions/stamps.yaml":
        write(about_stamps(every=40), folder / "stamps.parquet")
        table = read_table(folder / "stamps.parquet")
    elif path.parts[0] != "reviews":
        table = read_table(recipe.table_paths())
    else:
        language = path.stem.partition("-")[0]
        arguments = ["--rows", "200", "--output", str(folder), "--languages", language]
        monkeypatch.setattr(sys, "argv", ["build", *arguments])
        build.main()
        table = read_table(folder / f"{language}.parquet")
    return table.take(np.linspace(0, len(table) - 1, ROWS).astype(np.int64))


def test_there_are_examples() -> None:
    assert {path.parts[0] for path in RECIPES} == {
        "captions",
        "classic",
        "clips",
        "digits",
        "pairs",
        "questions",
        "reading",
        "reviews",
        "search",
        "speech",
        "stamps",
        "tabular",
        "translation",
    }
    assert len(RECIPES) >= 28


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.as_posix())
def test_trains_and_predicts(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = shortened(path)
    table = table_of(path, recipe, tmp_path, monkeypatch)
    predictor = load(train_in(recipe, tmp_path / "run", Silent(), data=table))
    answers = predictor.predict_table(table)
    assert predictor.unreadable == []
    assert answers.num_rows == ROWS
    for key in recipe.data.key:
        assert answers[key].to_pylist() == list(table.column(key))
    for name, head in recipe.outputs.items():
        assert answers[f"{name}_prediction"].null_count == 0
        if head.type == "category":
            assert set(answers[f"{name}_prediction"].to_pylist()) <= set(table.column(head.column or name))
