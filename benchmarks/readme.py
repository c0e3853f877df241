"""Writes the tables of figures in README.md and README.zh.md from the results, so that they agree.

    python -m benchmarks.readme

A figure that no result holds is left out. The tests compare what stands in the pages with what this makes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.common import RESULTS

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": 0, "README.zh.md": 1}
"""Page → its language's place in every pair of words."""

Words = tuple[str, str]
OURS = "Sensorium"


class Line(NamedTuple):
    """One line of the table of speed.

    Attributes:
        what: is measured.
        against: whom or what.
        file: a result, without its ending.
        figure: result → how many times, as the table shows it; KeyError where the result lacks it.
        target: as the project set it.
    """

    what: Words
    against: Words
    file: str
    figure: Callable[[Mapping[str, Any]], str]
    target: str


def times(title: str, base: str) -> Callable[[Mapping[str, Any]], str]:
    """How many times the work per CPU-second of `base`: median over pairs of repeats, least to most."""

    def figure(result: Mapping[str, Any]) -> str:
        costs = result["costs"][title]
        own, other = np.array(costs[OURS]), np.array(costs[base])
        return _times(other[:, 0] / own[:, 0])

    return figure


def more_rows(title: str, variant: str = OURS) -> Callable[[Mapping[str, Any]], str]:
    """How many times the work per CPU-second of the first library a variant of Sensorium does."""
    return lambda result: _span(result["tables"][title][variant]["times_base"])


def _times(quotients: Any) -> str:
    return _span({"median": np.median(quotients), "min": quotients.min(), "max": quotients.max()})


def _span(values: Mapping[str, float]) -> str:
    whole = f"{values['median']:.3g}"
    same = values["min"] == values["max"]
    return f"{whole}, one run" if same else f"{whole} ({values['min']:.3g}–{values['max']:.3g})"


def _sooner(result: Mapping[str, Any]) -> str:
    """How many times sooner the stamps' first split is trained than AutoGluon has trained, on the clock."""
    own, other = result["notes"]["Sensorium, nothing cached"], result["notes"]["AutoGluon MultiModal"]
    if own["test_accuracy"][0] < other["test_accuracy"][0]:
        raise KeyError("its accuracy was not reached")
    times = other["seconds"][0] / own["seconds"][0]
    return _span({"median": times, "min": times, "max": times})


_FIRST = "cnn_embedding_lstm, first epoch, rows"
_LATER = "cnn_embedding_lstm, later epoch, rows"
_MODEL: Words = ("tutorial model (CNN + LSTM), first epoch", "教程模型（CNN + LSTM），第一轮")
_MODEL_LATER: Words = ("the same, later epochs", "同上，之后各轮")
_QUERIES = "50,000 x 384, queries, all at once"
_LUDWIG = "picture, text and sound end to end, rows of the table"
_LOADER: Words = ("DataLoader, 2 workers", "DataLoader，2 个进程")


def _both(words: str) -> Words:
    return words, words


LINES = [
    *(
        Line(what, _both(peer), "tutorial_models", times(title, peer), target)
        for what, title in ((_MODEL, _FIRST), (_MODEL_LATER, _LATER))
        for peer, target in (
            ("stock PyTorch, fp32", "≥ 5"),
            ("Keras, fp32", "≥ 2.5"),
            ("Keras, mixed_bfloat16", "> 1"),
        )
    ),
    *(
        Line(what, _LOADER, "loader", times(f"{kind}, rows", _LOADER[0]), "≥ 2")
        for kind, what in (
            ("JPEG of 224 pixels", ("loading JPEG, 224 pixels", "读取 JPEG，224 像素")),
            ("JPEG of 1280 × 960", ("loading JPEG, 1280 × 960", "读取 JPEG，1280 × 960")),
            ("WAV of 2 s", ("loading WAV, 2 s", "读取 WAV，2 秒")),
            ("MP3 of 2 s", ("loading MP3, 2 s", "读取 MP3，2 秒")),
            ("MP4 of 320 × 240", ("loading MP4, 320 × 240", "读取 MP4，320 × 240")),
        )
    ),
    *(
        Line(what, _both("Ludwig"), "ludwig", more_rows(_LUDWIG, f"Sensorium, {pixels} pixels"), "≥ 20")
        for pixels, what in (
            (224, ("picture, text and sound, to the same accuracy", "图片、文本和声音，到相同准确率")),
            (96, ("the same, pictures of 96 pixels", "同上，图片 96 像素")),
        )
    ),
    Line(
        ("picture and text, rows trained on", "图片和文本，训练行数"),
        ("AutoGluon MultiModal, which tunes larger models", "AutoGluon MultiModal（它微调更大的模型）"),
        "autogluon",
        more_rows("picture and text, training rows"),
        "≥ 20",
    ),
    Line(
        (
            "stamps, frozen picture and text, seconds to its accuracy",
            "stamps，冻结的图片和文本，达到其准确率的秒数",
        ),
        _both("AutoGluon MultiModal"),
        "stamps_frozen",
        _sooner,
        "≥ 10",
    ),
    Line(
        ("50,000 vectors, queries together, with keys", "50,000 个向量，批量查询，带主键"),
        ("faiss used directly", "直接使用 faiss"),
        "search",
        lambda result: _span(result["tables"][_QUERIES]["Sensorium, with keys"]["times_base"]),
        "≥ 0.8",
    ),
]

