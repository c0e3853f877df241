"""The folder of a run: its lock, its manifest, its history, and where its checkpoints lie."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import sensorium
from sensorium.data.loader import BadCell
from sensorium.errors import SensoriumError
from sensorium.recipe import Recipe, read_recipe

_PACKAGES = (
    "torch",
    "accelerate",
    "numpy",
    "pyarrow",
    "tokenizers",
    "pillow",
    "simplejpeg",
    "soundfile",
    "soxr",
    "av",
)


class RunFolder:
    """Paths inside runs/NAME, and what is written there besides checkpoints."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.manifest = path / "manifest.json"
        self.history = path / "history.jsonl"
        self.quarantine = path / "quarantine.jsonl"
        self.last = path / "checkpoints" / "last.safetensors"
        self.best = path / "checkpoints" / "best.safetensors"
        self.model = path / "model"
        self.logs = path / "tensorboard"

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.read_manifest().get("status") == "finished")

    def read_manifest(self) -> dict[str, Any]:
        """What the manifest says; empty where there is none yet.

        Raises:
            SensoriumError: when it is damaged.
        """
        if not self.manifest.exists():
            return {}
        try:
            content: dict[str, Any] = json.loads(self.manifest.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SensoriumError(
                f"{self.manifest} is damaged ({error}); delete it to go on, or start over with --fresh"
            ) from None
        if not isinstance(content, dict):
            raise SensoriumError(
                f"{self.manifest} is damaged (it holds no mapping); delete it to go on, or start over with "
                "--fresh"
            )
        return content

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process out for as long as this one lives, however it ends.

        Raises:
            SensoriumError: when another process has the folder, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise SensoriumError(
                f"{self.path}: the run folder cannot be written ({error.strerror})"
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SensoriumError(
                    f"{self.path}: another process is training in this folder: wait for it, or name "
                    "another folder with --runs"
                ) from None
            yield

    def refuse_another(self, recipe: Recipe) -> None:
        """Refuses to go on with another recipe than the folder's.

        Raises:
            SensoriumError: naming the first field that differs.
        """
        if not self.recipe.exists():
            return
        before = read_recipe(self.recipe)
        if before.digest() != recipe.digest():
            raise SensoriumError(
                f"{self.path} holds a run of another recipe ({_difference(before, recipe)}); "
                "give the recipe another name, or start over with --fresh"
            )

    def start(self, recipe: Recipe, fresh: bool) -> None:
        """Makes the folder ready, where `fresh` for a run from its beginning; an older model stays."""
        if fresh:
            for part in (self.path / "checkpoints", self.path / "steps", self.logs):
                shutil.rmtree(part, ignore_errors=True)
            others = (self.path / name for name in ("ladder.json", "learning_curves.svg"))
            for file in (self.recipe, self.manifest, self.history, self.quarantine, *others):
                file.unlink(missing_ok=True)
        for folder in (self.path / "checkpoints", self.model):
            for left in folder.glob(".tmp*"):  # by a kill in the middle of safetensors' writing
                left.unlink()
        if not self.recipe.exists():
            self._write(self.recipe, recipe.as_yaml())

    def remove_older_model(self) -> None:
        """Removes the model of the run before a fresh one, and what was measured of it."""
        for part in (self.model, self.path / "evaluation"):
            shutil.rmtree(part, ignore_errors=True)

    def write_manifest(self, content: dict[str, Any]) -> None:
        """Writes what the run was made of, and how far it came."""
        self._write(self.manifest, json.dumps(content, indent=2, ensure_ascii=False))

    def write_history(self, epochs: list[dict[str, Any]]) -> None:
        """One line of JSON an epoch."""
        self._write(self.history, "".join(json.dumps(epoch) + "\n" for epoch in epochs))

    def write_quarantine(self, cells: list[BadCell]) -> None:
        """One line of JSON for every cell that could not be read."""
        text = "".join(json.dumps(cell._asdict(), ensure_ascii=False) + "\n" for cell in cells)
        if not self.quarantine.exists() or text != self.quarantine.read_text(encoding="utf-8"):
            self._write(self.quarantine, text)

    def read_quarantine(self) -> list[BadCell]:
        """The cells that an earlier part of the run could not read.

        Raises:
            SensoriumError: when the file is damaged.
        """
        if not self.quarantine.exists():
            return []
        lines = self.quarantine.read_text(encoding="utf-8").split("\n")
        try:
            return [BadCell(**json.loads(line)) for line in lines if line]
        except (ValueError, TypeError):
            raise SensoriumError(
                f"{self.quarantine} is damaged; delete it to go on without the cells that it named, or "
                "start over with --fresh"
            ) from None

    def _write(self, path: Path, text: str) -> None:
        try:
            write_atomically(path, text)
        except OSError as error:
            raise SensoriumError(
                f"{path}: cannot be written ({error.strerror}); mend that, then the same command goes on"
            ) from None


@cache
def software() -> dict[str, str]:
    """The versions that decide a result."""
    versions = {"sensorium": sensorium.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file so that a reader sees the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _difference(before: Recipe, after: Recipe) -> str:
    """The first field in which two recipes differ."""
    old, new = _flat(before.identity()), _flat(after.identity())
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return (
        f"{changed[0]}: {old.get(changed[0])} → {new.get(changed[0])}"
        if changed
        else "the order of its fields"
    )


def _flat(content: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {path: content}
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat.update(_flat(value, f"{path}.{key}" if path else str(key)))
    return flat
