"""A tiny language model as the hub lays one out, made on the spot."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel

from tests.made import WORDS

WIDTH = 32


def text_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Writes a BERT of two layers with a vocabulary of few words; returns its folder."""
    folder.mkdir(parents=True)
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", *WORDS, "cat", "dog"])}
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(seed)
    weights = {name: tensor.contiguous() for name, tensor in BertModel(config).state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
