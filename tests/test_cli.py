"""Every verb from end to end, and every error as one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

from sensorium.cli import VERBS, main
from sensorium.data.table import read_table
from sensorium.errors import SensoriumError
from sensorium.fitting import train_recipe
from sensorium.predict import load
from sensorium.recipe import read_recipe
from sensorium.training.loop import Trainer
from sensorium.training.progress import Silent
from tests import made

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb that must succeed; gives what it printed."""

    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        captured = capsys.readouterr()
        assert caught.value.code == 0, captured.err
        return captured.out

    return call


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb that must fail with one line; gives the line."""

    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        captured = capsys.readouterr()
        assert caught.value.code == 1
        lines = captured.err.strip().splitlines()
        assert len(lines) == 1, captured.err
        assert lines[0].startswith("error: ")
        return lines[0]

    return call


@pytest.fixture
def table(here: Path) -> Path:
    """table.csv and recipe.yaml in the working folder."""
    made.write_csv(here / "table.csv", made.simple_rows(60))
    made.write_recipe(here / "recipe.yaml", made.simple_recipe(epochs=1))
    return here


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the table was trained on."""
    folder = tmp_path_factory.mktemp("trained")
    made.write_csv(folder / "table.csv", made.simple_rows(60))
    made.write_recipe(folder / "recipe.yaml", made.simple_recipe(epochs=1))
    made.command("train", "recipe.yaml", folder=folder, check=True)
    return folder


def test_from_a_table_to_predictions(table: Path, run: Run) -> None:
    said = run("init", "table.csv", "--target", "label", "-o", "first.yaml")
    assert "words: text, because" in said
    assert "wrote first.yaml; next: sensorium check first.yaml" in said
    content = yaml.safe_load(Path("first.yaml").read_text())
    assert content["data"]["key"] == ["id"]
    content["training"]["epochs"] = 1
    made.write_recipe(Path("first.yaml"), content)
    assert "fail" not in run("check", "first.yaml")
    assert "next: sensorium evaluate runs/table" in run("train", "first.yaml")
    assert "accuracy" in run("evaluate", "runs/table")
    assert Path("runs/table/evaluation/report.html").exists()
    assert json.loads(Path("runs/table/evaluation/report.json").read_text())
    rows = made.simple_rows(60)
    for ending in ("parquet", "csv", "jsonl"):
        assert "wrote 60 rows" in run("predict", "runs/table", "table.csv", "-o", f"out.{ending}")
        written = read_table(f"out.{ending}")
        assert list(written.column("id")) == rows["id"]
        assert set(written.column("label_prediction")) <= {"cat", "dog"}
    assert pyarrow.csv.read_csv("out.csv").num_rows == pq.read_table("out.parquet").num_rows == 60


def test_a_dry_run_leaves_nothing(table: Path, run: Run) -> None:
    before = sorted(table.iterdir())
    said = run("train", "recipe.yaml", "--dry-run")
    assert "s a step" in said
    assert "parameters; 36 training rows" in said
    assert sorted(table.iterdir()) == before


def test_fresh_trains_again(trained: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    assert "this run is finished" in run("train", "recipe.yaml")
    assert "epoch   1" in run("train", "recipe.yaml", "--fresh")


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({}, ["--minutes", "1e-5"], "is over before the first step"),
        ({"inputs": {"nothing": "number"}}, [], "has no column 'nothing'"),
        ({"data": {"path": "nothing.csv"}}, [], "nothing.csv does not exist"),
    ],
)
def test_fresh_removes_nothing_for_a_run_that_cannot_begin(
    table: Path, run: Run, fails: Run, change: dict[str, Any], options: list[str], says: str
) -> None:
    run("train", "recipe.yaml")
    before = contents("runs/simple")
    made.write_recipe(table / "recipe.yaml", {**made.simple_recipe(epochs=1), **change})
    assert says in fails("train", "recipe.yaml", "--fresh", *options)
    assert contents("runs/simple") == before


