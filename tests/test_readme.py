"""The documents say what the code does: commands run, paths exist, tables agree, both languages too."""

from __future__ import annotations

import csv
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import typer.main
import yaml
from PIL import Image

from benchmarks import readme as figures
from benchmarks.readme import with_tables
from sensorium.batch import Tokens
from sensorium.cli import app, main
from sensorium.data import COLUMNS
from sensorium.data.write import ENDINGS
from sensorium.encoders import ENCODERS
from sensorium.evaluation.words import metric_name
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from sensorium.recipe import parse_recipe

ROOT = Path(__file__).resolve().parent.parent
PAIRS = [("README.md", "README.zh.md"), ("docs/guide.md", "docs/guide.zh.md")]
READMES = PAIRS[0]
PAGES = [*READMES, *PAIRS[1], "docs/architecture.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"]
ROWS = {"table.csv": range(36), "test.csv": range(36, 42), "new.csv": range(42, 48)}
KINDS = {  # category → descriptions; its place in the list is the colour of its photo
    "shoe": ["red leather shoe", "a warm boot of leather"],
    "lamp": ["light for a dark room", "blue lamp for the desk"],
    "chair": ["a green chair of oak", "sit well on this chair"],
}


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", read(page), re.DOTALL | re.MULTILINE)


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", read(page), flags=re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[list[str]]:
    """The lines of the bash blocks, each cut into words."""
    return [
        shlex.split(line) for block in blocks(page, "bash") for line in block.splitlines() if line.strip()
    ]


