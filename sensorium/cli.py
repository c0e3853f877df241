"""The command line: one verb, one function."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class _Verbs(TyperGroup):
    """All verbs; a Ctrl-C, at which typer ends without a word, ends each with one line."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb that was given."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("stopped before the end; the same command begins again", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="sensorium",
    cls=_Verbs,
    help="From a table of text, pictures, sound, video and numbers to a trained, evaluated model.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# What a disk or the system refuses, wherever it happens; any other OSError is a fault of the program.
_REFUSED = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EMFILE,
    errno.ENAMETOOLONG,
}

RecipePath = Annotated[Path, typer.Argument(help="recipe.yaml")]
RunPath = Annotated[Path, typer.Argument(help="runs/NAME, or a saved model")]


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="table: a file, a folder, or a glob in quotes")],
    target: Annotated[list[str], typer.Option("--target", help="column to predict; may be given again")],
    output: Annotated[Path, typer.Option("-o", "--output", help="where to write")] = Path("recipe.yaml"),
    force: Annotated[bool, typer.Option("--force", help="write over an existing file")] = False,
) -> None:
    """Look at a table and write a commented recipe."""
    from sensorium.draft import draft_recipe

    _refuse_to_overwrite(output, force)
    draft = draft_recipe(data, target, output.resolve().parent)
    _write(output, draft.text)
    for line in draft.reasons:
        typer.echo(line)
    typer.echo(f"wrote {output}; next: sensorium check {output}")


@app.command()
def check(
    recipe: RecipePath,
    rows: Annotated[int, typer.Option(help="rows decoded to test the media; 0 for all", min=0)] = 200,
) -> None:
    """Find everything that can fail, before anything runs."""
    from sensorium.check import check_recipe

    if not check_recipe(recipe, rows, typer.echo):
        raise typer.Exit(1)


@app.command()
def train(
    context: typer.Context,
    recipe: RecipePath,
    runs: Annotated[Path, typer.Option(help="folder of the run folders")] = Path("runs"),
    fresh: Annotated[bool, typer.Option("--fresh", help="throw away what the run folder holds")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="a few steps, to see that it runs and how long")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(help="training.minutes in place of the recipe's: the time of the whole run"),
    ] = None,
) -> None:
    """Train, or go on where training stopped; writes runs/NAME."""
    with _importing():
        from rich.console import Console

        import sensorium.training.loop  # noqa: F401 - needed later, and large
        from sensorium.fitting import dry_run_recipe, train_recipe, with_training
        from sensorium.recipe import read_recipe
        from sensorium.training.progress import Terminal

    reporter = Terminal(Console())
    chosen = with_training(read_recipe(recipe), None if minutes is None else {"minutes": minutes})
    if dry_run:
        dry_run_recipe(chosen, reporter)
        return
    try:
        folder = train_recipe(chosen, runs, reporter, fresh=fresh, began=context.obj)
    except KeyboardInterrupt:
        typer.echo("stopped; what was trained is saved: give the same command to go on", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"trained; next: sensorium evaluate {folder}")


@app.command()
def evaluate(
    run: RunPath,
    data: Annotated[
        Path | None, typer.Argument(help="table; default: the test part of the training table")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="default: RUN/evaluation")] = None,
    media_root: Annotated[Path | None, typer.Option(help="folder that media paths start from")] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", help="column, or condition such as 'price > 10'; may be given again"),
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", help="study to leave out, such as noise; may be given again")
    ] = None,
    coverage: Annotated[float, typer.Option(help="asked of sets and intervals, between 0 and 1")] = 0.9,
) -> None:
    """Measure a model; writes report.html and report.json."""
    from rich.console import Console

    from sensorium.evaluation import (
        check_folder,
        choose_studies,
        evaluate_run,
        print_evaluation,
        write_report,
    )

    studies = choose_studies(skip or ())
    if run.is_dir():
        check_folder(output or run / "evaluation")
    evaluation = evaluate_run(run, data, media_root, studies, coverage, slices or ())
    report = write_report(evaluation, output or run / "evaluation")
    print_evaluation(evaluation, Console())
    typer.echo(f"wrote {report}")


