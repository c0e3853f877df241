"""An evaluation in plain sentences, the same for the page and the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sensorium.evaluation.baseline import verdict
from sensorium.evaluation.metrics import FOUND, Interval

if TYPE_CHECKING:
    from sensorium.evaluation.evaluate import Evaluation
    from sensorium.evaluation.output import OutputEvaluation

FEW_ROWS = 30
"""Below, a bootstrap over rows is rough."""

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "auc": "AUC",
    "log_loss": "log loss",
    "mean_average_precision": "mean average precision",
    "subset_accuracy": "rows with exactly the right labels",
    "mae": "mean absolute error",
    "rmse": "RMSE",
    "median_absolute_error": "median absolute error",
    "r2": "R²",
    "pinball": "pinball loss",
    "coverage": "coverage of the quantiles",
    "chrf": "chrF",
    "bleu": "BLEU",
    "exact_match": "exactly right texts",
    "word_error_rate": "word error rate",
    "character_error_rate": "character error rate",
    "recall_at_1": "R@1",
    "recall_at_5": "R@5",
    "recall_at_10": "R@10",
    "mrr": "MRR",
    "ndcg_at_10": "nDCG@10",
}
"""Metrics in words; others go by their own name."""


def summary(evaluation: Evaluation) -> list[str]:
    """What was measured, on which rows, and what speaks against trusting it."""
    where = f"the {evaluation.part} part of {evaluation.source}" if evaluation.part else evaluation.source
    lines = [f"Measured on {count(evaluation.rows, 'row')}: {where}."]
    if evaluation.part == "train":
        lines.append("The model was trained on these very rows: the scores say nothing about new ones.")
    elif evaluation.part == "validation":
        lines.append("These rows chose which weights were kept, so the scores lean to the good side.")
    elif evaluation.training_table and not evaluation.part:
        lines.append(
            "This is the whole table that the model was trained on, training rows included: "
            "the scores say little about new rows."
        )
    if evaluation.part and evaluation.manifest.get("duplicates"):
        lines.append(
            "Some content stands on two sides of the split (see below), which can flatter the scores."
        )
    if evaluation.not_measured:
        lines.append(f"Not measured, as the table has no such column: {', '.join(evaluation.not_measured)}.")
    if evaluation.unreadable.total:
        lines.append(
            f"{count(evaluation.unreadable.total, 'cell')} could not be read and counted as missing."
        )
    return lines + evaluation.notes


def sentences(name: str, output: OutputEvaluation) -> list[str]:
    """The main metric beside the baseline, and what did not count."""
    main = output.main
    lines = []
    if not output.scored:
        lines.append(f"No row has a known {name}, so there is nothing to score.")
    elif math.isfinite(main.value):
        lines += [_score_sentence(output), *_baseline_sentences(output)]
    else:
        lines.append(f"The {metric_name(output.metric)} is not defined on these rows.")
    if output.without_target:
        lines.append(f"{count(output.without_target, 'row')} without a readable {name} did not count.")
    if output.not_learned and output.type == "category":
        lines.append(
            f"{count(output.not_learned, 'row')} of a class that training did not have did not count."
        )
    elif output.not_learned:
        lines.append(
            f"{count(output.not_learned, 'row')} had labels that training did not have; those were left out."
        )
    if 0 < output.scored < FEW_ROWS:
        lines.append(f"Fewer than {FEW_ROWS} rows: the intervals themselves are rough.")
    return lines


def _score_sentence(output: OutputEvaluation) -> str:
    main = output.main
    said = metric_name(output.metric)
    between = f"95 % interval {limits(main)}" if math.isfinite(main.low) else "no interval can be given"
    return f"{said[:1].upper()}{said[1:]} {value(main)} ({between}) on {count(output.scored, 'row')}."


def _baseline_sentences(output: OutputEvaluation) -> list[str]:
    baseline = output.baseline
    value = baseline.metrics.get(output.metric) if baseline else None
    if baseline is None or value is None or not math.isfinite(value):
        return []
    said = f"Always {baseline.answer} gives {number(value)} on the same rows"
    return {
        "better": [f"{said}: the whole interval is better."],
        "worse": [f"{said}: the whole interval is worse."],
        "unclear": [
            f"{said}.",
            "The interval includes this baseline: on these rows the model cannot be told from it.",
        ],
        "unknown": [f"{said}."],
    }[verdict(output.main, value, output.goal)]


def interval_notes(evaluation: Evaluation) -> list[str]:
    """How the intervals were made."""
    intervals = [one for output in evaluation.outputs.values() for one in output.metrics.values()]
    intervals += [one for subset in evaluation.subsets for one in subset.scores.values()]
    resamples = {one.resamples for one in intervals if one.method == "bootstrap"}
    lines = []
    if resamples:
        drawn = f"{max(resamples):,}" if len(resamples) == 1 else f"{min(resamples):,} to {max(resamples):,}"
        lines.append(
            f"Intervals cover 95 % and come from the percentile bootstrap over rows ({drawn} resamples)."
        )
    if any(one.method == "wilson" for one in intervals):
        lines.append(
            "Where too few rows differ for a bootstrap, Wilson's interval of a proportion stands in."
        )
    if lines:
        lines.append("They hold for new rows drawn as these were, and for this one trained model.")
    return lines


def facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What the run was made of, as far as it is known."""
    manifest = evaluation.manifest
    known = [
        ("parameters", f"{manifest['parameters']:,}" if "parameters" in manifest else None),
        ("trained", f"{manifest['trained_parameters']:,}" if "trained_parameters" in manifest else None),
        ("seed", manifest.get("seed")),
        ("precision", manifest.get("precision")),
        ("device", manifest.get("device")),
        ("rows", ", ".join(f"{rows:,} {part}" for part, rows in manifest.get("rows", {}).items())),
        ("epochs", str(len(evaluation.history)) if evaluation.history else None),
        (
            "versions",
            ", ".join(f"{name} {version}" for name, version in manifest.get("versions", {}).items()),
        ),
    ]
    return [(name, str(value)) for name, value in known if value not in (None, "")]