EXAMPLES: list[tuple[Words, str, str]] = [
    (_both("stamps"), "stamps", "category"),
    (_both("digits"), "digits", "digit"),
    (("clips, motion", "clips，motion"), "clips", "motion"),
    (("clips, thing", "clips，thing"), "clips", "thing"),
    (("tabular, severity", "tabular，severity"), "diabetes", "severity"),
    (("reviews, English", "reviews，英文"), "reviews-english", "sentiment"),
    (("reviews, Chinese", "reviews，中文"), "reviews-chinese", "sentiment"),
]
"""Name in the page, name in examples.json, output."""

ACCURACY: Words = ("accuracy", "准确率")
HEADS: dict[str, Words] = {
    "results": (
        "example | metric | test value (95 % interval) | simple baseline",
        "例子 | 指标 | 测试值（95 % 区间） | 简单基线",
    ),
    "speed": ("what | against | times per CPU-second | target", "测什么 | 与谁相比 | 每 CPU 秒的倍数 | 目标"),
}


def speed_table(language: int, folder: Path = RESULTS) -> list[str]:
    """The lines of the table of speed."""
    lines = _head(HEADS["speed"][language])
    for line in LINES:
        path = folder / f"{line.file}.json"
        if not path.exists():
            continue
        try:
            figure = line.figure(json.loads(path.read_text(encoding="utf-8")))
        except KeyError:
            continue
        lines.append(f"| {line.what[language]} | {line.against[language]} | {figure} | {line.target} |")
    return lines


def results_table(language: int, folder: Path = RESULTS) -> list[str]:
    """The lines of the table of what the examples reach."""
    heading, metric = HEADS["results"], ACCURACY[language]
    results = json.loads((folder / "examples.json").read_text(encoding="utf-8"))["results"]
    to = (" to ", " 至 ")[language]
    lines = _head(heading[language])
    for words, name, output in EXAMPLES:
        score = results[name]["scores"][output]
        interval = f"{score['low']:.3f}{to}{score['high']:.3f}"
        lines.append(
            f"| {words[language]} | {metric} | {score['value']:.3f} ({interval}) | {score['baseline']:.3f} |"
        )
    return lines


TABLES = {"results": results_table, "speed": speed_table}
"""Mark in the pages → what makes the table there."""


def with_tables(page: str, language: int, folder: Path = RESULTS) -> str:
    """A page's text with its tables made anew."""
    for mark, make in TABLES.items():
        before, begin, rest = page.partition(f"<!-- {mark}: begin -->\n")
        _, end, after = rest.partition(f"<!-- {mark}: end -->")
        page = before + begin + "\n" + "\n".join(make(language, folder)) + "\n\n" + end + after
    return page


def _head(heading: str) -> list[str]:
    return [f"| {heading} |", "|" + "---|" * (heading.count("|") + 1)]


def main() -> None:
    """Writes both pages."""
    for name, language in PAGES.items():
        path = ROOT / name
        path.write_text(with_tables(path.read_text(encoding="utf-8"), language), encoding="utf-8")


if __name__ == "__main__":
    main()
