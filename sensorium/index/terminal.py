"""Rows that were found, and groups of rows, in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensorium.evaluation.words import count
from sensorium.index.cluster_names import NamedCluster
from sensorium.index.clusters import Clusters
from sensorium.index.neighbours import Group
from sensorium.index.results import Hit, Results, shown
from sensorium.index.rows import key_text
from sensorium.index.view import View

_LONGEST = 40
_CENTRAL = 3  # keys of a cluster


def print_results(results: Results, console: Console) -> None:
    """Writes what a search found."""
    if results.hits:
        print_hits(results.hits, "score", results.header(), console)
    else:
        console.print(Text(f"{results.header()}: nothing was found"))


def print_hits(hits: Sequence[Hit], measure: str, title: str, console: Console) -> None:
    """Writes rows with their fields, and below where their media are, each path on a line of its own.

    Args:
        hits: one at least.
        measure: what the score is called.
        title: above the table.
        console: the terminal.
    """
    table = _table(title)
    table.add_column("", justify="right")
    table.add_column(measure, justify="right")
    fields = [name for name in hits[0].fields if name not in hits[0].media]
    for name in fields:
        table.add_column(Text(name), overflow="fold")
    for hit in hits:
        cells = [Text(shown(hit.fields[name], _LONGEST)) for name in fields]
        table.add_row(str(hit.rank), f"{hit.score:.3f}", *cells)
    console.print(table)
    for hit in hits:
        for name, path in hit.media.items():
            if path:
                console.print(Text(f"{hit.rank:>3}  {name}: {path}"), soft_wrap=True)


def print_groups(groups: Iterable[Group], view: View, title: str, console: Console) -> None:
    """Writes groups of rows that are nearly the same."""
    table = _table(title)
    for name in ("input", "rows", "cosine", "keys"):
        table.add_column(name, overflow="fold")
    for group in groups:
        keys = ", ".join(key_text(view.keys[one]) for one in group.positions)
        cosines = f"{group.least:.3f} to {group.most:.3f}"
        table.add_row(Text(group.input), str(len(group.positions)), cosines, Text(keys))
    console.print(table)


def print_clusters(clusters: Iterable[NamedCluster], view: View, title: str, console: Console) -> None:
    """Writes clusters with their names and most central rows."""
    table = _table(title)
    for name in ("", "name", "rows", "most central"):
        table.add_column(name, overflow="fold")
    for one in clusters:
        keys = ", ".join(key_text(view.keys[position]) for position in one.positions[:_CENTRAL])
        table.add_row(str(one.number), Text(one.name), str(len(one.positions)), Text(keys))
    console.print(table)


def duplicates_title(groups: int, above: float, rows: int) -> str:
    """What a table of groups is about."""
    return f"{count(groups, 'group')} of rows alike by {above:g} or more, among {count(rows, 'row')}"


def clusters_title(clusters: Clusters, inputs: Sequence[str]) -> str:
    """What a table of clusters is about."""
    found = f"{count(len(clusters.positions), 'row')} by {' and '.join(inputs)}"
    quality = clusters.quality()
    return f"{count(len(clusters.centres), 'cluster')} of {found}" + (
        f"; silhouette {quality:.2f} (1: far apart, 0: no gaps between them)" if quality is not None else ""
    )


def _table(title: str) -> Table:
    return Table(title=Text(title), title_justify="left", title_style="")
