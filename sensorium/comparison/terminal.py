"""A comparison in the terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from sensorium.comparison.words import cells, headings, notes, sentences, summary

if TYPE_CHECKING:
    from sensorium.comparison.results import Comparison


WIDEST_NAME = 15
"""Characters of a variant's name that is not folded."""
NEVER_FOLDED = ("mean", "p", "parameters")
"""Headings of columns that hold one short number."""


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Writes the comparison to a terminal."""
    for line in summary(comparison):
        console.print(Text(line))
    for name, output in comparison.outputs.items():
        # Names keep their room, and the intervals fold between words.
        longest = max(len(variant.name) for variant in comparison.variants)
        names = Column(overflow="fold", no_wrap=longest <= WIDEST_NAME)
        table = Table(
            names,
            title=Text(name),
            title_justify="left",
            box=SIMPLE_HEAD,
            show_edge=False,
            padding=(0, 1, 0, 0),
        )
        for heading in headings(comparison):
            table.add_column(Text(heading), overflow="fold", no_wrap=heading in NEVER_FOLDED)
        for variant in comparison.variants:
            table.add_row(*map(Text, [variant.name, *cells(comparison, output, variant.name)]))
        console.print(table)
        for line in sentences(comparison, name):
            console.print(Text(line))
    for line in notes(comparison):
        console.print(Text(line))


def as_text(comparison: Comparison) -> str:
    """The same without colours, 120 characters wide."""
    console = Console(file=io.StringIO(), width=120, color_system=None, force_terminal=False)
    print_comparison(comparison, console)
    written: Any = console.file
    return str(written.getvalue()).rstrip()
