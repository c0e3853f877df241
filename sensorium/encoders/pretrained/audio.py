"""Sound through a pretrained encoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Raw, Tokens, masked_mean, where_real
from sensorium.data.pretrained_audio import PretrainedAudioColumn
from sensorium.encoders.pretrained.backbone import load_backbone
from sensorium.encoders.pretrained.config import PretrainedConfig
from sensorium.encoders.pretrained.frozen import holds_features
from sensorium.encoders.pretrained.lazy import Shape, built, new_backbone, shape_of
from sensorium.encoders.pretrained.sound import KALDI_HOP, new_front
from sensorium.encoders.pretrained.tune import new_adapter

_AST_SPECIAL = 2
"""Tokens of the Audio Spectrogram Transformer before those of patches: of the class and of its teacher."""


class PretrainedAudioConfig(PretrainedConfig):
    """A pretrained encoder of sound: Whisper, wav2vec 2.0, HuBERT, AST or CLAP."""

    weights: str = Field(
        "openai/whisper-tiny.en", description="id of a checkpoint, or a folder beside the recipe"
    )
    pool: Literal["auto", "tokens", "whole", "mean", "first"] = Field(
        "auto",
        description="every moment (tokens), also those of the silence that is heard after the end (whole: "
        "what the decoder whisper reads), or one vector: their mean (auto), or the first (AST: of the class)",
    )


class PretrainedAudio(nn.Module):
    """Samples → hidden states of the last layer, one token a moment, or one vector; `dim` is the model's.

    What lies after a sound's end is no token, but for `pool: whole`. Whisper, AST and CLAP hear a fixed time:
    after a shorter sound Whisper and AST hear silence, as in their training, and CLAP hears it again. AST and
    CLAP also have tokens for parts of the pitch; their mean is the token of a moment.
    """

    Config = PretrainedAudioConfig
    Column: ClassVar[type[PretrainedAudioColumn]] = PretrainedAudioColumn

    def __init__(self, config: PretrainedAudioConfig, column: PretrainedAudioColumn) -> None:
        super().__init__()
        checkpoint, settings = column.checkpoint, column.config
        self.checkpoint = checkpoint
        self.pool = "mean" if config.pool == "auto" else config.pool
        self.frozen = config.frozen
        self._made_with = f"{checkpoint.digest} {settings.rate} {settings.seconds} {settings.part}"
        self.backbone = new_backbone(checkpoint, "audio", config.frozen, load_backbone)
        self.dim = shape_of(self.backbone, self.feature_key(), self._look).dim
        self.adapter = new_adapter(config, self.dim)

    def forward(self, raw: Raw) -> Tokens:
        """Samples `(B, S)` float32 → `(B, T, dim)`, or `(B, 1, dim)`; features pass as they are."""
        tokens = Tokens(*raw) if holds_features(raw) else self.features(raw)
        return Tokens(self.adapter(tokens.values), tokens.mask)

    def features(self, raw: Raw) -> Tokens:
        """Samples `(B, S)` float32 → the tokens of the model."""
        samples, lengths = where_real(raw.values, raw.mask), raw.mask.sum(dim=1).clamp(min=1)
        backbone = built(self.backbone, samples.device)
        hear = _HEARD.get(backbone.config.model_type, _hear_wave)
        moments, mask, first = hear(backbone, self.front.to(samples.device), samples, lengths)
        if self.pool == "whole":
            return Tokens(moments, torch.ones_like(mask))
        if self.pool == "tokens":
            return Tokens(where_real(moments, mask), mask)
        vector = first if self.pool == "first" else masked_mean(moments, mask)
        return Tokens(vector.unsqueeze(1), mask[:, :1])

    def feature_key(self) -> str:
        """Names everything that decides the features of a sound."""
        return f"audio {self._made_with} {self.pool}"

    @cached_property
    def front(self) -> nn.Module:
        """What prepares sounds; made when one is first heard, as its filters come from transformers.

        Raises:
            WeightsError: when the checkpoint says of it what is not known.
        """
        return new_front(self.checkpoint)

    def _look(self, backbone: Any) -> Shape:
        self.front.eval()  # it is refused here, where what is prepared is not known
        return Shape(backbone.config.hidden_size)


class _Heard(NamedTuple):
    """What a backbone makes of B sounds.

    Attributes:
        moments: `(B, T, D)`, the states of T moments.
        mask: `(B, T)` bool, True where a moment lies in the sound.
        first: `(B, D)`, the state that `pool: first` keeps.
    """

    moments: Tensor
    mask: Tensor
    first: Tensor


def _hear_whisper(backbone: Any, front: nn.Module, samples: Tensor, lengths: Tensor) -> _Heard:
    states = backbone(**_prepared(front, samples, lengths)).last_hidden_state
    hop: Any = front.hop
    return _Heard(states, _within(states.shape[1], lengths, 2 * hop), states[:, 0])


def _hear_ast(backbone: Any, front: nn.Module, samples: Tensor, lengths: Tensor) -> _Heard:
    config = backbone.config
    states = backbone(**_prepared(front, samples, lengths)).last_hidden_state
    pitches = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
    moments = states[:, _AST_SPECIAL:].unflatten(1, (pitches, -1)).mean(dim=1)
    step = config.time_stride * KALDI_HOP
    return _Heard(moments, _within(moments.shape[1], lengths, step), states[:, 0])


def _hear_clap(backbone: Any, front: nn.Module, samples: Tensor, lengths: Tensor) -> _Heard:
    states = backbone(**_prepared(front, samples, lengths)).last_hidden_state  # (B, D, pitches, T)
    moments = states.mean(dim=2).transpose(1, 2)
    mask = torch.ones(moments.shape[:2], dtype=torch.bool, device=moments.device)
    return _Heard(moments, mask, moments[:, 0])


def _hear_wave(backbone: Any, front: nn.Module, samples: Tensor, lengths: Tensor) -> _Heard:
    """wav2vec 2.0, HuBERT and their kin. Silence follows a sound shorter than what one token covers."""
    config = backbone.config
    least = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        least = (least - 1) * stride + kernel
    values = _prepared(front, samples, lengths)["input_values"]
    values = functional.pad(values, (0, max(0, least - values.shape[1])))
    lengths = lengths.clamp(min=least)
    counts = lengths
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        counts = (counts - kernel) // stride + 1
    if config.feat_extract_norm == "group":
        states = _each_length(backbone, values, lengths)
    else:
        states = backbone(
            values, attention_mask=_within(values.shape[1], lengths, 1).long()
        ).last_hidden_state
    return _Heard(states, _within(states.shape[1], counts, 1), states[:, 0])


def _each_length(backbone: Any, values: Tensor, lengths: Tensor) -> Tensor:
    """Sounds of one length together: a first layer that normalises over time would count their padding."""
    states: dict[int, Tensor] = {}
    for length in sorted(set(lengths.tolist())):
        rows = (lengths == length).nonzero().squeeze(1)
        states |= dict(zip(rows.tolist(), backbone(values[rows, :length]).last_hidden_state, strict=True))
    return nn.utils.rnn.pad_sequence([states[row] for row in range(len(values))], batch_first=True)


def _prepared(front: nn.Module, samples: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    """In float32, whatever the training's precision: powers span more than bfloat16 tells apart."""
    with torch.autocast(samples.device.type, enabled=False):
        prepared: dict[str, Tensor] = front(samples.float(), lengths)
    return prepared


def _within(count: int, lengths: Tensor, step: int) -> Tensor:
    """`(B, count)` bool: places, `step` apart, that begin before the end."""
    return torch.arange(count, device=lengths.device) * step < lengths.unsqueeze(1)


_HEARD: dict[str, Callable[[Any, nn.Module, Tensor, Tensor], _Heard]] = {
    "whisper": _hear_whisper,
    "audio-spectrogram-transformer": _hear_ast,
    "clap_audio_model": _hear_clap,
}
"""model_type of the backbone → how its tokens are read; the others hear waves."""
