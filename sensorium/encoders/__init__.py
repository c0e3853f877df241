"""Encoders: one type of column each → tokens. To add one: its class here, and a line in the table."""

from __future__ import annotations

from typing import Any

from sensorium.encoders.audio import CNNAudio, LSTMAudio, TransformerAudio
from sensorium.encoders.conformer import ConformerAudio
from sensorium.encoders.image import CNNImage, ViTImage
from sensorium.encoders.ngrams import NgramsText
from sensorium.encoders.pretrained.audio import PretrainedAudio
from sensorium.encoders.pretrained.image import PretrainedImage
from sensorium.encoders.pretrained.text import PretrainedText
from sensorium.encoders.pretrained.video import PretrainedVideo
from sensorium.encoders.resnet import ResNet18, ResNet34, ResNet50
from sensorium.encoders.tabular import (
    EmbeddingCategories,
    EmbeddingCategory,
    MLPNumber,
    TokenCategories,
    TokenCategory,
    TokenNumber,
)
from sensorium.encoders.text import CNNText, GRUText, LSTMText, MeanText, TransformerText
from sensorium.encoders.video import FramesVideo

ENCODERS: dict[str, dict[str, type[Any]]] = {
    "text": {
        "mean": MeanText,
        "ngrams": NgramsText,
        "cnn": CNNText,
        "lstm": LSTMText,
        "gru": GRUText,
        "transformer": TransformerText,
        "pretrained": PretrainedText,
    },
    "image": {
        "cnn": CNNImage,
        "resnet18": ResNet18,
        "resnet34": ResNet34,
        "resnet50": ResNet50,
        "vit": ViTImage,
        "pretrained": PretrainedImage,
    },
    "audio": {
        "cnn": CNNAudio,
        "lstm": LSTMAudio,
        "transformer": TransformerAudio,
        "conformer": ConformerAudio,
        "pretrained": PretrainedAudio,
    },
    "video": {"frames": FramesVideo, "pretrained": PretrainedVideo},
    "number": {"mlp": MLPNumber, "token": TokenNumber},
    "category": {"embedding": EmbeddingCategory, "token": TokenCategory},
    "categories": {"embedding": EmbeddingCategories, "token": TokenCategories},
}
"""Type of column → kind → encoder; the first kind of a type is its default."""
