"""Pictures: what they show, and that a page can hold them."""

import math
import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sensorium.evaluation.plots import (
    draw_learning_curves,
    drawable,
    learning_panels,
    learning_svg,
    scatter_svg,
)

SVG = "{http://www.w3.org/2000/svg}"


def history(epochs: int, **validation: float) -> list[dict]:
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


def test_panels_show_the_loss_and_the_metrics_asked_for():
    records = history(5, **{"kind.accuracy": 0.5, "kind.auc": 0.6})
    panels = learning_panels(records, ["kind.accuracy", "price.mae"])
    assert [panel.name for panel in panels] == ["loss", "kind.accuracy"]
    assert [curve.name for curve in panels[0].curves] == ["training", "validation"]
    assert panels[0].curves[0].values == pytest.approx([2.0, 1.0, 2 / 3, 0.5, 0.4])
    assert panels[0].curves[0].epochs == [1, 2, 3, 4, 5]
    assert panels[0].best == 3
    assert [panel.name for panel in learning_panels(records)] == ["loss", "kind.accuracy", "kind.auc"]


def test_values_that_are_no_numbers_are_left_out():
    records = history(3)
    records[1]["train_loss"] = math.nan
    records[2]["validation"] = {"loss": math.inf, "price.r2": 0.5}
    loss, other = learning_panels(records)
    assert loss.curves[0].epochs == [1, 3]
    assert loss.curves[1].epochs == [1, 2]
    assert (other.curves[0].epochs, other.curves[0].values) == ([3], [0.5])


def test_without_a_validation_the_loss_has_one_curve():
    records = [{"epoch": 1, "train_loss": 2.0, "validation": {}, "best": True}]
    (panel,) = learning_panels(records)
    assert [curve.name for curve in panel.curves] == ["training"]
    assert learning_panels([]) == []


@pytest.mark.parametrize(
    "names",
    [
        ["kind.accuracy"],
        ["种类.accuracy", "$x_{$.mae", "_hidden.r2", "🙂\n.auc"],
        [f"o{n}.mae" for n in range(20)],
    ],
)
def test_a_png_is_drawn_whatever_the_outputs_are_called(tmp_path: Path, names: list[str]):
    path = tmp_path / "new" / "curves.png"
    draw_learning_curves(history(4, **dict.fromkeys(names, 0.5)), path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width > 600
        assert len(image.convert("RGB").getcolors(1 << 20)) > 10


def test_a_png_is_drawn_of_nothing_and_of_one_epoch(tmp_path: Path):
    draw_learning_curves([], tmp_path / "none.png")
    draw_learning_curves(history(1), tmp_path / "one.png")
    for name in ("none.png", "one.png"):
        with Image.open(tmp_path / name) as image:
            assert image.format == "PNG"


def test_an_svg_takes_the_colours_and_the_font_of_the_page():
    svg = learning_svg(learning_panels(history(5))[0], "one")
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


def test_an_svg_keeps_its_ids_apart_and_refers_to_nothing_outside():
    panel = learning_panels(history(5))[0]
    one, other = learning_svg(panel, "one"), learning_svg(panel, "other")
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (one, other)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, own in zip((one, other), ids, strict=True):
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
        assert {
            first or second for first, second in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
        } <= own
        assert set(re.findall(r"https?://[^\"' ]+", svg)) <= {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xlink",
        }
    assert one == learning_svg(panel, "one")


@pytest.mark.parametrize(
    ("true", "predicted", "points"),
    [([1.0, 2.0, 3.0], [1.5, 2.0, 2.5], 3), ([1.0], [1.0], 1), ([], [], 0), ([1.0, 2.0], [math.nan, 2.0], 1)],
)
def test_a_scatter_has_a_mark_for_every_pair(true: list[float], predicted: list[float], points: int):
    root = ElementTree.fromstring(scatter_svg(true, predicted, "s"))  # noqa: S314 - our own
    marks = [use for use in root.iter(f"{SVG}use") if "var(--first)" in (use.get("style") or "")]
    assert len(marks) == points
    assert {"true", "predicted"} <= {element.text for element in root.iter(f"{SVG}text")}


def test_drawing_leaves_matplotlib_as_it_was(tmp_path: Path):
    before = dict(mpl.rcParams)
    learning_svg(learning_panels(history(3))[0], "one")
    draw_learning_curves(history(3), tmp_path / "curves.png")
    assert dict(mpl.rcParams) == before


@settings(max_examples=50)
@given(st.text(max_size=20))
def test_drawable_keeps_the_length_and_what_the_font_has(text: str):
    shown = drawable(text, ("DejaVu Sans",))
    assert len(shown) == len(text)
    assert all(new in {old, "□"} for old, new in zip(text, shown, strict=True))
    assert drawable("abc äöü Ω", ("DejaVu Sans",)) == "abc äöü Ω"
