"""Sensorium: from a table of text, pictures, sound, video and numbers to a trained, evaluated model.

Names are imported on first use, so that `import sensorium` stays instant and needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensorium.comparison.compare import compare
    from sensorium.data.table import Table, read_table
    from sensorium.embedding import embed
    from sensorium.errors import CellError, MissingPackage, RecipeError, SensoriumError, TableError
    from sensorium.fitting import fit
    from sensorium.index.build import build_index, open_index
    from sensorium.predict import Predictor, load
    from sensorium.recipe import Recipe, read_recipe

__version__ = "0.1.0"

_HOME = {
    "compare": "sensorium.comparison.compare",
    "embed": "sensorium.embedding",
    "build_index": "sensorium.index.build",
    "fit": "sensorium.fitting",
    "open_index": "sensorium.index.build",
    "load": "sensorium.predict",
    "Predictor": "sensorium.predict",
    "Recipe": "sensorium.recipe",
    "read_recipe": "sensorium.recipe",
    "Table": "sensorium.data.table",
    "read_table": "sensorium.data.table",
    "SensoriumError": "sensorium.errors",
    "RecipeError": "sensorium.errors",
    "TableError": "sensorium.errors",
    "CellError": "sensorium.errors",
    "MissingPackage": "sensorium.errors",
}

__all__ = [
    "CellError",
    "MissingPackage",
    "Predictor",
    "Recipe",
    "RecipeError",
    "SensoriumError",
    "Table",
    "TableError",
    "__version__",
    "build_index",
    "compare",
    "embed",
    "fit",
    "load",
    "open_index",
    "read_recipe",
    "read_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sensorium' has no attribute {name!r}")
    from sensorium.errors import require

    value = getattr(require(_HOME[name], "train"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
