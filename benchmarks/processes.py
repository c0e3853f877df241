"""A command run in a process of its own, and what it and its children spent."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import Cost

ROOT = Path(__file__).parents[1]
INTERVAL = 0.25
"""Seconds between two looks at the memory."""


class Spent(NamedTuple):
    """What a process spent from its start to its end.

    Attributes:
        cost: seconds of all threads, the children's too, and on the clock.
        peak_gib: most memory of process and children together, shared pages counted once; 0 where the
            system does not say.
    """

    cost: Cost
    peak_gib: float


def run(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Spent:
    """Runs a command from the repository's root, what it prints going to `log`.

    Raises:
        RuntimeError: when it fails, with the end of what it printed.
    """
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=file, stderr=subprocess.STDOUT
        )
        peaks, ended = [0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, ended, peaks))
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        ended.set()
        watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise RuntimeError(f"exit code {process.returncode}: {' '.join(command)}\n{end}")
    return Spent(Cost(usage.ru_utime + usage.ru_stime, wall), round(max(peaks) / 2**20, 2))


def _watch(pid: int, ended: threading.Event, peaks: list[int]) -> None:
    while not ended.wait(INTERVAL):
        peaks.append(sum(_kib(one) for one in _family(pid)))


def _family(pid: int) -> list[int]:
    """A process and all that it started."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        children[int(fields[1])].append(int(path.parent.name))
    family = [pid]
    for one in family:
        family += children[one]
    return family


def _kib(pid: int) -> int:
    """Memory of a process, a page that n processes share counted as 1/n."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended, or the system has no such file
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
