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
class Request:
    """What is asked, as the command line gave it.

    Attributes:
        run: runs/NAME, or a saved model.
        data: the table.
        output: where the answers go.
        labels: words, with commas between.
        labels_from: file with a label on each line.
        templates: see `classify_by_words`.
        inputs: that are classified; none: the usual ones.
        examples: table with examples.
        label: its column with the class.
        shots: examples of a class; None: all.
        by: one of `few_shot.CLASSIFIERS`.
        draws: how often examples are drawn.
        seed: of the drawing.
        truth: column of the table with the class.
        top: labels of each row.
        media_root: the folder that media paths start from.
    """

    run: Path
    data: Path
    output: Path
    labels: str | None
    labels_from: Path | None
    templates: Sequence[str]
    inputs: Sequence[str]
    examples: Path | None
    label: str | None
    shots: int | None
    by: str
    draws: int
    seed: int
    truth: str | None
    top: int
    media_root: Path | None


def classify(request: Request, say: Say, warn: Say) -> None:
    """Classifies a table, writes the answers, and says how good they are where the truth is known.

    Args:
        request: what is asked.
        say: takes what was found.
        warn: takes what the user should know besides.

    Raises:
        SensoriumError: when something cannot be used; nothing is written then.
    """
    _check(request)
    check_writable(request.output)
    refuse_to_replace(files_of(request.data), request.output)
    predictor = load(request.run)
    table = predictor.open(read_table(request.data, request.media_root))
    truth = None if request.truth is None else label_texts(table, request.truth)
    if request.examples is None:
        draws = [_by_words(request, predictor, table)]
    else:
        draws = _by_examples(request, request.examples, predictor, table, warn)
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


def read_labels(path: Path) -> list[str]:
    """A label on each line; empty lines are left out.

    Raises:
        SensoriumError: when the file cannot be read as text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise SensoriumError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SensoriumError(f"{path}: the text is not UTF-8; save the file as UTF-8") from None
    return [line.strip() for line in lines if line.strip()]


def _check(request: Request) -> None:
    """Refuses options that do not go together, before anything is loaded."""
    words = request.labels is not None or request.labels_from is not None
    if not words and request.examples is None:
        raise SensoriumError('give the classes: --labels "cat,dog", --labels-from FILE, or --examples TABLE')
    if words and request.examples is not None:
        raise SensoriumError(
            "classes come from labels or from examples: give --labels or --examples, not both"
        )
    if request.examples is not None and request.label is None:
        raise SensoriumError("name the column of the examples that holds the class: --label COLUMN")
    if request.examples is None and len(request.inputs) > 1:
        raise SensoriumError("labels are compared with one input: give --input once")
    if request.draws < 1:
        raise SensoriumError(f"draws is {request.draws}: draw examples once at least")
    check_top(request.top)
    if request.examples is None:
        check_labels(_labels(request))
        check_templates(request.templates)


def _labels(request: Request) -> list[str]:
    listed = request.labels.split(",") if request.labels else []
    labels = [one.strip() for one in listed]
    return labels + (read_labels(request.labels_from) if request.labels_from is not None else [])


def _by_words(request: Request, predictor: Predictor, table: Table) -> Classified:
    name = request.inputs[0] if request.inputs else None
    return classify_by_words(predictor, table, _labels(request), request.templates, name)


def _by_examples(
    request: Request, examples_from: Path, predictor: Predictor, table: Table, warn: Say
) -> list[Classified]:
    """The answers of each draw."""
    shown = predictor.open(read_table(examples_from, request.media_root))
    examples = read_examples(predictor, shown, str(request.label), request.inputs)
    for cell in predictor.unreadable[:MOST_NAMED]:
        warn(f"{shown.source}: {cell.line()}")
    drawn = _draws(request, examples)
    vectors = vectors_of(predictor, table, examples.inputs)
    return [classify_vectors(vectors, one, request.by) for one in drawn]


def _draws(request: Request, examples: Examples) -> list[Examples]:
    if request.shots is None:
        return [examples]
    draws = request.draws if request.truth is not None else 1
    return [draw_examples(examples, request.shots, request.seed, draw) for draw in range(draws)]
