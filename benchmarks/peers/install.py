"""Makes the environment of Ludwig or AutoGluon: `.peers/NAME` under the repository's root, ignored by git.

    python -m benchmarks.peers.install ludwig       # 4 min, 2.4 GB
    python -m benchmarks.peers.install autogluon    # 2 min, 2.4 GB

`NAME.txt` holds every package with its version, so pip need not look for what fits: left to itself it would
bring a CUDA build of torch. Where pip does not find the CPU build, set
PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu. Benchmarks leave out what is not installed, and
say so.
"""

from __future__ import annotations

import argparse
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
NAMES = ("ludwig", "autogluon")


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes one environment, or completes it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("name", choices=NAMES)
    python = interpreter(options.parse_args(arguments).name)
    if not python.exists():
        venv.create(python.parents[1], with_pip=True)
    pinned = ["--no-deps", "--requirement", str(HERE / f"{python.parents[1].name}.txt")]
    subprocess.run([str(python), "-m", "pip", "install", *pinned], check=True)
    _remove_compiled_torchaudio(python.parents[1])
    print(python)


def interpreter(name: str) -> Path:
    """A peer's own Python, whether it is there or not."""
    return HERE.parents[1] / ".peers" / name / "bin" / "python"


def installed(name: str) -> bool:
    """Whether a peer's environment has been made."""
    return interpreter(name).exists()


def _remove_compiled_torchaudio(environment: Path) -> None:
    """Its compiled part wants CUDA, and an import fails on it; without the files torchaudio does without."""
    for path in environment.glob("lib/python*/site-packages/torchaudio/lib/*.so"):
        path.unlink()


if __name__ == "__main__":
    main()
