"""A checkpoint as a torch module, through transformers' Auto classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from sensorium.encoders.pretrained.convert import safetensors_files
from sensorium.errors import WeightsError, require
from sensorium.weights import Checkpoint

PARTS = {"whisper": "encoder", "clap": "audio_model"}
"""model_type → the part of the model that encodes; the others are wholly encoders."""

_STEADY = {"apply_spec_augment": False, "layerdrop": 0.0}
"""In training, wav2vec 2.0 and HuBERT hide parts of a sound, drawn from numpy's generator, which checkpoints
of a run do not hold, and leave out whole blocks; both are off."""
_UNUSED = ("pooler", "masked_spec_embed")
"""What a checkpoint may lack, as no token rests on it."""


def load_backbone(checkpoint: Checkpoint, weights: Mapping[str, Tensor] | None = None) -> Any:
    """The model of a checkpoint, float32, in evaluation mode.

    No code of a checkpoint's own is ever run: what transformers itself does not know is refused.

    Args:
        checkpoint: what to build.
        weights: to fill it with, by the names of the module that this gives; default: those of the
            checkpoint's files, by the names of the hub. Without either (a saved model holds them) the weights
            are random.

    Raises:
        WeightsError: when the architecture is unknown, or the weights are damaged or do not fit.
        MissingPackage: without transformers.
    """
    transformers = require("transformers", "weights")
    config = _architecture(checkpoint, transformers)
    part = PARTS.get(config.model_type, "")
    if weights is None and checkpoint.files:
        whole = _filled(transformers.MODEL_MAPPING[type(config)], config, checkpoint, part)
    else:
        whole = transformers.AutoModel.from_config(config, dtype=torch.float32)
    backbone = getattr(whole, part) if part else whole
    if weights is not None:
        backbone.load_state_dict(weights)
    return backbone.eval().requires_grad_(False)


def load_causal(checkpoint: Checkpoint) -> Any:
    """The causal language model of a checkpoint with its output layer, float32, in evaluation mode.

    Args:
        checkpoint: what to build; without files (a saved model holds the weights) they are random.

    Raises:
        WeightsError: when the architecture is unknown or writes no text, or the weights are damaged or do not
            fit.
        MissingPackage: without transformers.
    """
    transformers = require("transformers", "weights")
    config = _architecture(checkpoint, transformers)
    masked = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING  # as BERT, whose tokens see later ones
    if masked or type(config) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise WeightsError(
            f"{checkpoint.name}: no causal language model (model_type {config.model_type}); name one that "
            "writes, such as HuggingFaceTB/SmolLM2-135M-Instruct"
        )
    if checkpoint.files:
        model = _filled(transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)], config, checkpoint, "")
    else:
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model.eval().requires_grad_(False)


def read_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The weights of a checkpoint by the names of the hub, mapped from its files.

    Raises:
        WeightsError: when a file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = {}
    for path in safetensors_files(checkpoint):
        try:
            weights |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(
                f"{checkpoint.name}: {path} is damaged ({error}); fetch the checkpoint again"
            ) from None
    return weights


def _architecture(checkpoint: Checkpoint, transformers: Any) -> Any:
    kind = checkpoint.config.get("model_type", "")
    try:
        config = transformers.AutoConfig.for_model(**{**checkpoint.config, "model_type": kind, **_STEADY})
        transformers.MODEL_MAPPING[type(config)]
    except (ValueError, KeyError, TypeError) as error:
        why = str(error).splitlines()[0][:200]
        if kind not in transformers.CONFIG_MAPPING:
            why = "transformers does not have it, and code that a checkpoint brings along is never run"
        raise WeightsError(
            f"{checkpoint.name}: its architecture cannot be built (model_type {kind or 'missing'}: {why}); "
            "name a checkpoint of another architecture, or pip install -U transformers"
        ) from None
    return config


def _filled(model: Any, config: Any, checkpoint: Checkpoint, part: str) -> Any:
    """A model with the weights of the files, whatever head they were saved with."""
    weights = read_weights(checkpoint)
    try:
        with _quiet():
            whole, report = model.from_pretrained(
                None, config=config, state_dict=weights, dtype=torch.float32, output_loading_info=True
            )
    except RuntimeError as error:
        line = str(error).splitlines()[0]
        raise WeightsError(f"{checkpoint.name}: the weights do not fit config.json ({line})") from None
    needed = [name for name in report["missing_keys"] if name.startswith(part)]
    lacking = sorted(name for name in needed if not any(unused in name for unused in _UNUSED))
    if lacking:
        raise WeightsError(
            f"{checkpoint.name}: the weights lack {len(lacking)} parts of the architecture, such as "
            f"{lacking[0]}; fetch the checkpoint again"
        )
    return whole


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers neither draws progress bars nor lists the weights of heads that are not used."""
    logging = require("transformers.utils.logging", "weights")
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
