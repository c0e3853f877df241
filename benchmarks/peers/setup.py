"""Makes a peer's environment: `.peers/NAME` under the repository's root, which git ignores.

    python -m benchmarks.peers.setup keras      # 2 min, 1.6 GB

A peer is `NAME.txt` here, its packages with their versions; a line in `STEPS`, where pip has to be called
in another way than once with that file; and `NAME_*.py`, a worker (see benchmarks/workers.py) that its
own interpreter runs. Benchmarks leave out the peers that are not installed, and say so.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.workers import ROOT

HERE = Path(__file__).parent

STEPS: Mapping[str, Sequence[Sequence[str]]] = {
    "keras": (("install", "--requirement", str(HERE / "keras.txt")),),
}
"""Peer → the calls of pip that fill its environment, in order."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes one environment, or completes it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("name", choices=STEPS)
    name: str = options.parse_args(arguments).name
    python = interpreter(name)
    if not python.exists():
        venv.create(python.parents[1], with_pip=True)
    for step in STEPS[name]:
        subprocess.run([str(python), "-m", "pip", *step], check=True)
    print(python)


def interpreter(name: str) -> Path:
    """A peer's own Python, whether it is there or not."""
    return ROOT / ".peers" / name / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def installed(name: str) -> bool:
    """Whether a peer's environment has been made."""
    return interpreter(name).exists()


if __name__ == "__main__":
    main()
