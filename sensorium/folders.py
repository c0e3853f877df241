"""Where files are kept that can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def default_folder() -> Path:
    """Where files are kept unless a recipe says otherwise: $SENSORIUM_CACHE, else ~/.cache/sensorium."""
    return Path(os.environ.get("SENSORIUM_CACHE") or Path.home() / ".cache" / "sensorium")
