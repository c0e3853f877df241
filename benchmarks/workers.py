"""One process a variant: the parent asks a line, the worker answers with a line of JSON.

Only the standard library, because the peers' own interpreters run it too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def start(module: str, *arguments: str, interpreter: Path | None = None) -> subprocess.Popen[str]:
    """A worker: `python -m module arguments`, run from the repository's root.

    Args:
        module: calls `serve` when run.
        arguments: of its command line.
        interpreter: default: the one that runs now.
    """
    command = [str(interpreter or sys.executable), "-m", module, *arguments]
    # Threads that spin while they wait would count others' use of the machine as CPU time of ours.
    environment = {"OMP_WAIT_POLICY": "passive", "TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
    environment.pop("OMP_NUM_THREADS", None)  # each worker sets its number itself
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def ask(worker: subprocess.Popen[str], question: str) -> Any:
    """The worker's answer.

    Raises:
        RuntimeError: when the worker ends instead of answering.
    """
    if worker.stdin is None or worker.stdout is None:
        raise RuntimeError("a worker has no pipes")
    print(question, file=worker.stdin, flush=True)
    answer = worker.stdout.readline()
    if not answer:
        raise RuntimeError("a worker ended before it answered; its message stands above")
    return json.loads(answer)


def serve(answers: Mapping[str, Callable[[], object]]) -> None:
    """Answers every line of the input, which is a key of `answers`, until it ends."""
    for question in sys.stdin:
        print(json.dumps(answers[question.strip()]()), flush=True)
