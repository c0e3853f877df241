"""The log-mel spectrogram against torch.stft and against numbers worked out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from sensorium.batch import Raw
from sensorium.encoders.spectrogram import (
    FLOOR,
    LogMel,
    LogMelConfig,
    MaskConfig,
    SpecMask,
    fourier_matrix,
    mel_matrix,
    normalise,
)
from sensorium.errors import RecipeError


def log_mel(rate: int = 16000, **options: Any) -> LogMel:
    """A spectrogram of a column at this rate."""
    column: Any = SimpleNamespace(rate=rate)
    return LogMel(LogMelConfig(**options), column)


def whole(samples: Tensor) -> Raw:
    """Sounds without padding."""
    return Raw(samples, torch.ones_like(samples, dtype=torch.bool))


def test_it_equals_the_short_time_fourier_transform() -> None:
    torch.manual_seed(0)
    samples = torch.randn(2, 400 + 7 * 160)
    window = torch.hann_window(400, periodic=True)
    centre = (512 - 400) // 2  # torch.stft centres a short window in its transform; the power is the same
    padded = torch.nn.functional.pad(samples, (centre, 512 - 400 - centre))
    spectrum = torch.stft(padded, 512, 160, 400, window, center=False, return_complex=True)
    power = (spectrum.abs() / window.sum()).square().transpose(1, 2)
    reference = (power @ mel_matrix(16000, 512, 64, 20, 8000)).clamp(min=FLOOR).log()
    reference = reference - reference.mean(dim=(1, 2), keepdim=True)
    reference = reference / reference.square().mean(dim=(1, 2), keepdim=True).sqrt()

    values, mask = log_mel()(whole(samples))

    assert values.shape == (2, 8, 64)
    assert mask.all()
    torch.testing.assert_close(values, reference, atol=5e-3, rtol=0)


def test_a_full_scale_sine_has_a_quarter_of_power_in_its_bin() -> None:
    time = torch.arange(400, dtype=torch.float64) / 16000
    sine = torch.sin(2 * math.pi * 1000 * time).float()

    spectrum = sine @ fourier_matrix(400, 512)

    power = spectrum[:257].square() + spectrum[257:].square()
    assert power.argmax().item() == 32  # 1000 Hz / (16000 Hz / 512)
    assert power[32].item() == pytest.approx(0.25, abs=1e-4)


def test_the_highest_band_follows_the_pitch() -> None:
    time = torch.arange(8000) / 16000
    sines = torch.stack([torch.sin(2 * math.pi * pitch * time) for pitch in (200, 1000, 5000)])

    loudest = log_mel()(whole(sines))[0].mean(dim=1).argmax(dim=1).tolist()

    def mel(frequency: float) -> float:
        return 2595 * math.log10(1 + frequency / 700)

    step = (mel(8000) - mel(20)) / 65
    assert loudest == [pytest.approx((mel(pitch) - mel(20)) / step - 1, abs=1) for pitch in (200, 1000, 5000)]


def test_bands_are_triangles_of_height_one() -> None:
    # Edges in mel 0, 500, 1000 and 1500; the bins lie every 10 Hz.
    high = 700 * (10 ** (1500 / 2595) - 1)
    centre = 700 * (10 ** (500 / 2595) - 1)
    bands = mel_matrix(8000, 800, 2, 0.0, high)

    assert bands.shape == (401, 2)
    assert bands[30, 0].item() == pytest.approx(300 / centre)
    inside = bands.sum(dim=1)[math.ceil(centre / 10) : math.floor(700 * (10 ** (1000 / 2595) - 1) / 10)]
    assert inside.tolist() == pytest.approx([1.0] * len(inside))  # one falls as the next rises
    assert not bands[math.ceil(high / 10) :].any()


def test_no_band_is_empty() -> None:
    assert (mel_matrix(8000, 256, 128, 20.0, 4000.0).sum(dim=0) > 0).all()


@settings(max_examples=40)
@given(st.integers(1, 5000))
def test_frames_reach_the_end_and_not_one_further(samples: int) -> None:
    spectrogram = log_mel(8000)  # window 200, hop 80
    frames = spectrogram.frames(samples)

    mask = torch.arange(6000) < samples
    assert spectrogram(Raw(torch.zeros(1, 6000), mask.unsqueeze(0)))[1].sum() == frames
    assert frames >= 1
    assert (frames - 1) * 80 + 200 >= samples
    assert frames == 1 or (frames - 2) * 80 + 200 < samples


def test_a_sound_of_one_sample_has_one_frame() -> None:
    values, mask = log_mel()(whole(torch.tensor([[0.5]])))

    assert values.shape == (1, 1, 64)
    assert mask.tolist() == [[True]]
    assert values.isfinite().all()


def test_silence_is_nearly_zero() -> None:
    assert log_mel()(whole(torch.zeros(1, 4000)))[0].abs().max() < 0.01


def test_normalisation_counts_real_frames_alone() -> None:
    values = torch.tensor([[[1.0, 3.0], [5.0, 7.0], [900.0, float("nan")]]])

    result = normalise(values, torch.tensor([[True, True, False]]))

    deviation = math.sqrt((9 + 1 + 1 + 9) / 4)
    expected = [-3 / deviation, -1 / deviation, 1 / deviation, 3 / deviation, 0, 0]
    assert result.flatten().tolist() == pytest.approx(expected, rel=1e-3)


def test_power_stays_exact_in_half_precision() -> None:
    torch.manual_seed(0)
    raw = whole(torch.randn(1, 8000) / 10)
    spectrogram = log_mel()

    with torch.autocast("cpu", torch.bfloat16):
        half, _ = spectrogram(raw)

    assert half.dtype == torch.float32
    assert (half - spectrogram(raw)[0]).abs().mean() < 0.02


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(RecipeError, match="must lie below 4000 Hz"):
        log_mel(8000, high=6000)
    with pytest.raises(RecipeError, match=r"at least one sample, 0\.125 ms"):
        log_mel(8000, hop_ms=0.01)
    with pytest.raises(ValidationError, match="must be above low"):
        LogMelConfig(low=500, high=400)


def test_masks_hide_one_run_of_bands_and_one_of_time() -> None:
    torch.manual_seed(0)
    mask = torch.arange(40) < torch.tensor([[40], [20]])
    values = torch.ones(2, 40, 16)
    hidden_bands, hidden_frames = set(), set()
    masks = SpecMask(MaskConfig(bands=5, time=0.2))

    for _ in range(200):
        result = masks(values, mask)
        for row, frames in ((0, 40), (1, 20)):
            bands = (result[row].amax(dim=0) == 0).nonzero().flatten()
            moments = (result[row].amax(dim=1) == 0).nonzero().flatten()
            assert len(bands) <= 5
            assert len(moments) <= 0.2 * frames
            assert moments.numel() == 0 or moments.max() < frames
            assert bands.numel() == 0 or bands.max() - bands.min() == len(bands) - 1
            hidden_bands.update(bands.tolist())
            hidden_frames.update(moments.tolist())

    assert hidden_bands == set(range(16))
    assert hidden_frames == set(range(40))


def test_a_mask_hides_no_more_than_its_share_of_a_short_sound() -> None:
    torch.manual_seed(0)
    masks = SpecMask(MaskConfig(bands=0, time=0.2))  # 1.8 of 9 frames: one at most; 0.8 of 4: none
    values, mask = torch.ones(2, 9, 3), torch.arange(9) < torch.tensor([[9], [4]])

    hidden = torch.stack([(masks(values, mask) == 0).all(dim=2).sum(dim=1) for _ in range(200)])

    assert hidden.amax(dim=0).tolist() == [1, 0]


def test_masks_of_no_size_or_in_use_change_nothing() -> None:
    values, mask = torch.randn(2, 9, 6), torch.ones(2, 9, dtype=torch.bool)

    assert torch.equal(SpecMask(MaskConfig(bands=0, time=0.0))(values, mask), values)
    assert torch.equal(SpecMask(MaskConfig()).eval()(values, mask), values)
