"""Tiny random checkpoints of every architecture, written to a folder as the hub lays one out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from sensorium.encoders.pretrained.kept import keep_weights, with_kept_weights
from tests.made import WORDS

_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
_TEXT = {**_SMALL, "vocab_size": 64, "max_position_embeddings": 48}
_CLIP_VISION = {**_SMALL, "image_size": 32, "patch_size": 8}
_WAVE = {  # the front of wav2vec 2.0 with fewer filters: a token every 320 samples, from 400
    **_SMALL,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
_CLAP_AUDIO = {
    "hidden_size": 64,  # of the last stage: patch_embeds_hidden_size · 2 ** (stages - 1)
    "patch_embeds_hidden_size": 16,
    "depths": [1, 1, 1],
    "num_attention_heads": [2, 2, 2],
    "num_hidden_layers": 3,
    "spec_size": 64,
    "window_size": 4,
    "num_mel_bins": 16,
    "enable_fusion": False,
}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert": {**_TEXT, "pad_token_id": 0},
    "modernbert": {
        **_TEXT,
        "num_hidden_layers": 3,
        "local_attention": 8,
        "global_attn_every_n_layers": 2,
        "pad_token_id": 0,
        "cls_token_id": 2,
        "sep_token_id": 3,
    },
    "roberta": {**_TEXT, "max_position_embeddings": 50, "pad_token_id": 1, "type_vocab_size": 1},
    "xlm-roberta": {**_TEXT, "max_position_embeddings": 50, "pad_token_id": 1, "type_vocab_size": 1},
    "deberta-v2": {
        **_TEXT,
        "pad_token_id": 0,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "distilbert": {
        "vocab_size": 64,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 48,
        "max_position_embeddings": 48,
        "pad_token_id": 0,
    },
    "qwen3": {
        **_TEXT,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
    },
    "llama": {**_TEXT, "num_key_value_heads": 2, "pad_token_id": 0},
    "resnet": {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"},
    "vit": _CLIP_VISION,
    "dinov2": {**_SMALL, "image_size": 28, "patch_size": 14, "mlp_ratio": 2},
    "dinov3_vit": {**_SMALL, "image_size": 32, "patch_size": 16, "num_register_tokens": 2},
    "convnext": {"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2, "image_size": 32},
    "convnextv2": {"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2, "image_size": 32},
    "dinov2_with_registers": {**_SMALL, "image_size": 28, "patch_size": 14, "num_register_tokens": 3},
    "dinov3_convnext": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
    "efficientnet": {
        "image_size": 32,
        "hidden_dim": 256,
        "initializer_range": 0.3,
        "width_coefficient": 0.2,
        "depth_coefficient": 0.2,
    },
    "siglip": {
        "vision_config": {**_CLIP_VISION, "model_type": "siglip_vision_model"},
        "text_config": {**_TEXT, "model_type": "siglip_text_model"},
    },
    "siglip2": {
        "vision_config": {**_SMALL, "patch_size": 8, "num_patches": 16, "model_type": "siglip2_vision_model"},
        "text_config": {**_TEXT, "model_type": "siglip2_text_model"},
    },
    "clip": {
        "vision_config": {**_CLIP_VISION, "model_type": "clip_vision_model"},
        "text_config": {**_TEXT, "model_type": "clip_text_model"},
        "projection_dim": 24,
    },
    "clip_vision_model": _CLIP_VISION,
    "videomae": {**_CLIP_VISION, "num_frames": 4, "tubelet_size": 2},
    "whisper": {
        "d_model": 32,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_layers": 1,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 48,
        "num_mel_bins": 80,
        "max_source_positions": 1500,
        "vocab_size": 64,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "decoder_start_token_id": 2,
    },
    "wav2vec2": {**_WAVE, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    "hubert": {**_WAVE, "feat_extract_norm": "group"},
    "audio-spectrogram-transformer": {**_SMALL, "max_length": 1024, "num_mel_bins": 128},
    "clap": {
        "audio_config": {**_CLAP_AUDIO, "model_type": "clap_audio_model"},
        "text_config": {**_TEXT, "model_type": "clap_text_model", "pad_token_id": 1},
        "projection_dim": 24,
    },
}
"""model_type → its configuration, as small as the architecture allows."""

_IMAGE = {
    "do_resize": True,
    "size": {"height": 32, "width": 32},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
_CLIP_IMAGE = {
    **_IMAGE,
    "size": {"shortest_edge": 32},
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_WAVE_SOUND = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "sampling_rate": 16000,
    "padding_value": 0.0,
    "do_normalize": True,
}

PROCESSORS: dict[str, dict[str, Any]] = {
    "resnet": {**_IMAGE, "image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875}
    | {"size": {"shortest_edge": 32}},
    "vit": {**_IMAGE, **_HALF, "image_processor_type": "ViTImageProcessor", "resample": 2},
    "dinov2": {**_IMAGE, "image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 32}}
    | {"do_center_crop": True, "crop_size": {"height": 28, "width": 28}},
    "dinov3_vit": {**_IMAGE, "image_processor_type": "DINOv3ViTImageProcessorFast", "resample": 2},
    "convnext": {**_IMAGE, "image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875}
    | {"size": {"shortest_edge": 32}},
    "convnextv2": {**_IMAGE, "image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875}
    | {"size": {"shortest_edge": 32}},
    "dinov2_with_registers": {**_IMAGE, "image_processor_type": "BitImageProcessor"}
    | {"size": {"shortest_edge": 32}, "do_center_crop": True, "crop_size": {"height": 28, "width": 28}},
    "dinov3_convnext": {**_IMAGE, "image_processor_type": "DINOv3ViTImageProcessorFast", "resample": 2},
    "efficientnet": {**_IMAGE, "image_processor_type": "EfficientNetImageProcessor", "resample": 0}
    | {"rescale_offset": False, "include_top": True},
    "siglip": {**_IMAGE, **_HALF, "image_processor_type": "SiglipImageProcessor"},
    "siglip2": {
        **{name: value for name, value in _IMAGE.items() if name != "size"},
        **_HALF,
        "image_processor_type": "Siglip2ImageProcessor",
        "resample": 2,
        "patch_size": 8,
        "max_num_patches": 16,
    },
    "clip": {**_CLIP_IMAGE, "image_processor_type": "CLIPImageProcessor"},
    "clip_vision_model": {**_CLIP_IMAGE, "image_processor_type": "CLIPImageProcessor"},
    "videomae": {**_CLIP_IMAGE, "image_processor_type": "VideoMAEImageProcessor", "resample": 2}
    | {"image_mean": _IMAGE["image_mean"], "image_std": _IMAGE["image_std"]},
    "whisper": {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": 80,
        "sampling_rate": 16000,
        "hop_length": 160,
        "chunk_length": 30,
        "n_fft": 400,
        "n_samples": 480000,
        "nb_max_frames": 3000,
        "padding_value": 0.0,
    },
    "wav2vec2": {**_WAVE_SOUND, "return_attention_mask": True},
    "hubert": {**_WAVE_SOUND, "return_attention_mask": False},
    "audio-spectrogram-transformer": {
        "feature_extractor_type": "ASTFeatureExtractor",
        "feature_size": 1,
        "sampling_rate": 16000,
        "num_mel_bins": 128,
        "max_length": 1024,
        "do_normalize": True,
        "mean": -4.2677393,
        "std": 4.5689974,
        "padding_value": 0.0,
    },
    "clap": {
        "feature_extractor_type": "ClapFeatureExtractor",
        "feature_size": 16,
        "sampling_rate": 48000,
        "hop_length": 480,
        "max_length_s": 2,
        "nb_max_samples": 96000,
        "fft_window_size": 1024,
        "frequency_min": 50,
        "frequency_max": 14000,
        "top_db": None,
        "truncation": "rand_trunc",
        "padding": "repeatpad",
        "padding_value": 0.0,
    },
}
"""model_type → its preprocessor_config.json."""

_SPECIAL: dict[str, tuple[str, ...]] = {
    "roberta": ("<s>", "<pad>", "</s>", "<unk>"),
    "xlm-roberta": ("<s>", "<pad>", "</s>", "<unk>"),
    "qwen3": ("<|endoftext|>", "<unk>"),
    "llama": ("<|endoftext|>", "<unk>"),
}
"""model_type → the first tokens of its vocabulary; those of BERT where nothing is said."""


def made_checkpoint(
    folder: Path,
    architecture: str,
    pooling: dict[str, Any] | None = None,
    prompts: dict[str, str] | None = None,
    **changes: Any,
) -> Path:
    """Writes a checkpoint with random weights, always the same.

    Args:
        folder: made where it is missing.
        architecture: a key of `ARCHITECTURES`.
        pooling: what 1_Pooling/config.json says; without it there is no such file.
        prompts: what config_sentence_transformers.json says of them; without it there is no such file.
        changes: fields of config.json to replace or add.

    Returns:
        The folder, with config.json, model.safetensors, and preprocessor_config.json or, for text,
        tokenizer.json with tokenizer_config.json.
    """
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = transformers.AutoConfig.for_model(architecture, **(ARCHITECTURES[architecture] | changes))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    if architecture in PROCESSORS:
        _write(folder / "preprocessor_config.json", PROCESSORS[architecture])
    else:
        write_tokenizer(folder, architecture)
    if pooling is not None:
        _write(folder / "1_Pooling" / "config.json", pooling)
    if prompts is not None:
        about = {"prompts": prompts, "default_prompt_name": None}
        _write(folder / "config_sentence_transformers.json", about)
    return folder


def made_whisper(folder: Path, **changes: Any) -> Path:
    """A tiny Whisper that can write: it hears two seconds, and knows the words of `tests.made`."""
    sizes = {
        "decoder_ffn_dim": 128,
        "decoder_layers": 2,
        "max_source_positions": 100,
        "eos_token_id": len(WORDS),
    }
    made_checkpoint(folder, "whisper", **(sizes | changes))
    heard = {"chunk_length": 2, "n_samples": 32000}
    _write(folder / "preprocessor_config.json", PROCESSORS["whisper"] | heard)
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    vocabulary = {token: number for number, token in enumerate([*WORDS, *special])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, WORDS[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def write_tokenizer(folder: Path, architecture: str) -> None:
    """A tokenizer that knows the words of `tests.made`, with the special tokens of the architecture."""
    special = _SPECIAL.get(architecture, ("[PAD]", "[UNK]", "[CLS]", "[SEP]"))
    tokens = [*special, *WORDS, "cat", "dog", "query", "passage", ":"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    unknown = next(token for token in special if "unk" in token.lower())
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(list(special))
    padding = next(token for token in special if "pad" in token.lower() or "endoftext" in token)
    start, end = (special[0], special[2]) if "<s>" in special else ("[CLS]", "[SEP]")
    template = f"{start} $A {end}" if len(special) == 4 else f"$A {padding}"
    used = [token for token in special if token in template.split()]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(token, vocabulary[token]) for token in used]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": padding, "unk_token": unknown}
    _write(folder / "tokenizer_config.json", about)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def save_and_load(column: Any, again: Any, folder: Path) -> None:
    """Takes a column through a saved model: what it says as JSON, and its checkpoint's weights as files."""
    keep_weights(column.checkpoint, folder)
    again.load_state(json.loads(json.dumps(column.state())))
    again.checkpoint = with_kept_weights(again.checkpoint, folder)
