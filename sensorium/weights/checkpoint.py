"""What a checkpoint's own files say: its architecture, how inputs are prepared, and where its weights lie."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sensorium.errors import WeightsError, require
from sensorium.weights.digest import file_digest
from sensorium.weights.safetensors_header import read_header

INDEX = "model.safetensors.index.json"
"""Names the file of every tensor, where weights are spread over several."""

_PROCESSORS = (
    ("preprocessor_config.json", ""),
    ("video_preprocessor_config.json", ""),
    ("processor_config.json", "image_processor"),
    ("processor_config.json", "feature_extractor"),
    ("processor_config.json", "video_processor"),
)
"""Files, and the field in them, that may say how pictures, frames or sounds are prepared; the last three are
of transformers 5, which writes what belongs together into one file."""
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as the hub lays one out.

    Attributes:
        name: as the recipe names it.
        config: the architecture (config.json).
        processor: how pictures, frames or sounds are prepared (preprocessor_config.json, or where
            transformers 5 writes it); empty for text.
        pooling: how tokens become one vector (1_Pooling/config.json); empty where nothing is said.
        tokenizer: the text of tokenizer.json; "" where there is none.
        prompts: what may stand in front of a text (config_sentence_transformers.json); empty where nothing
            is said.
        files: the weights; empty where a saved model holds them.
        chat_template: Jinja, which lays out the messages of a talk (chat_template.jinja); "" where there is
            none.
        sha256: what `digest` was when a model was saved, which holds the weights itself; "" before.
    """

    name: str
    config: dict[str, Any]
    processor: dict[str, Any] = field(default_factory=dict)
    pooling: dict[str, Any] = field(default_factory=dict)
    tokenizer: str = ""
    prompts: dict[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    chat_template: str = ""
    sha256: str = ""

    @cached_property
    def digest(self) -> str:
        """A sha256 over the weights and all that is said of them: one digest, one meaning of every cell.

        A file is read for it once (`file_digest`).

        Raises:
            OSError: when a file cannot be read.
        """
        if self.sha256:
            return self.sha256
        said = [self.config, self.processor, self.pooling, self.tokenizer, self.prompts]
        weights = [file_digest(path) for path in self.files]
        return hashlib.sha256(json.dumps([weights, said], sort_keys=True).encode()).hexdigest()

    def state(self) -> dict[str, Any]:
        """What a saved model keeps beside the weights, as JSON types."""
        return {
            "name": self.name,
            "config": self.config,
            "processor": self.processor,
            "pooling": self.pooling,
            "tokenizer": self.tokenizer,
            "prompts": self.prompts,
            "chat_template": self.chat_template,
            "sha256": self.digest,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Checkpoint:
        """Takes back what `state` gave."""
        return cls(**state)


def read_checkpoint(folder: Path, name: str) -> Checkpoint:
    """Reads a folder as the hub lays one out; of the weights, the headers alone.

    Args:
        folder: that holds config.json and the weights.
        name: of the checkpoint, as the recipe names it.

    Raises:
        WeightsError: when a file is missing or damaged, when there are pickles alone, or when the
            architecture is code that the checkpoint brings along.
    """
    _names(folder, name)  # a folder that is closed says so first
    config = read_description(folder / "config.json", name)
    _refuse_code(config, name)
    files = weights_files(folder, name)
    for path in files:
        read_header(path)
    return Checkpoint(
        name=name,
        config=config,
        processor=_processor(folder, name),
        pooling=read_description(folder / "1_Pooling" / "config.json", name, needed=False),
        tokenizer=read_tokenizer(folder / "tokenizer.json", name),
        prompts=_prompts(folder / "config_sentence_transformers.json", name),
        files=files,
        chat_template=_chat_template(folder, name),
    )


def _processor(folder: Path, name: str) -> dict[str, Any]:
    """What the first file of `_PROCESSORS` says that is there; empty without any."""
    for file, part in _PROCESSORS:
        content = read_description(folder / file, name, needed=False)
        said = content.get(part) if part else content
        if isinstance(said, dict) and said:
            return said
    return {}


def _prompts(path: Path, name: str) -> dict[str, Any]:
    """Of the file, the prompts and the name of the one that is used where none is asked for."""
    content = read_description(path, name, needed=False)
    return {key: content[key] for key in ("prompts", "default_prompt_name") if content.get(key)}


def _chat_template(folder: Path, name: str) -> str:
    """A file of its own, or a field of tokenizer_config.json: the template, or several with their names."""
    path = folder / "chat_template.jinja"
    try:
        if path.exists():
            return path.read_text(encoding="utf-8")
    except (ValueError, OSError) as error:
        raise WeightsError(f"{name}: {path} is damaged ({error}); fetch the checkpoint again") from None
    said = read_description(folder / "tokenizer_config.json", name, needed=False).get("chat_template")
    if isinstance(said, list):
        said = {one.get("name"): one.get("template") for one in said if isinstance(one, dict)}.get("default")
    return said if isinstance(said, str) else ""


def weights_files(folder: Path, name: str) -> tuple[Path, ...]:
    """The files of weights in a folder: those of the index, or model.safetensors, or the only one.

    Raises:
        WeightsError: when one is missing, when there is none, or when it is unclear which is meant.
    """
    names = _names(folder, name)
    chosen = [one for one in names if one.endswith(".safetensors")]
    if INDEX in names:
        chosen = _shards(folder, name)
    elif "model.safetensors" in chosen:
        chosen = ["model.safetensors"]
    if not chosen:
        raise WeightsError(_no_weights(folder, name, names))
    if len(chosen) > 1 and INDEX not in names:
        raise WeightsError(
            f"{name}: {folder} holds {', '.join(chosen[:3])} and no {INDEX}; "
            "name the file that is meant model.safetensors"
        )
    missing = [one for one in chosen if not (folder / one).is_file()]
    if missing:
        raise WeightsError(
            f"{name}: {folder} was fetched in part: {missing[0]} is missing"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}; fetch it again"
        )
    return tuple(folder / one for one in chosen)


def read_description(path: Path, name: str, needed: bool = True) -> dict[str, Any]:
    """A JSON file of a checkpoint; empty where it is missing and not needed.

    Raises:
        WeightsError: when it is missing and needed, or damaged.
    """
    if not path.exists():
        if needed:
            raise WeightsError(f"{name}: {path} is missing; fetch the checkpoint again")
        return {}
    content = _json(path, name)
    if not isinstance(content, dict):
        raise WeightsError(f"{name}: {path} is damaged (it holds no mapping); fetch the checkpoint again")
    return content


def read_tokenizer(path: Path, name: str) -> str:
    """The text of tokenizer.json; "" where there is none.

    Raises:
        WeightsError: when it is damaged.
    """
    if not path.exists():
        return ""
    _json(path, name)
    return path.read_text(encoding="utf-8")


def _names(folder: Path, name: str) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise WeightsError(f"{name}: {folder} cannot be read ({error.strerror})") from None


def _json(path: Path, name: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise WeightsError(f"{name}: {path} is damaged ({error}); fetch the checkpoint again") from None


def _shards(folder: Path, name: str) -> list[str]:
    """The names of files that an index gives; a name with a folder in it could lead anywhere."""
    places = read_description(folder / INDEX, name).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(one, str) for one in places.values()):
        raise WeightsError(f"{name}: {folder / INDEX} is damaged (no weight_map); fetch the checkpoint again")
    names = sorted(set(places.values()))
    for one in names:
        if Path(one).name != one or not one.endswith(".safetensors"):
            raise WeightsError(
                f"{name}: {folder / INDEX} names {one}, which is no .safetensors file beside it"
            )
    return names


def _no_weights(folder: Path, name: str, names: list[str]) -> str:
    pickled = [one for one in names if one.endswith(_PICKLED)]
    if pickled:
        return (
            f"{name}: {folder} holds its weights as {pickled[0]} alone, a pickle, which can run code when "
            "it is opened; take a checkpoint with .safetensors files"
        )
    return f"{name}: {folder} holds no .safetensors file; fetch the checkpoint again"


def _refuse_code(config: dict[str, Any], name: str) -> None:
    """An architecture of `auto_map` is Python that comes with the weights; it never runs."""
    if "auto_map" not in config:
        return
    known = require("transformers.models.auto.configuration_auto", "weights").CONFIG_MAPPING_NAMES
    if config.get("model_type") not in known:
        raise WeightsError(
            f"{name}: its architecture, {config.get('model_type')}, is code that comes with the weights, and "
            "is never run; take a checkpoint of an architecture that transformers knows"
        )
