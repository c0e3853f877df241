"""Text: normalised, cut into tokens that are learned from the table, and turned into numbers."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile, Recognised
from sensorium.data.tabular import label_of
from sensorium.errors import CellError, RecipeError

# Cells are tokenized one by one in the loader's threads; threads inside the library would only add warnings.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

PADDING, UNKNOWN, START, END = range(4)
_SPECIAL = ["<padding>", "<unknown>", "<start>", "<end>"]
CHARACTERS_PER_TOKEN = 32  # a text is cut there first, so that one huge cell cannot stall a worker
_TRAINING_CHARACTERS = 50_000_000  # texts beyond this many characters do not change a vocabulary any more
_CACHED_PIECES = 100_000  # words whose ids are remembered, each
_CACHED_LENGTH = 64  # characters long at most
# Scripts written without spaces between words: Han with its extensions, Hiragana, Katakana.
_CJK = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Punctuation and symbols, such as emoji: what is none of these, no space and not CJK belongs to a word.
# The planes above are one range: listed one by one they would make the patterns ten times as slow.
_SIGNS = (
    "".join(re.escape(chr(code)) for code in range(0x10000) if unicodedata.category(chr(code))[0] in "PS")
    + "\U0001f000-\U0001fbff"
)
_LETTER = rf"[^\s{_SIGNS}{_CJK}]"
_PIECES = {
    "bpe": re.compile(rf" ?{_LETTER}+|[{_CJK}]+| ?[{_SIGNS}]| "),
    "word": re.compile(rf"{_LETTER}+(?:['’]{_LETTER}+)*|[{_CJK}]|[{_SIGNS}]"),
    "character": re.compile(r"(?s)."),
}
_WORD = re.compile(rf"(?:{_LETTER}|['’])+")
_NO_BREAK = re.compile(rf"(?:{_LETTER}|['’]){{2}}")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")

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


class Spans(NamedTuple):
    """A text as a model reads it.

    Attributes:
        text: normalised; what lies after the last token is not read.
        places: of every token the first character and the one after the last; (0, 0) for a token that stands
            for no part of the text, such as the start of a sentence.
    """

    text: str
    places: list[tuple[int, int]]


class TextConfig(ColumnConfig):
    """What a recipe may say about a text."""

    tokenizer: Literal["bpe", "word", "character"] = Field(
        "bpe", description="bpe: parts of words learned from the table; word: whole words; character"
    )
    vocabulary: int = Field(8000, ge=8, le=1_000_000, description="most tokens kept, with 4 special ones")
    length: int = Field(128, ge=1, le=1_000_000, description="tokens kept of a text")
    lowercase: bool = Field(True, description="read capitals as small letters")
    stop_words: Literal["none", "english", "chinese"] | list[str] = Field(
        "none", description="words left out: none, english, chinese, or a list of your own"
    )
    min_count: int = Field(2, ge=1, description="tokenizer word: rarer words are unknown")
    prefix: str | None = Field(
        None,
        description="pretrained weights: put in front of every text, such as 'query: ' for E5; default: what "
        "the weights say they want, else nothing",
    )


class TextColumn(Column):
    """One text a row.

    `decode` gives int32 (L,) token ids, L at most `length`; `collate` gives values (B, L) int64, padded with
    0, and mask (B, L) bool, L at least 1. Ids: 0 padding, 1 unknown, 2 start, 3 end, then the vocabulary;
    `decode` adds no start and no end. A text without a token (empty, or stop words alone) is like a missing
    one. Numbers are read as their text.

    Text is normalised to NFKC; runs of Chinese and Japanese characters are cut from what surrounds them, and
    every such character is a word of its own for `tokenizer: word`. Byte-pair encoding: Sennrich, Haddow and
    Birch, 2016, arXiv 1508.07909. Text is cut into words here, and the ids of words are remembered, because
    that is ten times as fast as a pipeline of the tokenizers library, which trains and encodes the words.
    """

    Config: ClassVar[type[TextConfig]] = TextConfig

    def __init__(self, config: TextConfig) -> None:
        if config.prefix is not None:
            raise RecipeError("prefix: only pretrained weights were trained with one; leave it out")
        self.config = config
        self._stop = _StopWords(config.stop_words)
        self._tokenizer = _word_tokenizer(_special_ids())
        self._cache: dict[str, list[int]] = {}

    @property
    def blank(self) -> int:
        """The id that stands for a word taken away; its vector is zero."""
        return PADDING

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
        texts = (self._normalised(text) for text in bounded(readable(cells)))
        pieces = ([match.group() for match in self._pieces(text)] for text in texts)
        if self.config.tokenizer == "bpe":
            self._tokenizer = _train_bpe(pieces, self.config.vocabulary)
        else:
            least = self.config.min_count if self.config.tokenizer == "word" else 1
            self._tokenizer = _train_words(pieces, self.config.vocabulary, least)
        self._cache = {}

    def decode(self, cell: Any) -> Array:
        length = self.config.length
        text = self._normalised(as_text(cell)[: length * CHARACTERS_PER_TOKEN])
        ids: list[int] = []
        for match in self._pieces(text):
            ids += self._ids(match.group())
            if len(ids) >= length:
                break
        return np.array(ids[:length], dtype=np.int32)

    def spans(self, cell: Any) -> Spans:
        """Where in the text each token lies that `decode` gives, in the same order."""
        text = self._normalised(as_text(cell)[: self.config.length * CHARACTERS_PER_TOKEN])
        places: list[tuple[int, int]] = []
        for match in self._pieces(text):
            text, start = match.string, match.start()
            offsets = self._tokenizer.encode(match.group()).offsets
            places += [(start + first, start + end) for first, end in offsets]
            if len(places) >= self.config.length:
                break
        return Spans(text, places[: self.config.length])

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
                token = None if one == UNKNOWN else self._tokenizer.id_to_token(int(one))
                pieces.append(token or "\ufffd")
        if self.config.tokenizer == "word":
            return _join_words(pieces)
        return "".join(pieces).strip()

    def state(self) -> dict[str, Any]:
        return {"tokenizer": self._tokenizer.to_str()}

    def load_state(self, state: dict[str, Any]) -> None:
        try:
            self._tokenizer = Tokenizer.from_str(state["tokenizer"])
        except Exception as error:
            if type(error) is not Exception:  # the library raises the bare class, and nothing narrower
                raise
            raise ValueError(f"the tokenizer is damaged: {error}") from None
        self._cache = {}

    def _normalised(self, text: str) -> str:
        text = unicodedata.normalize("NFKC", text)
        text = self._stop.removed(text.lower() if self.config.lowercase else text)
        return _BLANK.sub(" ", text).strip()

    def _pieces(self, text: str) -> Iterator[re.Match[str]]:
        # The first word gets a space too, so that it is the same token as inside the text.
        first = self.config.tokenizer == "bpe" and _WORD.match(text)
        return _PIECES[self.config.tokenizer].finditer(f" {text}" if first else text)

    def _ids(self, piece: str) -> list[int]:
        ids = self._cache.get(piece)
        if ids is None:
            ids = self._tokenizer.encode(piece).ids
            if len(self._cache) < _CACHED_PIECES and len(piece) <= _CACHED_LENGTH:
                self._cache[piece] = ids
        return ids


class _StopWords:
    """Words left out: whole ones in any case, and in scripts without spaces wherever they stand."""

    def __init__(self, words: str | Sequence[str]) -> None:
        listed = _STOP_WORDS[words] if isinstance(words, str) else [word.strip() for word in words]
        cjk = re.compile(f"[{_CJK}]")
        inside = sorted((word for word in listed if cjk.search(word)), key=lambda word: (-len(word), word))
        self._whole = frozenset(word.casefold() for word in listed if word and not cjk.search(word))
        self._inside = re.compile("|".join(map(re.escape, inside))) if inside else None

    def removed(self, text: str) -> str:
        if self._whole:
            text = _WORD.sub(self._kept, text)
        return self._inside.sub(" ", text) if self._inside else text

    def _kept(self, word: re.Match[str]) -> str:
        return " " if word.group().casefold() in self._whole else word.group()


def _train_bpe(texts: Iterable[Sequence[str]], vocabulary: int) -> Tokenizer:
    joined = ["\n".join(pieces) for pieces in texts]  # no piece holds a line break
    tokenizer = Tokenizer(models.BPE(unk_token=_SPECIAL[UNKNOWN]))
    tokenizer.pre_tokenizer = pre_tokenizers.CharDelimiterSplit("\n")
    alphabet = _alphabet(joined, vocabulary)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=_SPECIAL,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(joined, trainer)
    # The special tokens keep their ids but lose their spelling: "<end>" in a user's text is five characters.
    state = json.loads(tokenizer.to_str()) | {"added_tokens": [], "pre_tokenizer": None}
    return Tokenizer.from_str(json.dumps(state, ensure_ascii=False))


def _alphabet(texts: Iterable[str], vocabulary: int) -> list[str]:
    """The characters that become tokens: the most frequent, at most half of the vocabulary.

    Chosen here because the library breaks ties between characters of one frequency at random.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    del counts["\n"]
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    return sorted(ranked[: (vocabulary - len(_SPECIAL)) // 2])


def _train_words(texts: Iterable[Sequence[str]], vocabulary: int, min_count: int) -> Tokenizer:
    counts: Counter[str] = Counter()
    for pieces in texts:
        counts.update(pieces)
    ranked = sorted((-count, word) for word, count in counts.items() if count >= min_count)
    ids = _special_ids()
    for _, word in ranked[: vocabulary - len(_SPECIAL)]:
        ids.setdefault(word, len(ids))
    return _word_tokenizer(ids)


def _word_tokenizer(ids: dict[str, int]) -> Tokenizer:
    return Tokenizer(models.WordLevel(ids, _SPECIAL[UNKNOWN]))


def _special_ids() -> dict[str, int]:
    return {name: index for index, name in enumerate(_SPECIAL)}


def as_text(cell: Any) -> str:
    """A cell as text: bytes are UTF-8, lists are joined by spaces, numbers are written out.

    Raises:
        CellError: when the cell cannot be read as text.
    """
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError as error:
            raise CellError("the bytes are not UTF-8 text", "set another type for the column") from error
    if isinstance(cell, list):
        return " ".join(as_text(one) for one in cell if one is not None)
    text = label_of(cell) if not isinstance(cell, str) else cell
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise CellError("the text holds half of a surrogate pair", "write it as UTF-8")
    return text


def readable(cells: Iterable[Any]) -> Iterator[str]:
    """The texts of cells; those that cannot be read are left out."""
    for cell in cells:
        try:
            yield as_text(cell)
        except CellError:
            continue


def bounded(texts: Iterable[str]) -> Iterator[str]:
    """The first of the texts, as far as they change what is learned of them."""
    left = _TRAINING_CHARACTERS
    for text in texts:
        if left <= 0:
            return
        yield text[:left]
        left -= len(text)


def in_one_word(text: str, place: int) -> bool:
    """Whether the characters before and at a place belong to one word: letters of a script with spaces."""
    return bool(_NO_BREAK.fullmatch(text[max(0, place - 1) : place + 1]))


def _join_words(words: Sequence[str]) -> str:
    text = " ".join(words)
    text = re.sub(f"(?<=[{_CJK}，。！？；：、]) (?=[{_CJK}，。！？；：、])", "", text)
    return re.sub(r" (?=[,.!?;:%)\]}])|(?<=[(\[{]) ", "", text)
