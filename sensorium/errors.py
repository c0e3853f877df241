"""What goes wrong, said to the user: what, where, and what to do next."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from types import ModuleType

CORE = (
    "numpy",
    "pyarrow",
    "PIL",
    "simplejpeg",
    "soundfile",
    "soxr",
    "av",
    "tokenizers",
    "pydantic",
    "yaml",
    "typer",
    "rich",
)
"""Import names of the packages that come without an extra, in the order of pyproject.toml."""


class SensoriumError(Exception):
    """Base of every error that is meant to be read by a user; the command line prints it as one line."""


class RecipeError(SensoriumError):
    """The recipe cannot be used as it is written."""


class TableError(SensoriumError):
    """The table cannot be read, or lacks what the recipe asks of it."""


class WeightsError(SensoriumError):
    """Pretrained weights cannot be found, or are not what they should be."""


class CellError(SensoriumError):
    """One cell cannot be read. Raised by a column's `decode` with the cause alone; the loader adds the place.

    Args:
        cause: what is wrong with the cell, in words, without its contents.
        advice: what the user can do next.
    """

    def __init__(self, cause: str, advice: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.advice = advice


class MissingPackage(SensoriumError):
    """An optional package is needed and not installed."""


def one_line(text: str) -> str:
    """A message on one line: control characters, which cells and names of files may hold, are spelt out."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """ " (did you mean 'x'?)", with the nearest of some names in any case; "" where none is near."""
    folded = {other.casefold(): other for other in reversed(names)}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f" (did you mean {folded[near[0]]!r}?)" if near else ""


def require(module: str, extra: str) -> ModuleType:
    """Imports an optional module, or names the command that installs it.

    Args:
        module: the module's import name, such as "lance".
        extra: the extra of this package that brings it, such as "train".

    Raises:
        MissingPackage: when the module (or something that it needs) is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackage(missing_package(error, extra)) from error


def missing_package(error: ModuleNotFoundError, extra: str = "train") -> str:
    """One line that names what is not installed, and the command that installs it.

    Args:
        error: as the import raised it.
        extra: the extra of this package that brings what does not belong to its core.
    """
    module = (error.name or "").partition(".")[0]
    package = "sensorium" if module in CORE else f"'sensorium[{extra}]'"
    return f"{module} is not installed and is needed here: pip install {package}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in the words of Python, numpy, torch on a CPU or torch on a GPU."""
    words = ("out of memory", "not enough memory", "allocate memory", "bad_alloc")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )
