"""Llama's forward pass for writing: keys and values kept, weights merged and laid out for the machine.

The architecture is that of Touvron et al. 2023, arXiv:2302.13971, with grouped queries (Ainslie et al. 2023,
arXiv:2305.13245) and rotary positions (Su et al. 2021, arXiv:2104.09864).

Shapes: N texts, L new tokens, C tokens that there is room for, D width, V vocabulary, Q heads of queries,
K heads of keys and values, d numbers a head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, ops
from torch.nn import functional

from sensorium.encoders.pretrained.frozen import multiplies_bfloat16
from sensorium.encoders.pretrained.precision import LEAST_COSINE

Product = Callable[[Tensor], Tensor]
"""`(..., in)` → `(..., out)`: a matrix, laid out for the machine."""


_MULTIPLIED_AGAIN = 32
"""Tokens, the likeliest, whose logits are float32 whatever the weights are."""


def is_quick(config: Any) -> bool:
    """Whether an architecture is Llama as it is written here; transformers' own code runs the others.

    Args:
        config: as transformers has it.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    return bool(
        config.model_type == "llama"
        and rope.get("rope_type", "default") == "default"
        and config.hidden_act == "silu"
        and not getattr(config, "attention_bias", False)
        and not getattr(config, "mlp_bias", False)
    )


def quick_llama(config: Any, weights: Mapping[str, Tensor]) -> Llama:
    """A Llama in bfloat16, where this CPU multiplies that in hardware and the answers agree; else in float32.

    Args:
        config, weights: as for `Llama`.
    """
    plain = Llama(config, weights, torch.float32)
    if plain.vectors.device.type != "cpu" or not multiplies_bfloat16():
        return plain
    lowered = Llama(config, weights, torch.bfloat16)
    cosine = functional.cosine_similarity(_probed(lowered), _probed(plain), dim=1).min()
    return lowered if float(cosine) >= LEAST_COSINE else plain


@torch.no_grad()
def _probed(model: Llama) -> Tensor:
    """`(16, V)` logits after some tokens from all over the vocabulary."""
    ids = torch.arange(16).unsqueeze(0) * 997 % len(model.vectors)
    mask = torch.ones_like(ids, dtype=torch.bool)
    states, _ = model.read(model.embed(ids), model.begin(mask, 16))
    return model.logits(states)[0]


class _Layer(NamedTuple):
    queries_keys_values: Product
    attended: Product
    gate_and_up: Product
    down: Product


@dataclass(frozen=True)
class Memory:
    """What a text's tokens leave behind for those after them.

    Attributes:
        length: tokens kept.
        keys, values: of every layer `(N, K, C, d)`.
        mask: `(N, C)` bool, True where a token is real; beyond `length` it is True.
        count: `(N,)` int64, real tokens kept.
        gaps: whether some token kept is not real.
    """

    length: int
    keys: list[Tensor]
    values: list[Tensor]
    mask: Tensor
    count: Tensor
    gaps: bool

    def rows(self, index: Tensor) -> Memory:
        """The same for other texts."""
        return replace(
            self,
            keys=[one[index] for one in self.keys],
            values=[one[index] for one in self.values],
            mask=self.mask[index],
            count=self.count[index],
        )


def missing_weights(config: Any, weights: Mapping[str, Tensor]) -> bool:
    """Whether `Llama` needs weights that are not there; an output of its own may be tied to the vectors."""
    layers = {f"layers.{i}.{part}.weight" for i in range(config.num_hidden_layers) for part in _PARTS}
    output = set() if config.tie_word_embeddings else {"lm_head.weight"}
    return not {"embed_tokens.weight", "norm.weight", *output, *layers} <= set(weights)


