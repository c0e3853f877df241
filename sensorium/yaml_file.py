"""YAML files that may come from anyone: they run nothing, and cost little whatever they hold."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import yaml

from sensorium.errors import RecipeError

MAX_BYTES = 1024 * 1024
"""The largest file that is read: a recipe has a few kilobytes, and YAML is slow to read."""

MAX_VALUES = 200_000
"""The most values once every alias is written out: a few nested aliases would else make billions."""


def read_yaml(path: Path) -> Any:
    """What a YAML file holds, as plain types.

    Raises:
        RecipeError: naming the file and, where there is one, the line.
        FileNotFoundError: when there is no such file.
    """
    try:
        return _parse(_text(path))
    except IsADirectoryError:
        raise RecipeError(f"{path} is a folder; give the recipe.yaml in it") from None
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as UTF-8 text ({error.__class__.__name__})") from None
    except RecursionError:
        raise RecipeError(f"{path}: not valid YAML: it is nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"{path}{place}: not valid YAML: {problem}") from None
    except (ValueError, OverflowError) as error:  # of a value that YAML takes for a date or a number
        raise RecipeError(f"{path}: not valid YAML: {error}; write texts that look so in quotes") from None


def _text(path: Path) -> str:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise RecipeError(f"{path} is not a regular file")  # a pipe or a device may never end
    if status.st_size > MAX_BYTES:
        raise RecipeError(f"{path}: {status.st_size:,} bytes are more than a recipe may have ({MAX_BYTES:,})")
    return path.read_text(encoding="utf-8-sig")


def _parse(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, counts: dict[int, int]) -> int:
    """Values below a node, an alias counted as often as it is used. Raises a YAML error at a cycle."""
    known = counts.get(id(node))
    if known == 0:  # the node is being counted: it holds itself
        raise yaml.constructor.ConstructorError(None, None, "an alias holds itself", node.start_mark)
    if known is not None:
        return known
    counts[id(node)] = 0
    parts = [] if isinstance(node, yaml.ScalarNode) else node.value
    inside = [part for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,))]
    total = 1 + sum(_count(part, counts) for part in inside)
    if total > MAX_VALUES:
        problem = f"more than {MAX_VALUES:,} values once the aliases are written out"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    counts[id(node)] = total
    return total


class _Loader(yaml.SafeLoader):
    """YAML without the trap that of two equal keys the first is silently forgotten."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping. Raises a YAML error at the second of two equal keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands twice in one mapping", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)
