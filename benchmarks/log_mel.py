"""Log-mel spectrograms: Sensorium's matrix products against torch.stft and the same bands.

    python -m benchmarks.log_mel --output benchmarks/results/log_mel.json

16 sounds of 3 s at 16 kHz, windows of 25 ms every 10 ms, 512 frequencies, 64 bands; made noise with tones.
Both are normalised over each sound, as the model sees them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.common import Cost, circumstances, cost, in_turns, parser, rates, report
from sensorium.batch import Raw
from sensorium.data.audio import AudioColumn, AudioConfig
from sensorium.encoders.spectrogram import FLOOR, LogMel, LogMelConfig, normalise
from sensorium.training.machine import keep_freed_memory

RATE = 16_000
BASE = "torch.stft, fp32"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures both ways, and how far they differ."""
    options = parser(__doc__ or "", repeats=9)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args(arguments)
    began = circumstances()
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()  # as in training
    rows, times = (2, 1) if chosen.smoke else (16, 20)
    raw = sounds(rows, seconds=3)
    module = LogMel(LogMelConfig(), AudioColumn(AudioConfig(rate=RATE, seconds=3)))
    ways: dict[str, Callable[[], Tensor]] = {
        BASE: lambda: with_stft(module, raw),
        "Sensorium, fp32": lambda: module(raw)[0],
        "Sensorium, bf16 autocast": lambda: in_bf16(module, raw),
    }
    costs = in_turns({name: partial(_timed, way, times) for name, way in ways.items()}, chosen.repeats)
    exact = with_stft(module.double(), Raw(raw.values.double(), raw.mask)).float()
    module.float()
    notes = {f"difference of {name} from float64": difference(way(), exact) for name, way in ways.items()}
    table = rates(costs, rows * times, BASE)
    content = {"tables": {"log-mel, sounds": table}, "bases": {"log-mel, sounds": BASE}, "notes": notes}
    report("log_mel", content | {"costs": costs}, chosen.output, began)


def _timed(way: Callable[[], Tensor], times: int) -> Cost:
    return cost(lambda: [way() for _ in range(times)])


def sounds(rows: int, seconds: int) -> Raw:
    """Noise with a tone of its own in each row."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(seconds * RATE) / RATE
    tones = torch.stack([torch.sin(2 * math.pi * 200 * (row + 1) * time) for row in range(rows)])
    values = 0.1 * tones + 0.02 * torch.randn(rows, len(time), generator=generator)
    return Raw(values, torch.ones(values.shape, dtype=torch.bool))


def with_stft(module: LogMel, raw: Raw) -> Tensor:
    """What `LogMel` computes, by the fast Fourier transform."""
    size = module.transform.shape[1] - 2
    window = torch.hann_window(module.window, dtype=raw.values.dtype)
    total = module.frames(raw.values.shape[1])
    reach = (total - 1) * module.hop + module.window
    # torch.stft sets the window in the middle of `size` samples; padded so, the frames are the same.
    before = (size - module.window) // 2
    after = size - module.window - before
    samples = torch.nn.functional.pad(raw.values, (before, reach - raw.values.shape[1] + after))
    spectrum = torch.stft(
        samples, size, module.hop, module.window, window / window.sum(), center=False, return_complex=True
    )
    power = torch.view_as_real(spectrum).square().sum(dim=-1)
    bands = module.bands[: size // 2 + 1]
    values = (power.transpose(1, 2) @ bands).clamp(min=FLOOR).log()
    return normalise(values, torch.ones(values.shape[:2], dtype=torch.bool))


def in_bf16(module: LogMel, raw: Raw) -> Tensor:
    """As in training on a CPU that multiplies bf16."""
    with torch.autocast("cpu", torch.bfloat16):
        values: Tensor = module(raw)[0]
    return values


def difference(own: Tensor, exact: Tensor) -> dict[str, float]:
    """In units of a sound's standard deviation over frames and bands."""
    error = (own - exact).abs()
    return {"largest": float(f"{error.max():.2g}"), "mean": float(f"{error.mean():.2g}")}


if __name__ == "__main__":
    main()
