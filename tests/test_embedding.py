"""The verb embed: vectors of every row, in its order, in the formats that others read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sensorium
from sensorium.cli import main
from sensorium.embedding import open_embedder, write_embeddings
from sensorium.errors import SensoriumError, TableError
from sensorium.fitting import train_in
from sensorium.recipe import read_recipe
from sensorium.training.progress import Silent
from tests import made
from tests.made_checkpoint import WIDTH, text_checkpoint
from tests.made_checkpoints import made_checkpoint

ROWS = 30
MISSING = 3


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe that reads two inputs, one of them pretrained."""
    monkeypatch.chdir(tmp_path)
    text_checkpoint(tmp_path / "tiny")
    texts = [made.text(seed) if seed != MISSING else None for seed in range(ROWS)]
    columns = {
        "id": [f"r{seed}" for seed in range(ROWS)],
        "words": texts,
        "size": [float(seed) for seed in range(ROWS)],
        "label": [made.label(seed) for seed in range(ROWS)],
    }
    made.write_csv(tmp_path / "table.csv", columns)
    content = {
        "name": "embedded",
        "data": {"path": "table.csv", "key": "id"},
        "inputs": {
            "words": {"type": "text", "encoder": {"kind": "pretrained", "weights": "tiny"}},
            "size": {"type": "number"},
        },
        "outputs": {"label": {"type": "category"}},
        "training": {"epochs": 1, "batch_size": 8, "device": "cpu"},
    }
    return made.write_recipe(tmp_path / "recipe.yaml", content)


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["embed", *arguments])
    return int(caught.value.code or 0)


def test_rows_keep_their_order_their_key_and_what_they_lack(recipe: Path) -> None:
    found = sensorium.embed(recipe, "table.csv")
    assert found.column_names == ["id", "words"]
    assert found["id"].to_pylist() == [f"r{row}" for row in range(ROWS)]
    assert found["words"].type == pa.list_(pa.float32(), WIDTH)
    assert [cell is None for cell in found["words"].to_pylist()] == [row == MISSING for row in range(ROWS)]


def test_a_recipe_its_run_and_its_weights_give_the_same(recipe: Path, tmp_path: Path) -> None:
    run = train_in(read_recipe(recipe), tmp_path / "run", Silent())
    of_recipe = sensorium.embed(recipe, "table.csv")["words"].to_pylist()
    assert sensorium.embed(run, "table.csv")["words"].to_pylist() == of_recipe
    of_weights = sensorium.embed("tiny", "table.csv", column="words")
    assert of_weights["words"].to_pylist() == of_recipe
    assert of_weights["row"].to_pylist() == list(range(ROWS))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:lance")
def test_every_format_holds_the_same(recipe: Path, tmp_path: Path) -> None:
    import lance

    expected = sensorium.embed(recipe, "table.csv")
    for name in ("out.parquet", "out.lance", "out.npy", "out"):
        assert command(str(recipe), "table.csv", "-o", name) == 0
    assert pq.read_table(tmp_path / "out.parquet")["words"].to_pylist() == expected["words"].to_pylist()
    assert lance.dataset(str(tmp_path / "out.lance")).to_table().num_rows == ROWS
    for path in (tmp_path / "out.npy", tmp_path / "out" / "words.npy"):
        array = np.load(path)
        assert (array.shape, array.dtype) == ((ROWS, WIDTH), np.float32)
        assert np.isnan(array).any(axis=1).tolist() == [row == MISSING for row in range(ROWS)]
        assert array[5].tolist() == expected["words"][5].as_py()
    for path in (tmp_path / "out.keys.csv", tmp_path / "out" / "keys.csv"):
        assert path.read_text().split() == ['"id"', *(f'"r{row}"' for row in range(ROWS))]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recipe.yaml", "table.csv", "-o", "o.parquet", "--input", "word"], "did you mean 'words'?"),
        (["recipe.yaml", "table.csv", "-o", "o.parquet", "--input", "size"], "no input with a frozen"),
        (["tiny", "table.csv", "-o", "o.parquet"], "--column"),
        (["runs/embeded", "table.csv", "-o", "o.parquet"], "runs/embeded is no run, saved model or recipe"),
        (["tiny", "table.csv", "-o", "o.parquet", "--column", "wards"], "wards"),
        (["tiny", "table.csv", "-o", "o.parquet", "--column", "words", "--type", "txt"], "known: text"),
        (["nowhere", "table.csv", "-o", "o.parquet", "--column", "words"], "nowhere"),
        (["recipe.yaml", "table.csv", "-o", "o.xls"], "cannot write .xls"),
        (["recipe.yaml", "table.csv", "-o", "no/o.npy"], "there is no folder no"),
        (["recipe.yaml", "table.csv", "-o", "recipe.yaml/o"], "there is no folder"),
    ],
)
@pytest.mark.usefixtures("recipe")
def test_what_is_wrong_is_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert words in lines[0]
    assert not Path("o.parquet").exists()


def test_a_column_of_which_nothing_can_be_read_is_one_line(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_checkpoint(recipe.parent / "vit", "vit")
    assert command("vit", "table.csv", "-o", "o.parquet", "--column", "words", "--type", "image") == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith(
        "error: words: no cell of column 'words' can be read; the first: row 0, column wo"
    )


@pytest.mark.usefixtures("recipe")
def test_an_output_that_is_a_file_where_a_folder_should_be() -> None:
    Path("taken").write_text("")
    with pytest.raises(TableError, match="taken: cannot be written"):
        write_embeddings(
            open_embedder("recipe.yaml"), sensorium.read_table("table.csv"), Path("taken"), lambda line: None
        )


@pytest.mark.usefixtures("recipe")
def test_a_key_and_an_input_of_one_name() -> None:
    text = Path("recipe.yaml").read_text().replace("key: id", "key: words")
    Path("other.yaml").write_text(text)
    with pytest.raises(SensoriumError, match="both a key and a vector"):
        sensorium.embed("other.yaml", "table.csv")
