"""Where a media cell's bytes come from, and what may be read: paths under one root, bytes, data: URIs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import re
import stat
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote_to_bytes

from pydantic import Field

from sensorium.config import Config
from sensorium.data.column import Profile, Recognised
from sensorium.data.compact import CompactMap, key_of
from sensorium.errors import CellError

Stream = io.BufferedReader | io.BytesIO

_DIGEST_BYTES = 20
_REMEMBERED = CompactMap(8 + _DIGEST_BYTES)  # digests of files, after 8 more bytes of their key
_REMEMBERED_LOCK = threading.Lock()


class Limits(Config):
    """What a single media file may cost; checked before anything is decoded."""

    max_bytes: int = Field(2 * 1024**3, description="largest file, bytes", ge=1)
    max_pixels: int = Field(100_000_000, description="largest picture or video frame, pixels", ge=1)
    max_seconds: float = Field(4 * 3600.0, description="longest sound or video, seconds", gt=0)


@dataclass(frozen=True)
class Source:
    """One readable media cell.

    Attributes:
        content: the bytes themselves, or the resolved path of a regular file under the media root.
        name: what to call it in messages: the path as the table writes it, or "" for bytes.
        limits: what may be read.
    """

    content: bytes | Path
    name: str
    limits: Limits = field(default_factory=Limits)

    def open(self) -> Stream:
        """A new binary stream at the start of the content; the caller closes it.

        Raises:
            CellError: when the file can no longer be opened.
        """
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        try:
            return self.content.open("rb")
        except OSError as error:
            raise _unreadable(error) from error

    def read(self) -> bytes:
        """The whole content.

        Raises:
            CellError: when the file cannot be read.
        """
        if isinstance(self.content, bytes):
            return self.content
        try:
            return self.content.read_bytes()
        except OSError as error:
            raise _unreadable(error) from error

    def head(self, count: int = 512) -> bytes:
        """The first `count` bytes, enough for `sniff`."""
        try:
            with self.open() as stream:
                return stream.read(count)
        except OSError as error:
            raise _unreadable(error) from error

    def digest(self) -> str:
        """BLAKE2b of the content, 40 hexadecimal digits: the same bytes have the same digest anywhere.

        A file is read once for it, and again only when its size, its times or its inode have changed.
        """
        if isinstance(self.content, bytes):
            return hashlib.blake2b(self.content, digest_size=_DIGEST_BYTES).hexdigest()
        try:
            return _file_digest(self.content, self.content.stat())
        except OSError as error:
            raise _unreadable(error) from error

    def size(self) -> int:
        """Bytes of the content."""
        if isinstance(self.content, bytes):
            return len(self.content)
        try:
            return self.content.stat().st_size
        except OSError as error:
            raise _unreadable(error) from error


_ESCAPES = 100_000  # in a data: URI; each takes far more memory to read than its three characters
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:[\\/]")  # of POSIX and of Windows


class Media:
    """Turns cells into sources; nothing outside the media root is opened and nothing is fetched.

    Args:
        root: the folder that path cells are relative to; None when the table has no folder, so that
            only bytes can be read.
        limits: what may be read.
    """

    def __init__(self, root: Path | None, limits: Limits | None = None) -> None:
        self.root = None if root is None else Path(os.path.realpath(root))
        self._inside = f"{str(self.root or '').rstrip(os.sep)}{os.sep}"
        self.limits = limits or Limits()

    def source(self, cell: Any) -> Source:
        """One present cell → where its bytes are.

        Args:
            cell: a path relative to the root, a `data:` URI (RFC 2397), bytes, or a mapping with the
                keys "bytes" and "path" as Hugging Face datasets write it.

        Raises:
            CellError: when the cell is none of these, leaves the root, is empty or exceeds a limit.
        """
        if isinstance(cell, Mapping):
            return self._from_struct(cell)
        if isinstance(cell, bytes | bytearray | memoryview):
            return self._from_bytes(bytes(cell), "")
        if isinstance(cell, str | Path):
            text = str(cell)
            return self._from_uri(text) if text[:5].lower() == "data:" else self._from_path(text)
        raise CellError(
            f"the cell is neither a path nor bytes, but {type(cell).__name__}",
            "give a path relative to the media root, or the file's bytes",
        )

    def _from_struct(self, cell: Mapping[Any, Any]) -> Source:
        content, path = cell.get("bytes"), cell.get("path")
        if isinstance(content, bytes | bytearray | memoryview):
            return self._from_bytes(bytes(content), path if isinstance(path, str) else "")
        if isinstance(path, str):
            return self.source(path)
        raise CellError('the struct has neither "bytes" nor "path"', "give at least one of the two fields")

    def _from_bytes(self, content: bytes, name: str) -> Source:
        self._check_size(len(content))
        return Source(content, name, self.limits)

    def _from_uri(self, text: str) -> Source:
        header, comma, payload = text.partition(",")
        if not comma:
            raise CellError("the data: URI has no comma, so no content", "write data:<type>;base64,<content>")
        if payload.count("%") > _ESCAPES:
            raise CellError(
                f"the data: URI has more than {_ESCAPES:,} escapes", "write its content as base64"
            )
        if not header.lower().endswith(";base64"):
            return self._from_bytes(unquote_to_bytes(payload), "")
        self._check_size(len(payload) * 3 // 4)
        try:
            return self._from_bytes(base64.b64decode(unquote_to_bytes(payload), validate=True), "")
        except binascii.Error as error:
            raise CellError("the data: URI is not valid base64", "encode the file again") from error

    def _from_path(self, text: str) -> Source:
        path = self._resolve(text)
        try:
            status = path.stat()
        except FileNotFoundError as error:
            raise CellError("the file does not exist", "correct the path or the media root") from error
        except OSError as error:
            raise _unreadable(error) from error
        if stat.S_ISDIR(status.st_mode):
            raise CellError("the path is a folder, not a file", "give the path of one file")
        if not stat.S_ISREG(status.st_mode):
            raise CellError("the path is not a regular file", "give the path of a plain file")
        self._check_size(status.st_size)
        return Source(path, text, self.limits)

    def _resolve(self, text: str) -> Path:
        """The real path under the root. Mostly by strings, as this is done for every cell of every epoch."""
        if not text or "\0" in text:
            raise CellError("the path is empty or holds a null character", "give a path, or leave it missing")
        if _URL.match(text):
            raise CellError("the cell is a URL, and nothing is fetched", "download the file, give its path")
        if self.root is None:
            raise CellError("the cell is a path, and the table has no media root", "name the media root")
        if _ABSOLUTE.match(text):
            raise CellError(
                "the path is absolute, and only paths under the media root are read",
                "write the path relative to the media root",
            )
        # Links are followed before the check, so what is compared is the file that would be opened.
        path = os.path.realpath(self._inside + text)
        if ".." in text.split("/") or not (path + os.sep).startswith(self._inside):
            raise CellError("the path leaves the media root", "move the file under the root")
        return Path(path)

    def _check_size(self, size: int) -> None:
        if size == 0:
            raise CellError("the file is empty (zero bytes)", "replace the file, or leave the cell missing")
        if size > self.limits.max_bytes:
            raise CellError(
                f"the file has {size:,} bytes, more than the limit of {self.limits.max_bytes:,}",
                "make the file smaller or raise max_bytes",
            )


# Format, media type and how a file begins (the formats' own specifications; `file`'s magic agrees).
SIGNATURES: tuple[tuple[str, str, re.Pattern[bytes]], ...] = tuple(
    (title, media, re.compile(pattern, re.DOTALL))
    for title, media, pattern in (
        ("JPEG", "image", rb"\xff\xd8\xff"),
        ("PNG", "image", rb"\x89PNG\r\n\x1a\n"),
        ("GIF", "image", rb"GIF8[79]a"),
        ("WebP", "image", rb"RIFF.{4}WEBP"),
        ("BMP", "image", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
        ("TIFF", "image", rb"II[*+]\0|MM\0[*+]"),
        ("WAV", "audio", rb"(RIFF|RF64|RIFX).{4}WAVE"),
        ("FLAC", "audio", rb"fLaC"),
        ("Ogg video", "video", rb"OggS.{24,100}\x80theora"),
        ("Ogg", "audio", rb"OggS"),
        ("AIFF", "audio", rb"FORM.{4}AIF[FC]"),
        ("AU", "audio", rb"\.snd"),
        ("MP3", "audio", rb"ID3[\x02-\x04]|\xff[\xe2\xe3\xf2\xf3\xfa\xfb][^\xf0-\xff]"),
        ("AAC", "audio", rb"\xff[\xf0\xf1\xf8\xf9].{5}"),
        ("M4A", "audio", rb".{4}ftyp(M4A|M4B)"),
        ("MP4", "video", rb".{4}ftyp(?!avif|avis|hei|hev|mif1|msf1|crx)"),
        ("WebM", "video", rb"\x1aE\xdf\xa3.{0,60}webm"),
        ("Matroska", "video", rb"\x1aE\xdf\xa3"),
        ("AVI", "video", rb"RIFF.{4}AVI "),
        ("MPEG", "video", rb"\0\0\x01\xba|G.{187}G"),
        ("FLV", "video", rb"FLV\x01"),
    )
)

ENDINGS: dict[str, str] = {
    ending: media
    for media, endings in (
        ("image", ".jpg .jpeg .jpe .jfif .png .gif .webp .bmp .tif .tiff"),
        ("audio", ".wav .flac .ogg .oga .opus .mp3 .m4a .m4b .aac .aif .aiff .aifc .au .mka .weba"),
        ("video", ".mp4 .m4v .mov .webm .mkv .avi .ogv .mpg .mpeg .flv"),
    )
    for ending in endings.split()
}

# Containers that hold sound alone as often as pictures: there the file's ending says which.
_CONTAINERS = frozenset({"MP4", "WebM", "Matroska", "Ogg"})


def file_format(head: bytes) -> tuple[str, str]:
    """The format's name and media type that a file's first bytes say; ("", "") when unknown."""
    for title, media, pattern in SIGNATURES:
        if pattern.match(head):
            return title, media
    return "", ""


def sniff(head: bytes, name: str) -> str:
    """The media type, "image", "audio", "video" or "", from leading bytes and, failing these, the ending.

    Args:
        head: the first bytes of the content (512 are enough), or b"" when only the name is known.
        name: the path as the table writes it, or "".
    """
    title, media = file_format(head)
    by_ending = ENDINGS.get(PurePosixPath(name).suffix.lower(), "")
    if title in _CONTAINERS and by_ending in ("audio", "video"):
        return by_ending
    return media or by_ending


def recognise_media(profile: Profile, media: str) -> Recognised | None:
    """Recognises a column of files of one media type, with a reason that the user can check."""
    if profile.media != media:
        return None
    return Recognised(_reason(profile.values, media), {})


def _reason(values: Sequence[Any], media: str) -> str:
    endings: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    for value in values:
        name, content = _parts(value)
        if content:
            formats[file_format(content[:512])[0]] += 1
        elif name:
            endings[PurePosixPath(name).suffix.lower()] += 1
    del formats[""], endings[""]
    if endings.total() > formats.total():
        return f"the cells are paths that end in {endings.most_common(1)[0][0]}"
    if formats:
        title = formats.most_common(1)[0][0]
        return f"the cells are bytes that begin as {title} files do"
    return f"the cells are {media} files"


def _parts(value: Any) -> tuple[str, bytes]:
    """Path and content that one cell holds, either possibly empty."""
    if isinstance(value, Mapping):
        content = value.get("bytes")
        return str(value.get("path") or ""), content if isinstance(content, bytes) else b""
    if isinstance(value, bytes):
        return "", value
    text = str(value)
    return ("", b"") if text[:5].lower() == "data:" else (text, b"")


def _file_digest(path: Path, status: os.stat_result) -> str:
    """The digest of a file, remembered as long as the file stays as it is."""
    file = str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    key, check = key_of(file), key_of("check", file).to_bytes(8, "little")
    with _REMEMBERED_LOCK:
        record = _REMEMBERED.get(key)
    if record is not None and record[:8] == check:
        return record[8:].hex()
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES)).digest()
    with _REMEMBERED_LOCK:
        _REMEMBERED.put(key, check + digest)
    return digest.hex()


def _unreadable(error: OSError) -> CellError:
    return CellError(
        f"the file cannot be read: {error.strerror or type(error).__name__}",
        "check that the file exists and may be read",
    )
