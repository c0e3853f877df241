"""The sizes of a Llama, as its config.json says them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Shape(NamedTuple):
    """The sizes of a Llama.

    Attributes:
        layers: how many.
        queries: Q.
        groups: K.
        head: d.
        epsilon: of the norms.
        theta: the base of the rotary positions.
        context: tokens that it can look at.
        tied: whether the vectors of tokens serve as output layer.
    """

    layers: int
    queries: int
    groups: int
    head: int
    epsilon: float
    theta: float
    context: int
    tied: bool


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """The sizes that a config.json says; None where it is no Llama as it is written here.

    transformers' own code runs the others. What is not said is as transformers has it.
    """
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    plain = rope.get("rope_type", rope.get("type", "default")) == "default"
    biased = config.get("attention_bias") or config.get("mlp_bias")
    if (
        config.get("model_type") != "llama"
        or config.get("hidden_act", "silu") != "silu"
        or biased
        or not plain
    ):
        return None
    queries = int(config.get("num_attention_heads", 32))
    return Shape(
        layers=int(config.get("num_hidden_layers", 32)),
        queries=queries,
        groups=int(config.get("num_key_value_heads") or queries),
        head=int(config.get("head_dim") or int(config.get("hidden_size", 4096)) // queries),
        epsilon=float(config.get("rms_norm_eps", 1e-6)),
        theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0),
        context=int(config.get("max_position_embeddings", 2048)),
        tied=bool(config.get("tie_word_embeddings", False)),
    )
