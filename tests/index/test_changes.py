"""Rows are added, replaced and deleted, whole or not at all, and no row ever comes apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensorium.data.media import Limits
from sensorium.data.table import Table
from sensorium.errors import SensoriumError, TableError
from sensorium.index import Index, build_index, open_index
from sensorium.index.embedder import EmbeddedInput
from sensorium.index.storage import open_storage
from tests import made
from tests.index.colours import Colours, picture
from tests.index.conftest import ROWS


class Numbers:
    """A row's vector points where its number says, so that a vector tells which row it belongs to."""

    folder: Path | None = None
    limits = Limits()
    digest = "n" * 64

    def __init__(self, key: list[str]) -> None:
        self.key = key
        self.inputs = {"number": EmbeddedInput("text", "number", "number")}

    def embed(self, table: Table) -> dict[str, np.ndarray]:
        angles = np.array([float(cell or 0) for cell in table.column("number")])
        return {"number": np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)}

    def save(self, folder: Path) -> None:
        """Nothing that could be loaded again."""


def rows(numbers: dict[str, float]) -> dict[str, list[Any]]:
    return {"id": list(numbers), "number": [str(one) for one in numbers.values()]}


def held(index: Index) -> dict[str, tuple[str, float]]:
    """Key → number as text, and the angle of the vector that is found for the row."""
    vectors, positions = index.view.vectors("number")
    fields = index.view.storage.take(positions, ["id", "number"])
    angles = np.arctan2(vectors[:, 1].astype(float), vectors[:, 0].astype(float))
    assert [key[0] for key in index.view.keys] == fields["id"]
    return {
        key: (text, angle) for key, text, angle in zip(fields["id"], fields["number"], angles, strict=True)
    }


def test_random_changes_against_a_dict(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    truth = {f"k{one}": float(generator.uniform(-3, 3)) for one in range(20)}
    index = build_index(tmp_path / "idx", Numbers(["id"]), rows(truth))
    for step in range(24):
        some = {f"k{one}": float(generator.uniform(-3, 3)) for one in generator.choice(60, 5, replace=False)}
        if step % 4 == 0:
            index.add(
                rows({key: number for key, number in some.items() if key not in truth} or {f"s{step}": 1})
            )
            truth |= {key: number for key, number in some.items() if key not in truth} or {f"s{step}": 1}
        elif step % 4 == 1:
            index.update(rows(some))
            truth |= some
        elif step % 4 == 2:
            gone = [str(one) for one in generator.choice(sorted(truth), 3, replace=False)]
            assert index.delete(gone) == 3
            truth = {key: number for key, number in truth.items() if key not in gone}
        elif step % 8 == 3:
            index.compact()
        found = held(index)
        assert set(found) == set(truth)
        for key, (text, angle) in found.items():
            assert float(text) == truth[key]
            assert angle == pytest.approx(truth[key], abs=2e-3)
        key = sorted(truth)[step % len(truth)]
        first = index.search(str(truth[key]), k=1).hits[0]
        assert float(first.fields["number"]) == pytest.approx(truth[key], abs=3e-2)
        assert truth[first.key["id"]] == float(first.fields["number"])


def test_a_reader_keeps_its_version(index: Index, tmp_path: Path) -> None:
    reader = open_index(tmp_path / "idx", Colours(["id"]))
    index.update({"id": ["a"], "photo": [None], "words": ["grass"], "price": [9]})
    index.delete(["b"])
    index.compact()
    assert reader.search("red", k=1).hits[0].key == {"id": "a"}
    assert len(reader) == 5
    reader.refresh()
    assert len(reader) == 4
    assert reader.search("grass", k=1).hits[0].fields["price"] == 9


def test_a_changed_text_is_found_by_its_new_words(index: Index) -> None:
    index.update({"id": ["a"], "photo": [None], "words": ["a violin"], "price": [9]})
    assert [hit.key["id"] for hit in index.search("violin", mode="text").hits] == ["a"]
    assert index.search("bird", mode="text").hits == []


def test_deleting_by_key_and_by_condition(index: Index) -> None:
    with pytest.raises(SensoriumError, match="has no row of the key 'z'"):
        index.delete(["a", "z"])
    assert len(index) == 5
    assert index.delete(where="price > 2") == 2
    assert [key[0] for key in index.view.keys] == ["a", "b", "e"]
    with pytest.raises(SensoriumError, match="there is no column 'pric'"):
        index.delete(where="pric > 2")


def test_rows_without_a_key_are_numbered(tmp_path: Path) -> None:
    index = build_index(tmp_path / "idx", Numbers([]), {"number": ["0.1", "0.2"]})
    index.add({"number": ["0.3"]})
    index.delete(["0"])
    index.add({"number": ["0.4"]})
    assert [key[0] for key in index.view.keys] == [1, 2, 3]
    index.update({"row": [1], "number": ["1.5"]})
    assert index.search("1.5", k=1).hits[0].key == {"row": 1}


def test_keys_of_two_columns_and_odd_names(tmp_path: Path) -> None:
    table = {"a.b": ["x", "x"], "价 格`": [1, 2], "number": ["0.1", "0.2"]}
    index = build_index(tmp_path / "idx", Numbers(["a.b", "价 格`"]), table)
    index.update({"a.b": ["x"], "价 格`": [2], "number": ["0.9"]})
    assert index.delete(["x,1"]) == 1
    assert index.search("0.9", k=1).hits[0].key == {"a.b": "x", "价 格`": 2}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": ["a"]}, "row 0: .* has a row of the key 'a' already; --update replaces it"),
        ({"id": ["x", "x"]}, r"row 1: the key 'x' \(id\) is that of row 0 too"),
        ({"id": [None]}, r"row 0: the key \(id\) is missing"),
        ({"price": ["dear"]}, "column 'price': holds string, and the index int64"),
        ({"words": None}, "has no column 'words'"),
    ],
)
def test_an_add_that_fails_changes_nothing(index: Index, change: dict[str, Any], says: str) -> None:
    count = max(len(cells) for cells in change.values() if cells is not None) if any(change.values()) else 1
    table = {
        "id": ["x"] * count,
        "photo": [None] * count,
        "words": ["red"] * count,
        "price": [1] * count,
        **change,
    }
    with (
        pytest.raises(TableError, match=says)
        if "already" not in says
        else pytest.raises(SensoriumError, match=says)
    ):
        index.add({name: cells for name, cells in table.items() if cells is not None})
    index.refresh()
    assert len(index) == 5


