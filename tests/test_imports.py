"""The architecture, tested: imports point one way, the core stays small, the public surface is documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import sensorium
from sensorium.config import Config

ROOT = Path(sensorium.__file__).parent
STAGES = [
    {"errors", "config", "folders", "ticks"},
    {"batch", "layers", "frozen", "undrawn", "weights", "data"},
    {"encoders", "fusion", "decoders", "heads"},
    {
        "yaml_file",
        "sections",
        "recipe",
        "model",
        "prepare",
        "encoded",
        "inference",
        "features",
        "vectors",
        "calibration",
    },
    {"training"},
    {
        "explanation",
        "evaluation",
        "predict",
        "draft",
        "needed_weights",
        "check",
        "embedding",
        "fitting",
        "ladder",
    },
    {"comparison", "index", "classification", "transcription", "chat"},
    {"cli"},
    {"__main__"},
]
"""A part imports from its own stage and from those before it."""

WITHIN_THEIR_STAGE = {
    "decoders": {"encoders"},  # what reads pretrained weights
    "heads": {"decoders"},
    "recipe": {"sections", "yaml_file"},
    "model": {"recipe", "yaml_file"},
    "prepare": {"sections", "recipe", "model"},
    "encoded": {"model"},
    "inference": {"model", "encoded"},
    "features": {"recipe", "model"},
    "vectors": {"model", "inference"},
    "calibration": {"model", "inference"},
    "ladder": {"predict", "evaluation"},
    "fitting": {"predict", "draft", "evaluation", "ladder"},
    "embedding": {"predict"},
    "check": {"needed_weights"},
    "explanation": {"predict"},  # for its type alone
    "evaluation": {"predict", "explanation"},
    "predict": {"evaluation", "explanation"},  # in `evaluate` and `explain` alone, which look at a predictor
    "layers": {"batch"},
    "data": {"weights"},
}
"""What a part may import of its own stage."""

MODULES = sorted(
    ".".join(["sensorium", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
)


def part_of(module: str) -> str:
    """`sensorium.data.table` → `data`."""
    return [*module.split("."), ""][1]


def stage_of(part: str) -> int:
    return next(number for number, parts in enumerate(STAGES) if part in parts)


def imports_of(module: str, at_run_time: bool = False) -> Iterator[str]:
    """The modules that a module imports, wherever in it; `at_run_time` leaves out those for type checks."""
    path = ROOT.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(node) for test in ast.walk(tree) if is_type_check(test) for node in ast.walk(test)}
    for node in ast.walk(tree):
        if at_run_time and id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: write imports from the top"
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)


def is_type_check(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def ours(module: str, at_run_time: bool = False) -> set[str]:
    """The modules of this package that a module imports."""
    return {name for name in imports_of(module, at_run_time) if name in MODULES and name != "sensorium"}


def test_every_part_has_a_stage() -> None:
    parts = {part_of(module) for module in MODULES} - {""}
    assert parts <= set.union(*STAGES)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "sensorium"])
def test_imports_point_one_way(module: str) -> None:
    part = part_of(module)
    for imported in ours(module):
        other = part_of(imported)
        if other == part:
            continue
        assert stage_of(other) <= stage_of(part), f"{module} imports {imported}"
        if stage_of(other) == stage_of(part) > 0:
            assert other in WITHIN_THEIR_STAGE.get(part, set()), f"{module} imports {imported}"


def test_no_two_modules_import_each_other() -> None:
    """At run time, at the top of the modules or in a function: a cycle would make the order matter."""
    for module in MODULES:
        for imported in ours(module, at_run_time=True):
            back = ours(imported, at_run_time=True)
            if {module, imported} != {"sensorium.predict", "sensorium.evaluation"}:
                assert module not in back, f"{module} and {imported} import each other"


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) == "data"])
def test_data_never_imports_torch(module: str) -> None:
    """Nor through another module of ours."""
    seen, waiting = set(), [module]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        names = set(imports_of(current))
        assert not {name for name in names if name.split(".")[0] in ("torch", "accelerate", "safetensors")}
        assert "sensorium.batch" not in names
        waiting += [name for name in ours(current) if name != "sensorium"]


def test_data_runs_without_torch() -> None:
    names = [module for module in MODULES if part_of(module) in ("data", "errors", "config")]
    program = f"import sys, importlib\nfor name in {names}: importlib.import_module(name)\n"
    program += "assert 'torch' not in sys.modules and 'sensorium.batch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_core_is_small() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    core = [line.split(">")[0].split("=")[0].lower() for line in project["dependencies"]]
    assert len(core) <= 12
    assert not {"torch", "tensorflow", "transformers", "scikit-learn", "pandas", "accelerate"} & set(core)
    assert "torch" in " ".join(project["optional-dependencies"]["train"])


def test_every_public_name_resolves() -> None:
    assert sensorium.__all__ == sorted(sensorium.__all__)
    for name in sensorium.__all__:
        assert getattr(sensorium, name) is not None
    assert set(dir(sensorium)) == set(sensorium.__all__)
    assert set(sensorium._HOME) == set(sensorium.__all__) - {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sensorium.nothing  # noqa: B018 - the access is what is tested


def test_fit_stays_a_function() -> None:
    """No module of the package has the name of a public function, or importing it would hide the function."""
    assert not {f"sensorium.{name}" for name in sensorium.__all__} & set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_says_what_it_is(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, name
    for symbol, value in vars(module).items():
        if symbol.startswith("_") or getattr(value, "__module__", "") != name:
            continue
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{name}.{symbol}"
        if inspect.isclass(value):
            for method, body in vars(value).items():
                if inspect.isfunction(body) and not method.startswith("_"):
                    assert inspect.getdoc(body), f"{name}.{symbol}.{method}"


@pytest.mark.parametrize("name", MODULES)
def test_every_field_of_a_recipe_is_described(name: str) -> None:
    for symbol, value in vars(importlib.import_module(name)).items():
        if inspect.isclass(value) and issubclass(value, Config) and value.__module__ == name:
            bare = {field for field, info in value.model_fields.items() if not info.description}
            assert bare <= {"kind", "type"}, f"{name}.{symbol}: {bare}"
