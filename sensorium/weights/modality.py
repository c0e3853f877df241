"""Which type of data a checkpoint was trained on."""

from __future__ import annotations

from sensorium.errors import WeightsError
from sensorium.weights.checkpoint import Checkpoint

MODALITIES: dict[str, tuple[str, ...]] = {
    "text": (
        *("bert", "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "distilbert", "mpnet", "albert"),
        *("electra", "deberta", "deberta-v2", "modernbert", "qwen2", "qwen3", "llama", "mistral", "gemma"),
        *("gemma2", "gemma3_text", "smollm3", "phi3", "gpt2"),
    ),
    "image": (
        *("resnet", "vit", "deit", "beit", "swin", "swinv2", "dinov2", "dinov2_with_registers", "dinov3_vit"),
        *("dinov3_convnext", "convnext", "convnextv2", "efficientnet", "efficientnet_lite", "mobilenet_v2"),
        *("clip", "clip_vision_model", "siglip", "siglip_vision_model", "siglip2", "siglip2_vision_model"),
    ),
    "audio": (
        *("whisper", "wav2vec2", "wavlm", "hubert", "audio-spectrogram-transformer", "clap"),
        *("unispeech", "unispeech-sat", "data2vec-audio"),
    ),
    "video": ("videomae", "vivit", "timesformer", "vjepa2"),
}
"""Type of column → the architectures, by model_type, that encode it."""

_EXAMPLES = {
    "text": "sentence-transformers/all-MiniLM-L6-v2",
    "image": "google/vit-base-patch16-224",
    "audio": "openai/whisper-tiny.en",
    "video": "MCG-NJU/videomae-base",
}


def refuse_other_modality(checkpoint: Checkpoint, *wanted: str) -> Checkpoint:
    """The checkpoint again, where it encodes a wanted type; an architecture that is not listed passes.

    Args:
        checkpoint: that a recipe names.
        wanted: types of columns, the column's own first.

    Raises:
        WeightsError: when it encodes another type.
    """
    kind = checkpoint.config.get("model_type", "")
    found = next((type_ for type_, kinds in MODALITIES.items() if kind in kinds), None)
    if found is not None and found not in wanted:
        raise WeightsError(
            f"{checkpoint.name}: a checkpoint of {found} (model_type {kind}), not of {wanted[0]}; name one "
            f"of {wanted[0]}, such as {_EXAMPLES[wanted[0]]}, or give the column type {found}"
        )
    return checkpoint
