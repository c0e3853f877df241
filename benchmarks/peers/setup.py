"""Makes a peer's environment: `.peers/NAME` under the repository's root, which git ignores.

    python -m benchmarks.peers.setup keras      # 2 min, 1.6 GB; ludwig, autogluon: 4 min, 2.4 GB;
                                                # embedding: 1 min, 1.7 GB

A peer is `NAME.txt` here, its packages with their versions; a line in `STEPS`, where pip has to be called
in another way than once with that file; and `NAME_*.py`, which its own interpreter runs. Benchmarks leave
out the peers that are not installed, and say so. Where pip does not find the CPU build of torch, set
PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu.
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
    # Every package is named, so pip need not look for what fits: it would bring a CUDA build of torch.
    "ludwig": (("install", "--no-deps", "--requirement", str(HERE / "ludwig.txt")),),
    "autogluon": (("install", "--no-deps", "--requirement", str(HERE / "autogluon.txt")),),
    "embedding": (("install", "--no-deps", "--requirement", str(HERE / "embedding.txt")),),
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
    _remove_compiled_torchaudio(python.parents[1])
    print(python)


def interpreter(name: str) -> Path:
    """A peer's own Python, whether it is there or not."""
    return ROOT / ".peers" / name / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def installed(name: str) -> bool:
    """Whether a peer's environment has been made."""
    return interpreter(name).exists()


def _remove_compiled_torchaudio(environment: Path) -> None:
    """Its compiled part wants CUDA, and an import fails on it; without the files torchaudio does without."""
    for path in environment.glob("lib/python*/site-packages/torchaudio/lib/*.so"):
        path.unlink()


if __name__ == "__main__":
    main()
