"""The verb `explain`: rows of a run's own table, or of another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sensorium.evaluation.deletion_check import check_sentence
from sensorium.evaluation.explained import (
    FIRST_ROWS,
    check_method,
    explain,
    rows_of_keys,
    rows_of_text,
)
from sensorium.evaluation.explanation_page import check_page
from sensorium.evaluation.run import open_held_back
from sensorium.explanation import DEFAULT
from sensorium.predict import load


def explain_run(
    folder: Path,
    data: Path | None = None,
    rows: str | None = None,
    keys: Sequence[str] = (),
    output: str | None = None,
    label: str | None = None,
    method: str | None = None,
    page: Path | None = None,
    media_root: Path | None = None,
) -> list[str]:
    """Explains rows and writes the page.

    Args:
        folder: runs/NAME, or a saved model.
        data: the table; None for the one that the run was trained on.
        rows: positions in words; None for the first few, of a run's own table those of its test part.
        keys: columns and values whose rows are explained too.
        output: of the model; None for its first.
        label: a class of it; None for what the model predicts.
        method: how parts are weighed; None for the default.
        page: where to write; None for explanation.html in the folder.
        media_root: the folder that media paths of `data` start from.

    Returns:
        Lines for the terminal.

    Raises:
        SensoriumError: as `explain` does, and when the page cannot be written.
    """
    method = method or DEFAULT
    check_method(method)
    path = check_page(page or folder / "explanation.html")
    if data is None:
        predictor, table, held_back = open_held_back(folder)
        chosen = held_back[:FIRST_ROWS].tolist()
    else:
        predictor = load(folder)
        table = predictor.open(data, media_root)
        chosen = None
    if rows is not None or keys:
        chosen = [*(rows_of_text(rows) if rows is not None else []), *rows_of_keys(table, keys)]
    explanation = explain(predictor, table, chosen, output, label, method)
    explanation.save(path)
    return [*explanation.unreadable[:20], check_sentence(explanation.check), f"wrote {path}"]