def table(page: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column's first cell is `first`, without their header."""
    lines = read(page).splitlines()
    found: list[list[str]] = []
    for position, line in enumerate(lines):
        if line.startswith("|---") and lines[position + 1].startswith(f"| {first} |"):
            for row in lines[position + 1 :]:
                if not row.startswith("|"):
                    break
                found.append([cell.strip() for cell in row.strip("|").split("|")])
    return found


@pytest.mark.parametrize("page", READMES)
def test_the_figures_are_those_of_the_results(page: str) -> None:
    written = read(page)
    assert with_tables(written, figures.PAGES[page]) == written
    assert "<!-- speed: begin -->" in written


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture
def shop(here: Path) -> Path:
    """The tables of the documents, with photos; one photo is missing here and there, one is broken."""
    generator = np.random.default_rng(0)
    (here / "photos").mkdir()
    rows = []
    for number in range(48):
        kind = list(KINDS)[number % 3]
        pixels = generator.integers(0, 80, (40, 32, 3), dtype=np.uint8)
        pixels[..., number % 3] += 150
        Image.fromarray(pixels).save(here / f"photos/{number:02}.png")
        rows.append(
            {
                "sku": f"A-{number:03}",
                "photo": "" if number % 11 == 5 else f"photos/{number:02}.png",
                "description": "" if number % 7 == 2 else f"{KINDS[kind][number % 2]}, number {number}",
                "price": f"{10 + number * 1.37:.2f}",
                "category": kind,
            }
        )
    (here / "photos/43.png").write_bytes(b"not a picture")
    for name, chosen in ROWS.items():
        fields = [field for field in rows[0] if field != "category" or name != "new.csv"]
        with (here / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fields, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows[number] for number in chosen)
    return here


def run(words: list[str]) -> None:
    """Runs a line that begins with `sensorium`; the recipe that `init` writes is cut to one epoch."""
    with pytest.raises(SystemExit) as stopped:
        main(words[1:])
    assert stopped.value.code in (0, None), words
    if words[1] == "init":
        recipe = Path("recipe.yaml").read_text(encoding="utf-8")
        assert recipe.count("epochs: 20") == 1
        Path("recipe.yaml").write_text(recipe.replace("epochs: 20", "epochs: 1"), encoding="utf-8")


def execute(page: str, further: str = "") -> str:
    """Runs the Python blocks of a page as one program, with one epoch; gives what it prints."""
    program = "\n".join([*blocks(page, "python"), further])
    assert program.count('target="category"') == 1
    program = program.replace('target="category"', 'target="category", training={"epochs": 1}')
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", [READMES[0], "docs/guide.md"])
def test_the_commands_run(page: str, shop: Path) -> None:
    ours = [words for words in commands(page) if words[0] == "sensorium"]
    left_out = {"compare"} if page == READMES[0] else set()
    assert {words[1] for words in ours} == set(typer.main.get_command(app).commands) - left_out
    for words in ours:
        run(words)
    with (shop / "predictions.csv").open(encoding="utf-8") as file:
        predicted = list(csv.DictReader(file))
    assert [row["sku"] for row in predicted] == [f"A-{number:03}" for number in ROWS["new.csv"]]
    assert {row["category_prediction"] for row in predicted} <= set(KINDS)
    assert [row["unreadable"] for row in predicted] == ["[]", '["photo"]', "[]", "[]", "[]", "[]"]
    assert (shop / "runs/table/evaluation/report.html").exists()


def test_the_files_of_a_run_are_those_that_the_guide_lists(shop: Path) -> None:
    for words in commands(READMES[0]):
        if words[:2] in (["sensorium", "init"], ["sensorium", "train"]) and "--dry-run" not in words:
            run(words)
    listed = [name for row in table("docs/guide.md", "`recipe.yaml`") for name in names(row[0])]
    assert len(listed) == 6
    for name in [*listed, "learning_curves.svg", "tensorboard"]:
        assert (shop / "runs/table" / name).exists(), name


def test_the_python_of_the_readme_runs(shop: Path) -> None:
    assert "95 % interval" in execute(READMES[0])
    assert (shop / "models/category/model.safetensors").exists()


def test_the_python_of_the_guide_runs(shop: Path) -> None:
    printed = execute(
        "docs/guide.md",
        "assert probabilities.shape == (6, 3)\n"
        "assert list(labels) == everything['category_prediction'].to_pylist()\n"
        "assert 0 <= accuracy.low <= accuracy.value <= accuracy.high <= 1\n"
        "print('all as said')",
    )
    assert "all as said" in printed


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("language", ["bash", "python", "yaml"])
def test_both_languages_show_the_same(pair: tuple[str, str], language: str) -> None:
    english, chinese = (blocks(page, language) for page in pair)
    assert english == chinese


@pytest.mark.parametrize("pair", PAIRS)
def test_both_languages_have_the_same_sections_and_tables(pair: tuple[str, str]) -> None:
    def shape(page: str) -> list[str]:
        marks = (re.match(r"#+ |\|-[-|]+|!\[", line) for line in prose(page).splitlines())
        return [mark.group() for mark in marks if mark]

    assert shape(pair[0]) == shape(pair[1])


@pytest.mark.parametrize("page", PAGES)
def test_every_command_exists(page: str) -> None:
    programs = r"(sensorium|make|pip|python|pytest) [\w.-]"
    inline = [code for code in names(prose(page)) if re.match(programs, code)]
    for words in [*commands(page), *map(shlex.split, inline)]:
        check_command(words)


def check_command(words: list[str]) -> None:
    program = words[0].removeprefix(".venv/bin/")
    if program == "sensorium":
        verbs: Any = typer.main.get_command(app)
        if len(words) > 2:
            verbs.commands[words[1]].make_context(words[1], words[2:])
        assert words[1] in verbs.commands
    elif program == "make":
        assert words[1] in make_targets()
    elif program == "pip":
        check_pip(words)
    elif program == "python":
        module = words[2].replace(".", "/") + ".py" if words[1] == "-m" else words[1]
        assert (ROOT / module).exists(), words
    elif program == "pytest":
        assert (ROOT / words[1]).exists(), words
    else:
        assert words in (
            ["source", ".venv/bin/activate"],
            ["python3", "-m", "venv", ".venv"],
            ["pre-commit", "install"],
            [".venv/bin/pre-commit", "install"],
        )


def check_pip(words: list[str]) -> None:
    extras = project()["optional-dependencies"]
    assert words[1] == "install"
    if "-c" in words:
        assert (ROOT / words[words.index("-c") + 1]).exists()
    asked = re.findall(r"\.\[([\w,-]+)\]", " ".join(words))
    assert all(extra in extras for group in asked for extra in group.split(","))


def make_targets() -> set[str]:
    found = re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.MULTILINE)
    return set(found)


def project() -> dict[str, Any]:
    content: dict[str, Any] = tomllib.loads(read("pyproject.toml"))["project"]
    return content


@pytest.mark.parametrize("page", READMES)
def test_the_tree_names_what_is_there(page: str) -> None:
    paths = list(tree(page))
    assert len(paths) > 30
    assert [str(path) for path in paths if not (ROOT / path).exists()] == []
    shown = {path.name for path in paths if path.parts[0] == "sensorium" and len(path.parts) == 2}
    inside = [path for path in (ROOT / "sensorium").iterdir() if path.is_dir() or path.suffix == ".py"]
    modules = {path.name for path in inside if path.name[0] not in "_."}
    assert shown == modules
    targets = next(line for line in read(page).splitlines() if line.startswith("Makefile ")).split(maxsplit=1)
    assert set(targets[1].split(", ")) <= make_targets()


