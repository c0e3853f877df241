"""What pretrained encoders of sound are fed: spectrograms and waves, made in batch on the model's device.

Every front agrees with the checkpoint's own feature extractor in transformers, which works sound by sound.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from sensorium.batch import where_real
from sensorium.errors import WeightsError, require
from sensorium.weights import Checkpoint

LEAST_POWER = 1e-10
"""That the logarithm sees, for Whisper and CLAP."""
KALDI_LEAST_POWER = 1.192092955078125e-07
"""The same for Kaldi's filters: the distance from 1 to the next float32."""
KALDI_HOP = 160
"""From one frame's start to the next's, in samples."""
_KALDI_WINDOW, _KALDI_SIZE, _PREEMPHASIS = 400, 512, 0.97


class WhisperMel(nn.Module):
    """Log-mel spectrogram of 30 seconds, silence after the end (Radford et al. 2022, arXiv 2212.04356).

    Powers below the loudest band by more than 80 dB are lifted to that; the logarithm is (log10 + 4) / 4.
    """

    def __init__(self, processor: dict[str, Any]) -> None:
        super().__init__()
        self.size, self.hop = processor["n_fft"], processor["hop_length"]
        self.samples = processor["chunk_length"] * processor["sampling_rate"]
        bands = _mel(
            processor, self.size, processor["feature_size"], 0.0, 8000.0, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("bands", bands, persistent=False)

    bands: Tensor

    def forward(self, samples: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """→ input_features `(B, mels, 3000)` float32."""
        power = _centred_power(_fit(samples, self.samples), self.size, self.hop)[:, :-1]
        values = (power @ self.bands).clamp(min=LEAST_POWER).log10()
        values = torch.maximum(values, values.amax(dim=(1, 2), keepdim=True) - 8.0)
        return {"input_features": ((values + 4.0) / 4.0).transpose(1, 2)}


class KaldiFilters(nn.Module):
    """Log filter bank as Kaldi's, for the Audio Spectrogram Transformer (Gong et al. 2021, arXiv 2104.01778).

    Frames of 25 ms every 10 ms; each loses its mean and is pre-emphasised. Frames after the sound's end are 0
    before mean and deviation of the checkpoint's training data are taken out.
    """

    def __init__(self, processor: dict[str, Any]) -> None:
        super().__init__()
        self.frames = processor["max_length"]
        self.mean, self.deviation = processor["mean"], processor["std"]
        self.normalised = processor.get("do_normalize", True)
        rate = processor["sampling_rate"]
        bands = _mel(
            *(processor, _KALDI_SIZE, processor["num_mel_bins"], 20, rate // 2),
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        self.register_buffer("bands", bands, persistent=False)
        self.register_buffer("window", torch.hann_window(_KALDI_WINDOW, periodic=False), persistent=False)

    bands: Tensor
    window: Tensor

    def forward(self, samples: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """→ input_values `(B, frames, bands)` float32."""
        samples = _fit(samples, (self.frames - 1) * KALDI_HOP + _KALDI_WINDOW)
        frames = samples.unfold(1, _KALDI_WINDOW, KALDI_HOP)
        frames = frames - frames.mean(dim=2, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        spectrum = torch.fft.rfft((frames - _PREEMPHASIS * before) * self.window, n=_KALDI_SIZE)
        values = (spectrum.abs().square() @ self.bands).clamp(min=KALDI_LEAST_POWER).log()
        last_whole = (lengths - _KALDI_WINDOW).clamp(
            min=0
        ) // KALDI_HOP  # a shorter sound still has one frame
        real = torch.arange(self.frames, device=values.device) <= last_whole.unsqueeze(1)
        values = where_real(values, real)
        return {"input_values": (values - self.mean) / (2 * self.deviation) if self.normalised else values}


class ClapMel(nn.Module):
    """Mel spectrogram in decibels, the sound repeated while it fits (Wu et al. 2022, arXiv 2211.06687).

    Longer sounds are cut by the column, so neither a random part is drawn nor are several fused.
    """

    def __init__(self, processor: dict[str, Any], fusion: bool) -> None:
        super().__init__()
        self.size, self.hop = processor["fft_window_size"], processor["hop_length"]
        self.samples = processor["max_length_s"] * processor["sampling_rate"]
        self.repeated = processor.get("padding") == "repeatpad"
        self.fusion = fusion
        scale = ("htk", None) if processor.get("truncation") == "fusion" else ("slaney", "slaney")
        low, high = processor["frequency_min"], processor["frequency_max"]
        bands = _mel(
            *(processor, self.size, processor["feature_size"], low, high), mel_scale=scale[0], norm=scale[1]
        )
        self.register_buffer("bands", bands, persistent=False)

    bands: Tensor

    def forward(self, samples: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """→ input_features `(B, 1 or 4, frames, mels)` float32 and is_longer `(B, 1)` bool, all False."""
        samples = _fit(samples, self.samples)
        if self.repeated:
            samples = _repeated(samples, lengths.clamp(max=self.samples))
        power = _centred_power(samples, self.size, self.hop) @ self.bands
        values = (10.0 * power.clamp(min=LEAST_POWER).log10()).unsqueeze(1)
        longer = torch.zeros(len(values), 1, dtype=torch.bool, device=values.device)
        return {"input_features": values.expand(-1, 4 if self.fusion else 1, -1, -1), "is_longer": longer}


class Wave(nn.Module):
    """The samples themselves, each sound brought to mean 0 and variance 1 where the checkpoint wants it."""

    def __init__(self, processor: dict[str, Any]) -> None:
        super().__init__()
        self.normalised = processor.get("do_normalize", True)

    def forward(self, samples: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """→ input_values `(B, S)` float32, zero in the padding."""
        if not self.normalised:
            return {"input_values": samples}
        real = torch.arange(samples.shape[1], device=samples.device) < lengths.unsqueeze(1)
        count = lengths.unsqueeze(1)
        centred = torch.where(real, samples - samples.sum(dim=1, keepdim=True) / count, 0.0)
        variance = centred.square().sum(dim=1, keepdim=True) / count
        return {"input_values": centred / (variance + 1e-7).sqrt()}


_USUAL = {"wav2vec2": "Wav2Vec2FeatureExtractor", "hubert": "Wav2Vec2FeatureExtractor"}
"""model_type → how sounds are prepared where an old preprocessor_config.json does not say."""


def new_front(checkpoint: Checkpoint) -> nn.Module:
    """What prepares sounds as the checkpoint's preprocessor_config.json says.

    It takes samples `(B, S)` float32, zero in the padding, and how many are real `(B,)`, at least one, and
    gives what the backbone takes, by name.

    Raises:
        WeightsError: when it is of a kind that is not known here, or lacks a setting.
    """
    processor = checkpoint.processor
    kind = processor.get("feature_extractor_type") or _USUAL.get(checkpoint.config.get("model_type", ""))
    try:
        if kind == "WhisperFeatureExtractor":
            return WhisperMel(processor)
        if kind == "ASTFeatureExtractor":
            return KaldiFilters(processor)
        if kind == "ClapFeatureExtractor":
            return ClapMel(processor, checkpoint.config["audio_config"].get("enable_fusion", False))
        if kind == "Wav2Vec2FeatureExtractor":
            return Wave(processor)
    except KeyError as error:
        raise WeightsError(
            f"{checkpoint.name}: preprocessor_config.json lacks {error.args[0]}; fetch the checkpoint again"
        ) from None
    raise WeightsError(
        f"{checkpoint.name}: how its sounds are prepared ({kind or 'nothing'} in preprocessor_config.json) "
        "is not known; name a checkpoint of Whisper, wav2vec 2.0, HuBERT, AST or CLAP"
    )


def _mel(processor: dict[str, Any], size: int, mels: int, low: float, high: float, **options: Any) -> Tensor:
    """`(size // 2 + 1, mels)` float32: the bands, as transformers' extractors make them."""
    require("transformers", "weights")
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():  # AST has bands without a bin, as it was trained
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
        bands = mel_filter_bank(size // 2 + 1, mels, low, high, processor["sampling_rate"], **options)
    return torch.from_numpy(bands).float()


def _centred_power(samples: Tensor, size: int, hop: int) -> Tensor:
    """`(B, S)` → `(B, frames, size // 2 + 1)`: power of Hann frames centred at multiples of the hop."""
    window = torch.hann_window(size, device=samples.device)
    spectrum = torch.stft(samples, size, hop, window=window, pad_mode="reflect", return_complex=True)
    return spectrum.abs().square().transpose(1, 2)


def _fit(samples: Tensor, length: int) -> Tensor:
    """`(B, S)` → `(B, length)`, cut or zero padded."""
    return nn.functional.pad(samples[:, :length], (0, max(0, length - samples.shape[1])))


def _repeated(samples: Tensor, lengths: Tensor) -> Tensor:
    """Each sound as often as it wholly fits, then zeros."""
    place = torch.arange(samples.shape[1], device=samples.device).unsqueeze(0)
    count = lengths.unsqueeze(1)
    repeated = samples.gather(1, place % count)
    return torch.where(place < samples.shape[1] // count * count, repeated, 0.0)
