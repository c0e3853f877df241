"""A first recipe, drafted from a look at the table, with the reason for every line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sensorium.data import COLUMNS
from sensorium.data.audio import AudioColumn, AudioConfig
from sensorium.data.infer import Inferred, guess_task, infer, profile
from sensorium.data.media import Limits, Media
from sensorium.data.table import Table, read_table
from sensorium.errors import CellError, TableError, one_line

_PLAIN_NAMES = ("data", "dataset", "metadata")  # the folder's name says more
_FIRST_TRAINING = {"epochs": 20, "batch_size": 32}


@dataclass(frozen=True)
class Draft:
    """A drafted recipe.

    Attributes:
        content: the recipe as a mapping.
        text: the recipe as commented YAML.
        reasons: one line for every column of the table.
    """

    content: dict[str, Any]
    text: str
    reasons: list[str]


def draft_recipe(data: Any, targets: list[str], folder: Path, test: float = 0.1) -> Draft:
    """Looks at a table and drafts a recipe.

    Args:
        data: whatever `read_table` reads.
        targets: columns to predict.
        folder: where the recipe will lie; the table's path is written relative to it.
        test: the share of rows to keep for the test, where the table names no split.

    Raises:
        TableError: when the table cannot be read, lacks a target, or has nothing to learn from.
    """
    table = read_table(data)
    if not len(table):
        raise TableError(f"{table.source}: the table has no rows")
    table.require(targets)
    empty = next((name for name in targets if all(cell is None for cell in table.column(name))), None)
    if empty is not None:
        raise TableError(f"{table.source}: column {empty!r} is empty, so there is nothing to learn from it")
    inferred = infer(table, COLUMNS)
    inputs, left_out = _inputs(table, inferred, targets)
    if not inputs:
        raise TableError(
            f"{table.source}: no column can be used as an input; name them and their types in a recipe"
        )
    outputs = {name: guess_task(profile(table, name)) for name in targets}
    content: dict[str, Any] = {
        "name": _name(data),
        "data": _data_section(data, inferred, targets, folder, test),
        "inputs": {name: {"type": part.type, **part.options} for name, part in inputs.items()},
        "fusion": {"kind": "concat"},
        "outputs": {name: {"type": part.type, **part.options} for name, part in outputs.items()},
        "training": dict(_FIRST_TRAINING),
    }
    reasons = [f"{name}: {part.type}, because {part.reason}" for name, part in {**inputs, **outputs}.items()]
    reasons += [f"{name}: not used, because {part.reason}" for name, part in left_out.items()]
    text = _as_text(content, inputs, left_out, outputs, len(table))
    return Draft(content, text, [one_line(reason) for reason in reasons])


def _inputs(
    table: Table, inferred: dict[str, Inferred], targets: list[str]
) -> tuple[dict[str, Inferred], dict[str, Inferred]]:
    """Columns to learn from, and those left out."""
    inputs, left_out = {}, {}
    for name, part in inferred.items():
        if name in targets:
            continue
        if part.type in COLUMNS:
            inputs[name] = part
            if part.type == "video" and _has_sound(table, name):
                sound = Inferred("audio", f"the videos in {name} have a sound track", {"column": name})
                inputs[f"{name}_sound"] = sound
        else:
            left_out[name] = part
    return inputs, left_out


def _has_sound(table: Table, name: str) -> bool:
    """Whether the first video that is there has a sound track."""
    cell = next((cell for cell in table.column(name) if cell is not None), None)
    try:
        AudioColumn(AudioConfig(seconds=0.5)).decode(Media(table.media_root, Limits()).source(cell))
    except CellError:
        return False
    return True


def _data_section(
    data: Any, inferred: dict[str, Inferred], targets: list[str], folder: Path, test: float
) -> dict[str, Any]:
    section: dict[str, Any] = {}
    if isinstance(data, str | os.PathLike):
        section["path"] = os.path.relpath(os.fspath(data), folder)
    keys = [name for name, part in inferred.items() if part.type == "key" and name not in targets]
    if keys:
        section["key"] = keys[:1]
    split = next((name for name, part in inferred.items() if part.type == "split"), None)
    section["split"] = {"column": split} if split else {"validation": 0.1, "test": test}
    return section


def _name(data: Any) -> str:
    if not isinstance(data, str | os.PathLike):
        return "model"
    path = Path(os.fspath(data).split("*")[0]).resolve()
    chosen = path.parent if path.stem in _PLAIN_NAMES else path
    return chosen.stem or "model"


def _as_text(
    content: dict[str, Any],
    inputs: dict[str, Inferred],
    left_out: dict[str, Inferred],
    outputs: dict[str, Inferred],
    rows: int,
) -> str:
    lines = [
        f"# Drafted from a look at {rows:,} rows. Every line may be changed; docs/recipe.md has all fields.",
        _line("name", content["name"]),
        "data:",
        *(f"  {_line(key, value)}" for key, value in content["data"].items()),
        "inputs:",
    ]
    for name, part in inputs.items():
        lines += [_comment(part.reason), f"  {_line(name, content['inputs'][name])}"]
    lines += [_comment(f"not used: {name} ({part.reason})") for name, part in left_out.items()]
    lines += ["fusion: {kind: concat}", "outputs:"]
    for name, part in outputs.items():
        lines += [_comment(part.reason), f"  {_line(name, content['outputs'][name])}"]
    lines.append(_line("training", content["training"]))
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    return f"  # {one_line(text)}"


def _line(key: str, value: Any) -> str:
    """`key: value` on one line of YAML, quoted where YAML needs it."""
    return f"{_flow(key)}: {_flow(value)}"


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    text: str = yaml.dump(
        value,
        Dumper=_OneLine,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
    )
    return text.removesuffix("...\n").strip()


class _OneLine(yaml.SafeDumper):
    """YAML whose texts are in double quotes where they hold line breaks, which are spelt out there."""


def _represent_text(dumper: _OneLine, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, None if text.isprintable() else '"')


_OneLine.add_representer(str, _represent_text)
