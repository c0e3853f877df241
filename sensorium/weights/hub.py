"""The hub of Hugging Face: its cache on this machine, and its downloads."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sensorium.errors import WeightsError, require
from sensorium.weights.checkpoint import INDEX

OFFLINE_VARIABLES = ("SENSORIUM_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Any of them set to 1 forbids the network; the command line's --offline sets the first two."""

DESCRIPTIONS = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "modules.json",
    "1_Pooling/config.json",
    "config_sentence_transformers.json",
    "README.md",
    INDEX,
)
"""What is fetched beside weights: descriptions, and the page that names the licence; no code, no pickles."""

_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?", re.ASCII)


class Offer(NamedTuple):
    """What the hub has of a checkpoint.

    Attributes:
        files: their names, in order.
        size: of them all, in bytes.
        licence: as its page says; "unknown" where it says nothing.
    """

    files: list[str]
    size: int
    licence: str


def is_offline() -> bool:
    """Whether the network may not be used."""
    return offline_by() != ""


def offline_by() -> str:
    """What forbids the network, as the user knows it: --offline, or a variable; "" where nothing does."""
    for name in OFFLINE_VARIABLES:
        if os.environ.get(name, "").lower() in ("1", "true", "yes", "on"):
            return "--offline" if name == OFFLINE_VARIABLES[0] else name
    return ""


def is_id(weights: str) -> bool:
    """Whether the words can be an id on the hub: `name`, `owner/name`, or either with `@revision`."""
    return _ID.fullmatch(weights) is not None


def cache_folder() -> Path:
    """The hub's cache, where huggingface_hub has it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(name):
            return Path(os.path.expandvars(folder)).expanduser()
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def cached(weights: str) -> Path | None:
    """The folder of an id's files in the cache, whole or in part; None where there is none.

    Args:
        weights: an id; without a revision it is that of refs/main.
    """
    name, _, revision = weights.partition("@")
    home = cache_folder() / f"models--{name.replace('/', '--')}"
    reference = home / "refs" / (revision or "main")
    try:
        commit = reference.read_text(encoding="ascii").strip() if reference.is_file() else revision
    except (OSError, ValueError) as error:
        raise WeightsError(f"{weights}: {reference} cannot be read ({error}); fetch it again") from None
    folder = home / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def cached_ids() -> list[str]:
    """The ids of all that the cache holds, by name."""
    return sorted(
        folder.name.removeprefix("models--").replace("--", "/") for folder in cache_folder().glob("models--*")
    )


def look_up(weights: str) -> Offer:
    """Asks the hub what would be fetched, before it is.

    Raises:
        WeightsError: without the network, for an unknown id, or where there are no safetensors.
    """
    from huggingface_hub import HfApi

    name, _, revision = weights.partition("@")
    with _errors(weights):
        info = HfApi().model_info(name, revision=revision or None, files_metadata=True, timeout=20)
    sizes = {one.rfilename: one.size or 0 for one in info.siblings or []}
    files = _wanted(list(sizes))
    if not any(one.endswith(".safetensors") for one in files):
        raise WeightsError(
            f"{weights}: the hub has it without .safetensors files, and pickles are not opened, as they can "
            "run code; take another checkpoint"
        )
    card: Any = info.card_data
    licence = (card.get("license") if card else None) or "unknown"
    return Offer(files, sum(sizes[one] for one in files), str(licence))


def fetch(weights: str, say: Callable[[str], None] | None = None) -> Path:
    """Brings a checkpoint into the hub's cache: descriptions and safetensors; what is there stays.

    Args:
        weights: an id.
        say: takes one line on what is fetched.

    Returns:
        The folder of its files.

    Raises:
        WeightsError: without the network, for an unknown id, or where it may not be fetched.
    """
    from huggingface_hub import snapshot_download

    offer = look_up(weights)
    if say:
        say(f"fetching {weights}: {offer.size / 2**20:,.0f} MB, licence {offer.licence}")
    name, _, revision = weights.partition("@")
    with _errors(weights):
        folder = snapshot_download(
            name, revision=revision or None, cache_dir=cache_folder(), allow_patterns=offer.files
        )
    return Path(folder)


def _wanted(names: list[str]) -> list[str]:
    """Descriptions, and the weights beside config.json: those of the index, or one file."""
    weights = [one for one in names if one.endswith(".safetensors") and "/" not in one]
    if INDEX in names:
        weights = [one for one in weights if re.fullmatch(r"model-\d+-of-\d+\.safetensors", one)] or weights
    elif "model.safetensors" in names:
        weights = ["model.safetensors"]
    return [one for one in DESCRIPTIONS if one in names] + weights


@contextmanager
def _errors(weights: str) -> Iterator[None]:
    """What the hub and the network answer, in the user's words."""
    errors = require("huggingface_hub.errors", "weights")
    name = weights.partition("@")[0]
    if is_offline():
        raise WeightsError(f"{weights} is not here, and the network is not used ({offline_by()})")
    try:
        yield
    except errors.GatedRepoError:
        raise WeightsError(
            f"{weights}: its owner asks for consent; give it on https://huggingface.co/{name}, "
            "then set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise WeightsError(f"{weights}: the hub has no such revision") from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise WeightsError(
            f"{weights}: the hub knows no such id, or it is private and needs HF_TOKEN"
        ) from None
    except (OSError, errors.HTTPError) as error:
        first = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise WeightsError(
            f"{weights} is not here, and the hub cannot be reached ({first}); "
            "name a folder beside the recipe, or fetch it where there is a network: "
            "sensorium weights RECIPE --fetch"
        ) from None