@app.command()
def compare(
    recipe: RecipePath,
    over: Annotated[
        list[str],
        typer.Option(
            help="field and its values: fusion.kind=concat,late or training.batch_size=16..64:16, "
            "or fusion.kind for all that there are; may be given again, for the grid"
        ),
    ],
    seeds: Annotated[int, typer.Option(help="trainings of each variant", min=1)] = 3,
    runs: Annotated[Path, typer.Option(help="folder of the run folders")] = Path("runs"),
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="default: RUNS/NAME-compare/FIELD, with + between several"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="train again what is finished")] = False,
) -> None:
    """Train variants of a recipe and test which differ; writes compare.html and compare.json."""
    from rich.console import Console

    from sensorium.comparison import compare_in, print_comparison, question_folder, write_comparison
    from sensorium.fitting import terminal
    from sensorium.recipe import read_recipe

    chosen = read_recipe(recipe)
    home = runs / f"{chosen.name}-compare"
    fields = {
        name: values if equals else None for name, equals, values in (one.partition("=") for one in over)
    }
    try:
        comparison = compare_in(home, chosen, fields, seeds, terminal(), fresh=fresh)
    except KeyboardInterrupt:
        typer.echo("stopped; what was trained is saved: give the same command to go on", err=True)
        raise typer.Exit(130) from None
    page = write_comparison(comparison, output or question_folder(home, comparison.over))
    print_comparison(comparison, Console())
    typer.echo(f"wrote {page}")


@app.command()
def predict(
    run: RunPath,
    data: Annotated[Path, typer.Argument(help="table of new rows")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".parquet, .csv or .jsonl")],
    media_root: Annotated[Path | None, typer.Option(help="folder that media paths start from")] = None,
    coverage: Annotated[
        float | None,
        typer.Option(help="share of rows whose truth added sets and intervals hold, such as 0.9"),
    ] = None,
) -> None:
    """Predict every row of a table, in its order, under its key."""
    from sensorium.calibration import unlimited_words
    from sensorium.data.table import files_of, read_table
    from sensorium.data.write import check_writable, refuse_to_replace, write_parts
    from sensorium.predict import load

    check_writable(output)
    predictor = load(run)
    table = predictor.open(read_table(data, media_root))
    refuse_to_replace(files_of(data), output)
    if predictor.absent_columns(table):
        typer.echo(predictor.absent_words(table), err=True)
    for note in table.notes:
        typer.echo(note, err=True)
    rows = write_parts(predictor.tabulate_in_parts(table, coverage), output)
    if predictor.unlimited and coverage is not None:
        typer.echo(unlimited_words(predictor.unlimited, coverage), err=True)
    for cell in predictor.unreadable[:20]:
        typer.echo(cell.line(), err=True)
    if len(predictor.unreadable) > 20:
        typer.echo(f"... and {len(predictor.unreadable) - 20} more cells that could not be read", err=True)
    typer.echo(f"wrote {rows} rows to {output}")


@app.command()
def weights(
    recipe: Annotated[
        Path | None, typer.Argument(help="recipe.yaml; without one, all that is on this machine")
    ] = None,
    bring: Annotated[
        bool, typer.Option("--fetch", help="bring what the recipe needs and is not here")
    ] = False,
) -> None:
    """List pretrained weights: where they are, size, parameters, licence."""
    from rich.console import Console

    from sensorium.errors import RecipeError
    from sensorium.needed_weights import describe_needed, fetch_needed, print_weights
    from sensorium.recipe import read_recipe
    from sensorium.weights import weights_here

    if recipe is None:
        if bring:
            raise RecipeError("--fetch needs a recipe, whose weights are then fetched")
        print_weights(weights_here(), Console())
        return
    chosen = read_recipe(recipe)
    if bring:
        fetch_needed(chosen, typer.echo)
    print_weights(describe_needed(chosen), Console())


@app.command()
def embed(
    source: Annotated[str, typer.Argument(help="runs/NAME, recipe.yaml, or the id of pretrained weights")],
    data: Annotated[Path, typer.Argument(help="table: a file, a folder, or a glob in quotes")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".parquet, .lance, .npy, or a folder")],
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="input wanted; may be given again; default: all")
    ] = None,
    column: Annotated[str | None, typer.Option(help="column to read, where weights are named")] = None,
    kind: Annotated[str, typer.Option("--type", help="of that column: text, image, audio, video")] = "text",
    media_root: Annotated[Path | None, typer.Option(help="folder that media paths start from")] = None,
) -> None:
    """Write the features of pretrained encoders as vectors, row for row, through the cache."""
    from sensorium.data.table import files_of, read_table
    from sensorium.data.write import refuse_to_replace
    from sensorium.embedding import open_embedder, write_embeddings

    refuse_to_replace(files_of(data), output)
    embedder = open_embedder(source, inputs or (), column, kind)
    rows = write_embeddings(embedder, read_table(data, media_root), output, typer.echo)
    typer.echo(f"wrote {rows} rows to {output}")


