"""A tiny Llama with a tokenizer of single bytes, whose texts have an end, and a chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers.utils import logging

from tests.made_checkpoints import ARCHITECTURES

END, OPEN, CLOSE = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def made_language_model(folder: Path, architecture: str = "llama", **changes: Any) -> Path:
    """Writes a causal language model of 259 tokens with random weights; returns its folder."""
    fields = {"vocab_size": 272, "max_position_embeddings": 256, "eos_token_id": 2, "pad_token_id": None}
    causal = {"tie_word_embeddings": True, "initializer_range": 0.2}
    config = transformers.AutoConfig.for_model(
        architecture, **(ARCHITECTURES[architecture] | fields | causal | changes)
    )
    logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([END, OPEN, CLOSE, *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in (END, OPEN, CLOSE)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    return folder
