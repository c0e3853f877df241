"""Videos through a pretrained model: of whole clips, or of pictures and then over time."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from sensorium.batch import Raw, Tokens
from sensorium.data.pretrained_video import PretrainedVideoColumn
from sensorium.encoders.pretrained.config import PretrainedConfig
from sensorium.encoders.pretrained.frozen import holds_features
from sensorium.encoders.pretrained.image import Pool, new_stem
from sensorium.encoders.pretrained.lazy import Shape, built, new_backbone, shape_of
from sensorium.encoders.pretrained.tune import new_adapter
from sensorium.encoders.pretrained.vision import (
    PICTURES,
    VIDEOS,
    Vision,
    check_pool,
    in_parts,
    one_vector,
    vision_settings,
)
from sensorium.encoders.video import OverTime, TimeConfig, at_their_places
from sensorium.errors import RecipeError
from sensorium.weights import Checkpoint


class PretrainedVideoConfig(PretrainedConfig, TimeConfig):
    """VideoMAE, or a pretrained model of pictures for every frame and then a mean, a recurrence or attention.

    `time` and what belongs to it is for models of pictures, and is trained; VideoMAE looks at time itself.
    The column's `augment` has an effect only where the pretrained weights are trained too.
    """

    weights: str = Field(
        "efficientnet-lite0", description="id of a checkpoint, or a folder beside the recipe"
    )
    pool: Pool = Field(
        "auto",
        description="of a frame: the checkpoint's own vector (auto), the mean over places, the class token "
        "(first); of a clip through VideoMAE: every token (tokens), or their mean (auto, mean)",
    )


class PretrainedVideo(OverTime):
    """Clips → the tokens of a pretrained model: one a frame or, of VideoMAE, one a tube of patches or a clip.

    VideoMAE (Tong et al. 2022, arXiv 2203.12602) takes a fixed number of frames; a clip that has fewer shows
    some of them again.

    Attributes:
        dim: width of a token.
        feature_dim: width of a feature: of a frame, before frames are joined over time.
        frozen: whether features may be computed once: of a frame each, before they are joined over time.

    Raises:
        RecipeError: when the frames' size, `pool` or `heads` does not suit the model.
        WeightsError: when the checkpoint is of neither videos nor pictures, or incomplete.
    """

    Config = PretrainedVideoConfig
    Column: ClassVar[type[PretrainedVideoColumn]] = PretrainedVideoColumn

    def __init__(self, config: PretrainedVideoConfig, column: PretrainedVideoColumn) -> None:
        build = _settled if config.frozen else _new_backbone
        backbone = new_backbone(column.checkpoint, "video", config.frozen, build)
        whole = vision_settings(column.checkpoint)[0].get("model_type") in VIDEOS
        key = f"{column.checkpoint.digest} {config.pool} {column.cache_key()}"

        def look(backbone: Vision) -> Shape:
            _check(config, column, backbone, whole)
            return Shape(backbone.pooled_width if config.pool == "auto" else backbone.width)

        width = shape_of(backbone, key, look).dim
        super().__init__(config.model_copy(update={"time": "mean"}) if whole else config, width)
        self.backbone = backbone
        self.feature_dim = width
        self.adapter = new_adapter(config, width)
        self.whole = whole
        self.frozen = config.frozen
        self.pool = config.pool
        self.stem = new_stem(column, self.frozen)
        self._key = key

    def forward(self, raw: Raw) -> Tokens:
        """`(B, frames, 3, H, W)` uint8 → `(B, L, dim)`; features pass to what joins them over time."""
        tokens = Tokens(*raw) if holds_features(raw) else self.features(raw)
        tokens = Tokens(self.adapter(tokens.values), tokens.mask)
        return tokens if self.whole else self.over_time(tokens.values, tokens.mask)

    def features(self, raw: Raw) -> Tokens:
        """`(B, frames, 3, H, W)` uint8 → `(B, frames, D)`; of VideoMAE `(B, tubes, D)`, or `(B, 1, D)`."""
        return self._clips(raw) if self.whole else self._frames(raw)

    def feature_key(self) -> str:
        """Names everything that decides the features of a clip."""
        return self._key

    def _frames(self, raw: Raw) -> Tokens:
        pixels, clip = raw.values[raw.mask], raw.mask.nonzero()[:, 0]
        backbone = built(self.backbone, raw.mask.device)

        def see(some: Tensor) -> Tensor:
            # Trained weights see all frames in one part, so that `clip` is of the same frames.
            normalised = self.stem(some, clip if self.stem.augment else None)
            return one_vector(backbone(normalised), self.pool)

        return Tokens(at_their_places(in_parts(see, pixels, self.frozen), raw.mask), raw.mask)

    def _clips(self, raw: Raw) -> Tokens:
        backbone = built(self.backbone, raw.mask.device)
        wanted = int(backbone.model.config.num_frames)
        place = torch.arange(wanted, device=raw.mask.device) * raw.mask.sum(dim=1, keepdim=True) // wanted
        clips = raw.values[torch.arange(len(place), device=place.device).unsqueeze(1), place]

        def see(some: Tensor) -> Tensor:
            clip = torch.arange(len(some), device=some.device).repeat_interleave(wanted)
            seen = backbone(self.stem(some.flatten(0, 1), clip).unflatten(0, (len(some), wanted)))
            return seen.places if self.pool == "tokens" else one_vector(seen, self.pool).unsqueeze(1)

        values = in_parts(see, clips, self.frozen)
        return Tokens(values, raw.mask.any(dim=1, keepdim=True).expand(-1, values.shape[1]))


def _new_backbone(checkpoint: Checkpoint) -> Vision:
    return Vision(checkpoint, PICTURES | VIDEOS)


def _settled(checkpoint: Checkpoint) -> Vision:
    return _new_backbone(checkpoint).settle()


def _check(
    config: PretrainedVideoConfig, column: PretrainedVideoColumn, backbone: Vision, whole: bool
) -> None:
    """Refuses what the model cannot do.

    Raises:
        RecipeError: then.
    """
    check_pool(config.pool, backbone)
    if not whole:
        if config.pool == "tokens":
            raise RecipeError("pool: tokens is for VideoMAE; of frames, take auto, mean or first")
        backbone.check_size(column.height, column.width)
        return
    side = backbone.model.config.image_size
    if (column.height, column.width) != (side, side):
        raise RecipeError(
            f"size: these weights take frames of {side} × {side} pixels alone, not {column.height} × "
            f"{column.width}; leave size out"
        )
