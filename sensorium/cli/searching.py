"""Rows by what is like them: `index` keeps them, `search` finds them, `classify` puts them into classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from sensorium.cli.options import MediaRoot, RunPath
from sensorium.errors import SensoriumError


def index(
    run: Annotated[Path | None, Argument(help="runs/NAME, or a saved model")] = None,
    data: Annotated[Path | None, Argument(help="table whose rows are kept")] = None,
    output: Annotated[str, Option("-o", "--output", help="folder of the index, or a URI")] = "index",
    key: Annotated[
        list[str] | None,
        Option(help="column that names a row; default: the recipe's; may be given again"),
    ] = None,
    media_root: MediaRoot = None,
    keep_media: Annotated[bool, Option("--keep-media", help="copy the media into the index")] = False,
    update: Annotated[
        bool, Option("--update", help="add rows to an index, in place of those of the same key")
    ] = False,
    delete: Annotated[list[str] | None, Option(help="key of a row to delete; may be given again")] = None,
    delete_where: Annotated[
        str | None, Option(help="condition in SQL: delete the rows for which it holds")
    ] = None,
    compact: Annotated[
        bool, Option("--compact", help="join what is small, drop old versions and unused media")
    ] = False,
) -> None:
    """Make an index of a table, to be searched; add rows to it, delete rows, compact it."""
    from sensorium.index.verbs import build_or_update, change

    if run is not None and data is not None:
        build_or_update(
            output, run, data, key=key or (), media_root=media_root, keep_media=keep_media, update=update,
            say=lambda line: typer.echo(line, err=True),
        )  # fmt: skip
    elif not (delete or delete_where or compact) or run is not None:
        raise SensoriumError("give a model and a table: sensorium index runs/NAME table.csv -o index")
    if delete or delete_where or compact:
        change(output, delete=delete or (), where=delete_where, compact=compact, say=typer.echo)


def search(
    place: Annotated[str, Argument(metavar="INDEX", help="folder of an index, or its URI")],
    query: Annotated[str | None, Argument(help="text to look for, such as 'a red bird'")] = None,
    text: Annotated[
        list[str] | None, Option(help="one more text; ^0.5 at the end of this and others is a weight")
    ] = None,
    image: Annotated[list[str] | None, Option(help="picture to look for the like of")] = None,
    audio: Annotated[list[str] | None, Option(help="sound to look for the like of")] = None,
    video: Annotated[list[str] | None, Option(help="film to look for the like of")] = None,
    row: Annotated[list[str] | None, Option(help="key of a row to look for the like of")] = None,
    minus: Annotated[list[str] | None, Option(help="text to look away from")] = None,
    where: Annotated[
        str | None, Option(help="condition in SQL, such as \"category = 'animals' AND price > 10\"")
    ] = None,
    k: Annotated[int, Option("-k", help="rows")] = 10,
    mode: Annotated[str, Option(help="vector, text (the words themselves), or hybrid (both)")] = "vector",
    inputs: Annotated[
        list[str] | None, Option("--in", help="input whose vectors are searched; default: all")
    ] = None,
    duplicates: Annotated[
        float | None, Option(help="show rows alike by this cosine or more, such as 0.95")
    ] = None,
    outliers: Annotated[
        bool, Option("--outliers", help="show the rows that are furthest from all others")
    ] = False,
    clusters: Annotated[
        str | None, Option(help="show rows in so many groups that lie together; auto: chosen")
    ] = None,
    names: Annotated[
        str | None, Option(help="names for the groups to choose from, such as 'cat,dog'")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="JSON in place of a table")] = False,
    html: Annotated[Path | None, Option(help="also write a page with pictures")] = None,
    export: Annotated[Path | None, Option(help="folder to copy the media of what is found to")] = None,
    model: Annotated[Path | None, Option(help="the index's model; default: its copy")] = None,
) -> None:
    """Search an index by texts, pictures, sounds or rows, or look for duplicates, outliers and clusters."""
    from rich.console import Console

    from sensorium.index import open_index, verbs
    from sensorium.index.search import Request

    given = {"text": [*([query] if query is not None else []), *(text or [])], "image": image or [],
             "audio": audio or [], "video": video or [], "row": row or []}  # fmt: skip
    opened = open_index(place, model, say=lambda line: typer.echo(line, err=True))
    chosen, screen = opened.known_inputs(inputs), verbs.Screen(Console(), as_json, html)
    if duplicates is not None:
        verbs.show_duplicates(opened, chosen, duplicates, screen)
    elif clusters is not None:
        verbs.show_clusters(opened, chosen, *verbs.cluster_options(clusters, names), screen)
    elif outliers:
        verbs.show_outliers(opened, chosen, k, screen)
    else:
        request = Request(verbs.query_parts(given, minus or []), where, k, mode, chosen)
        verbs.show(opened, request, screen, export)


def classify(
    run: RunPath,
    data: Annotated[Path, Argument(help="table of rows to classify")],
    output: Annotated[Path, Option("-o", "--output", help=".parquet, .csv or .jsonl")],
    labels: Annotated[str | None, Option(help="classes in words, such as 'cat,dog,bird'")] = None,
    labels_from: Annotated[Path | None, Option(help="file with one label a line")] = None,
    template: Annotated[
        list[str] | None,
        Option(help="words around a label, such as 'a picture of a {}'; may be given again: the mean"),
    ] = None,
    inputs: Annotated[
        list[str] | None, Option("--input", help="input that is classified; with examples several")
    ] = None,
    examples: Annotated[Path | None, Option(help="table of rows that show the classes")] = None,
    label: Annotated[str | None, Option(help="column of the examples that holds the class")] = None,
    shots: Annotated[int | None, Option(help="examples taken of each class; default: all")] = None,
    by: Annotated[str, Option(help="of examples: prototype, or logistic")] = "prototype",
    draws: Annotated[int, Option(help="how often examples are drawn, to see the spread")] = 5,
    seed: Annotated[int, Option(help="of the drawing")] = 0,
    truth: Annotated[str | None, Option(help="column that holds the class: also says how good")] = None,
    top: Annotated[int, Option(help="labels written for each row, the best first")] = 3,
    media_root: MediaRoot = None,
) -> None:
    """Classify rows into classes named by words, or shown by a few examples."""
    from sensorium.classification.verb import Request, Shown, Words, classify, read_labels
    from sensorium.classification.zero_shot import GAP

    words, shown = None, None
    if labels is not None or labels_from is not None:
        words = Words(read_labels(labels, labels_from), template or [GAP])
    if examples is not None:
        shown = Shown(examples, label, shots, by, draws, seed)
    request = Request(run, data, media_root, inputs or [], words, shown, truth, output, top)
    classify(request, typer.echo, lambda line: typer.echo(line, err=True))