def test_an_older_model_goes_with_the_first_checkpoint(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh run that stops before it has anything to save leaves the model, and one that saves does not."""
    folder = train_recipe(read_recipe("recipe.yaml"), Path("runs"), Silent())
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop)
        with pytest.raises(SensoriumError, match="stopped"):
            train_recipe(read_recipe("recipe.yaml"), Path("runs"), Silent(), fresh=True)
    assert load(folder).outputs == ["label"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_finish", stop)
        with pytest.raises(SensoriumError, match="stopped"):
            train_recipe(read_recipe("recipe.yaml"), Path("runs"), Silent())
    assert not (folder / "model").exists()


def stop(*arguments: Any) -> None:
    raise SensoriumError("stopped")


def contents(folder: str) -> dict[str, bytes]:
    """Path → bytes of every file."""
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("init table.csv --target label -o new.yaml", "sensorium.draft.draft_recipe"),
        ("check recipe.yaml", "sensorium.check.check_recipe"),
        ("train recipe.yaml", "sensorium.recipe.read_recipe"),
        ("compare recipe.yaml --over fusion.kind", "sensorium.recipe.read_recipe"),
        ("evaluate runs/simple", "sensorium.evaluation.evaluate_run"),
        ("predict runs/simple table.csv -o out.csv", "sensorium.predict.load"),
    ],
)
def test_an_interrupt_is_one_line(
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    where: str,
) -> None:
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupt)
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code == 130
    assert capsys.readouterr() == ("", "stopped before the end; the same command begins again\n")


def test_minutes_of_the_command_line(table: Path, run: Run, fails: Run) -> None:
    """They replace the recipe's, and the run stays the same run."""
    assert "training.minutes: 1e-07 is over before the first step" in fails(
        "train", "recipe.yaml", "--minutes", "1e-7"
    )
    assert "training.minutes: Input should be greater than 0" in fails(
        "train", "recipe.yaml", "--minutes", "0"
    )
    assert "trained; next" in run("train", "recipe.yaml", "--minutes", "60")
    assert "this run is finished" in run("train", "recipe.yaml")


def test_too_little_memory_is_one_line(table: Path, fails: Run) -> None:
    made.write_recipe(table / "recipe.yaml", made.simple_recipe(memory_gb=1e-6))
    assert "(training.memory_gb: 1e-06): make the inputs or the model smaller" in fails(
        "train", "recipe.yaml"
    )


def test_evaluate_on_another_table(trained: Path, run: Run, tmp_path: Path) -> None:
    made.write_csv(tmp_path / "other.csv", made.simple_rows(20))
    run("evaluate", str(trained / "runs/simple"), str(tmp_path / "other.csv"), "-o", str(tmp_path / "report"))
    assert json.loads((tmp_path / "report" / "report.json").read_text())["rows"] == 20


def test_evaluate_from_another_folder(trained: Path, run: Run, here: Path) -> None:
    """The run knows where its table lies."""
    assert "the test part of" in run("evaluate", str(trained / "runs/simple"), "-o", "report")


def test_evaluate_a_run_on_several_tables(here: Path, run: Run) -> None:
    rows = made.simple_rows(60)
    for part in (0, 1):
        half = {name: cells[part * 30 : part * 30 + 30] for name, cells in rows.items()}
        made.write_csv(here / f"{part}.csv", half)
    content = made.simple_recipe(epochs=1)
    content["data"]["path"] = ["0.csv", "1.csv"]
    made.write_recipe(here / "recipe.yaml", content)
    run("train", "recipe.yaml")
    assert "Measured on 12 rows" in run("evaluate", "runs/simple")


def test_check_names_unreadable_files(table: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    rows = made.simple_rows(60)
    rows["picture"] = [f"{row}.png" for row in range(60)]
    for row in range(60):
        (table / f"{row}.png").write_bytes(made.picture(row))
    (table / "3.png").unlink()
    (table / "4.png").write_bytes(b"no picture")
    made.write_csv(table / "table.csv", rows)
    content = made.simple_recipe()
    content["inputs"]["picture"] = {"type": "image", "size": 16, "encoder": {"kind": "cnn", "channels": [4]}}
    made.write_recipe(table / "recipe.yaml", content)
    said = run("check", "recipe.yaml")
    assert "inputs.picture, row 3, file 3.png: the file does not exist" in said
    assert "file 4.png: " in said
    content["data"]["on_error"] = "raise"
    made.write_recipe(table / "recipe.yaml", content)
    with pytest.raises(SystemExit) as caught:
        main(["check", "recipe.yaml"])
    assert caught.value.code == 1
    assert "fail  files" in capsys.readouterr().out


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Sets a field of a recipe, given by its dotted path."""

    def apply(content: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            content = content[parent]
        content[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("trainin", {}, "trainin: unknown field (did you mean training?)"),
        ("training.epoch", 3, "training.epoch: unknown field (did you mean epochs?)"),
        ("training.optimizer", {"momentun": 1}, "training.optimizer.momentun: unknown field (did you mean"),
        ("training.epochs", 0, "training.epochs: "),
        ("training.epochs", "many", "training.epochs: "),
        ("inputs.words.lenght", 3, "inputs.words.lenght: unknown field (did you mean length?)"),
        ("inputs.words.encoder.kind", "lstmm", "'lstmm' is not known (did you mean lstm?)"),
        ("inputs.words.type", "txt", "inputs.words.type: 'txt' is not known (did you mean text?)"),
        ("inputs.colour", "image", "has no column 'colour'"),
        ("inputs", {}, "inputs: name at least one"),
        ("outputs.label", "categry", "(did you mean category?)"),
        ("outputs.labl", "category", "has no column 'labl': did you mean 'label'?"),
        ("outputs.label", {"weight": 1}, "outputs.label.type: missing"),
        ("fusion.kind", "concatenate", "fusion.kind: 'concatenate' is not known (did you mean concat?)"),
        ("data.key", "number", "has no column 'number'"),
        ("data.path", "tabel.csv", "tabel.csv does not exist"),
        ("data.split", {"validation": 0.6, "test": 0.5}, "data.split: validation and test together"),
        ("training.input_dropout", {"wrds": 0.1}, "training.input_dropout.wrds: unknown field (did you mean"),
        ("training.early_stop", {"metric": "label.acuracy"}, "(did you mean label.accuracy?)"),
        ("name", "a/b", "name: 'a/b' cannot name a run folder"),
        ("outputs.label", {"type": "category", "class_weights": {"bird": 2}}, "outputs.label: class_weights"),
    ],
)
@pytest.mark.parametrize("verb", ["check", "train"])
def test_a_wrong_recipe_is_one_line(
    table: Path, fails: Run, verb: str, path: str, value: Any, said: str
) -> None:
    content = made.simple_recipe(epochs=1)
    change(path, value)(content)
    made.write_recipe(table / "recipe.yaml", content)
    assert said in fails(verb, "recipe.yaml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "a recipe is a mapping"),
        ("just words", "a recipe is a mapping"),
        ("inputs: {a: [", "not valid YAML"),
        ("a: b: c", "line 1: not valid YAML"),
        ("inputs: {a: 3}\noutputs: {b: category}", "inputs.a: write a mapping"),
        ("data: 3\ninputs: {a: text}\noutputs: {b: category}", "data: write a mapping"),
        ("data: 2024-01-01\ninputs: {a: text}\noutputs: {b: category}", "data: write a mapping"),
        ("inputs: {a: text}\noutputs: {b: category}", "the recipe names no table"),
        ("\x00", "not valid YAML"),
    ],
)
def test_a_recipe_that_is_none(here: Path, fails: Run, content: str, said: str) -> None:
    Path("recipe.yaml").write_text(content)
    line = fails("train", "recipe.yaml")
    assert said in line


def test_files_that_are_not_there(here: Path, fails: Run) -> None:
    assert "there is no such file" in fails("train", "nothing.yaml")
    assert "is a folder" in fails("train", str(here))
    assert "nothing.csv does not exist" in fails("init", "nothing.csv", "--target", "a")
    assert "there is no such folder" in fails("evaluate", "runs/nothing")
    assert "there is no such folder" in fails("predict", "runs/nothing", "a.csv", "-o", "b.csv")
    assert "holds no trained model" in fails("evaluate", str(here))


def test_tables_that_cannot_be_used(table: Path, fails: Run) -> None:
    rows = made.simple_rows(60)
    made.write_csv(table / "table.csv", {name: cells[:0] for name, cells in rows.items()})
    assert "no rows" in fails("train", "recipe.yaml")
    (table / "table.csv").write_text("")
    assert "table.csv" in fails("train", "recipe.yaml")
    made.write_csv(table / "table.csv", {**rows, "label": ["cat"] * 60})
    line = fails("train", "recipe.yaml")
    assert "only one class ('cat')" in line
    assert "outputs.label" in line
    made.write_csv(table / "table.csv", {**rows, "label": [None] * 60})
    assert "outputs.label: column label is empty" in fails("train", "recipe.yaml")
    made.write_csv(table / "table.csv", {name: cells[:2] for name, cells in rows.items()})
    assert "too few" in fails("train", "recipe.yaml")


def test_init_refuses(table: Path, fails: Run) -> None:
    assert "recipe.yaml exists; --force" in fails("init", "table.csv", "--target", "label")
    assert "did you mean 'label'?" in fails("init", "table.csv", "--target", "lable", "-o", "a.yaml")
    assert "cannot be written" in fails("init", "table.csv", "--target", "label", "-o", "no/folder.yaml")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("out.xlsx", "cannot write .xlsx; known: .parquet, .csv, .jsonl"),
        ("out", "cannot write a file without ending"),
        ("no/folder.csv", "there is no folder no"),
        ("taken.csv", "taken.csv: cannot be written"),
    ],
)
def test_predictions_that_cannot_be_written(
    trained: Path, here: Path, fails: Run, output: str, said: str
) -> None:
    (here / "taken.csv").mkdir()
    assert said in fails("predict", str(trained / "runs/simple"), str(trained / "table.csv"), "-o", output)


def test_a_runs_folder_that_cannot_be_written(table: Path, fails: Run) -> None:
    (table / "runs").write_text("a file")
    assert "the run folder cannot be written" in fails("train", "recipe.yaml")


def test_a_report_that_cannot_be_written(trained: Path, here: Path, fails: Run) -> None:
    (here / "report").write_text("a file")
    assert "report" in fails("evaluate", str(trained / "runs/simple"), "-o", "report")


@pytest.mark.parametrize("file", ["model.safetensors", "columns.json", "recipe.yaml", "model.json"])
def test_a_damaged_model(trained: Path, tmp_path: Path, fails: Run, file: str) -> None:
    for part in (trained / "runs/simple/model").iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    (tmp_path / file).write_bytes(b"{: [\x00")
    assert str(tmp_path) in fails(
        "predict", str(tmp_path), str(trained / "table.csv"), "-o", f"{tmp_path}/o.csv"
    )


def test_an_unfinished_run_says_so(trained: Path, tmp_path: Path, fails: Run) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_bytes((trained / "runs/simple/recipe.yaml").read_bytes())
    (run / "checkpoints").mkdir()
    assert "the training is not finished" in fails("evaluate", str(run))


@pytest.mark.parametrize("code", ["import sensorium", "from sensorium.cli import main; main(['--help'])"])
def test_help_and_import_need_no_torch(code: str) -> None:
    ending = "import sys; print(sorted({'torch', 'numpy', 'pyarrow', 'pydantic'} & set(sys.modules)))"
    program = f"try:\n    {code}\nexcept SystemExit: ...\n{ending}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", ["train", "predict", "evaluate", "check"])
def test_without_torch_the_command_is_named(trained: Path, verb: str) -> None:
    arguments = {
        "train": ["train", "recipe.yaml"],
        "check": ["check", "recipe.yaml"],
        "predict": ["predict", "runs/simple", "table.csv", "-o", "out.csv"],
        "evaluate": ["evaluate", "runs/simple"],
    }[verb]
    program = f"import sys; sys.modules['torch'] = None\nfrom sensorium.cli import main; main({arguments})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=trained)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "torch is not installed and is needed here: pip install 'sensorium[train]'"
    )
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_program_is_installed(trained: Path) -> None:
    """The script itself, in a process of its own: errors are one line there too."""
    done = made.command("train", "nothing.yaml", folder=trained)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("module", ["sensorium", "sensorium.cli"])
def test_it_runs_as_a_module(module: str) -> None:
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Usage: python -m {module} [OPTIONS] COMMAND")
    assert set(VERBS) <= {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}


def test_version(run: Run) -> None:
    from sensorium import __version__

    assert run("--version").strip() == __version__
