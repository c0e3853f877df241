"""Every benchmark runs, and writes what it measured and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import cold_start, decoding, growth, log_mel, memory, training_speed
from benchmarks.common import Cost, in_turns, rates

BENCHMARKS: dict[str, Any] = {
    "cold_start": cold_start.main,
    "decoding": decoding.main,
    "growth": growth.main,
    "log_mel": log_mel.main,
    "memory": memory.main,
    "training_speed": training_speed.main,
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs_and_says_where(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "result.json"
    # As many threads as there are: the setting would outlive the test.
    threads = ["--threads", str(torch.get_num_threads())] if name == "log_mel" else []
    BENCHMARKS[name](["--smoke", "--repeats", "1", "--output", str(output), *threads])
    printed = capsys.readouterr().out
    result = json.loads(output.read_text(encoding="utf-8"))
    assert result["benchmark"] == name
    assert {"command", "commit", "cpu", "date", "versions", "load"} <= set(result["circumstances"])
    for title, table in result["tables"].items():
        base = result["bases"][title]
        assert table[base]["times_base"] == {"median": 1.0, "min": 1.0, "max": 1.0}
        assert all(figures["per_cpu_second"]["min"] > 0 for figures in table.values())
        assert title in printed
    for title, figures in result.get("figures", {}).items():
        assert title in printed
        assert all(figure["min"] > 0 for row in figures.values() for figure in row.values())
    assert result["tables"] or result["figures"]


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
