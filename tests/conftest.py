"""What every test shares: a cache of its own, and small real files of every type."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps decoded media of tests out of the user's cache."""
    monkeypatch.setenv("SENSORIUM_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
