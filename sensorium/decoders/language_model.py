"""A pretrained causal language model: what an answer is learned through, and what gives it its weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from sensorium.decoders.llama import is_quick, missing_weights, quick_llama
from sensorium.encoders.pretrained.backbone import load_causal, read_weights
from sensorium.encoders.pretrained.tune import merged_state
from sensorium.errors import WeightsError, require
from sensorium.weights import Checkpoint


class LanguageModel(nn.Module):
    """Vectors of tokens → states, and the matrix that turns states into logits; frozen until it is tuned.

    Shapes: N texts, L tokens, D width, V tokens of the checkpoint's vocabulary.

    Args:
        checkpoint: what to build; without files the weights are those that a saved model brings.

    Attributes:
        backbone: transformers' model without its output layer.
        output: the output layer; None where the vectors of tokens serve as one.
        width: D.
        context: tokens that it can look at.

    Raises:
        WeightsError: when the checkpoint is no causal language model, or its logits are not the product of
            states and a matrix alone.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        whole = load_causal(checkpoint)
        self.name = checkpoint.name
        self.config: Any = whole.config
        self.backbone: Any = whole.base_model
        tied = whole.get_output_embeddings().weight is whole.get_input_embeddings().weight
        self.output: nn.Module | None = None if tied else whole.get_output_embeddings()
        self.width = int(whole.get_input_embeddings().weight.shape[1])
        self.context = int(getattr(self.config, "max_position_embeddings", None) or 1_000_000)
        self._writer: Writer | None = None
        self._writer_of: tuple[tuple[int, int], ...] = ()
        if checkpoint.files:
            _check_logits(self, whole)

    @property
    def output_weight(self) -> Tensor:
        """`(V, D)`."""
        layer: Any = self.output if self.output is not None else self.backbone.get_input_embeddings()
        weight: Tensor = layer.weight
        return weight

    def embed(self, ids: Tensor) -> Tensor:
        """Ids of the checkpoint `(N, L)` → vectors `(N, L, D)`."""
        vectors: Tensor = self.backbone.get_input_embeddings()(ids)
        return vectors

    def states(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """`(N, L, D)` and which are real, `(N, L)` bool → states `(N, L, D)`; each sees those before it."""
        found: Tensor = self.backbone(
            inputs_embeds=vectors,
            attention_mask=mask.long(),
            position_ids=positions(mask),
            use_cache=False,
        ).last_hidden_state
        return found

    def writer(self) -> Writer:
        """What writes with the weights as they are now; made anew where they have changed since."""
        now = tuple((id(one), one._version) for one in self.parameters())
        if self._writer is None or self._writer_of != now:
            self._writer, self._writer_of = self._new_writer(), now
        return self._writer

    def _new_writer(self) -> Writer:
        if not is_quick(self.config):
            return TransformersWriter(self)
        weights = merged_state(self.backbone)
        if self.output is not None:
            weights["lm_head.weight"] = self.output_weight
        return quick_llama(self.config, weights)


def open_writer(checkpoint: Checkpoint) -> Writer:
    """A language model that is only to write, from the files of its checkpoint.

    Raises:
        WeightsError: when it is none, or its files are damaged.
    """
    if checkpoint.config.get("model_type") == "llama":
        config = require("transformers", "weights").LlamaConfig(**checkpoint.config)
        weights = {name.removeprefix("model."): one for name, one in read_weights(checkpoint).items()}
        if is_quick(config) and not missing_weights(config, weights):
            return quick_llama(config, weights)
    return LanguageModel(checkpoint).writer()


class Writer(Protocol):
    """What reads tokens and says which may follow, remembering those before."""

    @property
    def context(self) -> int:
        """Tokens that it can look at."""

    def embed(self, ids: Tensor) -> Tensor:
        """Ids of the checkpoint `(N, L)` → vectors `(N, L, D)`."""

    def begin(self, mask: Tensor, room: int) -> Any:
        """An empty memory, which is a `State`.

        Args:
            mask: `(N, L)` bool, which of the first tokens are real.
            room: tokens that will be read and written in all.
        """

    def read(self, vectors: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """Further tokens `(N, L, D)` → their states `(N, L, D)`, and the memory after them."""

    def logits(self, states: Tensor) -> Tensor:
        """`(..., D)` → `(..., V)` float32."""


@dataclass(frozen=True)
class CacheMemory:
    """The memory of `TransformersWriter`.

    Attributes:
        cache: transformers' own keys and values.
        mask: `(N, C)` bool, True where a token is real, and from `length` on.
        length: tokens read.
    """

    cache: Any
    mask: Tensor
    length: int

    def rows(self, index: Tensor) -> CacheMemory:
        """The same for other texts."""
        cache = copy.copy(self.cache)
        cache.layers = [copy.copy(layer) for layer in cache.layers]
        cache.batch_select_indices(index)
        return replace(self, cache=cache, mask=self.mask[index])


class TransformersWriter:
    """Writes with transformers' own code, for every architecture that it has.

    Args:
        model: whose weights are used.
    """

    def __init__(self, model: LanguageModel) -> None:
        # The model keeps its writer, and a module inside a module would be saved twice.
        self._embed, self._backbone, self._output = model.embed, model.backbone, model.output_weight
        self.context = model.context

    def embed(self, ids: Tensor) -> Tensor:
        """See `Writer`."""
        return self._embed(ids)

    def begin(self, mask: Tensor, room: int) -> CacheMemory:
        """See `Writer`."""
        cache = require("transformers", "weights").DynamicCache(config=self._backbone.config)
        whole = torch.ones(len(mask), room, dtype=torch.bool, device=mask.device)
        whole[:, : mask.shape[1]] = mask
        return CacheMemory(cache, whole, 0)

    def read(self, vectors: Tensor, memory: CacheMemory) -> tuple[Tensor, CacheMemory]:
        """See `Writer`; the cache is filled in place."""
        end = memory.length + vectors.shape[1]
        mask = memory.mask[:, :end]
        found = self._backbone(
            inputs_embeds=vectors,
            attention_mask=mask.long(),
            position_ids=positions(mask)[:, memory.length :],
            cache=memory.cache,
            use_cache=True,
        )
        return found.last_hidden_state, replace(memory, length=end)

    def logits(self, states: Tensor) -> Tensor:
        """See `Writer`."""
        return functional.linear(states, self._output).float()


def positions(mask: Tensor) -> Tensor:
    """`(N, L)` bool → int64 places of the real tokens, counted without the others."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


@torch.no_grad()
def _check_logits(model: LanguageModel, whole: Any) -> None:
    """Refuses a model whose logits are more than a product: capped ones would be learned wrongly."""
    ids = torch.arange(4).unsqueeze(0)
    states = model.states(model.embed(ids), torch.ones_like(ids, dtype=torch.bool))
    if not torch.allclose(whole(ids).logits, functional.linear(states, model.output_weight), atol=1e-2):
        raise WeightsError(
            f"{model.name}: its logits (model_type {model.config.model_type}) are more than a product of "
            "states and a matrix, which this decoder does not know; name another checkpoint"
        )
