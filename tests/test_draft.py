"""A first recipe from a look at the table: every type found, every line with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from sensorium.draft import draft_recipe
from sensorium.errors import TableError
from sensorium.recipe import parse_recipe
from tests import made

BROKEN = ("a\nb", "a\r\nb", "\u2028", "a\tb", "\x1b[31m", "a b " * 60)  # YAML would write them on two lines
ROOT = Path(__file__).parent.parent


def drafted(data: Any, targets: list[str], folder: Path | None = None) -> dict[str, Any]:
    """The drafted recipe; its text must say the same, and be a recipe."""
    draft = draft_recipe(data, targets, folder or Path.cwd())
    assert yaml.safe_load(draft.text) == draft.content
    parse_recipe(draft.content)
    return draft.content


def every_type(count: int = 30) -> dict[str, list[Any]]:
    return {
        **made.simple_rows(count),
        "picture": [made.picture(row) for row in range(count)],
        "voice": [made.sound(row) for row in range(count)],
        "clip": [made.video(row % 2) for row in range(count)],
        "tags": [["a", "b"] if row % 2 else ["c"] for row in range(count)],
        "day": [f"2024-03-{1 + row % 28:02}" for row in range(count)],
        "same": ["x"] * count,
        "split": ["train" if row % 5 else "test" for row in range(count)],
    }


def test_every_type_is_found() -> None:
    data = every_type()
    content = drafted(data, ["label"])
    types = {name: part["type"] for name, part in content["inputs"].items()}
    assert types == {
        "words": "text",
        "size": "number",
        "shop": "category",
        "amount": "number",
        "picture": "image",
        "voice": "audio",
        "clip": "video",
        "tags": "categories",
        "day": "number",
    }
    assert content["inputs"]["day"]["date"] is True
    assert content["outputs"] == {"label": {"type": "category"}}
    assert content["data"] == {"key": ["id"], "split": {"column": "split"}}
    reasons = draft_recipe(data, ["label"], Path.cwd()).reasons
    assert len(reasons) == len(data)
    assert any(line.startswith("same: not used, because all of the") for line in reasons)


def test_a_split_is_made_where_there_is_none() -> None:
    content = drafted(made.simple_rows(30), ["label", "amount"])
    assert content["data"]["split"] == {"validation": 0.1, "test": 0.1}
    assert content["outputs"] == {"label": {"type": "category"}, "amount": {"type": "number"}}
    assert "label" not in content["inputs"]
    assert "amount" not in content["inputs"]


def test_a_key_has_no_equals() -> None:
    data = made.simple_rows(30)
    data["id"][3] = data["id"][4]
    assert "key" not in drafted(data, ["label"])["data"]


@pytest.mark.parametrize(
    "name",
    [
        *"#'3",
        "no",
        "a.b",
        "a: b",
        "中文",
        "type",
        "null",
        "- x",
        "-x",
        "{a}",
        "true",
        "yes",
        "",
        '"q"',
        *BROKEN,
    ],
)
def test_columns_of_any_name(name: str) -> None:
    data = made.simple_rows(30)
    data[name] = data.pop("words")
    content = drafted(data, ["label"])
    assert content["inputs"][name]["type"] == "text"
    other = made.simple_rows(30)
    other[name] = other.pop("label")
    assert drafted(other, [name])["outputs"] == {name: {"type": "category"}}


def test_names_with_line_breaks_stay_on_one_line() -> None:
    """In the comments too, where the rest would be read as YAML, and in what the terminal shows."""
    data = {**made.simple_rows(30), "same\nnew: {": [1] * 30}
    drafted(data, ["label"])
    draft = draft_recipe(data, ["label"], Path.cwd())
    assert (
        "  # not used: same\\nnew: { (all of the 30 values looked at are the same)" in draft.text.splitlines()
    )
    assert not any("\n" in reason for reason in draft.reasons)


def test_paths_are_written_from_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "recipes").mkdir()
    made.write_csv(tmp_path / "tables" / "my table.csv", made.simple_rows(30))
    content = drafted(tmp_path / "tables" / "my table.csv", ["label"], tmp_path / "recipes")
    assert content["data"]["path"] == "../tables/my table.csv"
    assert content["name"] == "my table"
    shards = drafted(str(tmp_path / "tables" / "*.csv"), ["label"], tmp_path)
    assert shards["data"]["path"] == "tables/*.csv"
    assert shards["name"] == "tables"


def test_the_sound_of_a_video_is_an_input_of_its_own() -> None:
    content = drafted(ROOT / "examples" / "clips" / "data", ["motion"], ROOT / "examples" / "clips")
    assert content["inputs"]["file_name"]["type"] == "video"
    assert content["inputs"]["file_name_sound"] == {"type": "audio", "column": "file_name"}
    assert "clip_sound" not in drafted(every_type(), ["label"])["inputs"]


@pytest.mark.parametrize(
    ("data", "targets", "said"),
    [
        ({"a": [], "b": []}, ["a"], "no rows"),
        ({"a": ["x", "y"], "b": [None, None]}, ["a"], "no column can be used as an input"),
        ({"a": ["x", "y"]}, ["a"], "no column can be used as an input"),
        (made.simple_rows(9), ["labels"], "has no column 'labels': did you mean 'label'"),
        ("nothing.csv", ["a"], "nothing.csv does not exist"),
        ({"a": [None, None, None], "b": [1.5, 2.5, 7.5]}, ["a"], "column 'a' is empty"),
    ],
)
def test_what_cannot_be_drafted(data: Any, targets: list[str], said: str) -> None:
    with pytest.raises(TableError, match=said):
        draft_recipe(data, targets, Path.cwd())


def test_a_dataframe_with_an_index_and_categories() -> None:
    frame = pd.DataFrame(made.simple_rows(30)).set_index("id")
    frame["shop"] = frame["shop"].astype("category")
    content = drafted(frame, ["label"])
    assert content["inputs"]["shop"]["type"] == "category"
    assert content["name"] == "model"
    assert "path" not in content["data"]
