"""Speech told from other noise by the small network of the package silero-vad (Silero Team 2021, MIT)."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sensorium.data.sound import Samples
from sensorium.data.voice_activity import Span, active_spans
from sensorium.errors import MissingPackage, WeightsError

RATE = 16000
"""Samples a second that the network hears, Hz."""
STEP, CONTEXT = 512, 64
"""Samples of a moment, and of the one before that are heard with it."""
_BEGINS, _GOES_ON = 0.5, 0.35
"""Probabilities at which speech begins, and down to which it goes on."""
_FILE = "silero_vad/data/silero_vad_16k.safetensors"


def silero_spans(samples: Samples, rate: int) -> list[Span]:
    """Spans in which somebody speaks.

    Args:
        samples: `(S,)` float32 in [-1, 1].
        rate: 16000.

    Raises:
        MissingPackage: without silero-vad. Nothing of it is imported or run: its weights alone are read.
        WeightsError: when the package has no weights that can be read.
    """
    model = SileroVAD()
    model.load_state_dict(_weights())
    with torch.inference_mode():
        chances = model(torch.from_numpy(samples)).tolist()
    speaks, active = False, []
    for chance in chances:
        speaks = chance >= (_GOES_ON if speaks else _BEGINS)
        active.append(speaks)
    return active_spans(np.array(active, np.bool_), STEP / RATE, len(samples) / rate)


class SileroVAD(nn.Module):
    """Spectrum, four convolutions, an LSTM over the moments, and one probability of each."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, samples: Tensor) -> Tensor:
        """`(S,)` → `(⌈S / 512⌉,)`, the probability that somebody speaks in each moment."""
        padded = functional.pad(samples, (CONTEXT, -len(samples) % STEP))
        moments = padded.unfold(0, STEP + CONTEXT, STEP).unsqueeze(1)
        parts = self.stft_conv(functional.pad(moments, (0, 64), mode="reflect"))
        values = (parts[:, :129].square() + parts[:, 129:].square()).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            values = layer(values).relu()
        state, chances = None, []
        for moment in values.squeeze(2):
            state = self.lstm_cell(moment.unsqueeze(0), state)
            chances.append(self.final_conv(state[0].relu().unsqueeze(2)).sigmoid().flatten())
        return torch.cat(chances)


def _weights() -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        path = Path(str(distribution("silero-vad").locate_file(_FILE)))
    except PackageNotFoundError:
        raise MissingPackage(
            "silero-vad is not installed and is needed here: pip install --no-deps silero-vad, "
            "or take the detector loudness"
        ) from None
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read ({error}); pip install --no-deps silero-vad==6.2.3"
        ) from None
