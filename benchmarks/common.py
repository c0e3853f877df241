"""What every benchmark shares: repeats taken in turns, and results that say where they come from."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "numpy", "pillow", "simplejpeg", "soundfile", "soxr", "accelerate", "sensorium")
SCORE_COLUMNS = ("mean (95 % interval)", "least and most of a seed", "against the reference")
"""Of a table of scores, where others have speeds."""


class Cost(NamedTuple):
    """What one repeat took.

    Attributes:
        cpu: seconds of all threads of the process together, and of the processes that it started and ended.
        wall: seconds on the clock; others who use the machine lengthen it.
    """

    cpu: float
    wall: float


def cost(work: Callable[[], object]) -> Cost:
    """Does the work once."""
    cpu, wall = _cpu_seconds(), time.perf_counter()
    work()
    return Cost(_cpu_seconds() - cpu, time.perf_counter() - wall)


def _cpu_seconds() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def in_turns(variants: Mapping[str, Callable[[], Cost]], repeats: int) -> dict[str, list[Cost]]:
    """Measures A B C A B C …, after one round that is not counted, so that all meet the same machine."""
    costs: dict[str, list[Cost]] = {name: [] for name in variants}
    for number in range(repeats + 1):
        for name, measure in variants.items():
            taken = measure()
            if number:
                costs[name].append(taken)
    return costs


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most, to four digits."""
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def rates(costs: Mapping[str, Sequence[Cost]], amount: float, base: str) -> dict[str, dict[str, Any]]:
    """Amount per CPU-second and per second of every variant, and how many times the base, pair by pair.

    Args:
        costs: variant → repeats, taken in turns.
        amount: what one repeat works off, such as rows.
        base: the variant to compare with.
    """
    return {
        name: {
            "per_cpu_second": spread([amount / each.cpu for each in taken]),
            "per_second": spread([amount / each.wall for each in taken]),
            "times_base": spread([own.cpu for own in _quotients(costs[base], taken)]),
            "times_base_on_the_clock": spread([own.wall for own in _quotients(costs[base], taken)]),
        }
        for name, taken in costs.items()
    }


def _quotients(base: Sequence[Cost], own: Sequence[Cost]) -> list[Cost]:
    return [Cost(a.cpu / b.cpu, a.wall / b.wall) for a, b in zip(base, own, strict=True)]


def parser(description: str, repeats: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--repeats", type=int, default=repeats, help="rounds over all variants")
    options.add_argument(
        "--smoke", action="store_true", help="tiny, to see that it runs; figures mean nothing"
    )
    options.add_argument("--output", type=Path, default=None, help="JSON to write; default: none")
    return options


def circumstances() -> dict[str, Any]:
    """Command, commit, date, machine and versions."""
    return {
        "command": shlex.join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "commit": _git("rev-parse", "HEAD"),
        "changed": sorted(line[3:] for line in _git("status", "--porcelain", "sensorium").splitlines()),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def cpu_model() -> str:
    """What the processor calls itself, and whether it multiplies bf16."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    pairs = [line.partition(":") for line in path.read_text().splitlines()]
    facts = {name.strip(): value.strip() for name, _, value in reversed(pairs)}
    fast = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in facts.get("flags", "").split()]
    number = f"family {facts.get('cpu family')}, model {facts.get('model')}"
    return f"{facts.get('model name', platform.machine())} ({', '.join([number, *fast])})"


def report(name: str, content: Mapping[str, Any], output: Path | None, began: Mapping[str, Any]) -> None:
    """Prints the tables, and writes everything as JSON where that is asked for."""
    for title, table in content.get("scores", {}).items():
        print(f"\n{title}; {' | '.join(SCORE_COLUMNS)}")
        for variant, figures in table.items():
            print(f"  {variant:<44}{' | '.join(_score_cells(figures))}")
    for title, table in content["tables"].items():
        print(f"\n{title}, against {content['bases'][title]}")
        for variant, figures in table.items():
            print(
                f"  {variant:<44}{_span(figures['per_cpu_second']):>28} per CPU-s"
                f"{_span(figures['times_base']):>26} times"
                f"{figures['per_second']['median']:>10.4g} per s"
            )
    for title, figures in content.get("figures", {}).items():
        print("\n".join(["", title, *_figures_table(figures)]))
    for title, value in content.get("notes", {}).items():
        print(f"{title}: {value}")
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        whole = {"benchmark": name, "circumstances": dict(began), **content}
        output.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        write_tables(output.parent)


def write_tables(folder: Path) -> None:
    """README.md of a folder of results: every JSON file there as a table."""
    lines = [
        "# Results",
        "",
        "Written by the benchmarks from the JSON files beside it; do not edit. Median (least to most).",
    ]
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if "circumstances" not in result:  # examples.json, which says them example by example
            continue
        about = result["circumstances"]
        lines += ["", f"## {path.stem}", "", f"`{about['command']}`  "]
        changed = f" with changes in {', '.join(about['changed'])}" if about["changed"] else ""
        lines += [f"{about['date']}, commit {about['commit'][:9]}{changed}  "]
        lines += [f"{about['cpu']}, {about['cores']} cores, load {about['load'][0]} at the start; torch "]
        lines[-1] += f"{about['versions']['torch']}, Python {about['python']}"
        for title, table in result.get("scores", {}).items():
            lines += ["", f"| {title} | {' | '.join(SCORE_COLUMNS)} |", "|---|---|---|---|"]
            lines += [f"| {name} | {' | '.join(_score_cells(each))} |" for name, each in table.items()]
        for title, table in result["tables"].items():
            lines += ["", f"| {title} | per CPU-second | times {result['bases'][title]} | per second |"]
            lines += ["|---|---|---|---|"]
            for name, figures in table.items():
                shown = [_span(figures[key]) for key in ("per_cpu_second", "times_base", "per_second")]
                lines += [f"| {name} | {' | '.join(shown)} |"]
        for title, figures in result.get("figures", {}).items():
            lines += ["", f"**{title}**", "", *_figures_table(figures)]
        if result["notes"]:
            lines += [""]
        lines += [f"- {name}: {_words(value)}" for name, value in result["notes"].items()]
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _score_cells(figures: Mapping[str, Any]) -> list[str]:
    """The columns `SCORE_COLUMNS` of one variant."""
    seeds, difference = figures["seeds"], figures["difference"]
    return [
        _interval(figures),
        f"{min(seeds):.3f} to {max(seeds):.3f}",
        "reference" if difference is None else _interval(difference),
    ]


def _interval(figures: Mapping[str, float]) -> str:
    return f"{figures['value']:.3f} ({figures['low']:.3f} to {figures['high']:.3f})"


def _figures_table(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """Lines of a table: what was measured → which figure → median, least and most."""
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    lines = [f"| | {' | '.join(names)} |", "|" + "---|" * (len(names) + 1)]
    for title, row in figures.items():
        lines.append(f"| {title} | {' | '.join(_span(row[name]) if name in row else '' for name in names)} |")
    return lines


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {one}" for name, one in value.items())
    return str(value)


def _span(values: Mapping[str, float]) -> str:
    return f"{values['median']:.4g} ({values['min']:.4g}–{values['max']:.4g})"


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    return done.stdout.rstrip() if done.returncode == 0 else "unknown"
