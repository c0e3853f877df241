"""The recipe: what a user asks for, loaded from YAML, checked, and written back whole."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError

import sensorium
from sensorium.config import Config
from sensorium.data import COLUMNS
from sensorium.data.column import ColumnConfig
from sensorium.errors import RecipeError, require
from sensorium.sections import DataConfig, TrainingConfig
from sensorium.yaml_file import read_yaml

VERSION = 1
"""Of the recipe's grammar. It rises when a recipe of before would be read as something else."""

BATCH_OF_A_SIMILARITY = 256
"""Rows of a batch by default where each row chooses among them."""

SectionConfig = TypeVar("SectionConfig", bound=Config)


@dataclass(frozen=True)
class Input:
    """One input: how its column is read, and what encodes it."""

    type: str
    column: ColumnConfig
    encoder: Any


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes:
        name: of the run folder.
        data: where rows come from.
        inputs: input name → `Input`, in the order of the recipe.
        fusion: configuration of one entry of `sensorium.fusion.FUSIONS`.
        outputs: output name → configuration of one entry of `sensorium.heads.HEADS`.
        training: how to train.
        folder: what relative paths start from.
    """

    name: str
    data: DataConfig
    inputs: dict[str, Input]
    fusion: Any
    outputs: dict[str, Any]
    training: TrainingConfig
    folder: Path

    def as_dict(self) -> dict[str, Any]:
        """The whole recipe with every default filled in, as YAML types."""
        return {
            "version": VERSION,
            "name": self.name,
            "data": self.data.model_dump(mode="json"),
            "inputs": {name: _input_as_dict(part) for name, part in self.inputs.items()},
            "fusion": self.fusion.model_dump(mode="json"),
            "outputs": {name: part.model_dump(mode="json") for name, part in self.outputs.items()},
            "training": self.training.model_dump(mode="json"),
        }

    def as_yaml(self) -> str:
        """The whole recipe as YAML."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True, width=100)

    def identity(self) -> dict[str, Any]:
        """What makes a run this one: all but its name, and what only costs or limits time and memory."""
        content = self.as_dict()
        del content["version"], content["name"], content["data"]["threads"], content["data"]["cache"]
        for field in ("checkpoint_minutes", "minutes", "memory_gb"):
            del content["training"][field]
        return content

    def digest(self) -> str:
        """A hash of `identity`."""
        return hashlib.sha256(json.dumps(self.identity()).encode()).hexdigest()  # the order of inputs counts

    @property
    def climbs(self) -> bool:
        """Whether some input has `tune: auto`: trainings then follow one another, each tuning more."""
        return any(getattr(part.encoder, "tune", "") == "auto" for part in self.inputs.values())

    def table_paths(self) -> str | list[str]:
        """The table's paths as they are from the working folder: relative inside it, absolute elsewhere.

        Raises:
            RecipeError: when the recipe names no table.
        """
        path = self.data.path
        if path is None:
            raise RecipeError(
                "the recipe names no table: add data: {path: table.csv}, or give one in the call"
            )
        if isinstance(path, str):
            return _from_here(self.folder / path)
        return [_from_here(self.folder / part) for part in path]

    def media_root(self) -> Path | None:
        """The folder that media paths start from, where the recipe names one."""
        return None if self.data.media_root is None else self.folder / self.data.media_root


def read_recipe(path: str | Path) -> Recipe:
    """Reads and checks a recipe.

    Raises:
        RecipeError: naming the file, the field and, where one is near, the field that was meant.
    """
    path = Path(path)
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise RecipeError(
            f"{path}: there is no such file; `sensorium init TABLE --target COLUMN` writes one"
        ) from None
    try:
        default_name = path.stem if path.stem != "recipe" else path.resolve().parent.name
        return parse_recipe(content, folder=path.resolve().parent, default_name=default_name)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def parse_recipe(content: Any, folder: Path | None = None, default_name: str = "model") -> Recipe:
    """Checks a recipe given as a mapping.

    Args:
        content: what the YAML file holds.
        folder: what relative paths start from; default: the working folder.
        default_name: used where the recipe has no `name`.

    Raises:
        RecipeError: see `read_recipe`.
    """
    if not isinstance(content, Mapping):
        raise RecipeError("a recipe is a mapping with at least `inputs` and `outputs`")
    _refuse_newer(content)
    _refuse_unknown(content, ["version", "name", "data", "inputs", "fusion", "outputs", "training"], "")
    name = content.get("name", default_name)
    if not _names_a_folder(name):
        advice = "use letters, digits, - and _" if isinstance(name, str) else "write it in quotes"
        raise RecipeError(f"name: {_excerpt(name)} cannot name a run folder; {advice}")
    data = {} if content.get("data") is None else content["data"]
    if isinstance(data, str | list):
        data = {"path": data}
    training = {} if content.get("training") is None else content["training"]
    training_fields, training = training, _check(TrainingConfig, training, "training")
    inputs = {key: _input(part, f"inputs.{key}") for key, part in _named(content, "inputs")}
    if isinstance(training.input_dropout, dict):
        _refuse_unknown(training.input_dropout, list(inputs), "training.input_dropout")
    outputs = {key: _output(part, f"outputs.{key}") for key, part in _named(content, "outputs")}
    if any(part.compared for part in outputs.values()) and "batch_size" not in training_fields:
        training = training.model_copy(update={"batch_size": BATCH_OF_A_SIMILARITY})
    _refuse_leaks(inputs, outputs)
    for key, part in outputs.items():
        _refuse_unknown_inputs(part.compared, inputs, f"outputs.{key}.between")
        if part.type == "text":
            _refuse_unknown_inputs(part.decoder.named_inputs, inputs, f"outputs.{key}.decoder.prompt")
            _refuse_unclear_reading(part.decoder, inputs, f"outputs.{key}.decoder.input")
    data = _check(DataConfig, data, "data")
    _refuse_taken_keys(data.key, outputs)
    return Recipe(
        name=name,
        data=data,
        inputs=inputs,
        fusion=_fusion(content.get("fusion") or "concat"),
        outputs=outputs,
        training=training,
        folder=folder or Path.cwd(),
    )


