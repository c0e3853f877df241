"""Pictures: what they show, and that a page can hold them."""

import math
import re
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from sensorium.evaluation.plots import scatter_svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("true", "predicted", "points"),
    [([1.0, 2.0, 3.0], [1.5, 2.0, 2.5], 3), ([1.0], [1.0], 1), ([], [], 0), ([1.0, 2.0], [math.nan, 2.0], 1)],
)
def test_a_scatter_has_a_mark_for_every_pair(true: list[float], predicted: list[float], points: int):
    root = ElementTree.fromstring(scatter_svg(true, predicted, "s"))  # noqa: S314 - our own
    marks = [use for use in root.iter(f"{SVG}use") if "var(--first)" in (use.get("style") or "")]
    assert len(marks) == points
    assert {"true", "predicted"} <= {element.text for element in root.iter(f"{SVG}text")}


def test_an_svg_takes_the_colours_and_the_font_of_the_page():
    svg = scatter_svg([1.0, 2.0], [1.5, 2.0], "one")
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox")
    assert root.get("width") is None
    assert root.get("height") is None
    assert "currentColor" in svg
    assert "var(--first)" in svg
    assert "font-family" not in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg.replace('"#', ""))


def test_an_svg_keeps_its_ids_apart_and_refers_to_nothing_outside():
    one, other = (scatter_svg([1.0, 2.0], [1.5, 2.0], prefix) for prefix in ("one", "other"))
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
    assert one == scatter_svg([1.0, 2.0], [1.5, 2.0], "one")


def test_drawing_leaves_matplotlib_as_it_was():
    before = dict(mpl.rcParams)
    scatter_svg([1.0, 2.0], [1.5, 2.0], "one")
    assert dict(mpl.rcParams) == before
