"""Text: normalised, cut into tokens that are learned from the table, and turned into numbers."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile, Recognised
from sensorium.data.tabular import label_of
from sensorium.errors import CellError

# Cells are tokenized one by one in the loader's threads; threads inside the library would only add warnings.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

PADDING, UNKNOWN, START, END = range(4)
_SPECIAL = ["<padding>", "<unknown>", "<start>", "<end>"]
_CHARACTERS_PER_TOKEN = 32  # a text is cut there first, so that one huge cell cannot stall a worker
_TRAINING_CHARACTERS = 50_000_000  # texts beyond this many characters do not change a vocabulary any more
# Scripts written without spaces between words: Han with its extensions, Hiragana, Katakana.
_CJK = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)

ENGLISH = (
    "a about above after again all also am an and any are as at be because been before being below "
    "between both by can could did do does doing down during each else ever for from further had has "
    "have having he her here hers herself him himself his how i if in into is it its itself just may "
    "me might more most must my myself of off on once only or other our ours ourselves out over own "
    "same shall she should so some such than that the their theirs them themselves then there these "
    "they this those through to too under until up upon us very was we were what when where which "
    "while who whom whose why will with would you your yours yourself yourselves"
)
CHINESE = (
    "的 地 得 了 着 过 吗 呢 吧 啊 呀 嘛 哦 么 之 其 于 与 和 及 或 而 且 则 是 在 有 就 都 也 "
    "又 还 把 被 让 给 从 向 对 到 这 那 个 些 我 你 您 他 她 它 们 我们 你们 他们 她们 它们 这个 "
    "那个 这些 那些 这样 那样 一个 一些 一种 因为 所以 但是 然而 而且 并且 如果 虽然 以及 或者 还是 只是 "
    "就是 可以 自己 什么 怎么 这里 那里 对于 关于"
)  # words of negation are not here: they turn a sentence round
_STOP_WORDS: dict[str, list[str]] = {"none": [], "english": ENGLISH.split(), "chinese": CHINESE.split()}


class TextConfig(ColumnConfig):
    """What a recipe may say about a text."""

    tokenizer: Literal["bpe", "word", "character"] = Field(
        "bpe", description="bpe: parts of words learned from the table; word: whole words; character"
    )
    vocabulary: int = Field(8000, ge=5, le=1_000_000, description="most tokens kept, with 4 special ones")
    length: int = Field(128, ge=1, le=1_000_000, description="tokens kept of a text")
    lowercase: bool = Field(True, description="read capitals as small letters")
    stop_words: Literal["none", "english", "chinese"] | list[str] = Field(
        "none", description="words left out: none, english, chinese, or a list of your own"
    )
    min_count: int = Field(2, ge=1, description="tokenizer word: rarer words are unknown")


class TextColumn(Column):
    """One text a row.

    `decode` gives int32 (L,) token ids, L at most `length`; `collate` gives values (B, L) int64, padded with
    0, and mask (B, L) bool, L at least 1. Ids: 0 padding, 1 unknown, 2 start, 3 end, then the vocabulary;
    `decode` adds no start and no end. A text without a token (empty, or stop words alone) is like a missing
    one. Numbers are read as their text.

    Text is normalised to NFKC; runs of Chinese and Japanese characters are cut from what surrounds them, and
    every such character is a word of its own for `tokenizer: word`. Byte-pair encoding: Sennrich, Haddow and
    Birch, 2016, arXiv 1508.07909.
    """

    Config: ClassVar[type[TextConfig]] = TextConfig

    def __init__(self, config: TextConfig) -> None:
        self.config = config
        self._tokenizer = _build(models.WordLevel(_special_ids(), _SPECIAL[UNKNOWN]), config)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, the four special ones included."""
        return int(self._tokenizer.get_vocab_size())

    @classmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        texts = [value for value in profile.values if isinstance(value, str)]
        if profile.media or profile.kind not in ("string", "dictionary") or not texts:
            return None
        if profile.distinct <= max(2, min(100, len(texts) // 10)):
            return None
        words = sum(len(text.split()) for text in texts) / len(texts)
        characters = sum(len(text) for text in texts) / len(texts)
        cjk = sum(len(re.findall(f"[{_CJK}]", text)) for text in texts) / len(texts)
        if cjk >= 6 or (cjk >= 2 and profile.distinct > len(texts) / 2):
            return Recognised(f"Chinese or Japanese text, {cjk:.0f} characters on average", {})
        if words >= 3 or (words >= 1.5 and profile.distinct > len(texts) / 2):
            return Recognised(f"text of {words:.1f} words on average", {})
        if characters >= 40:
            return Recognised(f"text of {characters:.0f} characters on average", {})
        return None

    def fit(self, cells: Iterable[Any]) -> None:
        """Learns the vocabulary. The same texts give the same vocabulary, in any number of threads."""
        texts = _bounded(_readable(cells))
        if self.config.tokenizer == "bpe":
            self._tokenizer = _train_bpe(texts, self.config)
        else:
            self._tokenizer = _train_words(texts, self.config)

    def decode(self, cell: Any) -> Array:
        text = _as_text(cell)[: self.config.length * _CHARACTERS_PER_TOKEN]
        return np.array(self._tokenizer.encode(text).ids[: self.config.length], dtype=np.int32)

    def collate(self, cells: Sequence[Array | None]) -> Cells:
        lengths = [0 if cell is None else len(cell) for cell in cells]
        values = np.full((len(cells), max([1, *lengths])), PADDING, dtype=np.int64)
        for row, cell in enumerate(cells):
            if cell is not None:
                values[row, : len(cell)] = cell
        mask = np.arange(values.shape[1])[None, :] < np.array(lengths, dtype=np.int64)[:, None]
        return Cells(values, mask)

    def text(self, ids: Iterable[int]) -> str:
        """Token ids → text, up to the first end; padding and start are left out, unknown is "\ufffd"."""
        pieces: list[str] = []
        for one in ids:
            if one == END:
                break
            if one not in (PADDING, START):
                pieces.append("\ufffd" if one == UNKNOWN else self._tokenizer.id_to_token(int(one)))
        if self.config.tokenizer == "word":
            return _join_words(pieces)
        return "".join(pieces).replace("▁", " ").strip()

    def state(self) -> dict[str, Any]:
        return {"tokenizer": self._tokenizer.to_str()}

    def load_state(self, state: dict[str, Any]) -> None:
        self._tokenizer = Tokenizer.from_str(state["tokenizer"])


def _train_bpe(texts: Iterable[str], config: TextConfig) -> Tokenizer:
    kept = list(texts)
    tokenizer = _build(models.BPE(unk_token=_SPECIAL[UNKNOWN]), config)
    alphabet = _alphabet(tokenizer, kept, config.vocabulary)
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        min_frequency=2,
        special_tokens=_SPECIAL,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(kept, trainer)
    return _without_added_tokens(tokenizer)


def _alphabet(tokenizer: Tokenizer, texts: Iterable[str], vocabulary: int) -> list[str]:
    """The characters that become tokens: the most frequent, at most half of the vocabulary.

    Chosen here because the library breaks ties between characters of one frequency at random.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tokenizer.normalizer.normalize_str(text))
    del counts[" "]
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    return sorted({"▁", *ranked[: max(1, (vocabulary - len(_SPECIAL)) // 2 - 1)]})


def _without_added_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """Keeps the special tokens' ids but not their spelling: "<end>" in a user's text is six characters."""
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(state, ensure_ascii=False))


def _train_words(texts: Iterable[str], config: TextConfig) -> Tokenizer:
    tokenizer = _build(models.WordLevel(_special_ids(), _SPECIAL[UNKNOWN]), config)
    counts: Counter[str] = Counter()
    for text in texts:
        pieces = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
        counts.update(piece for piece, _ in pieces)
    least = config.min_count if config.tokenizer == "word" else 1
    ranked = sorted((-count, word) for word, count in counts.items() if count >= least)
    vocabulary = _special_ids()
    for _, word in ranked[: config.vocabulary - len(_SPECIAL)]:
        vocabulary[word] = len(vocabulary)
    tokenizer.model = models.WordLevel(vocabulary, _SPECIAL[UNKNOWN])
    return tokenizer


def _build(model: models.Model, config: TextConfig) -> Tokenizer:
    tokenizer = Tokenizer(model)
    steps: list[Any] = [normalizers.NFKC()]
    if config.lowercase:
        steps.append(normalizers.Lowercase())
    words = _STOP_WORDS[config.stop_words] if isinstance(config.stop_words, str) else config.stop_words
    steps.extend(normalizers.Replace(Regex(pattern), " ") for pattern in _stop_patterns(words))
    steps += [normalizers.Replace(Regex(r"[\s\p{Cc}]+"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = _PRE_TOKENIZERS[config.tokenizer]()
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _bpe_pre_tokenizer() -> Any:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="never"),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.Split(Regex(f"[{_CJK}]+"), "isolated"),
        ]
    )


def _word_pre_tokenizer() -> Any:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(r"(?!['’](?=\p{L}))[\p{P}\p{S}]"), "isolated"),
            pre_tokenizers.Split(Regex(f"[{_CJK}]"), "isolated"),
        ]
    )


def _character_pre_tokenizer() -> Any:
    return pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")


_PRE_TOKENIZERS = {
    "bpe": _bpe_pre_tokenizer,
    "word": _word_pre_tokenizer,
    "character": _character_pre_tokenizer,
}


def _stop_patterns(words: Sequence[str]) -> list[str]:
    """Patterns that match the words: whole ones, and in scripts without spaces wherever they stand."""
    longest_first = sorted(
        {word.strip() for word in words if word.strip()}, key=lambda word: (-len(word), word)
    )
    inside = [re.escape(word) for word in longest_first if re.search(f"[{_CJK}]", word)]
    whole = [re.escape(word) for word in longest_first if not re.search(f"[{_CJK}]", word)]
    letter = r"[\p{L}\p{M}\p{N}'’]"
    patterns = [f"(?i)(?<!{letter})(?:{'|'.join(whole)})(?!{letter})"] if whole else []
    return patterns + (["|".join(inside)] if inside else [])


def _special_ids() -> dict[str, int]:
    return {name: index for index, name in enumerate(_SPECIAL)}


def _as_text(cell: Any) -> str:
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError as error:
            raise CellError("the bytes are not UTF-8 text", "set another type for the column") from error
    if isinstance(cell, list):
        return " ".join(_as_text(one) for one in cell if one is not None)
    text = label_of(cell) if not isinstance(cell, str) else cell
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise CellError("the text holds half of a surrogate pair", "write it as UTF-8")
    return text


def _readable(cells: Iterable[Any]) -> Iterator[str]:
    for cell in cells:
        try:
            yield _as_text(cell)
        except CellError:
            continue


def _bounded(texts: Iterable[str]) -> Iterator[str]:
    left = _TRAINING_CHARACTERS
    for text in texts:
        if left <= 0:
            return
        yield text[:left]
        left -= len(text)


def _join_words(words: Sequence[str]) -> str:
    text = " ".join(words)
    text = re.sub(f"(?<=[{_CJK}，。！？；：、]) (?=[{_CJK}，。！？；：、])", "", text)
    return re.sub(r" (?=[,.!?;:%)\]}])|(?<=[(\[{]) ", "", text)
