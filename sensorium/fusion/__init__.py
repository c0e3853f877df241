"""Fusions: the tokens of all inputs → one `Fused`. To add one, write its module and one line below.

A fusion is made of its configuration, the names of the inputs with the widths D of their tokens, and the
names of the outputs: `Fusion(config, dims, outputs)`. It is called with `tokens`, input name → `Tokens` in
the order of `dims`, where the rows that lack an input hold its absent token; and with `present`, `(B, M)`
bool, which says what the rows really have. It gives a `Fused` and says its widths: `dim`, V, and `width`, H.
"""

from __future__ import annotations

from typing import Any

from sensorium.fusion.attention import Attention, Gated
from sensorium.fusion.bilinear import LowRank, TensorFusion
from sensorium.fusion.convolution import Convolution
from sensorium.fusion.decoupled import Decoupled
from sensorium.fusion.plain import Plain
from sensorium.fusion.simple import Concat, Late, Parallel, Product, Sum
from sensorium.fusion.transformer import Bottleneck, CrossAttention, TransformerFusion

FUSIONS: dict[str, type[Any]] = {
    "concat": Concat,
    "parallel": Parallel,
    "sum": Sum,
    "product": Product,
    "attention": Attention,
    "gated": Gated,
    "convolution": Convolution,
    "low_rank": LowRank,
    "tensor": TensorFusion,
    "cross_attention": CrossAttention,
    "transformer": TransformerFusion,
    "bottleneck": Bottleneck,
    "late": Late,
    "decoupled": Decoupled,
    "plain": Plain,
}
