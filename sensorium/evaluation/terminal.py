"""An evaluation in the terminal."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensorium.evaluation.studies import STUDIES
from sensorium.evaluation.words import (
    count,
    limits,
    metric_name,
    number,
    sentences,
    subset_name,
    summary,
    value,
)

if TYPE_CHECKING:
    from sensorium.evaluation.evaluate import Evaluation
    from sensorium.evaluation.output import OutputEvaluation


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Writes the evaluation to a terminal."""
    for line in summary(evaluation):
        console.print(Text(line))
    for name, output in evaluation.outputs.items():
        console.print(_metrics_table(name, output))
        for line in sentences(name, output):
            console.print(Text(line))
    if evaluation.subsets and evaluation.subsets[0].scores:
        console.print(_subsets_table(evaluation))
    for name, answer in evaluation.studies.items():
        for line in STUDIES[name].sentences(answer):
            console.print(Text(line))


def as_text(evaluation: Evaluation) -> str:
    """The same without colours, 100 characters wide."""
    console = Console(file=io.StringIO(), width=100, color_system=None, force_terminal=False)
    print_evaluation(evaluation, console)
    written: Any = console.file
    return str(written.getvalue()).rstrip()


def _metrics_table(name: str, output: OutputEvaluation) -> Table:
    table = Table("", "value", "95 % interval", "baseline", title=Text(name), title_justify="left")
    for metric, interval in output.metrics.items():
        baseline = output.baseline.metrics.get(metric, math.nan) if output.baseline else math.nan
        style = "bold" if metric == output.metric else ""
        table.add_row(Text(metric_name(metric), style), value(interval), limits(interval), number(baseline))
    return table


def _subsets_table(evaluation: Evaluation) -> Table:
    title = Text(f"with these inputs alone ({count(evaluation.subset_rows, 'row')})")
    table = Table("inputs", title=title, title_justify="left")
    for name in evaluation.subsets[0].scores:
        table.add_column(Text(f"{name}: {metric_name(evaluation.outputs[name].metric)}"))
    for subset in evaluation.subsets:
        scores = [f"{value(one)} ({limits(one)})" for one in subset.scores.values()]
        table.add_row(Text(subset_name(subset.present, list(evaluation.inputs))), *scores)
    return table
