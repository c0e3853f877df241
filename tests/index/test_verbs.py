"""The command line, from a trained model to a page: pictures and words in one space."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sensorium
from sensorium.cli import main
from sensorium.index.nearest import EXACT
from tests import made

ROWS = 24


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, a table and a run of a similarity."""
    folder = tmp_path_factory.mktemp("similar")
    for row in range(ROWS):
        (folder / f"{row}.png").write_bytes(made.picture(row))
    columns: dict[str, list[Any]] = {
        "id": [f"r{row}" for row in range(ROWS)],
        "photo": [f"{row}.png" for row in range(ROWS)],
        "words": [made.text(row) for row in range(ROWS)],
        "kind": [made.label(row) for row in range(ROWS)],
    }
    made.write_csv(folder / "table.csv", columns)
    made.write_csv(folder / "new.csv", {name: [*cells[:1], *cells[-1:]] for name, cells in columns.items()})
    words = {"type": "text", "tokenizer": "word", "min_count": 1, "encoder": {"kind": "mean"}}
    made.write_recipe(
        folder / "recipe.yaml",
        {
            "name": "similar",
            "data": {"path": "table.csv", "key": "id", "split": {"validation": 0.25, "test": 0}},
            "inputs": {"photo": {"type": "image", "size": 16, "encoder": {"kind": "cnn"}}, "words": words},
            "fusion": {"kind": "concat", "width": 16},
            "outputs": {"alike": {"type": "similarity", "between": ["photo", "words"], "width": 16}},
            "training": {"epochs": 1, "batch_size": 8, "precision": "fp32"},
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("train recipe.yaml")
        run("index runs/similar table.csv -o idx")
    return folder


def run(command: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code == 0


@pytest.fixture(autouse=True)
def _there(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)


def searched(capsys: pytest.CaptureFixture[str], command: str) -> dict[str, Any]:
    capsys.readouterr()
    run(f"search idx {command} --json")
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def test_a_picture_finds_itself(capsys: pytest.CaptureFixture[str]) -> None:
    found = searched(capsys, "--image 7.png --in photo -k 3")
    first = found["hits"][0]
    assert first["key"] == {"id": "r7"}
    assert first["score"] == pytest.approx(1, abs=1e-3)
    assert first["media"]["photo"].endswith("/7.png")
    assert found["quality"]["photo"] == EXACT._asdict()


def test_text_picture_and_filter_together(capsys: pytest.CaptureFixture[str]) -> None:
    found = searched(capsys, "dog --image 2.png^0.5 --minus red --where kind='dog' -k 30")
    assert len(found["hits"]) == ROWS / 2
    assert {hit["fields"]["kind"] for hit in found["hits"]} == {"dog"}
    assert found["query"] == "“dog” image 2.png^0.5 minus “red”"


def test_the_table_names_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    run("search idx cat -k 2 --export found")
    said = capsys.readouterr().out
    assert "2 of 24 rows; exact" in said
    assert "photo: found/001-photo.png" in said
    assert sorted(one.name for one in Path("found").iterdir()) == ["001-photo.png", "002-photo.png"]
    run("search idx aeroplane --mode text")
    assert "0 of 24 rows: nothing was found" in capsys.readouterr().out


def test_the_page_needs_nothing_else_and_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    run("search idx --text <b>cat</b> --mode hybrid -k 4 --image 0.png --html page.html")
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.count("<article>") == 4
    assert page.count("data:image/jpeg;base64,") == 5  # four rows, and the picture that was looked for
    assert "&lt;b&gt;cat&lt;/b&gt;" in page
    assert "<b>cat" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_duplicates_and_outliers(capsys: pytest.CaptureFixture[str]) -> None:
    groups = searched(capsys, "--duplicates 0.5 --in photo")["groups"]
    assert all(group["input"] == "photo" and len(group["keys"]) > 1 for group in groups)
    assert groups == sorted(groups, key=lambda group: -len(group["keys"]))
    far = searched(capsys, "--outliers --in photo -k 3")["photo"]
    assert [hit["rank"] for hit in far] == [1, 2, 3]
    assert far[0]["score"] >= far[2]["score"]
    for command in ("search idx --duplicates 0.5", "search idx --outliers"):
        run(command)


def test_rows_are_replaced_deleted_and_compacted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(f"index runs/similar table.csv -o {tmp_path}/other --keep-media")
    run(f"index runs/similar new.csv -o {tmp_path}/other --update")
    assert "2 rows written" in capsys.readouterr().err
    run(f"index -o {tmp_path}/other --delete r3 --delete-where kind='cat' --compact")
    assert "13 rows deleted" in capsys.readouterr().out
    index = sensorium.open_index(tmp_path / "other")
    assert len(index) == 11
    assert len(list((tmp_path / "other" / "media").iterdir())) == 10  # r23's row came again, without a copy
    hit = index.search(row="r5", k=1, inputs=["photo"]).hits[0]
    assert hit.fields["kind"] == "dog"


def test_a_store_without_a_folder(tmp_path: Path) -> None:
    """By a URI, as an object store is opened; what only saves time is not kept there."""
    place = f"file://{tmp_path}/remote"
    sensorium.build_index(place, "runs/similar", "table.csv")
    index = sensorium.open_index(place)
    assert index.search("cat", k=1).hits[0].rank == 1
    assert [one.name for one in (tmp_path / "remote").iterdir()] == ["rows.lance"]
    with pytest.raises(sensorium.SensoriumError, match="copies of media are kept in a folder alone"):
        index.update("new.csv", keep_media=True)
