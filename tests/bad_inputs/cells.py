"""Cells that cannot be read, each with what is said of it; and odd ones that can be read all the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests import made
from tests.bad_inputs import files

Content = bytes | Callable[[Path], object]
"""A file's bytes, or what makes it at a path."""


class Cell(NamedTuple):
    """One cell of a table whose other cells are whole.

    Attributes:
        title: what is special about it.
        column: where it stands.
        cell: what the table holds; a path, where there is a `file`.
        says: cause and advice; "" where it can be read.
        file: what lies at the path.
    """

    title: str
    column: str
    cell: str
    says: str = ""
    file: Content | None = None


DAMAGED_JPEG = "the JPEG file is damaged or cut short; replace the file"
DAMAGED_PNG = "the PNG file is damaged or cut short; replace the file"
NO_PICTURE = (
    "the file is not a picture of a known format; convert it to one of JPEG, PNG, GIF, WebP, BMP, TIFF"
)
NO_SOUND = (
    "the file is not a sound of a known format, or it is damaged or cut short; replace the file or convert it"
)
NO_VIDEO = (
    "the file is not a video of a known format, or it is damaged or cut short; replace the file or convert it"
)
EMPTY = "the file is empty (zero bytes); replace the file, or leave the cell missing"
LEAVES = "the path leaves the media root; move the file under the root"
ABSOLUTE = (
    "the path is absolute, and only paths under the media root are read; "
    "write the path relative to the media root"
)
URL = "the cell is a URL, and nothing is fetched; download the file, give its path"
NO_PATH = "the path is empty or holds a null character; give a path, or leave it missing"
TOO_LONG = "the file cannot be read: File name too long; check that the file exists and may be read"
NO_NUMBER = "not a number; give a number, or set another type for the column"
NOT_FINITE = "the number is not finite; leave the cell empty if the value is not known"
NO_DATE = "not a date; write dates like 2024-05-31 or 2024-05-31T12:00:00"


def link_to(target: str) -> Content:
    return lambda path: path.symlink_to(target)


def folder(path: Path) -> None:
    path.mkdir()


