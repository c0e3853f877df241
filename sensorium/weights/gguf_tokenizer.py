"""What a GGUF file says of text: its tokenizer, as the text of a tokenizer.json, and its chat template."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from sensorium.errors import WeightsError, require
from sensorium.folders import default_folder
from sensorium.weights.digest import file_digest, write_whole

_CONTROL = 3  # of gguf.TokenType: a token that no text holds, such as <|im_start|>


def gguf_tokenizer(path: Path) -> str:
    """Byte pairs as SmolLM2 cuts them; kept in the cache folder, as 49,000 tokens take seconds to read.

    Raises:
        WeightsError: when the file is damaged, or cuts text in another way.
        MissingPackage: without gguf.
    """
    return _kept(path, "tokenizer.json", lambda: _read(path).to_str())


def gguf_chat_template(path: Path) -> str:
    """The Jinja that lays out messages, "" where the file holds none; kept in the cache folder.

    Raises:
        WeightsError: when the file is damaged.
        MissingPackage: without gguf.
    """
    return _kept(path, "chat_template.jinja", lambda: _read_chat_template(path))


def _kept(path: Path, ending: str, read: Callable[[], str]) -> str:
    kept = default_folder() / "weights" / f"{file_digest(path)}.{ending}"
    with suppress(OSError):
        return kept.read_text(encoding="utf-8")
    text = read()
    with suppress(OSError):
        write_whole(kept, text)
    return text


def _read_chat_template(path: Path) -> str:
    gguf = require("gguf", "weights")
    try:
        field = gguf.GGUFReader(path).fields.get("tokenizer.chat_template")
        return "" if field is None else str(field.contents())
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise WeightsError(f"{path} is no GGUF file, or is cut short ({error})") from None


def _read(path: Path) -> Tokenizer:
    gguf = require("gguf", "weights")
    try:
        fields = gguf.GGUFReader(path).fields
        kind = fields["tokenizer.ggml.model"].contents(), fields["tokenizer.ggml.pre"].contents()
        tokens = fields["tokenizer.ggml.tokens"].contents()
        types = fields["tokenizer.ggml.token_type"].contents()
        merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"].contents()]
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise WeightsError(f"{path} is no GGUF file with a tokenizer, or is cut short ({error})") from None
    if kind != ("gpt2", "smollm"):
        raise WeightsError(f"{path}: its tokenizer, {' '.join(kind)}, is not known; only SmolLM2's is")
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    # llama.cpp's rule "smollm": every digit by itself, then words as GPT-2 splits them.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer
