"""A head that speaks: tokens last as long as they say, and become the frames of a spectrogram.

A proof that the contract of a head carries sound, kept small; not part of the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Fused, Raw, where_real
from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile, Recognised
from sensorium.heads.head import Head, HeadConfig


class MelColumn(Column):
    """Mel spectrograms `(B, T, mels)` float32, mask `(B, T)`."""

    Config = ColumnConfig
    mels: int = 0

    @classmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        return None

    def fit(self, cells: Any) -> None:
        self.mels = int(np.shape(next(iter(cells)))[1])

    def decode(self, cell: Any) -> Array:
        return np.asarray(cell, dtype=np.float32)

    def collate(self, cells: Sequence[Array | None]) -> Cells:
        longest = max((len(cell) for cell in cells if cell is not None), default=1)
        values = np.zeros((len(cells), longest, self.mels), dtype=np.float32)
        mask = np.zeros((len(cells), longest), dtype=np.bool_)
        for row, cell in enumerate(cells):
            if cell is not None:
                values[row, : len(cell)], mask[row, : len(cell)] = cell, True
        return Cells(values, mask)

    def state(self) -> dict[str, Any]:
        return {"mels": self.mels}

    def load_state(self, state: dict[str, Any]) -> None:
        self.mels = int(state["mels"])


class SpeechHeadConfig(HeadConfig):
    """Speech out, as a mel spectrogram."""

    type: Literal["speech"] = Field("speech", description="type of output")
    frames: int = Field(32, ge=1, description="frames given at most")
    states: int = Field(64, ge=1, description="width of the decoder")
    sharpness: float = Field(2.0, gt=0, description="how fast a token fades beyond its own frames")


class SpeechHead(Head):
    """Durations and Gaussian upsampling (Shen et al. 2020, arXiv:2010.04301), without true durations.

    The durations of a row are trained to sum up to its number of frames; over many rows only one duration
    a symbol fits.
    """

    Config = SpeechHeadConfig
    metric: ClassVar[str] = "mel_error"
    metric_goal: ClassVar[Literal["max", "min"]] = "min"

    @classmethod
    def target(cls, config: SpeechHeadConfig) -> MelColumn:
        return MelColumn()

    def __init__(self, config: SpeechHeadConfig, column: MelColumn, dim: int, width: int) -> None:
        super().__init__()
        self.config, self.mels = config, column.mels
        self.duration = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        self.decoder = nn.Sequential(
            nn.Linear(width + 4, config.states),
            nn.ReLU(),
            nn.Linear(config.states, config.states),
            nn.ReLU(),
            nn.Linear(config.states, column.mels),
        )

    def forward(self, fused: Fused, frames: int | None = None) -> tuple[Tensor, Tensor]:
        """Spectrogram `(B, T, mels)` and durations `(B, L)` in frames; T is `frames`, or the most."""
        durations = where_real(
            functional.softplus(self.duration(fused.tokens).float().squeeze(2)), fused.mask
        )
        middles = durations.cumsum(dim=1) - durations / 2
        moments = torch.arange(frames or self.config.frames, device=durations.device) + 0.5
        away = moments[None, :, None] - middles[:, None, :]  # (B, T, L)
        # a token's own frames lie within half its duration: there the score falls from 0 to -sharpness / 4
        scores = -self.config.sharpness * (away / durations.clamp(min=0.1).unsqueeze(1)).square()
        scores = scores.masked_fill(~fused.mask.unsqueeze(1), torch.finfo(scores.dtype).min)
        share = scores.softmax(dim=-1)
        place = (share * away.clamp(-8, 8)).sum(dim=-1, keepdim=True)
        waves = torch.cat([torch.sin(place), torch.cos(place), torch.sin(2 * place), place / 4], dim=-1)
        return self.decoder(torch.cat([share @ fused.tokens.float(), waves], dim=-1)), durations

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)`: mean absolute error over the frames, and the error of the length in frames a token."""
        spoken, durations = self.forward(fused, target.values.shape[1])
        length = target.mask.sum(dim=1)
        truth = where_real(target.values, target.mask)
        error = where_real((spoken.float() - truth).abs().mean(dim=2), target.mask).sum(dim=1)
        off = (durations.sum(dim=1) - length).abs() / fused.mask.sum(dim=1).clamp(min=1)
        loss = error / length.clamp(min=1) + off
        return torch.where(target.present, loss, torch.zeros_like(loss))

    @torch.no_grad()
    def predict(self, fused: Fused) -> dict[str, Tensor]:
        """`mel (B, frames, mels)` float32, zero from the end on; `length (B,)` int64 in frames."""
        spoken, durations = self.forward(fused)
        length = durations.sum(dim=1).round().long().clamp(1, self.config.frames)
        real = torch.arange(self.config.frames, device=length.device) < length.unsqueeze(1)
        return {"mel": where_real(spoken.float(), real), "length": length}

    def answers(self, predicted: dict[str, Array]) -> dict[str, list[Any] | Array]:
        """`prediction`: N spectrograms `(T, mels)`, each of its own length."""
        pairs = zip(predicted["mel"], predicted["length"], strict=True)
        return {"prediction": [mel[:length] for mel, length in pairs], "frames": predicted["length"]}

    def metrics(self, predicted: dict[str, Array], target: Cells) -> dict[str, float]:
        """mel_error: mean absolute error, silence beyond the shorter; length_error: in frames."""
        rows = self.scored(target)
        if not rows.any():
            return {"mel_error": float("nan"), "length_error": float("nan")}
        truth = np.where(target.mask[..., None], target.values, 0)[rows]
        frames = max(truth.shape[1], self.config.frames)
        true, said = (_longer(mel, frames) for mel in (truth, predicted["mel"][rows]))
        lengths = np.stack([target.mask[rows].sum(axis=1), predicted["length"][rows]])
        error = np.abs(true - said).mean(axis=2).sum(axis=1) / lengths.max(axis=0)
        return {
            "mel_error": float(error.mean()),
            "length_error": float(np.abs(np.diff(lengths, axis=0)).mean()),
        }


def _longer(mel: Array, frames: int) -> Array:
    return np.pad(mel, ((0, 0), (0, frames - mel.shape[1]), (0, 0)))
