"""What a search finds, worked out by hand: red, green and blue pictures, and captions of known words."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from sensorium.errors import SensoriumError
from sensorium.index import Index, build_index, open_index
from sensorium.index.nearest import Allowed, exact
from sensorium.index.query import Part, parse_part
from sensorium.index.ranks import fuse
from sensorium.index.results import Results
from tests.index.colours import Colours
from tests.index.conftest import ROWS


def keys(results: Results) -> list[str]:
    return [hit.key["id"] for hit in results.hits]


def test_a_text_finds_pictures_and_captions(index: Index) -> None:
    found = index.search("red", k=2)
    # the red picture is the word itself; of orange (200, 100, 0), red is 200 / |(200, 100)|
    assert keys(found) == ["a", "d"]
    assert [hit.score for hit in found.hits] == pytest.approx([1, 200 / math.hypot(200, 100)], abs=1e-3)
    assert [hit.inputs for hit in found.hits] == [["image"], ["image"]]
    assert found.header() == "2 of 5 rows; exact"


def test_one_input_alone(index: Index) -> None:
    found = index.search("red", inputs=["caption"], k=2)
    # "red bird" is half red; "red flat ..." too
    assert [hit.score for hit in found.hits] == pytest.approx([math.sqrt(0.5)] * 2, abs=1e-3)
    assert {hit.inputs[0] for hit in found.hits} == {"caption"}


def test_a_hit_carries_its_fields_and_the_way_back(index: Index, media: Path) -> None:
    hit = index.search("green", k=1).hits[0]
    assert (hit.rank, hit.key, hit.fields["price"], hit.fields["words"]) == (1, {"id": "b"}, 2, "green grass")
    assert hit.media == {"photo": str(media / "green.png")}
    assert index.search("round", inputs=["caption"], k=1).hits[0].media == {"photo": None}


def test_a_picture_a_row_and_weights(index: Index, media: Path) -> None:
    blue = str(media / "blue.png")
    assert keys(index.search(image=blue, k=1)) == ["c"]
    assert keys(index.search("green^2", image=f"{blue}^0.5", inputs=["image"], k=1)) == ["b"]
    assert keys(index.search("green^0.5", image=f"{blue}^2", inputs=["image"], k=1)) == ["c"]
    # the like of a row, which is not itself among them: a is red, d orange and "red flat"
    assert keys(index.search(row="a", k=4))[0] == "d"
    assert "a" not in keys(index.search(row="a", k=5))


def test_minus_looks_away(index: Index) -> None:
    assert keys(index.search("red", minus="green", inputs=["image"], k=2)) == ["a", "d"]
    found = index.search("red", minus="green", inputs=["image"], k=4)
    assert keys(found)[-1] == "b"
    assert found.hits[-1].score == pytest.approx(-math.sqrt(0.5), abs=1e-3)


def test_a_filter_never_starves(index: Index) -> None:
    assert keys(index.search("red", where="price >= 2", k=1)) == ["d"]
    assert sorted(keys(index.search("red", where="price >= 2", k=3))) == ["b", "c", "d"]
    assert keys(index.search("red", where="price IS NULL")) == ["e"]
    assert keys(index.search("red", where="price > 100")) == []


def test_words_are_found_in_english_and_chinese(index: Index) -> None:
    assert keys(index.search("grass", mode="text")) == ["b"]
    assert keys(index.search("红色", mode="text")) == ["d"]
    assert keys(index.search("鸟", mode="text")) == ["d"]
    assert keys(index.search("aeroplane", mode="text")) == []
    assert keys(index.search("red", mode="text", where="price > 1")) == ["d"]


def test_hybrid_joins_both_rankings(index: Index) -> None:
    found = index.search("red bird", mode="hybrid", k=3)
    assert keys(found)[:2] == ["a", "d"]
    assert found.hits[0].score == pytest.approx(2 / 61)  # first in both


def test_reciprocal_ranks_by_hand() -> None:
    assert fuse([[7, 8], [8, 9]]) == [
        (8, pytest.approx(1 / 62 + 1 / 61)),
        (7, pytest.approx(1 / 61)),
        (9, pytest.approx(1 / 62)),
    ]


def test_inputs_that_share_no_space_are_fused_by_rank(tmp_path: Path, media: Path) -> None:
    apart = build_index(tmp_path / "apart", Colours(["id"], shared=False), ROWS, media_root=media)
    assert keys(apart.search("grass", k=1)) == ["b"]
    found = apart.search("grass", image=str(media / "green.png"), k=1)
    assert (keys(found), found.hits[0].score) == (["b"], pytest.approx(2 / 61))
    with pytest.raises(SensoriumError, match="the text cannot be compared with image: they share no space"):
        apart.search("grass", inputs=["image"])


def test_parts_as_they_are_written() -> None:
    assert parse_part("text", "a red bird") == Part("text", "a red bird", 1.0)
    assert parse_part("image", "a.jpg^.5") == Part("image", "a.jpg", 0.5)
    assert parse_part("text", "at 10:30^2", sign=-1) == Part("text", "at 10:30", -2.0)
    for written in ("", " ", "^2", "red^0"):
        with pytest.raises(SensoriumError):
            parse_part("text", written)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"text": "red", "k": 0}, "k is 0: ask for 1 row at least"),
        ({"text": ""}, "the text that is looked for is empty"),
        ({}, "there is nothing to look for"),
        ({"minus": "red"}, "there is nothing to look for"),
        ({"text": "red", "minus": "red"}, "cancel each other out"),
        ({"text": "unheard"}, "'unheard' gives no vector"),
        ({"text": "red", "mode": "fuzzy"}, "the mode 'fuzzy' is not known: one of vector, text, hybrid"),
        ({"image": "x.jpg", "mode": "text"}, "mode text looks for words: give a text"),
        (
            {"audio": "x.wav"},
            r"no input of type audio, to ask with; it has image \(image\), caption \(text\)",
        ),
        ({"image": "nowhere.jpg"}, r"nowhere.jpg: cannot be read \(No such file or directory\)"),
        ({"image": __file__}, "cannot be read as image: the file is not a picture of a known format"),
        ({"row": "z"}, r"has no row of the key 'z' \(id\)"),
        ({"text": "red", "inputs": ["imge"]}, "no input 'imge': did you mean 'image'?"),
        ({"text": "red", "where": "pric > 1"}, "there is no column 'pric': did you mean 'price'?"),
        ({"text": "red", "where": "price >"}, "cannot be understood: Expected: an expression"),
        ({"text": "red", "where": "price > 'x'"}, "cannot be understood: Received literal"),
        ({"text": "red", "where": "f(price)"}, "cannot be understood: Invalid function 'f'"),
        ({"text": "red", "where": "price > x", "mode": "text"}, "there is no column 'x'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(index: Index, asked: dict[str, object], says: str) -> None:
    with pytest.raises(SensoriumError, match=says) as caught:
        index.search(**asked)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1


def test_another_model_is_refused(index: Index, tmp_path: Path) -> None:
    with pytest.raises(SensoriumError, match="is an index of another model"):
        open_index(tmp_path / "idx", Colours(["id"], digest="d" * 64))
    with pytest.raises(SensoriumError, match="holds no trained model"):
        open_index(tmp_path / "idx").search("red")


def test_of_fewer_rows_than_asked_for_all_are_found() -> None:
    vectors = np.eye(4, dtype=np.float32)
    nearest = exact(vectors[:3], np.array([4, 0, 2]))
    scores, positions = nearest.search(vectors[1:2], 9)
    assert positions.shape == (1, 3)
    assert (positions[0, 0], scores[0, 0]) == (0, 1)
    only = Allowed(np.array([False, True, True, False, False]))
    assert nearest.search(vectors[1:2], 2, only)[1].tolist() == [[2, -1]]
