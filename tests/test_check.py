"""`check` finds what would fail, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sensorium import check
from sensorium.check import check_recipe
from sensorium.errors import SensoriumError
from sensorium.training import memory
from tests import made


@pytest.fixture
def folder(here: Path) -> Path:
    rows = made.simple_rows(40)
    rows["picture"] = [f"{row}.png" for row in range(40)]
    for row in range(40):
        (here / f"{row}.png").write_bytes(made.picture(row))
    made.write_csv(here / "table.csv", rows)
    return here


def checked(folder: Path, sample: int = 200, **data: Any) -> tuple[bool, list[str]]:
    recipe = made.simple_recipe()
    recipe["data"] |= data
    recipe["inputs"]["picture"] = {"type": "image", "size": 16, "encoder": {"kind": "cnn", "channels": [4]}}
    said: list[str] = []
    fine = check_recipe(made.write_recipe(folder / "recipe.yaml", recipe), sample, said.append)
    return fine, said


def test_all_is_well(folder: Path) -> None:
    fine, said = checked(folder)
    assert fine
    assert [line.split(":")[0] for line in said] == [
        f"ok    {part}"
        for part in ("recipe", "weights", "table", "files", "cells", "model", "memory", "disk")
    ]
    assert "40 rows (24 train, 8 validation, 8 test)" in said[2]
    assert "40 named, all there" in said[3]
    assert not (folder / "runs").exists()


def test_files_that_are_not_there_and_files_that_are_torn(folder: Path) -> None:
    for row in range(7):
        (folder / f"{row}.png").unlink()
    (folder / "30.png").write_bytes(made.picture(1)[:60])
    fine, said = checked(folder)
    assert fine  # each counts as missing
    text = "\n".join(said)
    assert "warn  files: 7 cannot be read; each counts as missing" in text
    assert "inputs.picture, row 0, file 0.png: the file does not exist" in text
    assert "... and 2 more" in text
    assert "warn  cells: 8 cannot be read" in text
    fine, said = checked(folder, on_error="raise")
    assert not fine
    assert any(line.startswith("fail  files: 7 cannot be read; training would stop there") for line in said)


def test_a_sample_is_spread_over_the_table(folder: Path) -> None:
    (folder / "39.png").write_bytes(b"no picture")
    assert any("39.png" in line for line in checked(folder, sample=2)[1])
    assert "2 rows decoded" not in "\n".join(checked(folder, sample=2)[1])
    assert any("cells: 1 cannot be read" in line for line in checked(folder, sample=0)[1])


def test_not_one_file_is_found(folder: Path) -> None:
    with pytest.raises(SensoriumError, match=r"inputs\.picture: no cell of column picture can be read"):
        checked(folder, media_root="..")


def test_duplicates_across_the_split_are_told(folder: Path) -> None:
    rows = made.simple_rows(40)
    rows["picture"] = ["0.png"] * 40
    made.write_csv(folder / "table.csv", rows)
    said = checked(folder)[1]
    assert any(
        line.startswith("warn  ") and "have the same picture as a row of train" in line for line in said
    )


def test_too_little_memory_and_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    fine, said = checked(folder)
    assert not fine
    assert any("fail  memory: one row a step needs" in line and "smaller" in line for line in said)
    monkeypatch.setattr(memory, "free_memory", lambda device: None)
    assert checked(folder)[0]
    usage = check.shutil.disk_usage(folder)
    monkeypatch.setattr(check.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    fine, said = checked(folder)
    assert not fine
    assert any("fail  disk: only 1 kB free" in line for line in said)