BAD: tuple[Cell, ...] = (
    Cell("a truncated JPEG", "photo", "cut.jpg", DAMAGED_JPEG, made.picture(0, form="JPEG")[:400]),
    Cell("a JPEG of its header alone", "photo", "head.jpg", DAMAGED_JPEG, made.picture(0, form="JPEG")[:30]),
    Cell("text named .png", "photo", "text.png", NO_PICTURE, b"This is a letter, not a picture.\n"),
    Cell("a drawing (SVG)", "photo", "drawing.svg", NO_PICTURE, b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    Cell("a PDF named .jpg", "photo", "page.jpg", NO_PICTURE, b"%PDF-1.7\n1 0 obj\n"),
    Cell("a picture of no bytes", "photo", "empty.png", EMPTY, b""),
    Cell(
        "a picture of 100,000 × 100,000 px",
        "photo",
        "huge.png",
        "100,000 x 100,000 pixels are more than the limit of 100,000,000; "
        "make the picture smaller or raise max_pixels",
        files.png(100_000, 100_000),
    ),
    Cell(
        "a PNG bomb: 100 kB that unpack to 100 MB",
        "photo",
        "bomb.png",
        "10,050 x 10,050 pixels are more than the limit of 100,000,000; "
        "make the picture smaller or raise max_pixels",
        files.png_bomb(),
    ),
    Cell(
        "a picture 1 pixel wide and 90 million high",
        "photo",
        "line.png",
        "1 x 90,000,000 pixels: a side has more than 65,535; cut the picture up",
        files.png(1, 90_000_000),
    ),
    Cell("a PNG of 0 × 0 px", "photo", "nothing.png", DAMAGED_PNG, files.png(0, 0)),
    Cell("a PNG without pixels", "photo", "bare.png", DAMAGED_PNG, files.png(20, 20)),
    Cell(
        "a TIFF of floating-point samples",
        "photo",
        "float.tif",
        "the picture has floating-point samples; convert it to 8 or 16 bits a sample",
        files.float_picture(),
    ),
    Cell(
        "a file that is not there",
        "photo",
        "not/there.png",
        "the file does not exist; correct the path or the media root",
    ),
    Cell("a path with ..", "photo", "../secret.png", LEAVES),
    Cell("a path with .. that comes back", "photo", "a/../good.png", LEAVES),
    Cell("a symlink out of the root", "photo", "out.png", LEAVES, link_to("/etc/passwd")),
    Cell("a symlink to /dev/zero", "photo", "zero.png", LEAVES, link_to("/dev/zero")),
    Cell(
        "a symlink to itself",
        "photo",
        "loop.png",
        "the file cannot be read: Too many levels of symbolic links; "
        "check that the file exists and may be read",
        link_to("loop.png"),
    ),
    Cell("an absolute path", "photo", "/etc/passwd", ABSOLUTE),
    Cell("a device by its absolute path", "voice", "/dev/zero", ABSOLUTE),
    Cell("a Windows path", "photo", "C:\\Users\\me\\photo.png", ABSOLUTE),
    Cell(
        "a folder named .png",
        "photo",
        "folder.png",
        "the path is a folder, not a file; give the path of one file",
        folder,
    ),
    Cell(
        "a pipe (FIFO) as a picture",
        "photo",
        "pipe.png",
        "the path is not a regular file; give the path of a plain file",
        lambda path: os.mkfifo(path),
    ),
    Cell(
        "a pipe (FIFO) as a sound",
        "voice",
        "pipe.wav",
        "the path is not a regular file; give the path of a plain file",
        lambda path: os.mkfifo(path),
    ),
    Cell("a path with a null character", "photo", "a\0b.png", NO_PATH),
    Cell("an empty path", "photo", "", NO_PATH),
    Cell("a file name of 300 characters", "photo", "x" * 300 + ".png", TOO_LONG),
    Cell("a path of 20,000 characters", "film", "folder/" * 3000 + "x.mp4", TOO_LONG),
    Cell("a URL (http)", "photo", "http://example.org/a.png", URL),
    Cell("a URL (ftp)", "voice", "ftp://example.org/a.wav", URL),
    Cell("a URL (file)", "film", "file:///etc/passwd", URL),
    Cell(
        "a data: URI without a comma",
        "photo",
        "data:image/png;base64",
        "the data: URI has no comma, so no content; write data:<type>;base64,<content>",
    ),
    Cell(
        "a data: URI of base64 garbage",
        "photo",
        "data:image/png;base64,@@@@",
        "the data: URI is not valid base64; encode the file again",
    ),
    Cell("a data: URI without content", "photo", "data:image/png;base64,", EMPTY),
    Cell(
        "a data: URI of a million escapes",
        "photo",
        "data:image/png," + "%41" * 1_000_000,
        "the data: URI has more than 100,000 escapes; write its content as base64",
    ),
    Cell("a data: URI of 10 MB that is no picture", "photo", "data:;base64," + "A" * 10_000_000, NO_PICTURE),
    Cell("a sound of no bytes", "voice", "empty.wav", EMPTY, b""),
    Cell(
        "a sound of no samples",
        "voice",
        "silent.wav",
        "the sound holds no samples; replace the file, or leave the cell missing",
        files.wave(samples=b""),
    ),
    Cell(
        "a header of 10 hours",
        "voice",
        "long.wav",
        "it lasts 36,000 seconds, more than the limit of 14,400; cut it shorter or raise max_seconds",
        files.wave(stated=8000 * 2 * 36_000),
    ),
    Cell("a sample rate of 0", "voice", "zero.wav", NO_SOUND, files.wave(rate=0)),
    Cell(
        "a sample rate of 10 MHz",
        "voice",
        "fast.wav",
        "its rate is 10,000,000 Hz, not between 100 and 1,000,000; export it again",
        files.wave(rate=10_000_000),
    ),
    Cell(
        "a sound of no channels",
        "voice",
        "none.wav",
        "the sound holds no samples; replace the file, or leave the cell missing",
        files.wave(channels=0),
    ),
    Cell(
        "samples that are not numbers",
        "voice",
        "nan.wav",
        "the sound holds samples that are not finite numbers; export the sound again",
        files.sound("WAV", float("nan"), subtype="FLOAT"),
    ),
    Cell(
        "a WAV of a million empty chunks",
        "voice",
        "chunks.wav",
        "the WAV file has no samples in its first 1,000 chunks; export the sound again",
        files.wave_of_chunks(1_000_000),
    ),
    Cell("text named .wav", "voice", "text.wav", NO_SOUND, b"la la la"),
    Cell("a picture named .wav", "voice", "picture.wav", NO_SOUND, made.picture(0)),
    Cell(
        "a film without a sound track",
        "voice",
        "mute.mp4",
        "the video has no sound track; leave the cell missing, or give a file with sound",
        made.video(0),
    ),
    Cell(
        "a video without pictures",
        "film",
        "sound.mp4",
        "the file has no video track; leave the cell missing, or give a file with pictures",
        files.film_without_pictures(),
    ),
    Cell(
        "a video without frames",
        "film",
        "frames.mp4",
        "the video has no frame that can be read; replace the file",
        files.film_without_frames(),
    ),
    Cell("an MP4 with a truncated moov", "film", "moov.mp4", NO_VIDEO, made.video(0)[:-400]),
    Cell("an MP4 of 40 bytes", "film", "head.mp4", NO_VIDEO, made.video(0)[:40]),
    Cell(
        "a GIF of 60,000 × 60,000 px as a video",
        "film",
        "huge.gif",
        "the video has no frame that can be read; replace the file",
        files.gif(60_000, 60_000),
    ),
    Cell("an animated PNG as a video", "film", "moving.png", NO_VIDEO, files.animation("PNG", 3)),
    Cell("words in a column of numbers", "price", "many", NO_NUMBER),
    Cell("a number with two commas", "price", "1,2,3", NO_NUMBER),
    Cell("a number in words of another script", "price", "三百", NO_NUMBER),
    Cell("infinity", "price", "inf", NOT_FINITE),
    Cell("minus infinity", "price", "-Infinity", NOT_FINITE),
    Cell("not a number, spelt out", "price", "NaN", NOT_FINITE),
    Cell("a number beyond all bounds", "price", "1e400", NOT_FINITE),
    Cell("a day that never was", "day", "2023-02-30", NO_DATE),
    Cell("a date that means two days", "day", "5/1/2024", NO_DATE),
    Cell("a word in a column of dates", "day", "yesterday", NO_DATE),
)

ODD: tuple[Cell, ...] = (
    Cell("a JPEG in CMYK", "photo", "cmyk.jpg", file=files.picture("JPEG", "CMYK")),
    Cell("a PNG of 16 bits", "photo", "deep.png", file=files.deep_picture()),
    Cell("a broken colour profile", "photo", "icc.jpg", file=files.picture("JPEG", icc_profile=b"?" * 500)),
    Cell(
        "an EXIF block that is broken",
        "photo",
        "exif.jpg",
        file=files.picture("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"x" * 30),
    ),
    Cell(
        "an EXIF orientation of 77",
        "photo",
        "turned.jpg",
        file=files.picture("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x4d\0\0\0\0\0\0"),
    ),
    Cell("an animated PNG", "photo", "moving.apng.png", file=files.animation("PNG", 5)),
    Cell("an animated WebP", "photo", "moving.webp", file=files.animation("WEBP", 5)),
    Cell("a GIF of 2,000 frames", "photo", "moving.gif", file=files.animation("GIF", 2000)),
    Cell("a GIF of 2,000 frames as a video", "film", "film.gif", file=files.animation("GIF", 2000)),
    Cell("a PNG named .jpg", "photo", "named.jpg", file=made.picture(0)),
    Cell("a file name in Chinese", "photo", "图片 1.png", file=made.picture(0)),
    Cell("an MP3 named .wav", "voice", "song.wav", file=files.sound("MP3")),
    Cell("64 channels", "voice", "many.wav", file=files.wave(channels=64, samples=b"\1\0" * 6400)),
    Cell("a WAV that was cut short", "voice", "cut.wav", file=files.wave(stated=8000 * 60)),
    Cell("a video of one frame", "film", "one.mp4", file=made.video(0, frames=1)),
    Cell("a label never seen", "shop", "on the moon"),
    Cell("labels never seen", "tags", "p|q"),
    Cell("a text of a million characters", "words", "cat " * 250_000),
    Cell(
        "a text of control characters",
        "words",
        "a\0b\x1b[31m\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    ),
    Cell("a number with a comma for thousands", "price", "1,037"),
    Cell("a share in percent", "price", "12%"),
)


def row(number: int) -> dict[str, Any]:
    """A whole row; its files are those that `whole_files` makes."""
    return {
        "id": f"row-{number:03}",
        "words": made.text(number),
        "photo": f"{number % 4}.png",
        "voice": f"{number % 4}.wav",
        "film": f"{number % 4}.mp4",
        "price": f"{number / 7:.2f}",
        "day": f"2024-01-{1 + number % 28:02}",
        "shop": ["north", "south", "west"][number % 3],
        "tags": ["a|b", "c"][number % 2],
        "label": made.label(number),
    }


def whole_files(place: Path) -> None:
    """The files of whole rows."""
    for number in range(4):
        (place / f"{number}.png").write_bytes(made.picture(number))
        (place / f"{number}.wav").write_bytes(made.sound(number, seconds=0.1))
        (place / f"{number}.mp4").write_bytes(made.video(number))


def make_file(place: Path, cell: Cell) -> None:
    """The file of a cell, where it has one."""
    if isinstance(cell.file, bytes):
        (place / cell.cell).write_bytes(cell.file)
    elif cell.file is not None:
        cell.file(place / cell.cell)


RECIPE: dict[str, Any] = {
    "name": "cells",
    "data": {"path": "table.jsonl", "key": "id", "split": {"validation": 0.2, "test": 0.0}},
    "inputs": {
        "words": {"type": "text", "tokenizer": "word", "min_count": 1, "encoder": "mean"},
        "photo": {"type": "image", "size": 8, "encoder": {"kind": "cnn", "channels": [4]}},
        "voice": {"type": "audio", "seconds": 0.1, "rate": 8000, "encoder": {"kind": "cnn", "norm": "none"}},
        "film": {
            "type": "video",
            "frames": 2,
            "size": 8,
            "encoder": {"kind": "frames", "image": {"kind": "cnn", "channels": [4]}, "hidden": 4},
        },
        "price": "number",
        "day": {"type": "number", "date": True},
        "shop": "category",
        "tags": {"type": "categories", "separator": "|"},
    },
    "fusion": {"kind": "concat", "width": 8},
    "outputs": {"label": "category"},
    "training": {"epochs": 1, "batch_size": 16, "precision": "fp32"},
}