@app.command()
def explain(
    run: RunPath,
    data: Annotated[
        Path | None, typer.Argument(help="table; default: the test part of the training table")
    ] = None,
    rows: Annotated[str | None, typer.Option(help="positions in the table, such as 3,7 or 3-7")] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="column and value, such as id=7; may be given again")
    ] = None,
    output: Annotated[str | None, typer.Option("--output", help="of the model; default: its first")] = None,
    label: Annotated[
        str | None, typer.Option("--class", help="explained in place of the predicted class")
    ] = None,
    method: Annotated[str | None, typer.Option(help="how parts are weighed")] = None,
    page: Annotated[Path | None, typer.Option("-o", help="default: RUN/explanation.html")] = None,
    media_root: Annotated[Path | None, typer.Option(help="folder that media paths start from")] = None,
) -> None:
    """Show what carried predictions: inputs, words, patches, seconds."""
    from sensorium.evaluation.explain_run import explain_run

    for line in explain_run(run, data, rows, key or (), output, label, method, page, media_root):
        typer.echo(line)


@app.command()
def index(
    run: Annotated[Path | None, typer.Argument(help="runs/NAME, or a saved model")] = None,
    data: Annotated[Path | None, typer.Argument(help="table whose rows are kept")] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="folder of the index, or a URI")] = "index",
    key: Annotated[
        list[str] | None,
        typer.Option(help="column that names a row; default: the recipe's; may be given again"),
    ] = None,
    media_root: Annotated[Path | None, typer.Option(help="folder that media paths start from")] = None,
    keep_media: Annotated[bool, typer.Option("--keep-media", help="copy the media into the index")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="add rows to an index, in place of those of the same key")
    ] = False,
    delete: Annotated[
        list[str] | None, typer.Option(help="key of a row to delete; may be given again")
    ] = None,
    delete_where: Annotated[
        str | None, typer.Option(help="condition in SQL: delete the rows for which it holds")
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="join what is small, drop old versions and unused media")
    ] = False,
) -> None:
    """Make an index of a table, to be searched; add rows to it, delete rows, compact it."""
    from sensorium.errors import SensoriumError
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


@app.command()
def search(
    place: Annotated[str, typer.Argument(metavar="INDEX", help="folder of an index, or its URI")],
    query: Annotated[str | None, typer.Argument(help="text to look for, such as 'a red bird'")] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="one more text; ^0.5 at the end of this and others is a weight")
    ] = None,
    image: Annotated[list[str] | None, typer.Option(help="picture to look for the like of")] = None,
    audio: Annotated[list[str] | None, typer.Option(help="sound to look for the like of")] = None,
    video: Annotated[list[str] | None, typer.Option(help="film to look for the like of")] = None,
    row: Annotated[list[str] | None, typer.Option(help="key of a row to look for the like of")] = None,
    minus: Annotated[list[str] | None, typer.Option(help="text to look away from")] = None,
    where: Annotated[
        str | None, typer.Option(help="condition in SQL, such as \"category = 'animals' AND price > 10\"")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="rows")] = 10,
    mode: Annotated[
        str, typer.Option(help="vector, text (the words themselves), or hybrid (both)")
    ] = "vector",
    inputs: Annotated[
        list[str] | None, typer.Option("--in", help="input whose vectors are searched; default: all")
    ] = None,
    duplicates: Annotated[
        float | None, typer.Option(help="show rows alike by this cosine or more, such as 0.95")
    ] = None,
    outliers: Annotated[
        bool, typer.Option("--outliers", help="show the rows that are furthest from all others")
    ] = False,
    clusters: Annotated[
        str | None, typer.Option(help="show rows in so many groups that lie together; auto: chosen")
    ] = None,
    names: Annotated[
        str | None, typer.Option(help="names for the groups to choose from, such as 'cat,dog'")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON in place of a table")] = False,
    html: Annotated[Path | None, typer.Option(help="also write a page with pictures")] = None,
    export: Annotated[Path | None, typer.Option(help="folder to copy the media of what is found to")] = None,
    model: Annotated[Path | None, typer.Option(help="the index's model; default: its copy")] = None,
) -> None:
    """Search an index by texts, pictures, sounds or rows, or look for duplicates, outliers and clusters."""
    from rich.console import Console

    from sensorium.index.build import open_index
    from sensorium.index.search import Request
    from sensorium.index.verbs import (
        cluster_options,
        query_parts,
        show,
        show_clusters,
        show_duplicates,
        show_outliers,
    )

    given = {"text": [*([query] if query is not None else []), *(text or [])], "image": image or [],
             "audio": audio or [], "video": video or [], "row": row or []}  # fmt: skip
    opened = open_index(place, model, say=lambda line: typer.echo(line, err=True))
    chosen = opened.known_inputs(inputs)
    if duplicates is not None:
        show_duplicates(opened, chosen, duplicates, Console(), as_json)
    elif clusters is not None:
        show_clusters(opened, chosen, *cluster_options(clusters, names), Console(), as_json, html)
    elif outliers:
        show_outliers(opened, chosen, k, Console(), as_json)
    else:
        request = Request(query_parts(given, minus or []), where, k, mode, chosen)
        show(opened, request, Console(), as_json, html, export)


