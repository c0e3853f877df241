"""Clusters of an index: planted groups, names by hand, and the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from sensorium.errors import SensoriumError
from sensorium.index import Index, build_index
from sensorium.index.cluster_names import named, nearest_labels, terms, texts_of, words_apart
from sensorium.index.cluster_page import on_page, project
from sensorium.index.clusters import cluster, joined_vectors
from sensorium.index.verbs import Screen, cluster_options, show_clusters
from tests.index.colours import Colours

WORDS = {"red": "red bird", "green": "green grass", "blue": "blue round <b>"}
SIZES = {"red": 6, "green": 4, "blue": 2}


@pytest.fixture
def planted(tmp_path: Path, media: Path) -> Index:
    """Six red birds, four times grass, two blue rounds, and a row of which nothing is known."""
    colours = [colour for colour, size in SIZES.items() for _ in range(size)]
    rows: dict[str, list[Any]] = {
        "id": [f"{colour}-{place}" for place, colour in enumerate(colours)] + ["empty"],
        "photo": [f"{colour}.png" for colour in colours] + [None],
        "words": [WORDS[colour] for colour in colours] + [None],
    }
    return build_index(tmp_path / "planted", Colours(["id"]), rows, media_root=media)


def test_planted_groups_are_found_the_largest_first(planted: Index) -> None:
    found = cluster(planted.view, ["image", "caption"], 3)
    assert found.groups.tolist() == [0] * 6 + [1] * 4 + [2] * 2
    assert len(found.positions) == 12  # the row without a vector is in no cluster
    assert found.silhouette == pytest.approx(1, abs=1e-3)  # rows of a group are the same
    assert found.members(1).tolist() == [6, 7, 8, 9]


def test_the_number_of_clusters_is_chosen(planted: Index) -> None:
    """The rows are of three kinds: more clusters would be empty, and are left out."""
    assert len(cluster(planted.view, ["image"], None).centres) == 3
    assert len(cluster(planted.view, ["image"], 12).centres) == 3


def test_vectors_of_two_inputs_are_joined(planted: Index) -> None:
    """A row with a picture at one place and two words at others: 1 and 1/√2 twice, over √2."""
    vectors, positions = joined_vectors(planted.view, ["image", "caption"])
    assert positions.tolist() == list(range(12))
    half = np.sqrt(0.5)
    expected = np.zeros(16)
    expected[[0, 8, 14]] = [half, 0.5, 0.5]  # red; red and bird
    np.testing.assert_allclose(vectors[0], expected, atol=1e-3)


def test_words_that_set_texts_apart_by_hand() -> None:
    """Shared words of every cluster are left out; of two that are its own the more frequent is first."""
    texts = ["red bird", "red fox", "green bird", "green tree", "green tree"]
    groups = np.array([0, 0, 1, 1, 1])
    # bird: 1 of 2 rows in the first, 2 of 5 in all; 1 of 3 in the second: fewer than in all
    # second: green 3/6 · ln(1 + 5/3) = 0.490, tree 2/6 · ln(1 + 5/2) = 0.418
    # first: red 2/4 · ln(1 + 5/2) = 0.626, fox 1/4 · ln(1 + 5/1) = 0.448, bird 1/4 · ln(1 + 5/2) = 0.313
    assert words_apart(texts, groups, 2) == [["red", "fox", "bird"], ["green", "tree"]]
    assert words_apart(["", ""], np.array([0, 1]), 2) == [[], []]


def test_words_are_of_english_and_of_chinese() -> None:
    assert terms("The red Bird, and 2 birds") == {"red", "bird", "birds"}
    assert terms("一只鸟 bird") == {"一只", "只鸟", "bird"}
    assert terms("鸟") == {"鸟"}


def test_names_are_the_texts_own_words_or_the_nearest_labels(planted: Index) -> None:
    found = cluster(planted.view, ["image"], 3)
    assert texts_of(planted.view, found.positions)[:1] == ["red bird"]
    clusters = named(planted, found, ["image"])
    assert [one.name for one in clusters] == ["bird, red", "grass, green", "blue, round"]
    assert [len(one.positions) for one in clusters] == [6, 4, 2]
    assert nearest_labels(planted, found, ["image"], ["blue", "green", "red"]) == ["red", "green", "blue"]


def test_the_map_fills_the_page_and_keeps_groups_together(planted: Index) -> None:
    vectors, _ = joined_vectors(planted.view, ["image"])
    noisy = vectors + np.random.default_rng(0).normal(0, 0.05, vectors.shape).astype(np.float32)
    places = on_page(project(noisy))
    assert places.min(axis=0).tolist() == pytest.approx([26, 26])
    assert places.max(axis=0).tolist() == pytest.approx([774, 534])
    assert project(vectors[:2]).tolist() == [[0, 0], [1, 0]]


def test_table_json_and_page(planted: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    show_clusters(planted, ["image"], 3, None, Screen(Console(width=100), False, page))
    said = capsys.readouterr().out
    assert "3 clusters of 12 rows by image; silhouette 1.00" in said
    assert "bird, red" in said
    html = page.read_text(encoding="utf-8")
    assert html.count('<circle class="dot"') == 12
    assert html.count("<article") == 3
    assert "blue round &lt;b&gt;" in html
    assert "<b>" not in html
    assert html.count("data:image/jpeg;base64,") == 12
    assert "http" not in html
    show_clusters(planted, ["image"], 3, ["blue", "green", "red"], Screen(Console(), True, None))
    content = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in content["clusters"]] == ["red", "green", "blue"]
    assert content["clusters"][2]["keys"] == [["blue-10"], ["blue-11"]]


def test_what_cannot_be_used_is_said(planted: Index) -> None:
    for number in (0, 13):
        with pytest.raises(SensoriumError, match=f"{number} clusters cannot be made of 12 rows with image"):
            cluster(planted.view, ["image"], number)
    with pytest.raises(SensoriumError, match="--clusters 'many': give a number, or auto"):
        cluster_options("many", None)
    assert cluster_options("auto", "cat, dog") == (None, ["cat", "dog"])
    with pytest.raises(SensoriumError, match="there are no names to choose from"):
        nearest_labels(planted, cluster(planted.view, ["image"], 2), ["image"], [])