class Llama:
    """Weights of a Llama, which do not change any more.

    Norms are merged into the matrices after them, the three matrices of attention into one, and so are the
    gate and what it gates. The halves of a rotary pair lie side by side, as complex numbers do. What passes
    from layer to layer is float32; what is multiplied has the dtype of the weights.

    Args:
        config: as transformers has it.
        weights: by the names of transformers' LlamaModel; `lm_head.weight` where the output has its own.
        dtype: float32 or bfloat16.
    """

    def __init__(self, config: Any, weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.queries, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.head = getattr(config, "head_dim", None) or config.hidden_size // self.queries
        self.epsilon = config.rms_norm_eps
        self.layers = [self._layer(weights, f"layers.{i}.") for i in range(config.num_hidden_layers)]
        self.vectors = weights["embed_tokens.weight"].detach().to(dtype)
        output = weights.get("lm_head.weight", weights["embed_tokens.weight"])
        self.output_rows = (output.detach().float() * weights["norm.weight"].detach().float()).to(dtype)
        self.output = _product(self.output_rows, dtype)
        self.turns = _turns(config, self.head).to(self.vectors.device)

    @property
    def context(self) -> int:
        """Tokens that it can look at."""
        return len(self.turns)

    def embed(self, ids: Tensor) -> Tensor:
        """Ids of the checkpoint `(N, L)` → vectors `(N, L, D)` float32."""
        return functional.embedding(ids, self.vectors).float()

    def begin(self, mask: Tensor, room: int) -> Memory:
        """An empty memory.

        Args:
            mask: `(N, L)` bool, which of the first tokens are real.
            room: C, tokens that will be read and written.
        """
        shape = (len(mask), self.groups, room, self.head)
        whole = torch.ones(len(mask), room, dtype=torch.bool, device=mask.device)
        whole[:, : mask.shape[1]] = mask
        return Memory(
            0,
            [torch.empty(shape, dtype=self.dtype, device=mask.device) for _ in self.layers],
            [torch.empty(shape, dtype=self.dtype, device=mask.device) for _ in self.layers],
            whole,
            torch.zeros(len(mask), dtype=torch.int64, device=mask.device),
            not bool(mask.all()),
        )

    def read(self, vectors: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Further tokens `(N, L, D)` → states `(N, L, D)` before the last norm, and the memory after them.

        The memory is filled in place: the one that is given must not be used again.
        """
        end = memory.length + vectors.shape[1]
        real = memory.mask[:, memory.length : end]
        places = (memory.count[:, None] + real.cumsum(dim=1) - 1).clamp(min=0)
        turns = self.turns[places].unsqueeze(2)
        seen = _seen(memory, vectors.shape[1])
        states = vectors.float()
        for layer, keys, values in zip(self.layers, memory.keys, memory.values, strict=True):
            mixed = layer.queries_keys_values(self._even(states)).unflatten(-1, (-1, self.head))
            turned = _turn(mixed[:, :, : self.queries + self.groups], turns).to(self.dtype).transpose(1, 2)
            keys[:, :, memory.length : end] = turned[:, self.queries :]
            values[:, :, memory.length : end] = mixed[:, :, self.queries + self.groups :].transpose(1, 2)
            found = self._attend(turned[:, : self.queries], keys[:, :, :end], values[:, :, :end], seen)
            states = states + layer.attended(found)
            gate, up = layer.gate_and_up(self._even(states)).chunk(2, dim=-1)
            states = states + layer.down(functional.silu(gate) * up)
        return states, replace(memory, length=end, count=memory.count + real.sum(dim=1))

    def logits(self, states: Tensor) -> Tensor:
        """`(..., D)` states → `(..., V)` logits, float32.

        In bfloat16 a logit of 16 is rounded to eighths, so that likely tokens tie: they are made again.
        """
        even = self._even(states)
        logits = self.output(even).float()
        if self.dtype == torch.float32:
            return logits
        likely = logits.topk(min(_MULTIPLIED_AGAIN, logits.shape[-1]), dim=-1).indices
        exact = self.output_rows[likely].float() @ even.float().unsqueeze(-1)
        return logits.scatter(-1, likely, exact.squeeze(-1))

    def _even(self, states: Tensor) -> Tensor:
        """Root mean square of 1; the weights of the norm are in the matrix after it."""
        return functional.rms_norm(states, states.shape[-1:], None, self.epsilon).to(self.dtype)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor | None) -> Tensor:
        """Queries `(N, Q, L, d)` → `(N, L, Q · d)`.

        The Q / K queries that share keys stand one after another as tokens do: keys are not repeated.
        """
        texts, _, length, _ = queries.shape
        shared = queries.reshape(texts, self.groups, -1, self.head)
        if seen is not None:
            seen = seen.repeat(1, 1, self.queries // self.groups, 1)
        found = functional.scaled_dot_product_attention(shared, keys, values, attn_mask=seen)
        found = found.view(texts, self.queries, length, self.head)
        return found.transpose(1, 2).flatten(2)

    def _layer(self, weights: Mapping[str, Tensor], name: str) -> _Layer:
        own = {key: weights[f"{name}{key}.weight"].detach().float() for key in _PARTS}
        sides = [
            _side_by_side(own["self_attn.q_proj"], self.head),
            _side_by_side(own["self_attn.k_proj"], self.head),
            own["self_attn.v_proj"],
        ]
        inner = torch.cat([own["mlp.gate_proj"], own["mlp.up_proj"]])
        return _Layer(
            _product(torch.cat(sides) * own["input_layernorm"], self.dtype),
            _product(own["self_attn.o_proj"], self.dtype),
            _product(inner * own["post_attention_layernorm"], self.dtype),
            _product(own["mlp.down_proj"], self.dtype),
        )


_PARTS = (
    *("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
    *("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm"),
)


def _product(weight: Tensor, dtype: torch.dtype) -> Product:
    """A matrix `(out, in)` as a function; in bfloat16 on a CPU as oneDNN wants it."""
    weight = weight.to(dtype)
    if dtype != torch.bfloat16 or weight.device.type != "cpu":
        return lambda values: functional.linear(values, weight)
    packed = ops.mkldnn._reorder_linear_weight(weight, None)

    def multiplied(values: Tensor) -> Tensor:
        result: Tensor = ops.mkldnn._linear_pointwise(values, packed, None, "none", [], "")
        return result

    return multiplied


def _side_by_side(weight: Tensor, head: int) -> Tensor:
    """Rows of transformers, where i and i + d / 2 make a rotary pair, with each pair's rows side by side."""
    return weight.view(-1, 2, head // 2, weight.shape[1]).transpose(1, 2).reshape_as(weight)


def _turns(config: Any, head: int) -> Tensor:
    """`(context, d / 2)` complex numbers by which the pairs of a head are turned at every place."""
    theta = float(config.rope_parameters["rope_theta"])
    speeds = theta ** -(torch.arange(0, head, 2, dtype=torch.float32) / head)
    angles = torch.arange(config.max_position_embeddings, dtype=torch.float32)[:, None] * speeds
    return torch.polar(torch.ones_like(angles), angles)


def _turn(values: Tensor, turns: Tensor) -> Tensor:
    """`(N, L, heads, d)` turned by `(N, L, 1, d / 2)`, float32."""
    pairs = torch.view_as_complex(values.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(3)


def _seen(memory: Memory, length: int) -> Tensor | None:
    """`(N, 1, L, memory and L)` bool, which tokens each new one sees; None where it is all of them.

    A token that is not real sees itself, so that no softmax runs over nothing.
    """
    end = memory.length + length
    if length == 1 and not memory.gaps:
        return None
    place = torch.arange(end, device=memory.mask.device)
    new = place[memory.length :, None]
    seen = (place <= new) & memory.mask[:, None, :end] | (place == new)
    return seen.unsqueeze(1)
