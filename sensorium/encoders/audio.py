"""Sound: log-mel spectrogram → convolutions, recurrence or attention over time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Raw, Tokens, where_real
from sensorium.config import Config
from sensorium.encoders.spectrogram import LogMel, LogMelConfig, MaskConfig, SpecMask
from sensorium.layers import (
    MaskedBatchNorm,
    Recurrent,
    Transformer,
    check_heads,
    initialise_convolutions,
    sinusoidal_positions,
)

if TYPE_CHECKING:
    from sensorium.data.audio import AudioColumn


class SpectrumConfig(Config):
    """What every encoder of a spectrogram can be told."""

    log_mel: LogMelConfig = Field(default_factory=LogMelConfig, description="the spectrogram")
    masks: MaskConfig = Field(default_factory=MaskConfig, description="what training hides (SpecAugment)")
    dropout: float = Field(0.2, description="share of values dropped in training", ge=0, lt=1)


class Spectrum(nn.Module):
    """Log-mel with training's masks, its length brought to a multiple of `step` frames."""

    def __init__(self, config: SpectrumConfig, column: AudioColumn, step: int) -> None:
        super().__init__()
        self.log_mel = LogMel(config.log_mel, column)
        self.masks = SpecMask(config.masks)
        self.step = step

    def forward(self, raw: Raw) -> tuple[Tensor, Tensor]:
        """Samples → values `(B, T, mels)`, T a multiple of `step`, and mask `(B, T / step)`, true for every
        step that holds a real frame."""
        values, mask = self.log_mel(raw)
        values = self.masks(values, mask)
        extra = -values.shape[1] % self.step
        mask = functional.pad(mask, (0, extra))[:, :: self.step]
        return functional.pad(values, (0, 0, 0, extra)), mask


class CNNAudioConfig(SpectrumConfig):
    """Convolutions over the spectrogram as if it were a picture."""

    kind: Literal["cnn"] = "cnn"
    channels: list[Annotated[int, Field(ge=1)]] = Field(
        [32, 64, 128], description="filters of each block; each halves time and bands", min_length=1
    )
    norm: Literal["batch", "none"] = Field("batch", description="normalisation in each block")
    dense: int = Field(128, description="width of a token", ge=1)