def test_a_model_that_fails_half_way_adds_nothing(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Colours, table: Table) -> dict[str, np.ndarray]:
        raise SensoriumError("the model fails")

    monkeypatch.setattr(Colours, "embed", fail)
    with pytest.raises(SensoriumError, match=r"^the model fails$"):
        index.add({"id": ["x"], "photo": [None], "words": ["red"], "price": [1]})
    index.refresh()
    assert len(index) == 5


def test_what_is_there_is_not_written_over(index: Index, tmp_path: Path) -> None:
    with pytest.raises(SensoriumError, match="is an index already: --update adds rows"):
        build_index(tmp_path / "idx", Colours(["id"]), ROWS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("mine")
    with pytest.raises(SensoriumError, match="is not empty"):
        build_index(tmp_path / "mine", Colours(["id"]), ROWS)
    with pytest.raises(SensoriumError, match=r"mine is not an index of sensorium: it holds no rows.lance"):
        open_index(tmp_path / "mine")


def test_columns_that_are_not_kept_are_named(index: Index) -> None:
    table = {"id": ["x"], "photo": [None], "words": ["red"], "price": [1], "colour": ["red"]}
    with pytest.warns(UserWarning, match="the index does not keep 'colour'"):
        index.add(table)


def test_media_of_bytes_are_kept_where_asked_for(tmp_path: Path) -> None:
    table = {"id": ["a", "b"], "photo": [picture(255, 0, 0), picture(0, 255, 0)], "words": [None, None]}
    index = build_index(tmp_path / "idx", Colours(["id"]), table, keep_media=True)
    copy = index.search("red", k=1).hits[0].media["photo"]
    assert copy is not None
    assert Path(copy).read_bytes() == table["photo"][0]
    index.delete(["a"])
    index.compact()
    assert not Path(copy).exists()
    assert len(list((tmp_path / "idx" / "media").iterdir())) == 1
    plain = build_index(tmp_path / "plain", Colours(["id"]), table)
    assert plain.search("red", k=1).hits[0].media == {"photo": None}


WRITER = """
import sys
from tests.index.test_changes import Numbers, rows
from sensorium.index import open_index
index = open_index(sys.argv[1], Numbers(["id"]))
for step in range(1000):
    print(step, flush=True)
    index.update(rows({f"k{one}": (step + 1) / 500 for one in range(40)}))
"""


@pytest.mark.parametrize("milliseconds", [0, 7, 19, 40])
def test_killed_while_writing(tmp_path: Path, milliseconds: int) -> None:
    """Every version is of one step: all rows have its number, and the vectors that go with it."""
    place = tmp_path / "idx"
    build_index(place, Numbers(["id"]), rows({f"k{one}": 0.0 for one in range(40)}))
    environment = made.environment() | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE, text=True, env=environment
    ) as writer:
        assert writer.stdout is not None
        for _ in range(4):
            writer.stdout.readline()
        time.sleep(milliseconds / 1000)
        writer.send_signal(signal.SIGKILL)
    index = open_index(place, Numbers(["id"]))
    found = held(index)
    assert len(found) == 40
    numbers = {text for text, _ in found.values()}
    assert len(numbers) == 1
    assert all(angle == pytest.approx(float(numbers.copy().pop()), abs=2e-3) for _, angle in found.values())
    assert index.update(rows({"k0": 1.0})) == 1


def test_a_build_that_was_killed_can_be_made_again(tmp_path: Path) -> None:
    (tmp_path / "idx" / "rows.lance" / "data").mkdir(parents=True)
    (tmp_path / "idx" / "rows.lance" / "data" / "part.lance").write_bytes(b"cut")
    index = build_index(tmp_path / "idx", Numbers(["id"]), rows({"a": 0.5}))
    assert len(index) == 1


def test_an_index_of_a_newer_format_is_named(index: Index, tmp_path: Path) -> None:
    import lance

    dataset = lance.dataset(str(tmp_path / "idx" / "rows.lance"))
    newer = open_storage(str(tmp_path / "idx")).manifest.model_copy(update={"format": 2}).model_dump_json()
    dataset.update_schema_metadata({"sensorium": newer})
    with pytest.raises(SensoriumError, match=r"the index is of format 2; this sensorium .* reads format 1"):
        open_index(tmp_path / "idx")
    dataset.update_schema_metadata({"sensorium": None})
    with pytest.raises(SensoriumError, match="is not an index of sensorium: its rows carry no manifest"):
        open_index(tmp_path / "idx")
