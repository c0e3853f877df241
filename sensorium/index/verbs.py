"""What `sensorium index` and `sensorium search` do."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from sensorium.errors import SensoriumError
from sensorium.evaluation.words import count
from sensorium.index.build import build_index, open_index
from sensorium.index.cluster_names import named
from sensorium.index.cluster_page import write_cluster_page
from sensorium.index.clusters import cluster
from sensorium.index.index import Index
from sensorium.index.media import export
from sensorium.index.neighbours import duplicates, outliers
from sensorium.index.page import write_page
from sensorium.index.query import Part, parse_part
from sensorium.index.results import Results
from sensorium.index.search import Ranking, Request, hits
from sensorium.index.terminal import (
    clusters_title,
    duplicates_title,
    print_clusters,
    print_groups,
    print_hits,
    print_results,
)

Say = Callable[[str], None]


class Screen(NamedTuple):
    """Where answers are shown.

    Attributes:
        console: the terminal.
        as_json: writes JSON in place of a table.
        page: HTML, also written where there is one.
    """

    console: Console
    as_json: bool
    page: Path | None


def build_or_update(
    place: str,
    run: Path,
    data: Path,
    *,
    key: Sequence[str],
    media_root: Path | None,
    keep_media: bool,
    update: bool,
    say: Say,
) -> None:
    """Makes an index of a table, or adds a table to one.

    Args:
        place: of the index.
        run: runs/NAME, or a saved model.
        data: the table.
        key: columns that name a row; none: the recipe's.
        media_root: the folder that media paths start from.
        keep_media: copies the media into the index.
        update: adds the rows to an index, in place of those of the same key.
        say: takes what the user should know.
    """
    with _warnings_said(say):
        if update:
            index = open_index(place, run, say=say)
            rows = index.update(data, media_root, keep_media)
        else:
            index = build_index(
                place, run, data, key=key or None, media_root=media_root, keep_media=keep_media, say=say
            )
            rows = len(index)
        index.prepare()
    say(
        f"{count(rows, 'row')} written; {place} has {count(len(index), 'row')}; "
        f"next: sensorium search {place} …"
    )


def change(place: str, *, delete: Sequence[str], where: str | None, compact: bool, say: Say) -> None:
    """Deletes rows of an index, and makes it smaller.

    Args:
        place: of the index.
        delete: keys.
        where: a condition in SQL.
        compact: afterwards, joins what is small and drops what is old.
        say: takes what was done.
    """
    index = open_index(place, say=say)
    if delete or where:
        say(f"{count(index.delete(delete, where), 'row')} deleted; {place} has {count(len(index), 'row')}")
    if compact:
        index.compact()
        say(f"{place} is compact; versions of the last hour stay for those who read them")


def query_parts(given: Mapping[str, Sequence[str]], minus: Sequence[str]) -> list[Part]:
    """What is looked for, as the options gave it."""
    parts = [parse_part(kind, one) for kind, words in given.items() for one in words]
    return parts + [parse_part("text", one, sign=-1.0) for one in minus]


def show(index: Index, request: Request, screen: Screen, copies: Path | None) -> None:
    """Searches, and shows what was found.

    Args:
        index: opened.
        request: what is asked.
        screen: where it is shown.
        copies: folder that the media of what was found are copied to.
    """
    with _warnings_said(lambda line: screen.console.print(Text(line))):
        results = index.ask(request)
    if copies is not None:
        _export(results, copies)
    if screen.page is not None:
        write_page(results, request.parts, screen.page)
    if screen.as_json:
        _print_json(results.as_dict())
        return
    print_results(results, screen.console)
    _say_page(screen)


def show_duplicates(index: Index, inputs: Sequence[str], above: float, screen: Screen) -> None:
    """Shows groups of rows that are nearly the same."""
    view = index.view
    groups = duplicates(view, inputs, above)
    content = [
        {
            "input": group.input,
            "keys": [list(view.keys[one]) for one in group.positions],
            "least": group.least,
            "most": group.most,
        }
        for group in groups
    ]
    if screen.as_json:
        _print_json({"above": above, "rows": len(view), "groups": content})
        return
    print_groups(groups, view, duplicates_title(len(groups), above, len(view)), screen.console)


def show_clusters(
    index: Index,
    inputs: Sequence[str],
    number: int | None,
    labels: Sequence[str] | None,
    screen: Screen,
) -> None:
    """Shows rows in groups that lie together.

    Args:
        index: opened.
        inputs: whose vectors count.
        number: of clusters; None: chosen by the silhouette.
        labels: words to choose names from; None: the clusters' own words.
        screen: where they are shown; its page has a map.
    """
    view = index.view
    found = cluster(view, inputs, number)
    clusters = named(index, found, inputs, labels)
    title = clusters_title(found, inputs)
    if screen.page is not None:
        write_cluster_page(index, found, clusters, title, screen.page)
    if screen.as_json:
        keys = [[list(view.keys[position]) for position in one.positions] for one in clusters]
        listed = [
            {"number": one.number, "name": one.name, "rows": len(own), "keys": own}
            for one, own in zip(clusters, keys, strict=True)
        ]
        _print_json({"inputs": list(inputs), "silhouette": found.quality(), "clusters": listed})
        return
    print_clusters(clusters, view, title, screen.console)
    _say_page(screen)


def cluster_options(clusters: str, names: str | None) -> tuple[int | None, list[str] | None]:
    """How many clusters, None: to be chosen; and the names to choose from, None: the clusters' own words.

    Raises:
        SensoriumError: when the first is neither a number nor "auto".
    """
    if clusters != "auto" and not clusters.isdecimal():
        raise SensoriumError(f"--clusters {clusters[:20]!r}: give a number, or auto")
    labels = None if names is None else [one.strip() for one in names.split(",") if one.strip()]
    return None if clusters == "auto" else int(clusters), labels


def show_outliers(index: Index, inputs: Sequence[str], k: int, screen: Screen) -> None:
    """Shows the rows that are furthest from all others."""
    view = index.view
    found = outliers(view, inputs, k)
    lists = {
        name: hits(
            Ranking([one.position for one in some], [one.distance for one in some], [[name] for _ in some]),
            view,
            index.folder,
        )
        for name, some in found.items()
    }
    if screen.as_json:
        _print_json({name: [asdict(hit) for hit in some] for name, some in lists.items()})
        return
    for name, some in lists.items():
        title = f"{name}: the rows furthest from their neighbours (mean of 1 - cosine to the nearest 10)"
        print_hits(some, "distance", title, screen.console)


def _say_page(screen: Screen) -> None:
    if screen.page is not None:
        screen.console.print(Text(f"wrote {screen.page}"))


def _export(results: Results, folder: Path) -> None:
    for hit in results.hits:
        for name, path in hit.media.items():
            if path is not None:
                hit.media[name] = str(export(Path(path), folder, f"{hit.rank:03}-{name}"))


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False, default=str))  # noqa: T201 - it is the output


@contextmanager
def _warnings_said(say: Say) -> Iterator[None]:
    """Says what Python would warn of, on a line without the place in the source."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            say(str(warning.message))
