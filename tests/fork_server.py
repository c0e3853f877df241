"""Trains in forked processes, where everything is imported already, and kills them on time.

Reads one line of JSON a run, `{"recipe": path, "runs": folder, "kill_after": seconds or null}`, and answers
with `{"status": exit code, or minus the signal, "seconds": how long the process lived, "error": words}`. Each
run is a process of its own, forked before this one has any thread, so that its start takes milliseconds.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch.utils.tensorboard  # noqa: F401 - these two so that the runs need not

import sensorium.training.loop  # noqa: F401
from sensorium.fitting import train_recipe
from sensorium.recipe import read_recipe
from sensorium.training.progress import Silent


def main() -> None:
    """Answers until its input ends."""
    gc.freeze()  # so that the children's collections leave what they share alone
    for line in sys.stdin:
        asked = json.loads(line)
        sys.stdout.write(json.dumps(run(**asked)) + "\n")
        sys.stdout.flush()


def run(recipe: str, runs: str, kill_after: float | None) -> dict[str, Any]:
    """One training in a process of its own."""
    reader, writer = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if not child:
        os.close(reader)
        train(recipe, runs, writer)
    os.close(writer)
    status = wait(child, began, kill_after)
    seconds = time.monotonic() - began
    with os.fdopen(reader) as words:
        return {"status": os.waitstatus_to_exitcode(status), "seconds": seconds, "error": words.read()}


def train(recipe: str, runs: str, writer: int) -> None:
    """The child's part; it never returns."""
    status = 1
    try:
        os.environ["SENSORIUM_CACHE"] = str(Path(runs) / "cache")
        train_recipe(read_recipe(recipe), Path(runs), Silent())
        status = 0
    except BaseException:
        os.write(writer, traceback.format_exc().encode()[-4000:])
    finally:
        os._exit(status)


def wait(child: int, began: float, kill_after: float | None) -> int:
    """The child's status; it is killed when its time has come."""
    if kill_after is not None:
        while time.monotonic() - began < kill_after:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status
            time.sleep(0.0005)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    main()