def tree(page: str) -> Iterator[Path]:
    """The paths of the tree; two blanks a level, a folder ends in a slash."""
    above: list[str] = []
    for line in blocks(page, "text")[-1].splitlines():
        name = line.split()[0]
        level = (len(line) - len(line.lstrip())) // 2
        above = [*above[:level], name.rstrip("/")]
        yield Path(*above)


@pytest.mark.parametrize("page", READMES)
def test_the_tables_are_those_of_the_code(page: str) -> None:
    encoders = {names(row[0])[0]: names(row[2]) for row in table(page, "`text`")}
    assert encoders == {kind: list(choices) for kind, choices in ENCODERS.items()}
    assert set(encoders) == set(COLUMNS)
    assert [names(row[0])[0] for row in table(page, "`concat`")] == list(FUSIONS)
    assert [names(row[0])[0] for row in table(page, "`category`")] == list(HEADS)
    assert [names(row[0])[0] for row in table(page, "`train`")] == list(project()["optional-dependencies"])
    assert [names(row[0])[0] for row in table(page, "`init`")] == list(typer.main.get_command(app).commands)


def test_the_main_metrics_are_those_of_the_heads() -> None:
    shown = {names(row[0])[0]: row[2] for row in table("README.md", "`category`")}
    assert shown == {name: metric_name(head.metric) for name, head in HEADS.items()}


def test_the_guide_recommends_what_exists() -> None:
    for page in PAIRS[1]:
        rows = [row for row in read(page).splitlines() if row.startswith("|")]
        kinds = {name for choices in ENCODERS.values() for name in choices}
        start = rows.index(next(row for row in rows if row.startswith("| `text` | `mean`")))
        kind: list[str] = []
        seen: set[str] = set()
        for row in rows[start:]:
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            if cells[0].startswith("---"):
                break
            kind = names(cells[0]) or kind
            for name in names(cells[1]):
                if kind[0] in ENCODERS:
                    assert name in ENCODERS[kind[0]], row
                    seen.add(name)
        assert seen == kinds


def test_the_written_formats_are_named() -> None:
    for page in PAIRS[1]:
        assert all(f"`{ending}`" in read(page) for ending in ENDINGS)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", read(page)):
        path, _, anchor = target.partition("#")
        if path.startswith("https://"):
            continue
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text(encoding="utf-8")), target


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings: small letters, no punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["docs/guide.md", "docs/recipe.md", "docs/recipe.zh.md"])
def test_recipes_in_the_documents_are_accepted(page: str) -> None:
    whole: dict[str, Any] = {
        "inputs": {"photo": "image", "description": "text"},
        "outputs": {"category": "category"},
    }
    found = [yaml.safe_load(block) for block in blocks(page, "yaml")]
    inline = [re.search(r"^(data|split|class_weights): \{.*\}$", code) for code in names(prose(page))]
    found += [placed(yaml.safe_load(match.group())) for match in inline if match]
    assert found
    for part in found:
        parse_recipe({**whole, **part})


def placed(part: Mapping[str, Any]) -> dict[str, Any]:
    """A fragment where it belongs in a recipe."""
    return {"data": dict(part)} if "split" in part else dict(part)


def test_the_reference_is_what_the_script_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # the script adds the root
    for path, text in imported(ROOT / "docs/build_reference.py", monkeypatch).pages().items():
        assert path.read_text(encoding="utf-8") == text, f"run docs/build_reference.py: {path.name}"


def test_the_reference_has_every_field() -> None:
    text = read("docs/recipe.md")
    configs = [column.Config for column in COLUMNS.values()]
    configs += [encoder.Config for table in ENCODERS.values() for encoder in table.values()]
    configs += [part.Config for part in (*FUSIONS.values(), *HEADS.values())]
    for config in configs:
        for field in config.model_fields:
            assert f"| `{field}` |" in text or field in ("kind", "type")


def imported(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


def test_the_fusion_of_the_architecture_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [source] = blocks("docs/architecture.md", "python")
    (tmp_path / "maximum.py").write_text(source, encoding="utf-8")
    maximum = imported(tmp_path / "maximum.py", monkeypatch).Maximum
    fusion = maximum(maximum.Config(width=4, dropout=0.0), {"photo": 3, "text": 2}, ["category"])
    tokens = {
        "photo": Tokens(torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)),
        "text": Tokens(torch.randn(2, 1, 2), torch.ones(2, 1, dtype=torch.bool)),
    }
    fused = fusion(tokens, torch.tensor([[True, True], [True, False]]))
    both = torch.maximum(fused.columns["photo"][0], fused.columns["text"][0])
    assert torch.equal(fused.vector[0], both)
    assert torch.equal(fused.vector[1], fused.columns["photo"][1])
    assert fused.tokens.shape == (2, 6, 4)
