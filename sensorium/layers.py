"""Blocks that several encoders and fusions share. Symbols: B rows, L length, D width, C channels."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import where_real


class Recurrent(nn.Module):
    """LSTM (Hochreiter and Schmidhuber 1997) or GRU (Cho et al. 2014, arXiv 1406.1078) over padded sequences.

    The backward direction reads each row from its own last real token, so padding changes nothing. Rows
    are reversed in place of `pack_padded_sequence`: the same result, 3 to 10 times as fast on a CPU
    (packing leaves oneDNN's fused layer and its bf16), and exportable.

    Args:
        cell: "lstm" or "gru".
        size: width of the input.
        hidden: width of one direction's state.
        layers: layers, one over the other.
        bidirectional: read both ways; the two states of a token are concatenated.
        dropout: share of values dropped between layers.
    """

    def __init__(
        self,
        cell: Literal["lstm", "gru"],
        size: int,
        hidden: int,
        layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        build = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.hidden = hidden
        self.dim = hidden * (2 if bidirectional else 1)
        sizes = [size] + [self.dim] * (layers - 1)
        self.ahead = nn.ModuleList(build(width, hidden, batch_first=True) for width in sizes)
        self.back = nn.ModuleList(
            build(width, hidden, batch_first=True) for width in (sizes if bidirectional else [])
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """`(B, L, size)`, `(B, L)` with each row's real tokens first → `(B, L, dim)`, zero in the padding."""
        reverse = reversed_index(mask)
        for number, ahead in enumerate(self.ahead):
            if number:
                values = self.dropout(values)
            outputs = [ahead(values)[0]]
            if self.back:
                outputs.append(_take(self.back[number](_take(values, reverse))[0], reverse))
            values = torch.cat(outputs, dim=-1)
        return where_real(values, mask)

    def last(self, values: Tensor, mask: Tensor) -> Tensor:
        """The state of each direction after its whole row: `forward`'s `(B, L, dim)` → `(B, dim)`."""
        final = (mask.sum(dim=1) - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, self.hidden)
        ahead = values[..., : self.hidden].gather(1, final).squeeze(1)
        return torch.cat([ahead, values[:, 0, self.hidden :]], dim=-1)


def reversed_index(mask: Tensor) -> Tensor:
    """`(B, L)` with each row's real tokens first → `(B, L)` int64 positions that reverse the real ones
    and leave the padding where it is; its own inverse."""
    position = torch.arange(mask.shape[1], device=mask.device)
    return torch.where(mask, mask.sum(dim=1, keepdim=True) - 1 - position, position)


def _take(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward layer, each after a layer norm and added to its input.

    Vaswani et al. 2017, arXiv 1706.03762, in the pre-norm form of Xiong et al. 2020, arXiv 2002.04745.

    Args:
        width: D, a multiple of `heads`.
        heads: attention heads.
        dropout: share of attention weights and of each branch's outputs dropped in training.
        expansion: inner width of the feed-forward layer, in multiples of `width`.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, expansion: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, expansion * width),
            nn.GELU(),
            nn.Linear(expansion * width, width),
            nn.Dropout(dropout),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` and the tokens that may be looked at, `(B, L)` or None for all → `(B, L, D)`.

        Every row needs at least one real token.
        """
        values = values + self._attention(self.attention_norm(values), mask)
        result: Tensor = values + self.feed_forward(values)
        return result

    def _attention(self, values: Tensor, mask: Tensor | None) -> Tensor:
        rows, length, width = values.shape
        queries, keys, contents = (
            self.projection(values)
            .view(rows, length, 3, self.heads, width // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        mixed = functional.scaled_dot_product_attention(
            queries,
            keys,
            contents,
            attn_mask=None if mask is None else mask[:, None, None, :],
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        result: Tensor = self.dropout(self.output(mixed.transpose(1, 2).reshape(rows, length, width)))
        return result


class Transformer(nn.Module):
    """Transformer blocks and a last layer norm (which pre-norm blocks need).

    Args:
        width, heads, dropout: as for `TransformerBlock`.
        depth: number of blocks.
    """

    def __init__(self, width: int, depth: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)`, `(B, L)` or None when all is real → `(B, L, D)`, zero in the padding."""
        for block in self.blocks:
            values = block(values, mask)
        values = self.norm(values)
        return values if mask is None else where_real(values, mask)


def check_heads(width: int, heads: int) -> None:
    """For the validators of configurations.

    Raises:
        ValueError: when `width` cannot be divided among the heads, or is odd, which positions forbid.
    """
    if width % heads or width % 2:
        raise ValueError(f"width {width} must be even and a multiple of heads ({heads})")


def sinusoidal_positions(length: int, width: int, device: torch.device | None = None) -> Tensor:
    """`(length, width)` float32: sine and cosine of the position at `width / 2` wavelengths from 2π to
    10,000 · 2π (Vaswani et al. 2017, arXiv 1706.03762, section 3.5). `width` is even."""
    frequency = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10_000.0) / width))
    angle = torch.arange(length, device=device).unsqueeze(1) * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv 1502.03167) that also takes a batch of one value
    per channel (one row, one place), where a variance is undefined: it then uses the running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        """`(B, C, H, W)` → the same shape."""
        if not self.training or input.numel() > input.shape[1]:
            return super().forward(input)
        return functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


class MaskedBatchNorm(BatchNorm2d):
    """Batch normalisation over the real moments alone.

    In training the real moments are first brought together: the statistics leave the padding out, no work
    is done for it, and both passes together are 3 times as fast on a CPU as normalising everything.
    """

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """`(B, C, T, M)` and the real moments `(B, T)` → `(B, C, T, M)`, zero in the padding."""
        if not self.training:
            return where_real(super().forward(values).transpose(1, 2), mask).transpose(1, 2)
        rows, channels, moments, bands = values.shape
        flat = values.permute(0, 2, 3, 1).reshape(rows * moments, bands * channels)
        index = mask.flatten().nonzero().squeeze(1)
        real = super().forward(flat.index_select(0, index).view(-1, channels, 1, 1))
        flat = torch.zeros_like(flat, dtype=real.dtype).index_copy(0, index, real.view(len(index), -1))
        return flat.view(rows, moments, bands, channels).permute(0, 3, 1, 2)


def initialise_convolutions(module: nn.Module) -> None:
    """Weights as He et al. 2015, arXiv 1502.01852 (fan out, for ReLU), and zero biases, in channels-last
    order, which convolutions on a CPU and on tensor cores prefer."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
