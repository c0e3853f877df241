"""Pictures through a pretrained model."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from sensorium.batch import Raw, Tokens
from sensorium.data.pretrained_image import PretrainedImageColumn, normalisation_of
from sensorium.data.pretrained_video import PretrainedVideoColumn
from sensorium.encoders.augment import ImageStem
from sensorium.encoders.pretrained.config import PretrainedConfig
from sensorium.encoders.pretrained.frozen import holds_features
from sensorium.encoders.pretrained.lazy import Shape, built, new_backbone, shape_of
from sensorium.encoders.pretrained.tune import new_adapter
from sensorium.encoders.pretrained.vision import Seen, Vision, check_pool, in_parts, one_vector, settled

Pool = Literal["auto", "tokens", "mean", "first"]


class PretrainedImageConfig(PretrainedConfig):
    """A pretrained model of pictures: ResNet, ConvNeXt, EfficientNet, ViT, DINO, CLIP or SigLIP.

    The column's `augment` has an effect only where the weights are trained: features of frozen weights are
    computed once, from the pictures as they are.
    """

    weights: str = Field(
        "efficientnet-lite0", description="id of a checkpoint, or a folder beside the recipe"
    )
    pool: Pool = Field(
        "auto",
        description="a token a place (tokens), the mean over places, the class token (first), or the "
        "checkpoint's own vector: in the space it shares with texts, of its pooling, else of its class token "
        "(auto)",
    )


class PretrainedImage(nn.Module):
    """Pictures → the tokens of a pretrained model, one a place, or one vector.

    Attributes:
        dim: width of a token: the model's, or with `pool: auto` of its own vector.
        grid: height and width of the places with `pool: tokens`, else empty.
        frozen: whether features may be computed once.

    Raises:
        RecipeError: when the pictures' size or `pool` does not suit the model.
        WeightsError: when the checkpoint is not of pictures, or incomplete.
    """

    Config = PretrainedImageConfig
    Column: ClassVar[type[PretrainedImageColumn]] = PretrainedImageColumn

    def __init__(self, config: PretrainedImageConfig, column: PretrainedImageColumn) -> None:
        super().__init__()
        self.frozen = config.frozen
        self.pool = config.pool
        self._key = f"{column.checkpoint.digest} {config.pool} {column.cache_key()}"
        build = settled if self.frozen else Vision
        self.backbone = new_backbone(column.checkpoint, "image", self.frozen, build)

        def look(backbone: Vision) -> Shape:
            backbone.check_size(column.height, column.width)
            check_pool(config.pool, backbone)
            dim = backbone.pooled_width if config.pool == "auto" else backbone.width
            return Shape(dim, backbone.grid(column.height, column.width) if config.pool == "tokens" else ())

        self.dim, self.grid = shape_of(self.backbone, self._key, look)
        self.stem = new_stem(column, self.frozen)
        self.adapter = new_adapter(config, self.dim)

    def forward(self, raw: Raw) -> Tokens:
        """`(B, 3, H, W)` uint8 → `(B, places, dim)`, or `(B, 1, dim)`; features pass as they are."""
        tokens = Tokens(*raw) if holds_features(raw) else self.features(raw)
        return Tokens(self.adapter(tokens.values), tokens.mask)

    def features(self, raw: Raw) -> Tokens:
        """`(B, 3, H, W)` uint8 → the tokens of the model."""
        values = in_parts(self._tokens, raw.values, self.frozen)
        return Tokens(values, raw.mask.expand(-1, values.shape[1]))

    def feature_key(self) -> str:
        """Names everything that decides the features of a picture."""
        return self._key

    def _tokens(self, pixels: Tensor) -> Tensor:
        seen: Seen = built(self.backbone, pixels.device)(self.stem(pixels))
        return seen.places if self.pool == "tokens" else one_vector(seen, self.pool).unsqueeze(1)


def new_stem(column: PretrainedImageColumn | PretrainedVideoColumn, frozen: bool) -> ImageStem:
    """Normalises as the checkpoint says; frozen weights see every picture as it is."""
    normalisation = normalisation_of(column.checkpoint)
    augment = None if frozen else column.config.augment
    return ImageStem(augment, normalisation.mean, normalisation.deviation, normalisation.factor)
