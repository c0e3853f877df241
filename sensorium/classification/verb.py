"""What `sensorium classify` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sensorium.classification.accuracy import measure, sentences, spread_words
from sensorium.classification.classified import Classified, check_top, tabulate
from sensorium.classification.few_shot import (
    Examples,
    classify_vectors,
    draw_examples,
    label_texts,
    read_examples,
)
from sensorium.classification.space import vectors_of
from sensorium.classification.zero_shot import check_labels, check_templates, classify_by_words
from sensorium.data.table import Table, files_of, read_table
from sensorium.data.write import check_writable, refuse_to_replace, write_table
from sensorium.errors import SensoriumError
from sensorium.evaluation.words import count
from sensorium.predict import Predictor, load

Say = Callable[[str], None]
MOST_NAMED = 20
"""Cells that could not be read and are said line by line."""


@dataclass(frozen=True)
class Words:
    """Classes that words name.

    Attributes:
        labels: two or more.
        templates: sentences with `{}` in the place of a label; the vectors of several are averaged.
    """

    labels: Sequence[str]
    templates: Sequence[str]


@dataclass(frozen=True)
class Shown:
    """Classes that rows of a table show.

    Attributes:
        table: the file.
        label: its column with the class; None, which is refused, where it was not named.
        shots: examples of a class; None: all.
        by: one of `few_shot.CLASSIFIERS`.
        draws: how often examples are drawn.
        seed: of the drawing.
    """

    table: Path
    label: str | None
    shots: int | None
    by: str
    draws: int
    seed: int


@dataclass(frozen=True)
class Request:
    """What is asked, as the command line gave it.

    Attributes:
        run: runs/NAME, or a saved model.
        data: the table.
        media_root: the folder that media paths start from.
        inputs: that are classified; none: the usual ones.
        words: the classes; None where they are shown.
        shown: the classes; None where words name them.
        truth: column of the table with the class.
        output: where the answers go.
        top: labels of each row.
    """

    run: Path
    data: Path
    media_root: Path | None
    inputs: Sequence[str]
    words: Words | None
    shown: Shown | None
    truth: str | None
    output: Path
    top: int


def classify(request: Request, say: Say, warn: Say) -> None:
    """Classifies a table, writes the answers, and says how good they are where the truth is known.

    Args:
        request: what is asked.
        say: takes what was found.
        warn: takes what the user should know besides.

    Raises:
        SensoriumError: when something cannot be used; nothing is written then.
    """
    classes = _classes(request)
    check_writable(request.output)
    refuse_to_replace(files_of(request.data), request.output)
    predictor = load(request.run)
    table = predictor.open(read_table(request.data, request.media_root))
    truth = None if request.truth is None else label_texts(table, request.truth)
    if isinstance(classes, Words):
        draws = [_by_words(classes, request.inputs, predictor, table)]
    else:
        draws = _by_examples(classes, request, predictor, table, warn)
    for cell in predictor.unreadable[:MOST_NAMED]:
        warn(cell.line())
    answers = tabulate(predictor, table, draws[0], request.top)
    measured = [] if truth is None else [measure(one, truth, str(request.truth)) for one in draws]
    write_table(answers, request.output)
    for line in sentences(measured[0]) if measured else []:
        say(line)
    if len(measured) > 1:
        say(spread_words(measured))
    missing = int((~draws[0].present).sum())
    note = f"; {count(missing, 'row')} without the input have no label" if missing else ""
    say(f"wrote {answers.num_rows} rows to {request.output}{note}")


def read_labels(listed: str | None, path: Path | None) -> list[str]:
    """Labels with commas between, and those of a file, one on each line, of which empty ones are left out.

    Raises:
        SensoriumError: when the file cannot be read as text.
    """
    labels = [one.strip() for one in listed.split(",")] if listed else []
    if path is None:
        return labels
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise SensoriumError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SensoriumError(f"{path}: the text is not UTF-8; save the file as UTF-8") from None
    return labels + [line.strip() for line in lines if line.strip()]


def _classes(request: Request) -> Words | Shown:
    """The classes; refuses options that do not go together, before anything is loaded."""
    check_top(request.top)
    if request.shown is None:
        return _checked_words(request)
    if request.words is not None:
        raise SensoriumError(
            "classes come from labels or from examples: give --labels or --examples, not both"
        )
    if request.shown.label is None:
        raise SensoriumError("name the column of the examples that holds the class: --label COLUMN")
    if request.shown.draws < 1:
        raise SensoriumError(f"draws is {request.shown.draws}: draw examples once at least")
    return request.shown


def _checked_words(request: Request) -> Words:
    if request.words is None:
        raise SensoriumError('give the classes: --labels "cat,dog", --labels-from FILE, or --examples TABLE')
    if len(request.inputs) > 1:
        raise SensoriumError("labels are compared with one input: give --input once")
    check_labels(request.words.labels)
    check_templates(request.words.templates)
    return request.words


def _by_words(words: Words, inputs: Sequence[str], predictor: Predictor, table: Table) -> Classified:
    name = inputs[0] if inputs else None
    return classify_by_words(predictor, table, words.labels, words.templates, name)


def _by_examples(
    shown: Shown, request: Request, predictor: Predictor, table: Table, warn: Say
) -> list[Classified]:
    """The answers of each draw."""
    known = predictor.open(read_table(shown.table, request.media_root))
    examples = read_examples(predictor, known, str(shown.label), request.inputs)
    for cell in predictor.unreadable[:MOST_NAMED]:
        warn(f"{known.source}: {cell.line()}")
    drawn = _draws(shown, examples, measured=request.truth is not None)
    vectors = vectors_of(predictor, table, examples.inputs)
    return [classify_vectors(vectors, one, shown.by) for one in drawn]


def _draws(shown: Shown, examples: Examples, measured: bool) -> list[Examples]:
    """Several draws tell the spread; where nothing is measured, one does."""
    if shown.shots is None:
        return [examples]
    draws = shown.draws if measured else 1
    return [draw_examples(examples, shown.shots, shown.seed, draw) for draw in range(draws)]
