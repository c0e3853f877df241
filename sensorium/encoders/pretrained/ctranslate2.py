"""Whisper out of a CTranslate2 file."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensorium.data.column import Array
from sensorium.encoders.pretrained.expected import check_tensors
from sensorium.errors import WeightsError

_BINARY_VERSION = 6
_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}

_SETTINGS = re.compile(
    r"decoder/(activation|alibi|alignment_heads|alignment_layer|pre_norm|scale_embeddings"
    r"|start_from_zero_embedding)|(en|de)coder/num_heads"
)
"""Variables that repeat what the configuration says."""

_NAMES = (
    (r"^decoder/embeddings/weight$", "decoder.embed_tokens.weight"),
    (r"^(en|de)coder/position_encodings/encodings$", r"\1coder.embed_positions.weight"),
    (r"^(en|de)coder/layer_norm/", r"\1coder.layer_norm."),
    (r"^encoder/(conv[12])/", r"encoder.\1."),
    (r"^(en|de)coder/layer_(\d+)/", r"\1coder.layers.\2."),
    (r"\.ffn/layer_norm/", ".final_layer_norm."),
    (r"\.ffn/linear_0/", ".fc1."),
    (r"\.ffn/linear_1/", ".fc2."),
    (r"\.self_attention/layer_norm/", ".self_attn_layer_norm."),
    (r"\.attention/layer_norm/", ".encoder_attn_layer_norm."),
    (r"\.self_attention/", ".self_attn/"),
    (r"\.attention/", ".encoder_attn/"),
    (r"gamma$", "weight"),
    (r"beta$", "bias"),
)
"""A name of the file becomes transformers' by all of these, one after the other."""

# CTranslate2 stacks projections of one input: of itself (query, key, value), of the encoder (key, value).
_STACKED = {
    "self_attn/linear_0": ("q_proj", "k_proj", "v_proj"),
    "self_attn/linear_1": ("out_proj",),
    "encoder_attn/linear_0": ("q_proj",),
    "encoder_attn/linear_1": ("k_proj", "v_proj"),
    "encoder_attn/linear_2": ("out_proj",),
}


def read_whisper(path: Path, config: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of Whisper, in the file's dtype and under the names that they have on the hub.

    Args:
        path: model.bin of a converted Whisper.
        config: of the same Whisper, as transformers has it.

    Raises:
        WeightsError: when the file is damaged, or does not fit the configuration.
    """
    tensors: dict[str, Tensor] = {}
    for name, array in read_variables(path).items():
        if not _SETTINGS.fullmatch(name):
            tensors |= _renamed(name, torch.from_numpy(array.copy()))
    check_tensors(tensors, "WhisperForConditionalGeneration", config, path)
    return tensors


def read_variables(path: Path) -> dict[str, Array]:
    """Name → array, of a CTranslate2 file of binary version 6, as its `model_spec.py` writes one.

    Raises:
        WeightsError: when the file is cut short, or is of another kind or version.
    """
    try:
        return _Reader(path.read_bytes()).variables()
    except (struct.error, KeyError, UnicodeDecodeError, ValueError) as error:
        raise WeightsError(f"{path} is no CTranslate2 file of version {_BINARY_VERSION} ({error})") from None


class _Reader:
    """Reads the fields of a file in their order, little-endian."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.offset = 0

    def variables(self) -> dict[str, Array]:
        """All of the file; bytes too few or too many are an error."""
        if self._number("I") != _BINARY_VERSION:
            raise ValueError("another version")
        self._text(), self._number("I")  # the name and the revision of the specification
        variables = dict(self._variable() for _ in range(self._number("I")))
        for _ in range(self._number("I")):
            self._text(), self._text()  # another name for a variable: the tied projection
        if self.offset != len(self.content):
            raise ValueError("bytes are left over")
        return variables

    def _variable(self) -> tuple[str, Array]:
        name = self._text()
        shape = [self._number("I") for _ in range(self._number("B"))]
        dtype = _DTYPES[self._number("B")]
        return name, np.frombuffer(self._take(self._number("I")), dtype).reshape(shape)

    def _text(self) -> str:
        return self._take(self._number("H")).rstrip(b"\0").decode()

    def _number(self, kind: str) -> int:
        (number,) = struct.unpack(f"<{kind}", self._take(struct.calcsize(kind)))
        return int(number)

    def _take(self, size: int) -> bytes:
        taken = self.content[self.offset : self.offset + size]
        if len(taken) < size:
            raise ValueError("it is cut short")
        self.offset += size
        return taken


def _renamed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """A variable as the parameters of the hub that it holds.

    A key projection of Whisper has no bias; where projections are stacked CTranslate2 writes zeros for it.
    """
    for pattern, other in _NAMES:
        name = re.sub(pattern, other, name)
    for stacked, parts in _STACKED.items():
        before, found, kind = name.partition(f".{stacked}/")
        if found:
            module = f"model.{before}.{stacked.partition('/')[0]}"
            pieces = zip(parts, tensor.chunk(len(parts)), strict=True)
            return {
                f"{module}.{part}.{kind}": piece.clone()
                for part, piece in pieces
                if (part, kind) != ("k_proj", "bias")
            }
    return {f"model.{name}": tensor}
