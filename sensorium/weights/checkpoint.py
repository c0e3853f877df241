"""What a checkpoint's own files say: its architecture, how its inputs are prepared, and where its weights lie."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sensorium.errors import WeightsError


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as the hub lays one out.

    Attributes:
        name: as the recipe names it.
        config: the architecture (config.json).
        processor: how pictures, frames or sounds are prepared (preprocessor_config.json); empty for text.
        pooling: how tokens become one vector (1_Pooling/config.json); empty where nothing is said.
        tokenizer: the text of tokenizer.json; "" where there is none.
        files: the weights; empty where a saved model holds them.
        sha256: of the weights, where they are not in `files`.
    """

    name: str
    config: dict[str, Any]
    processor: dict[str, Any] = field(default_factory=dict)
    pooling: dict[str, Any] = field(default_factory=dict)
    tokenizer: str = ""
    files: tuple[Path, ...] = ()
    sha256: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, in hexadecimal: it names the features that were computed with them."""
        if not self.files:
            return self.sha256
        digest = hashlib.sha256()
        for path in self.files:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def state(self) -> dict[str, Any]:
        """What a saved model keeps beside the weights, as JSON types."""
        return {
            "name": self.name,
            "config": self.config,
            "processor": self.processor,
            "pooling": self.pooling,
            "tokenizer": self.tokenizer,
            "sha256": self.digest,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Checkpoint:
        """Takes back what `state` gave."""
        return cls(**state)


def read_checkpoint(folder: Path, name: str) -> Checkpoint:
    """Reads a folder as the hub lays one out; the weights themselves are not opened.

    Raises:
        WeightsError: when a file is missing or damaged.
    """
    files = tuple(sorted(folder.glob("*.safetensors")))
    if not files:
        raise WeightsError(f"{name}: {folder} holds no .safetensors file")
    tokenizer = folder / "tokenizer.json"
    return Checkpoint(
        name=name,
        config=_json(folder / "config.json", name),
        processor=_json(folder / "preprocessor_config.json", name, needed=False),
        pooling=_json(folder / "1_Pooling" / "config.json", name, needed=False),
        tokenizer=tokenizer.read_text(encoding="utf-8") if tokenizer.exists() else "",
        files=files,
    )


def _json(path: Path, name: str, needed: bool = True) -> dict[str, Any]:
    if not path.exists():
        if needed:
            raise WeightsError(f"{name}: {path} is missing; fetch the checkpoint again")
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise WeightsError(f"{name}: {path} is damaged ({error}); fetch the checkpoint again") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{name}: {path} is damaged (it holds no mapping); fetch the checkpoint again")
    return content