def subset_name(present: list[str], inputs: list[str]) -> str:
    """Which inputs are there, in few words."""
    absent = [name for name in inputs if name not in present]
    if not absent:
        return "all" if len(inputs) > 1 else present[0]
    if len(absent) == 1 and len(inputs) > 2:
        return f"all but {absent[0]}"
    return " + ".join(present) or "none"


def number(value: float | None, beside: float = 0.0) -> str:
    """Three decimals, or three or four digits that count; a dash where there is no number.

    Args:
        value: the number.
        beside: the largest size of what is shown with it; a small number takes the decimals of that.
    """
    if value is None or not math.isfinite(value):
        return "∞" if value == math.inf else "–"
    if abs(value) >= 10_000:
        return f"{value:,.0f}" if abs(value) < 1e12 else f"{value:.3e}"
    if value == 0 or (abs(value) < 10 and max(abs(value), beside) >= 0.01):
        text = f"{value:.3f}"
    else:
        text = f"{value:#.4g}".rstrip(".") if abs(value) >= 10 else f"{value:.3g}"
    return text.replace("-", "−")


def value(interval: Interval) -> str:
    """The score itself, with the decimals of its limits."""
    return number(interval.value, _size(interval))


def limits(interval: Interval) -> str:
    """The interval in words, with the decimals of the score."""
    if not math.isfinite(interval.low):
        return "–"
    return f"{number(interval.low, _size(interval))} to {number(interval.high, _size(interval))}"


def _size(interval: Interval) -> float:
    return max((abs(one) for one in interval[:3] if math.isfinite(one)), default=0.0)


def no_interval(difference: Interval, without: str) -> str:
    """Why a difference has no interval.

    Args:
        difference: that has none.
        without: what stands on its other side, in words that go on after "scored differently".
    """
    if difference.value != 0:
        return "no interval can be given, as all resamples of the rows agree."
    rows = count(difference.rows, "row")
    return f"none of the {rows} is scored differently {without}, so these rows cannot tell."


def metric_name(name: str) -> str:
    """A metric in words."""
    for metric in FOUND:
        if name.startswith(f"{metric}_"):
            return f"{METRICS[metric]}, {name.removeprefix(metric)[1:].replace('_', ' ')}"
    return METRICS.get(name, name.replace("_", " "))


def count(count: int, what: str) -> str:
    """How many of something."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
