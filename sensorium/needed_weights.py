"""The pretrained weights of a recipe: which it needs, and whether they are here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from sensorium.recipe import Recipe
from sensorium.weights import Entry, ask_hub, describe, find

Say = Callable[[str], None]

_MEGABYTE = 2**20


def needed_weights(recipe: Recipe) -> dict[str, str]:
    """Input, or `outputs.` and output → the weights that it starts from; from scratch: left out."""
    named = {name: getattr(part.encoder, "weights", None) for name, part in recipe.inputs.items()}
    decoders = {name: getattr(part, "decoder", None) for name, part in recipe.outputs.items()}
    named |= {f"outputs.{name}": getattr(part, "weights", None) for name, part in decoders.items()}
    return {name: weights for name, weights in named.items() if weights is not None}


def describe_needed(recipe: Recipe) -> list[Entry]:
    """What is known of every checkpoint of a recipe, each once; the hub is asked of those that are not here.

    Raises:
        WeightsError: when a file is damaged or missing.
    """
    return [ask_hub(describe(one, recipe.folder)) for one in dict.fromkeys(needed_weights(recipe).values())]


def fetch_needed(recipe: Recipe, say: Say) -> None:
    """Brings what a recipe needs and is not here; then all of it is looked at, checksums included.

    Raises:
        WeightsError: when one cannot be brought, or is not what it should be.
    """
    for weights in dict.fromkeys(needed_weights(recipe).values()):
        find(weights, recipe.folder, say)


def check_weights(recipe: Recipe, say: Say) -> None:
    """One line for every checkpoint of a recipe; one that is not here is fetched, as training would.

    Raises:
        WeightsError: when one is nowhere, or is not what it should be.
    """
    fetch_needed(recipe, say)
    entries = describe_needed(recipe)
    if not entries:
        say("ok    weights: every part starts from scratch; nothing is fetched")
    for entry in entries:
        users = ", ".join(name for name, weights in needed_weights(recipe).items() if weights == entry.id)
        where, size, parameters, dtype, licence = _words(entry)
        say(
            f"ok    weights: {users} from {entry.id} ({where}, {size}, {parameters} parameters, {dtype}, "
            f"licence {licence})"
        )


def print_weights(entries: Sequence[Entry], console: Console) -> None:
    """A table, one checkpoint a row."""
    table = Table(box=None, pad_edge=False)
    table.add_column("id", overflow="fold")
    table.add_column("where", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("dtype", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    for entry in entries:
        table.add_row(entry.id, *_words(entry))
    console.print(table, markup=False)


def _words(entry: Entry) -> list[str]:
    size = "" if entry.size is None else f"{entry.size / _MEGABYTE:,.1f} MB"
    count = "" if entry.parameters is None else f"{entry.parameters / 1e6:,.1f} M"
    return [entry.where, size, count, entry.dtype, entry.licence]
