"""Every benchmark runs, and writes what it measured and where."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import (
    autogluon,
    cold_start,
    decoding,
    embedding,
    explanation,
    growth,
    known_answers,
    ladder,
    loader,
    log_mel,
    ludwig,
    made_table,
    memory,
    processes,
    retrieval,
    reviews,
    search,
    stamps_frozen,
    tables,
    text_generation,
    texts,
    training_speed,
    tutorial_models,
)
from benchmarks.common import Cost, cost, in_turns, rates
from benchmarks.peers import setup, table
from benchmarks.peers.torch_tutorial import Tutorial
from benchmarks.trained import read
from benchmarks.tutorial_data import write_table
from sensorium.model import Model
from sensorium.prepare import prepare
from sensorium.recipe import parse_recipe

BENCHMARKS: dict[str, Any] = {
    "autogluon": autogluon.main,
    "cold_start": cold_start.main,
    "decoding": decoding.main,
    "embedding": embedding.main,
    "explanation": explanation.main,
    "growth": growth.main,
    "ladder": ladder.main,
    "loader": loader.main,
    "log_mel": log_mel.main,
    "ludwig": ludwig.main,
    "memory": memory.main,
    "retrieval": retrieval.main,
    "reviews": reviews.main,
    "search": search.main,
    "stamps_frozen": stamps_frozen.main,
    "tables": tables.main,
    "text_generation": text_generation.main,
    "texts": texts.main,
    "training_speed": training_speed.main,
    "tutorial_models": tutorial_models.main,
}


SLOW = {"stamps_frozen"}
"""Those of more than ten seconds, which train and predict by the command line with pretrained weights."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in BENCHMARKS]
)
def test_a_benchmark_runs_and_says_where(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Peers' environments are no part of the tests: TensorFlow alone takes longer than all of them.
    monkeypatch.setattr(setup, "installed", lambda name: False)
    output = tmp_path / "result.json"
    # As many threads as there are: the setting would outlive the test.
    threads = ["--threads", str(torch.get_num_threads())] if name in {"log_mel", "tables"} else []
    BENCHMARKS[name](["--smoke", "--repeats", "1", "--output", str(output), *threads])
    printed = capsys.readouterr().out
    result = json.loads(output.read_text(encoding="utf-8"))
    assert result["benchmark"] == name
    assert {"command", "commit", "cpu", "date", "versions", "load"} <= set(result["circumstances"])
    for title, variants in result["tables"].items():
        base = result["bases"][title]
        assert variants[base]["times_base"] == {"median": 1.0, "min": 1.0, "max": 1.0}
        assert all(figures["per_cpu_second"]["min"] > 0 for figures in variants.values())
        assert title in printed
    for title, figures in result.get("figures", {}).items():
        assert title in printed
        assert all(figure["min"] > 0 for row in figures.values() for figure in row.values())
    assert result["tables"] or result["figures"]
    assert ("Keras is left out" in printed) == (name == "tutorial_models")


@pytest.mark.parametrize("name", tutorial_models.MODELS)
def test_a_tutorial_model_has_the_same_parameters_in_pytorch(name: str, tmp_path: Path) -> None:
    write_table(tmp_path, train=20, test=10, side=32)
    content = tutorial_models.recipe(name, side=32)
    whole = table.read(tmp_path)
    peer = Tutorial(content["inputs"], content["fusion"]["kind"], whole.vocabulary, whole.classes)
    prepared = prepare(parse_recipe(content, folder=tmp_path))
    inputs, targets = prepared.loader.inputs, prepared.loader.targets
    own = Model(
        prepared.recipe,
        {column: bound.column for column, bound in inputs.items()},
        {column: bound.column for column, bound in targets.items()},
    )
    absent = sum(token.numel() for token in own.absent.values())
    assert parameters(own) - absent == parameters(peer)


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_a_peer_reads_the_table_that_is_written(tmp_path: Path) -> None:
    write_table(tmp_path, train=20, test=10, side=8)
    whole = table.read(tmp_path)
    assert whole.classes == 10
    assert [int(label) for label in whole.test.labels] == list(range(10))
    assert whole.train.words.shape == (20, 100)
    assert int(whole.train.words.max()) == whole.vocabulary - 1
    assert all(Path(picture).exists() for picture in whole.train.pictures)


def test_cpu_time_counts_processes_that_ended() -> None:
    code = "import time\nwhile time.process_time() < 0.3: pass"
    taken = cost(lambda: subprocess.run([sys.executable, "-c", code], check=True))
    assert taken.cpu >= 0.3


def test_known_answers_runs_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "result.json"
    only = ["--only", "xor", "noise", "--processes", "1"]
    known_answers.main(["--smoke", "--repeats", "2", "--output", str(output), *only])
    printed = capsys.readouterr().out
    result = json.loads(output.read_text(encoding="utf-8"))
    assert {"command", "commit", "cpu", "date", "versions", "load"} <= set(result["circumstances"])
    tables = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert len(result["scores"]) == 1 + 2  # noise: without it, and what it costs
    for title, asked in result["scores"].items():
        assert title in printed
        assert f"| {title} |" in tables
        for name, figures in asked.items():
            assert figures["value"] == pytest.approx(sum(figures["seeds"]) / 2, abs=1e-3)
            assert f"| {name} | {figures['value']:.3f} (" in tables


def test_growth_is_drawn(tmp_path: Path) -> None:
    points = {
        str(size): {key: {"median": size, "min": size - 1, "max": size + 1} for key in growth.FIGURES}
        for size in (10, 100)
    }
    growth.draw(dict.fromkeys(growth.POINTS, points), tmp_path / "growth.svg")
    drawn = (tmp_path / "growth.svg").read_text(encoding="utf-8")
    assert "<svg" in drawn
    assert len(drawn) > 10_000


def test_variants_take_turns_after_a_round_that_is_not_counted() -> None:
    asked: list[str] = []

    def measure(name: str, wall: float) -> Cost:
        asked.append(name)
        return Cost(float(len(asked)), wall)

    costs = in_turns({"a": lambda: measure("a", 1.0), "b": lambda: measure("b", 2.0)}, repeats=2)
    assert asked == ["a", "b"] * 3
    assert costs == {"a": [Cost(3, 1), Cost(5, 1)], "b": [Cost(4, 2), Cost(6, 2)]}


def test_rates_compare_pair_by_pair() -> None:
    costs = {"base": [Cost(2, 4), Cost(4, 8), Cost(8, 8)], "own": [Cost(1, 4), Cost(1, 2), Cost(8, 4)]}
    found = rates(costs, 16, "base")["own"]
    assert found["per_cpu_second"] == {"median": 16, "min": 2, "max": 16}
    assert found["times_base"] == {"median": 2, "min": 1, "max": 4}
    assert found["times_base_on_the_clock"] == {"median": 2, "min": 1, "max": 4}


def test_the_made_table_is_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    first = made_table.write_table(tmp_path / "first", 20)
    second = made_table.write_table(tmp_path / "second", 20)
    for path in [first, *first.parent.glob("*/*")]:
        assert path.read_bytes() == (second.parent / path.relative_to(first.parent)).read_bytes()
    rows = read(first)
    assert [sum(row["part"] == part for row in rows) for part in made_table.PARTS] == [14, 3, 3]
    assert all(20 <= len(row["text"].split()) <= 60 for row in rows)
    assert {row["label"] for row in rows} == set(made_table.TOPICS)


def test_a_cell_of_the_made_table_tells_of_its_class_in_seven_of_ten_rows() -> None:
    random = np.random.default_rng(0)
    told = np.array([made_table._told(3, random) for _ in range(10_000)])
    assert (told == 3).mean() == pytest.approx(made_table.TELLING, abs=0.02)
    assert (np.bincount(told, minlength=10)[np.arange(10) != 3] / 10_000).max() < 0.05


def test_a_process_is_measured_with_its_children(tmp_path: Path) -> None:
    child = "import time; kept = b'x' * 2**28; begun = time.process_time()\n"
    child += "while time.process_time() - begun < 1: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    spent = processes.run([sys.executable, "-c", parent], {}, tmp_path / "log.txt")
    assert spent.cost.cpu >= 1
    assert spent.cost.wall >= 1
    assert 0.25 <= spent.peak_gib < 1


def test_a_process_that_fails_says_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)exit code 3.*lost"):
        processes.run([sys.executable, "-c", "print('lost'); raise SystemExit(3)"], {}, tmp_path / "log.txt")


def test_the_error_is_the_mean_over_seeds() -> None:
    # Two seeds over two rows: roots of (1 + 1) / 2 and (9 + 9) / 2, whichever rows are drawn.
    losses = np.array([[1.0, 1.0], [9.0, 9.0]])
    assert tables.error_of("number", losses) == {"error": "2.0", "seeds": [1.0, 3.0]}
    assert tables.error_of("category", np.eye(2))["seeds"] == [0.5, 0.5]


@pytest.mark.parametrize("name", ["ludwig", "autogluon", "embedding"])
def test_a_peer_is_pinned_whole(name: str) -> None:
    lines = (Path(tables.__file__).parent / "peers" / f"{name}.txt").read_text().splitlines()[1:]
    assert all("==" in line for line in lines)
    assert "torch==2.13.0+cpu" in lines