def _refuse_newer(content: Mapping[str, Any]) -> None:
    """A recipe of a grammar that this release does not know yet; without `version` it is of the first."""
    version = content.get("version", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RecipeError(f"version: {_excerpt(version)} is none; write {VERSION}, or leave it out")
    if version > VERSION:
        raise RecipeError(
            f"the recipe is of version {version}; this sensorium ({sensorium.__version__}) reads version "
            f"{VERSION}: pip install -U sensorium"
        )


def _names_a_folder(name: Any) -> bool:
    if not isinstance(name, str) or name in {"", ".", ".."} or len(name.encode(errors="replace")) > 200:
        return False
    return name.isprintable() and not set(name) & set("/\\")


def _named(content: Mapping[str, Any], section: str) -> list[tuple[str, Any]]:
    """The parts of `inputs` or `outputs`, with names as strings."""
    parts = content.get(section)
    if not isinstance(parts, Mapping) or not parts:
        raise RecipeError(f"{section}: name at least one, such as {section}: {{title: {{type: text}}}}")
    for name in parts:
        if name is None or isinstance(name, bool):
            raise RecipeError(f"{section}: YAML reads a name as {name}; write it in quotes")
    return [(str(name), part) for name, part in parts.items()]


def _refuse_leaks(inputs: Mapping[str, Input], outputs: Mapping[str, Any]) -> None:
    """No input may read the column of an output."""
    targets = {part.column or name for name, part in outputs.items() if not part.compared}
    for name, part in inputs.items():
        source = part.column.column or name
        if source in targets:
            raise RecipeError(f"inputs.{name}: column {source!r} is both an input and an output")


def _refuse_unknown_inputs(names: list[str], inputs: Mapping[str, Input], place: str) -> None:
    for name in names:
        if name not in inputs:
            near = nearest(name, list(inputs))
            raise RecipeError(f"{place}: {_excerpt(name)} is no input{near}; inputs: {', '.join(inputs)}")


def _refuse_unclear_reading(decoder: Any, inputs: Mapping[str, Input], place: str) -> None:
    """A decoder that reads one input must be told which, where there are several."""
    if not hasattr(decoder, "input"):
        return
    if decoder.input is not None:
        _refuse_unknown_inputs([decoder.input], inputs, place)
    elif len(inputs) > 1:
        raise RecipeError(f"{place}: {decoder.kind} reads one input; name one of {', '.join(inputs)}")


def _refuse_taken_keys(key: list[str], outputs: Mapping[str, Any]) -> None:
    """No column of the key may have the name of a column of the predictions."""
    from sensorium.heads import HEADS

    taken = {"missing", "unreadable"}
    for name, part in outputs.items():
        taken |= {f"{name}_{column}" for column in ("prediction", *HEADS[part.type].set_columns)}
    for name in key:
        if name in taken or any(name.startswith(f"{output}_probability_") for output in outputs):
            raise RecipeError(f"data.key: predictions have a column {name!r} of their own; name another key")


def _input(part: Any, place: str) -> Input:
    """One entry of `inputs`."""
    fields = _with_type(part, "type", place, COLUMNS)
    kind = _choose(fields.pop("type"), COLUMNS, f"{place}.type")
    encoder = fields.pop("encoder", None)
    column = _check(COLUMNS[kind].Config, fields, place)
    require("torch", "train")
    from sensorium.encoders import ENCODERS

    table = ENCODERS[kind]
    encoder_fields = _with_type(encoder or next(iter(table)), "kind", f"{place}.encoder", table)
    chosen = _choose(encoder_fields.get("kind", next(iter(table))), table, f"{place}.encoder.kind")
    encoder_fields["kind"] = chosen
    return Input(kind, column, _check(table[chosen].Config, encoder_fields, f"{place}.encoder"))


def _output(part: Any, place: str) -> Any:
    """One entry of `outputs`."""
    require("torch", "train")
    from sensorium.heads import HEADS

    fields = _with_type(part, "type", place, HEADS)
    fields["type"] = _choose(fields["type"], HEADS, f"{place}.type")
    if fields["type"] == "text":
        fields["decoder"] = _decoder(fields.get("decoder"), f"{place}.decoder")
    return _check(HEADS[fields["type"]].Config, fields, place)


def _decoder(part: Any, place: str) -> Any:
    """What writes an output of text."""
    from sensorium.decoders import DECODERS

    fields = _with_type(part or next(iter(DECODERS)), "kind", place, DECODERS)
    fields["kind"] = _choose(fields.get("kind", next(iter(DECODERS))), DECODERS, f"{place}.kind")
    return _check(DECODERS[fields["kind"]].Config, fields, place)


def _fusion(part: Any) -> Any:
    """The entry `fusion`."""
    require("torch", "train")
    from sensorium.fusion import FUSIONS

    fields = _with_type(part, "kind", "fusion", FUSIONS)
    fields["kind"] = _choose(fields.get("kind", "concat"), FUSIONS, "fusion.kind")
    return _check(FUSIONS[fields["kind"]].Config, fields, "fusion")


def _with_type(part: Any, field: str, place: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Accepts `text` for `{type: text}`."""
    if isinstance(part, str):
        return {field: part}
    if not isinstance(part, Mapping):
        raise RecipeError(f"{place}: write a mapping such as {{{field}: ...}}")
    if field == "type" and "type" not in part:
        raise RecipeError(f"{place}.type: missing; one of {', '.join(table)}")
    return {str(key): value for key, value in part.items()}


def _choose(value: Any, table: Mapping[str, Any], place: str) -> str:
    """An entry of a literal table, or the nearest one in the message."""
    if isinstance(value, str) and value in table:
        return value
    near = nearest(str(value), list(table))
    raise RecipeError(f"{place}: {_excerpt(value)} is not known{near}; one of {', '.join(table)}")


def _refuse_unknown(content: Mapping[str, Any], known: list[str], place: str) -> None:
    for key in content:
        if key not in known:
            dotted = f"{place}.{_short(str(key))}" if place else _short(str(key))
            raise RecipeError(f"{dotted}: unknown field{nearest(str(key), known)}; known: {', '.join(known)}")


def nearest(value: str, known: list[str]) -> str:
    """The known name that was meant, as words to add to a message; "" where none is near."""
    close = difflib.get_close_matches(value, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _check(config: type[SectionConfig], fields: Any, place: str) -> SectionConfig:
    """Validates one section, and says what is wrong in one line."""
    if not isinstance(fields, Mapping):
        raise RecipeError(f"{place}: write a mapping, not {type(fields).__name__}")
    try:
        return config.model_validate(dict(fields))
    except ValidationError as error:
        raise RecipeError(_first_problem(config, error, place)) from None


def _first_problem(config: type[Config], error: ValidationError, place: str) -> str:
    problem = error.errors(include_url=False, include_context=False)[0]
    parts = [str(part) for part in problem["loc"]]
    parts = parts[:1] + [part for part in parts[1:] if not _BRANCH.fullmatch(part)]
    where = ".".join([place, *map(_short, parts)])
    if problem["type"] == "extra_forbidden":
        known = _fields_at(config, parts[:-1])
        return f"{where}: unknown field{nearest(parts[-1], known)}; known: {', '.join(known)}"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem.get("input")
    shown = f" (given: {_excerpt(given)})" if isinstance(given, str | int | float | bool) else ""
    return f"{where}: {message}{shown}"


_BRANCH = re.compile(r"constrained-\w+|function-.*|int|str|float|bool|(tuple|list|dict|literal)\[.*\]")
"""What pydantic adds to the place of a problem where a field may be of several types."""


def _excerpt(value: Any) -> str:
    """A value of the recipe for a message: a whole nested mapping would hide what is wrong with it."""
    return _short(repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__)


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"


def _fields_at(config: type[Config], path: list[str]) -> list[str]:
    """The field names of a nested configuration, found by the names on the way to it."""
    for part in path:
        field = config.model_fields.get(part)
        candidates = [] if field is None else [field.annotation, *get_args(field.annotation)]
        nested = [item for item in candidates if isinstance(item, type) and issubclass(item, Config)]
        if not nested:
            break
        config = nested[0]
    return list(config.model_fields)


def _from_here(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _input_as_dict(part: Input) -> dict[str, Any]:
    column = part.column.model_dump(mode="json")
    return {"type": part.type, **column, "encoder": part.encoder.model_dump(mode="json")}
