"""What a case of the battery is, and the small folder that each one spoils."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests import made

Spoil = Callable[[Path], object]
"""Breaks something in a folder that holds table.csv, recipe.yaml and, for runs, a finished runs/simple."""

ROWS = 24


class Case(NamedTuple):
    """Something wrong, the command that meets it, and the line that its user must read.

    Attributes:
        title: what is wrong.
        spoil: makes it so.
        command: arguments of `sensorium`.
        says: the whole line, but for "error: "; … stands for what depends on the machine.
        code: of the exit; 0 where a warning is enough.
    """

    title: str
    spoil: Spoil
    command: str
    says: str
    code: int = 1


def matches(says: str, line: str) -> bool:
    """Whether a line is the expected one, … standing for anything."""
    return re.fullmatch(".*".join(map(re.escape, says.split("…"))), line) is not None


def make_folder(folder: Path) -> None:
    """The whole table and its recipe."""
    made.write_csv(folder / "table.csv", made.simple_rows(ROWS))
    made.write_recipe(folder / "recipe.yaml", made.simple_recipe(epochs=1))


def nothing(folder: Path) -> None:
    """All is whole."""


def file(name: str, content: str | bytes) -> Spoil:
    """Writes a file."""
    return lambda folder: (folder / name).write_bytes(
        content.encode() if isinstance(content, str) else content
    )


def field(path: str, value: Any) -> Spoil:
    """Sets a field of the recipe, given by its dotted path; a path through a column's name is a tuple's."""
    return fields({path: value})


def fields(values: dict[str, Any]) -> Spoil:
    """Sets several fields of the recipe."""

    def spoil(folder: Path) -> None:
        content = made.simple_recipe(epochs=1)
        for path, value in values.items():
            *parents, last = path.split(".")
            section = content
            for parent in parents:
                section = section[parent]
            section[last] = value
        made.write_recipe(folder / "recipe.yaml", content)

    return spoil


def columns(**replaced: Any) -> Spoil:
    """Replaces columns of the table; None removes one."""

    def spoil(folder: Path) -> None:
        rows = {**made.simple_rows(ROWS), **replaced}
        made.write_csv(folder / "table.csv", {name: rows[name] for name in rows if rows[name] is not None})

    return spoil


def both(*spoils: Spoil) -> Spoil:
    """One after the other."""

    def spoil(folder: Path) -> None:
        for one in spoils:
            one(folder)

    return spoil
