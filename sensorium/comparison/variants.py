"""The variants of a recipe: the fields that differ, each with its values, and the grid of several fields."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from sensorium.comparison.values import parse_values
from sensorium.config import Config
from sensorium.encoders import ENCODERS
from sensorium.errors import RecipeError
from sensorium.fusion import FUSIONS
from sensorium.recipe import Recipe, nearest, parse_recipe

SECTIONS = ("inputs", "fusion", "outputs", "training")
Path = tuple[str, ...]
Over = Mapping[str, Iterable[Any] | str | None]
"""Field → its values, or the text of them as the command line has it, or None for all that it offers."""


@dataclass(frozen=True)
class Variant:
    """One recipe of a comparison.

    Attributes:
        name: what sets it apart, such as "late" or "kind=late, width=64".
        settings: field → value.
        recipe: with these settings; None where they cannot go together.
        refused: why not; "" where there is a recipe.
        dropped: fields of the recipe that a new kind does not know, and that were left out.
    """

    name: str
    settings: dict[str, Any]
    recipe: Recipe | None
    refused: str = ""
    dropped: list[str] = field(default_factory=list)


def variants_of(recipe: Recipe, over: Over) -> list[Variant]:
    """Every combination of the values, the last field changing fastest.

    Args:
        recipe: where they start from.
        over: dotted path of a field, such as "fusion.kind" or "inputs.photo.encoder.kind" → its values.

    Raises:
        RecipeError: when a field is not known or must stay the same, or no variant makes a recipe.
    """
    if not isinstance(over, Mapping):
        raise RecipeError('over is a dict of fields and their values: {"fusion.kind": ["concat", "late"]}')
    if not over:
        raise RecipeError("nothing to compare: name a field, such as --over fusion.kind")
    paths = {name: _path(recipe, name) for name in over}
    values = {name: _values(recipe, name, paths[name], given) for name, given in over.items()}
    combinations = [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
    variants = [_variant(recipe, settings, paths) for settings in combinations]
    if all(variant.recipe is None for variant in variants):
        raise RecipeError(variants[0].refused)
    return variants


def given(recipe: Recipe) -> dict[str, Any]:
    """What a recipe says itself, without the defaults, so that another kind can bring its own."""

    def said(config: BaseModel) -> dict[str, Any]:
        return config.model_dump(mode="json", exclude_unset=True)

    return {
        "name": recipe.name,
        "data": said(recipe.data),
        "inputs": {
            name: {"type": part.type, **said(part.column), "encoder": said(part.encoder)}
            for name, part in recipe.inputs.items()
        },
        "fusion": said(recipe.fusion),
        "outputs": {name: said(part) for name, part in recipe.outputs.items()},
        "training": said(recipe.training),
    }


def _variant(recipe: Recipe, settings: dict[str, Any], paths: Mapping[str, Path]) -> Variant:
    content = copy.deepcopy(given(recipe))
    name = _name(settings)
    dropped: list[str] = []
    try:
        # A kind first: it decides which other fields there are.
        for one in sorted(settings, key=lambda one: paths[one][-1] != "kind"):
            _set(content, paths[one], settings[one])
            dropped += _drop_strangers(recipe, content, paths[one])
        return Variant(name, settings, parse_recipe(content, folder=recipe.folder), dropped=dropped)
    except RecipeError as error:
        return Variant(name, settings, None, refused=str(error))


def _name(settings: Mapping[str, Any]) -> str:
    if len(settings) == 1:
        return str(*settings.values())
    ends = [one.rpartition(".")[2] for one in settings]
    shown = list(settings) if len(set(ends)) < len(ends) else ends
    return ", ".join(f"{name}={value}" for name, value in zip(shown, settings.values(), strict=True))


def _path(recipe: Recipe, name: str) -> Path:
    """The keys on the way to a field; the name of an input or output may hold dots."""
    section, _, rest = name.partition(".")
    if section in ("data", "name") or name == "training.seed":
        raise RecipeError(f"--over {name}: a comparison keeps the table, its split and the seeds the same")
    if section not in SECTIONS:
        near = nearest(section, list(SECTIONS))
        raise RecipeError(f"--over {name}: unknown section{near}; known: {', '.join(SECTIONS)}")
    if section not in ("inputs", "outputs"):
        return tuple(name.split("."))
    names = list(recipe.inputs if section == "inputs" else recipe.outputs)
    fitting = [one for one in names if rest.startswith(f"{one}.")]
    if not fitting:
        near = nearest(rest.partition(".")[0], names)
        raise RecipeError(
            f"--over {name}: a field of one of the {section} is meant{near}; they are {', '.join(names)}"
        )
    owner = max(fitting, key=len)
    keys = rest.removeprefix(f"{owner}.").split(".")
    if keys[0] in ("type", "column"):
        raise RecipeError(f"--over {name}: a comparison keeps the columns and their types the same")
    return (section, owner, *keys)


def _values(recipe: Recipe, name: str, path: Path, given: Iterable[Any] | str | None) -> list[Any]:
    if given is None:
        return _offered(recipe, name, path)
    if not isinstance(given, Iterable):
        raise RecipeError(
            f"--over {name}: {given!r:.60} is no list of values: give [{given!r:.60}], or several"
        )
    values = parse_values(given) if isinstance(given, str) else list(given)
    distinct = list({str(value): value for value in values}.values())
    if not distinct:
        raise RecipeError(f"--over {name}: no value is given")
    return distinct


def _offered(recipe: Recipe, name: str, path: Path) -> list[Any]:
    """Every value that a field can have, where they can be listed."""
    table = _table(recipe, path)
    if table:
        return list(table)
    config = _config_at(recipe, path)
    known = type(config).model_fields.get(path[-1]) if config else None
    if known and get_origin(known.annotation) is Literal:
        return list(get_args(known.annotation))
    if known and known.annotation is bool:
        return [False, True]
    if config and not known:
        fields = list(type(config).model_fields)
        raise RecipeError(f"{name}: unknown field{nearest(path[-1], fields)}; known: {', '.join(fields)}")
    raise RecipeError(f"--over {name}: say which values, such as {name}=1,2,3 or {name}=1..9:2")


def _table(recipe: Recipe, path: Path) -> Mapping[str, Any]:
    """The literal table that a `kind` is chosen from; empty for other fields."""
    if path == ("fusion", "kind"):
        return FUSIONS
    if path[0] == "inputs" and path[2:] == ("encoder", "kind"):
        return ENCODERS[recipe.inputs[path[1]].type]
    return {}


def _config_at(recipe: Recipe, path: Path) -> Config | None:
    """The configuration that a field belongs to; None where the recipe has none there."""
    match path:
        case ("inputs", name, "encoder", *rest):
            part: Any = recipe.inputs[name].encoder
        case ("inputs", name, *rest):
            part = recipe.inputs[name].column
        case ("outputs", name, *rest):
            part = recipe.outputs[name]
        case (section, *rest):
            part = getattr(recipe, section, None)
    for key in rest[:-1]:
        part = getattr(part, key, None)
    return part if rest and isinstance(part, Config) else None


def _set(content: dict[str, Any], path: Path, value: Any) -> None:
    for position, key in enumerate(path[:-1], start=1):
        part = content.get(key)
        if part is not None and not isinstance(part, dict):
            above = ".".join(path[:position])
            raise RecipeError(f"{'.'.join(path)}: {above} is a value here, without fields of its own")
        content[key] = {} if part is None else part
        content = content[key]
    content[path[-1]] = value


def _drop_strangers(recipe: Recipe, content: dict[str, Any], path: Path) -> list[str]:
    """Leaves out the fields beside a `kind` that this kind does not know; says which."""
    table = _table(recipe, path)
    section = content
    for key in path[:-1]:
        section = section[key]
    kind = section[path[-1]]
    if not isinstance(kind, str) or kind not in table:
        return []
    strangers = [one for one in section if one not in table[kind].Config.model_fields]
    for one in strangers:
        del section[one]
    return [".".join((*path[:-1], one)) for one in strangers]