class CNNAudio(nn.Module):
    """Convolutional network over the log-mel spectrogram → tokens over time; `dim` is `dense`.

    The first block halves by its stride (its output would be the largest array of the network), the others
    by max-pooling before ReLU; a dense layer then joins the bands of each moment. With the defaults a token
    covers 80 ms. Frames of padding are zero before every layer and left out of the normalisation.
    """

    Config = CNNAudioConfig

    def __init__(self, config: CNNAudioConfig, column: AudioColumn) -> None:
        super().__init__()
        self.spectrum = Spectrum(config, column, step=1 << len(config.channels))
        inputs = [1, *config.channels[:-1]]
        self.blocks = nn.ModuleList(
            _Block(size, channels, first=number == 0, norm=config.norm == "batch")
            for number, (size, channels) in enumerate(zip(inputs, config.channels, strict=True))
        )
        bands = math.ceil(config.log_mel.mels / (1 << len(config.channels)))
        self.dense = nn.Linear(config.channels[-1] * bands, config.dense)
        self.dropout = nn.Dropout(config.dropout)
        self.dim = config.dense
        initialise_convolutions(self.blocks)

    def forward(self, raw: Raw) -> Tokens:
        """Samples `(B, S)` float32 → `(B, T, dim)`."""
        values, mask = self.spectrum(raw)
        values = functional.pad(values, (0, -values.shape[2] % self.spectrum.step)).unsqueeze(1)
        for block in self.blocks:
            values = block(values, mask.repeat_interleave(values.shape[2] // 2 // mask.shape[1], dim=1))
        values = self.dense(values.permute(0, 2, 3, 1).flatten(2)).relu()
        return Tokens(self.dropout(where_real(values, mask)), mask)


class _Block(nn.Module):
    """Convolution, halving, normalisation, ReLU; zero in the padding."""

    def __init__(self, inputs: int, channels: int, first: bool, norm: bool) -> None:
        super().__init__()
        kernel, stride = (5, 2) if first else (3, 1)
        self.convolution = nn.Conv2d(inputs, channels, kernel, stride, padding=kernel // 2, bias=not norm)
        self.pool = nn.Identity() if first else nn.MaxPool2d(2)
        self.norm = MaskedBatchNorm(channels) if norm else None

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """`(N, C, T, M)` and the mask `(N, T / 2)` of the result → `(N, C', T / 2, M / 2)`."""
        values = self.pool(self.convolution(values))
        if self.norm is not None:
            return functional.relu(self.norm(values, mask))
        return where_real(values.relu().transpose(1, 2), mask).transpose(1, 2)


class LSTMAudioConfig(SpectrumConfig):
    """Recurrence over the spectrogram."""

    kind: Literal["lstm"] = "lstm"
    stack: int = Field(4, description="frames read in one step", ge=1)
    hidden: int = Field(64, description="width of one direction's state", ge=1)
    layers: int = Field(1, description="recurrent layers", ge=1)
    bidirectional: bool = Field(True, description="read each sound in both directions")
    pool: Literal["tokens", "last"] = Field("tokens", description="every step's state, or the last state")


class LSTMAudio(nn.Module):
    """LSTM over stacked log-mel frames (Sak et al. 2015, arXiv 1507.06947), one token a step.

    `dim` is `hidden`, doubled when bidirectional. With the defaults a token covers 40 ms.
    """

    Config = LSTMAudioConfig

    def __init__(self, config: LSTMAudioConfig, column: AudioColumn) -> None:
        super().__init__()
        self.spectrum = Spectrum(config, column, step=config.stack)
        size = config.stack * config.log_mel.mels
        self.recurrent = Recurrent(
            "lstm", size, config.hidden, config.layers, config.bidirectional, config.dropout
        )
        self.dropout = nn.Dropout(config.dropout)
        self.pool = config.pool
        self.dim = self.recurrent.dim

    def forward(self, raw: Raw) -> Tokens:
        """Samples `(B, S)` float32 → `(B, T, dim)`, or `(B, 1, dim)` with `pool: last`."""
        values, mask = self.spectrum(raw)
        states = self.recurrent(values.reshape(*mask.shape, -1), mask)
        if self.pool == "last":
            return Tokens(self.dropout(self.recurrent.last(states, mask)).unsqueeze(1), mask[:, :1])
        return Tokens(self.dropout(states), mask)


class TransformerAudioConfig(SpectrumConfig):
    """Self-attention over the spectrogram; wants more rows than the others."""

    kind: Literal["transformer"] = "transformer"
    width: int = Field(128, description="width of a token; even, and a multiple of heads", ge=2)
    depth: int = Field(2, description="blocks", ge=1)
    heads: int = Field(4, description="attention heads", ge=1)

    @model_validator(mode="after")
    def _heads_share_width(self) -> Self:
        check_heads(self.width, self.heads)
        return self


class TransformerAudio(nn.Module):
    """Two strided convolutions over log-mel frames, sinusoidal positions, pre-norm Transformer.

    The front is that of Whisper (Radford et al. 2022, arXiv 2212.04356) with both convolutions strided;
    with the defaults a token covers 40 ms. `dim` is `width`.
    """

    Config = TransformerAudioConfig

    def __init__(self, config: TransformerAudioConfig, column: AudioColumn) -> None:
        super().__init__()
        self.spectrum = Spectrum(config, column, step=4)
        self.first = nn.Conv1d(config.log_mel.mels, config.width, 3, stride=2, padding=1)
        self.second = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        self.transformer = Transformer(config.width, config.depth, config.heads, config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.dim = config.width

    def forward(self, raw: Raw) -> Tokens:
        """Samples `(B, S)` float32 → `(B, T, dim)`."""
        values, mask = self.spectrum(raw)
        values = functional.gelu(self.first(values.transpose(1, 2))).transpose(1, 2)
        values = where_real(values, mask.repeat_interleave(2, dim=1))
        values = functional.gelu(self.second(values.transpose(1, 2))).transpose(1, 2)
        positions = sinusoidal_positions(values.shape[1], self.dim, values.device)
        return Tokens(self.transformer(self.dropout(values + positions), mask), mask)