@app.command()
def classify(
    run: RunPath,
    data: Annotated[Path, typer.Argument(help="table of rows to classify")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".parquet, .csv or .jsonl")],
    labels: Annotated[str | None, typer.Option(help="classes in words, such as 'cat,dog,bird'")] = None,
    labels_from: Annotated[Path | None, typer.Option(help="file with one label a line")] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(help="words around a label, such as 'a picture of a {}'; may be given again: the mean"),
    ] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="input that is classified; with examples several")
    ] = None,
    examples: Annotated[Path | None, typer.Option(help="table of rows that show the classes")] = None,
    label: Annotated[str | None, typer.Option(help="column of the examples that holds the class")] = None,
    shots: Annotated[int | None, typer.Option(help="examples taken of each class; default: all")] = None,
    by: Annotated[str, typer.Option(help="of examples: prototype, or logistic")] = "prototype",
    draws: Annotated[int, typer.Option(help="how often examples are drawn, to see the spread")] = 5,
    seed: Annotated[int, typer.Option(help="of the drawing")] = 0,
    truth: Annotated[str | None, typer.Option(help="column that holds the class: also says how good")] = None,
    top: Annotated[int, typer.Option(help="labels written for each row, the best first")] = 3,
    media_root: Annotated[Path | None, typer.Option(help="folder that media paths start from")] = None,
) -> None:
    """Classify rows into classes named by words, or shown by a few examples."""
    from sensorium.classification.verb import Request, classify
    from sensorium.classification.zero_shot import GAP

    request = Request(
        run=run, data=data, output=output, labels=labels, labels_from=labels_from,
        templates=template or [GAP], inputs=inputs or [], examples=examples, label=label, shots=shots, by=by,
        draws=draws, seed=seed, truth=truth, top=top, media_root=media_root,
    )  # fmt: skip
    classify(request, typer.echo, lambda line: typer.echo(line, err=True))


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    """While large packages are imported, which stay, no time goes into looking for what could be freed."""
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # once a process: what is frozen, rubbish too, stays to its end
            gc.freeze()
        gc.enable()


def _refuse_to_overwrite(path: Path, force: bool) -> None:
    from sensorium.errors import SensoriumError

    if path.exists() and not force:
        raise SensoriumError(f"{path} exists; --force writes over it")


def _write(path: Path, text: str) -> None:
    from sensorium.errors import SensoriumError

    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise SensoriumError(f"{path}: cannot be written ({error.strerror})") from None


def _version(show: bool) -> None:
    if show:
        from sensorium import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="fetch nothing: weights are on this machine, or an error")
    ] = False,
) -> None:
    """Runs before every verb."""
    if offline:
        os.environ.update(SENSORIUM_OFFLINE="1", HF_HUB_OFFLINE="1")  # read when huggingface_hub is imported


def main(arguments: list[str] | None = None) -> Any:
    """Runs the command line; an error meant for the user becomes one line, and exit code 1."""
    # Where tests call it with arguments, their process is older than the command.
    began = time.monotonic() - (_seconds_of_process() if arguments is None else 0.0)
    from sensorium.errors import SensoriumError, is_out_of_memory, missing_package, one_line

    # Threads that wait for each other should sleep, not spin: beside other work on the same cores, spinning
    # makes training several times slower (benchmarks/README.md). Read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app(arguments, obj=began)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        typer.echo("error: the memory is used up; lower training.batch_size or micro_batch", err=True)
        sys.exit(1)
    except SensoriumError as error:
        typer.echo(f"error: {one_line(str(error))}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        place = f"{error.filename}: " if error.filename else ""
        typer.echo(
            one_line(f"error: {place}{error.strerror}; mend that, then give the command again"), err=True
        )
        sys.exit(1)
    except ModuleNotFoundError as error:
        typer.echo(f"error: {missing_package(error)}", err=True)
        sys.exit(1)


def _seconds_of_process() -> float:
    """Seconds since this process was started, on Linux; 0 where that is not known."""
    path = Path("/proc/self/stat")
    if not path.exists():
        return 0.0
    ticks = int(path.read_text().rpartition(")")[2].split()[19])  # field 22, since the start of the system
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
