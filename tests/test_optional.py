"""On a machine that lacks a library, what does not need it works, and what does names it in one line."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sensorium.errors import CORE
from tests import made

PREDICT = ("predict", "runs/simple", "table.csv", "-o", "out.csv")
UNUSED = (
    "accelerate",
    "lion_pytorch",
    "tensorboard",
    "matplotlib",
    "jinja2",
    "markupsafe",
    "sklearn",
    "lance",
)
"""What a trained model does without."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, a recipe that asks for Lion, and the run that it gave."""
    folder = tmp_path_factory.mktemp("optional")
    made.write_csv(folder / "table.csv", made.simple_rows(40))
    made.write_recipe(folder / "recipe.yaml", made.simple_recipe(epochs=1, optimizer="lion"))
    made.write_recipe(folder / "plain.yaml", {**made.simple_recipe(epochs=1), "name": "plain"})
    made.command("train", "recipe.yaml", folder=folder, check=True)
    return folder


def without(modules: tuple[str, ...], *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the command line where these modules cannot be imported."""
    program = (
        f"import sys\nfor name in {modules}: sys.modules[name] = None\n"
        f"from sensorium.cli import main; main({list(arguments)})"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=made.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("module", ["av", "soundfile", "simplejpeg", "soxr", "tokenizers", "PIL"])
def test_a_part_of_the_core_is_named(trained: Path, module: str) -> None:
    done = without((module,), *PREDICT, folder=trained)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"error: {module} is not installed and is needed here: pip install sensorium"
    )


@pytest.mark.parametrize("module", ["torch", "safetensors"])
def test_a_part_of_training_is_named(trained: Path, module: str) -> None:
    done = without((module,), *PREDICT, folder=trained)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"error: {module} is not installed and is needed here: pip install 'sensorium[train]'"
    )


def test_a_trained_model_needs_no_more_than_it_uses(trained: Path) -> None:
    """One that was trained with Lion, too."""
    done = without(UNUSED, *PREDICT, folder=trained)
    assert done.returncode == 0, done.stderr
    assert "wrote 40 rows to out.csv" in done.stdout


def test_training_goes_on_without_its_logs(trained: Path) -> None:
    modules = ("tensorboard", "matplotlib", "sklearn", "lion_pytorch", "lance")
    done = without(modules, "train", "plain.yaml", folder=trained)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if "no TensorBoard files are written" in line)
    assert "tensorboard is not installed" in line
    assert line.endswith("pip install 'sensorium[train]'")
    assert (trained / "runs/plain/model/model.safetensors").exists()


def test_training_with_lion_names_it(trained: Path) -> None:
    done = without(("lion_pytorch",), "train", "recipe.yaml", "--fresh", "--runs", "others", folder=trained)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: lion_pytorch is not installed and is needed here: pip install 'sensorium[lion]'"
    )


def test_the_core_is_what_is_installed_without_an_extra() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    names = {"pillow": "PIL", "PyYAML": "yaml"}
    packages = [line.split(">")[0] for line in project["dependencies"]]
    assert [names.get(package, package) for package in packages] == list(CORE)
