"""Sound → attention for what lies far apart, convolution for what lies near: made for speech recognition."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Raw, Tokens, where_real
from sensorium.encoders.audio import Spectrum, SpectrumConfig
from sensorium.layers import check_heads, initialise_convolutions, sinusoidal_positions

if TYPE_CHECKING:
    from sensorium.data.audio import AudioColumn


class ConformerAudioConfig(SpectrumConfig):
    """Attention and convolution in turn, for speech recognition."""

    kind: Literal["conformer"] = "conformer"
    dropout: float = Field(0.1, description="share of values dropped in training", ge=0, lt=1)
    channels: int = Field(32, description="filters of the two convolutions over the spectrogram", ge=1)
    width: int = Field(144, description="width of a token; even, and a multiple of heads", ge=2)
    depth: int = Field(4, description="blocks", ge=1)
    heads: int = Field(4, description="attention heads", ge=1)
    kernel: int = Field(15, description="tokens that a convolution sees; odd", ge=3)

    @field_validator("kernel")
    @classmethod
    def _has_a_middle(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"kernel {value} must be odd")
        return value

    @model_validator(mode="after")
    def _heads_share_width(self) -> Self:
        check_heads(self.width, self.heads)
        return self


class ConformerAudio(nn.Module):
    """Conformer (Gulati et al. 2020, arXiv 2005.08100); `dim` is `width`.

    Positions are sinusoidal and added once, not relative; the convolution is normalised token by token, not
    over the batch, so that rows do not influence one another. With the defaults a token covers 40 ms.
    """

    Config = ConformerAudioConfig

    def __init__(self, config: ConformerAudioConfig, column: AudioColumn) -> None:
        super().__init__()
        self.spectrum = Spectrum(config, column, step=4)
        self.first = nn.Conv2d(1, config.channels, 3, stride=2, padding=1)
        self.second = nn.Conv2d(config.channels, config.channels, 3, stride=2, padding=1)
        self.dense = nn.Linear(config.channels * math.ceil(config.log_mel.mels / 4), config.width)
        self.blocks = nn.ModuleList(ConformerBlock(config) for _ in range(config.depth))
        self.dropout = nn.Dropout(config.dropout)
        self.dim = config.width
        initialise_convolutions(self.first)
        initialise_convolutions(self.second)

    def forward(self, raw: Raw) -> Tokens:
        """Samples `(B, S)` float32 → `(B, T, dim)`."""
        values, mask = self.spectrum(raw)
        values = self.first(values.unsqueeze(1)).relu().transpose(1, 2)
        values = where_real(values, mask.repeat_interleave(2, dim=1)).transpose(1, 2)
        values = self.second(values).relu().transpose(1, 2).flatten(2)
        values = self.dense(where_real(values, mask))
        values = self.dropout(values + sinusoidal_positions(values.shape[1], self.dim, values.device))
        for block in self.blocks:
            values = block(values, mask)
        return Tokens(where_real(values, mask), mask)


class ConformerBlock(nn.Module):
    """Half a feed-forward layer, attention, convolution, half a feed-forward layer, and a layer norm."""

    def __init__(self, config: ConformerAudioConfig) -> None:
        super().__init__()
        width = config.width
        self.before = feed_forward(width, config.dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, config.heads, config.dropout, batch_first=True)
        self.convolution = ConvolutionModule(width, config.kernel, config.dropout)
        self.after = feed_forward(width, config.dropout)
        self.dropout, self.norm = nn.Dropout(config.dropout), nn.LayerNorm(width)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """`(B, L, D)`, `(B, L)` → `(B, L, D)`."""
        values = values + 0.5 * self.before(values)
        own = self.attention_norm(values)
        seen, _ = self.attention(own, own, own, key_padding_mask=~mask, need_weights=False)
        values = values + self.dropout(seen)
        values = values + self.convolution(values, mask)
        result: Tensor = self.norm(values + 0.5 * self.after(values))
        return result


def feed_forward(width: int, dropout: float) -> nn.Sequential:
    """Layer norm, four times the width, SiLU, and back."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, 4 * width),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(4 * width, width),
        nn.Dropout(dropout),
    )


class ConvolutionModule(nn.Module):
    """A gated linear unit, a convolution of each number over time, SiLU, and a linear layer."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.gated = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.over_time = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.middle_norm, self.output = nn.LayerNorm(width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """`(B, L, D)`, `(B, L)` → `(B, L, D)`."""
        values = where_real(functional.glu(self.gated(self.norm(values))), mask)
        values = self.over_time(values.transpose(1, 2)).transpose(1, 2)
        result: Tensor = self.dropout(self.output(functional.silu(self.middle_norm(values))))
        return result
