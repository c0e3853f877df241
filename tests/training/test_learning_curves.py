"""Learning curves: what they show, and where it stands."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from sensorium.training.learning_curves import draw_learning_curves, learning_panels, learning_svg

SVG = "{http://www.w3.org/2000/svg}"


def history(epochs: int, **validation: float) -> list[dict[str, Any]]:
    """Records as the trainer writes them."""
    return [
        {
            "epoch": epoch,
            "step": 10 * epoch,
            "train_loss": 2.0 / epoch,
            "validation": {"loss": 2.5 / epoch, **validation},
            "learning_rate": 0.001,
            "best": epoch <= 3,
            "rows_per_second": 80.0,
        }
        for epoch in range(1, epochs + 1)
    ]


def test_panels_show_the_loss_and_the_metrics_asked_for() -> None:
    records = history(5, **{"kind.accuracy": 0.5, "kind.auc": 0.6})
    panels = learning_panels(records, ["kind.accuracy", "price.mae"])
    assert [panel.name for panel in panels] == ["loss", "kind.accuracy"]
    assert [curve.name for curve in panels[0].curves] == ["training", "validation"]
    assert panels[0].curves[0].values == pytest.approx([2.0, 1.0, 2 / 3, 0.5, 0.4])
    assert panels[0].curves[0].epochs == [1, 2, 3, 4, 5]
    assert panels[0].best == 3
    assert [panel.name for panel in learning_panels(records)] == ["loss", "kind.accuracy", "kind.auc"]


def test_values_that_are_no_numbers_are_left_out() -> None:
    records = history(3)
    records[1]["train_loss"] = math.nan
    records[2]["validation"] = {"loss": math.inf, "price.r2": 0.5}
    loss, other = learning_panels(records)
    assert loss.curves[0].epochs == [1, 3]
    assert loss.curves[1].epochs == [1, 2]
    assert (other.curves[0].epochs, other.curves[0].values) == ([3], [0.5])


def test_without_a_validation_the_loss_has_one_curve() -> None:
    records = [{"epoch": 1, "train_loss": 2.0, "validation": {}, "best": True}]
    (panel,) = learning_panels(records)
    assert [curve.name for curve in panel.curves] == ["training"]
    assert learning_panels([]) == []


def test_an_svg_takes_the_colours_and_the_font_of_the_page() -> None:
    svg = learning_svg(learning_panels(history(5))[0])
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox")
    assert root.get("width") is None
    assert root.get("height") is None
    assert "epoch" in {element.text for element in root.iter(f"{SVG}text")}
    assert "currentColor" in svg
    assert "var(--first)" in svg
    assert "var(--second)" in svg
    assert "font-family" not in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg.replace('"#', ""))


def test_points_stand_where_their_numbers_are() -> None:
    """Of 340 by 220, the values from 0 to 2 lie between 186 and 10 from the top, epochs from 52 to 324."""
    records = [
        {"epoch": epoch, "train_loss": loss, "validation": {}, "best": epoch == 2}
        for epoch, loss in ((1, 2.0), (2, 1.0), (3, 0.0))
    ]
    root = ElementTree.fromstring(learning_svg(learning_panels(records)[0]))  # noqa: S314 - our own
    (line,) = root.iter(f"{SVG}polyline")
    assert line.get("points") == "52.0,10.0 188.0,98.0 324.0,186.0"
    assert len(list(root.iter(f"{SVG}circle"))) == 3
    (kept,) = [path for path in root.iter(f"{SVG}path") if path.get("stroke-dasharray")]
    assert kept.get("d") == "M188.0 10V186"
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert words == ["0", "0.5", "1", "1.5", "2", "1", "2", "3", "epoch"]


@pytest.mark.parametrize(
    "names",
    [
        ["kind.accuracy"],
        ["种类.accuracy", "$x_{$.mae", "_hidden.r2", "<b>&\x00\n.auc"],
        [f"o{n}.mae" for n in range(20)],
    ],
)
def test_a_file_is_drawn_whatever_the_outputs_are_called(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "new" / "curves.svg"
    draw_learning_curves(history(4, **dict.fromkeys(names, 0.5)), path)
    root = ElementTree.parse(path).getroot()  # noqa: S314 - our own
    words = {element.text for element in root.iter(f"{SVG}text")}
    shown = [re.sub(r"[\x00\n]", " ", name) for name in names][:11]  # of twelve panels the first is the loss
    assert {"loss", *shown} <= words
    assert len(list(root.iter(f"{SVG}polyline"))) == 2 + len(shown)
    legend = [element.text for element in root.iter(f"{SVG}tspan")]
    assert legend == ["training", "validation"]
    assert "var(" not in path.read_text(encoding="utf-8")


def test_a_file_is_drawn_of_nothing_and_of_one_epoch(tmp_path: Path) -> None:
    draw_learning_curves([], tmp_path / "none.svg")
    draw_learning_curves(history(1), tmp_path / "one.svg")
    assert "no epoch was finished" in (tmp_path / "none.svg").read_text(encoding="utf-8")
    root = ElementTree.parse(tmp_path / "one.svg").getroot()  # noqa: S314 - our own
    assert len(list(root.iter(f"{SVG}polyline"))) == 2
