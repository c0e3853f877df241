import base64
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.column import Profile
from sensorium.data.media import Limits, Media, Source, file_format, recognise_media, sniff
from sensorium.errors import CellError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_bytes(PNG)
    (folder / "sub" / "b ü.png").write_bytes(PNG + b"b")
    (folder / "empty.png").write_bytes(b"")
    (tmp_path / "secret.png").write_bytes(b"secret")
    return folder


def cause(media: Media, cell: object) -> str:
    with pytest.raises(CellError) as caught:
        media.source(cell)
    assert caught.value.advice
    assert "\n" not in caught.value.cause
    return caught.value.cause


def test_every_form_of_a_cell_gives_its_content(root: Path) -> None:
    media = Media(root)
    assert media.source("a.png").read() == PNG
    assert media.source("sub/b ü.png").read() == PNG + b"b"
    assert media.source(Path("a.png")).read() == PNG
    assert media.source(PNG).read() == PNG
    assert media.source(bytearray(PNG)).read() == PNG
    assert media.source(memoryview(PNG)).read() == PNG
    assert media.source({"bytes": PNG, "path": None}).read() == PNG
    assert media.source({"bytes": None, "path": "a.png"}).read() == PNG
    assert media.source("data:image/png;base64," + base64.b64encode(PNG).decode()).read() == PNG
    assert media.source("data:,a%20b").read() == b"a b"


def test_a_struct_keeps_the_path_as_a_name_only(root: Path) -> None:
    source = Media(root).source({"bytes": PNG, "path": "/elsewhere/c.png"})
    assert (source.read(), source.name) == (PNG, "/elsewhere/c.png")


def test_names_sizes_heads_and_streams(root: Path) -> None:
    media = Media(root)
    for cell, name in (("a.png", "a.png"), (PNG, "")):
        source = media.source(cell)
        assert (source.name, source.size(), source.head(4)) == (name, len(PNG), PNG[:4])
        with source.open() as stream:
            assert stream.read() == PNG


def test_the_same_content_has_the_same_digest_wherever_it_lies(root: Path) -> None:
    media = Media(root)
    digest = media.source("a.png").digest()
    assert digest == media.source(PNG).digest()
    assert len(digest) == 40
    assert digest != media.source(PNG + b"b").digest()


def test_a_file_that_changed_has_another_digest(root: Path) -> None:
    media = Media(root)
    before = media.source("a.png").digest()
    (root / "a.png").write_bytes(PNG + b"longer")
    assert media.source("a.png").digest() != before
    assert media.source("a.png").digest() == media.source(PNG + b"longer").digest()


def test_paths_that_leave_the_root_are_refused(root: Path) -> None:
    (root / "outside.png").symlink_to(root.parent / "secret.png")
    (root / "up").symlink_to(root.parent)
    media = Media(root)
    for cell in ("../secret.png", "sub/../../secret.png", "outside.png", "up/secret.png", "sub/../a.png"):
        assert cause(media, cell) == "the path leaves the media root"
    assert "absolute" in cause(media, str(root / "a.png"))
    assert "absolute" in cause(media, "/etc/passwd")
    assert "absolute" in cause(media, "C:\\pictures\\a.png")
    assert cause(media, {"path": "../secret.png"}) == "the path leaves the media root"


def test_links_inside_the_root_are_followed(root: Path) -> None:
    (root / "link.png").symlink_to(root / "a.png")
    assert Media(root).source("link.png").read() == PNG


def test_a_root_that_is_itself_a_link(root: Path) -> None:
    (root.parent / "alias").symlink_to(root)
    assert Media(root.parent / "alias").source("a.png").read() == PNG


@given(st.lists(st.sampled_from(["..", ".", "sub", "up", "outside.png", "/", "a.png", "secret.png", ""])))
def test_no_path_reads_outside_the_root(parts: list[str]) -> None:
    base = Path("/nonexistent-root/media")
    try:
        source = Media(base).source("/".join(parts))
    except CellError:
        return
    assert isinstance(source.content, Path)
    assert source.content.is_relative_to(base)


@pytest.mark.parametrize(
    "cell", ["http://x.org/a.png", "HTTPS://x.org/a.png", "file:///etc/passwd", "s3://bucket/a.png"]
)
def test_urls_are_refused(root: Path, cell: str) -> None:
    assert cause(Media(root), cell) == "the cell is a URL, and nothing is fetched"


