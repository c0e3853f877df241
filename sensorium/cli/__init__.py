"""The command line: one verb, one function.

A verb imports what it needs when it runs, so that `sensorium --help` stays instant.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sensorium.cli.chatting import chat
from sensorium.cli.drafting import check, init
from sensorium.cli.pretrained import embed, weights
from sensorium.cli.searching import classify, index, search
from sensorium.cli.training import compare, train
from sensorium.cli.using import evaluate, explain, predict
from sensorium.errors import SensoriumError, is_out_of_memory, missing_package, one_line

VERBS: dict[str, Callable[..., None]] = {
    "init": init,
    "check": check,
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "predict": predict,
    "weights": weights,
    "embed": embed,
    "explain": explain,
    "index": index,
    "search": search,
    "classify": classify,
    "chat": chat,
}
"""In the order in which `sensorium --help` lists them."""

# What a disk or the system refuses, wherever it happens; any other OSError is a fault of the program.
_REFUSED = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EMFILE,
    errno.ENAMETOOLONG,
}


def main(arguments: list[str] | None = None) -> Any:
    """Runs the command line; an error meant for the user becomes one line, and exit code 1."""
    # Where tests call it with arguments, their process is older than the command.
    began = time.monotonic() - (_seconds_of_process() if arguments is None else 0.0)
    # Threads that wait for each other should sleep, not spin: beside other work on the same cores, spinning
    # makes training several times slower (benchmarks/README.md). Read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app(arguments, obj=began)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        typer.echo("error: the memory is used up; lower training.batch_size or micro_batch", err=True)
        sys.exit(1)
    except SensoriumError as error:
        typer.echo(f"error: {one_line(str(error))}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        place = f"{error.filename}: " if error.filename else ""
        typer.echo(
            one_line(f"error: {place}{error.strerror}; mend that, then give the command again"), err=True
        )
        sys.exit(1)
    except ModuleNotFoundError as error:
        typer.echo(f"error: {missing_package(error)}", err=True)
        sys.exit(1)


class _Verbs(TyperGroup):
    """All verbs; a Ctrl-C, at which typer ends without a word, ends each with one line."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb that was given."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("stopped before the end; the same command begins again", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="sensorium",
    cls=_Verbs,
    help="From a table of text, pictures, sound, video and numbers to a trained, evaluated model.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _name, _verb in VERBS.items():
    app.command(_name)(_verb)


def _version(show: bool) -> None:
    if show:
        from sensorium import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="fetch nothing: weights are on this machine, or an error")
    ] = False,
) -> None:
    """Runs before every verb."""
    if offline:
        os.environ.update(SENSORIUM_OFFLINE="1", HF_HUB_OFFLINE="1")  # read when huggingface_hub is imported


def _seconds_of_process() -> float:
    """Seconds since this process was started, on Linux; 0 where that is not known."""
    path = Path("/proc/self/stat")
    if not path.exists():
        return 0.0
    ticks = int(path.read_text().rpartition(")")[2].split()[19])  # field 22, since the start of the system
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
