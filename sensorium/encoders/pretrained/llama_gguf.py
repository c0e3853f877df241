"""A language model of Llama's architecture out of a GGUF file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sensorium.encoders.pretrained.expected import check_tensors
from sensorium.errors import WeightsError, require

_NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""A layer in the file → transformers' name."""


def read_llama(path: Path, config: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of a Llama, float16, under the names that they have on the hub.

    What was quantised is unpacked; float16 rounds a number of 4 bits far less than the 4 bits did.

    Args:
        path: a .gguf.
        config: of the same model, as transformers has it.

    Raises:
        WeightsError: when the file is damaged, or does not fit the configuration.
        MissingPackage: without gguf.
    """
    gguf = require("gguf", "weights")
    try:
        reader = gguf.GGUFReader(path)
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise WeightsError(f"{path} is no GGUF file, or is cut short ({error})") from None
    tensors = {}
    for tensor in reader.tensors:
        name = _name(tensor.name, path)
        values = torch.tensor(gguf.dequantize(tensor.data, tensor.tensor_type), dtype=torch.float16)
        tensors[name] = _in_halves(values, _heads(name, config))
    check_tensors(tensors, "LlamaForCausalLM", config, path)
    return tensors


def _name(name: str, path: Path) -> str:
    """`blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`."""
    parts = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.weight", name)
    if parts is None or parts[2] not in _NAMES:
        raise WeightsError(f"{path}: {name} is no tensor of a Llama that is known")
    layer = "" if parts[1] is None else f"layers.{parts[1]}."
    return f"model.{layer}{_NAMES[parts[2]]}.weight"


def _heads(name: str, config: dict[str, Any]) -> int:
    """Number of heads whose rotary pairs stand side by side in the file; 0 for another tensor."""
    if ".q_proj." in name:
        return int(config["num_attention_heads"])
    return int(config["num_key_value_heads"]) if ".k_proj." in name else 0


def _in_halves(values: Tensor, heads: int) -> Tensor:
    """GGUF turns the pairs (0, 1), (2, 3), ... of a head, transformers i and i + half: rows change places."""
    if heads == 0:
        return values
    return values.reshape(heads, -1, 2, values.shape[1]).transpose(1, 2).reshape_as(values)