def test_files_that_cannot_be_read(root: Path) -> None:
    media = Media(root)
    os.mkfifo(root / "pipe.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    assert cause(media, "none.png") == "the file does not exist"
    assert cause(media, "sub") == "the path is a folder, not a file"
    assert cause(media, "pipe.png") == "the path is not a regular file"
    assert cause(media, "empty.png") == "the file is empty (zero bytes)"
    assert cause(media, b"") == "the file is empty (zero bytes)"
    assert cause(media, "a.png/more").startswith("the file cannot be read")
    assert cause(media, "x" * 5000).startswith("the file cannot be read")
    assert cause(media, "loop.png").startswith("the file cannot be read")
    assert "null character" in cause(media, "a\0.png")
    assert "empty" in cause(media, "")


def test_cells_of_other_kinds_are_refused(root: Path) -> None:
    media = Media(root)
    assert cause(media, 7) == "the cell is neither a path nor bytes, but int"
    assert cause(media, {"bytes": None, "path": None}) == 'the struct has neither "bytes" nor "path"'
    assert "no comma" in cause(media, "data:image/png;base64")
    assert "not valid base64" in cause(media, "data:image/png;base64,@@@")
    assert "no media root" in cause(Media(None), "a.png")
    assert Media(None).source(PNG).read() == PNG


def test_the_byte_limit_is_checked_before_reading(root: Path) -> None:
    media = Media(root, Limits(max_bytes=len(PNG)))
    assert media.source("a.png").limits.max_bytes == len(PNG)
    expected = "the file has 29 bytes, more than the limit of 28"
    assert cause(media, "sub/b ü.png") == expected
    assert cause(media, PNG + b"b") == expected
    assert "more than the limit" in cause(media, "data:;base64," + base64.b64encode(bytes(300)).decode())


def test_a_file_that_vanishes_is_a_cell_error(root: Path) -> None:
    source = Media(root).source("a.png")
    (root / "a.png").unlink()
    for use in (source.open, source.read, source.head, source.digest, source.size):
        with pytest.raises(CellError, match="cannot be read"):
            use()


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"\xff\xd8\xff\xe0", "", "image"),
        (PNG, "", "image"),
        (b"GIF89a", "", "image"),
        (b"RIFF\0\0\0\0WEBP", "", "image"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "", "image"),
        (b"II*\0", "", "image"),
        (b"RIFF\0\0\0\0WAVE", "", "audio"),
        (b"fLaC", "", "audio"),
        (b"OggS" + bytes(40), "", "audio"),
        (b"OggS" + bytes(24) + b"\x80theora", "", "video"),
        (b"ID3\x04", "", "audio"),
        (b"\xff\xfb\x90", "", "audio"),
        (b"\0\0\0\x20ftypM4A ", "", "audio"),
        (b"\0\0\0\x20ftypisom", "", "video"),
        (b"\0\0\0\x20ftypisom", "a.m4a", "audio"),
        (b"\0\0\0\x20ftypheic", "", ""),
        (b"\x1aE\xdf\xa3" + bytes(8) + b"webm", "", "video"),
        (b"\x1aE\xdf\xa3", "a.mka", "audio"),
        (b"RIFF\0\0\0\0AVI ", "", "video"),
        (PNG, "a.wav", "image"),
        (b"", "a.PNG", "image"),
        (b"", "a/b.opus", "audio"),
        (b"", "a.webm", "video"),
        (b"", "a.txt", ""),
        (b"Best film ever", "", ""),
        ("﻿text".encode("utf-16"), "", ""),
        (b"", "", ""),
    ],
)
def test_sniff(head: bytes, name: str, expected: str) -> None:
    assert sniff(head, name) == expected


@given(st.text())
def test_text_is_hardly_ever_media(text: str) -> None:
    title, _ = file_format(text.encode("utf-8", "surrogatepass"))
    # Only these begin with bytes that are also letters.
    assert title in (
        "",
        "BMP",
        "TIFF",
        "GIF",
        "WebP",
        "WAV",
        "AVI",
        "FLAC",
        "Ogg",
        "AIFF",
        "AU",
        "MP3",
        "FLV",
    )


def profile(values: list[object], media: str) -> Profile:
    return Profile("x", "string", values, len(values), len(values), media)


def test_recognition_gives_a_reason() -> None:
    paths = recognise_media(profile(["a.png", "b.png", "c.jpg"], "image"), "image")
    assert paths == ("the cells are paths that end in .png", {})
    content = recognise_media(profile([PNG, PNG], "image"), "image")
    assert content == ("the cells are bytes that begin as PNG files do", {})
    struct = recognise_media(profile([{"bytes": PNG, "path": "a.png"}], "image"), "image")
    assert struct == ("the cells are bytes that begin as PNG files do", {})
    uri = recognise_media(profile(["data:image/png;base64,AAAA"], "image"), "image")
    assert uri == ("the cells are image files", {})
    assert recognise_media(profile(["a.png"], "image"), "audio") is None
    assert recognise_media(profile(["words"], ""), "image") is None


def test_a_source_by_itself_has_the_default_limits() -> None:
    assert Source(b"x", "").limits == Limits()
    assert np.isclose(Limits().max_seconds, 4 * 60 * 60)
