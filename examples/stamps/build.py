"""Build the stamps table: 930 pictures with a description in three languages and a French voice.

Source: the Debian package tuxpaint-stamps-default. Stamps that exist only as SVG are drawn by
rsvg-convert, from the Debian package librsvg2-bin. The result is committed, so nobody needs either
package to run the example.

Run from the root of the repository: python -m examples.stamps.build
"""

from __future__ import annotations

import argparse
import io
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from examples import media

HERE = Path(__file__).parent
STAMPS = Path("/usr/share/tuxpaint/stamps")
LICENCE = Path("/usr/share/common-licenses/GPL-2")
PACKAGE = "tuxpaint-stamps-default"

LONGEST_SIDE = 160
"""Longest side of a picture, in pixels."""
FEWEST_PICTURES = 13
"""A category with fewer pictures than this cannot be learned and tested, and is left out."""
ROWS_PER_SHARD = 250

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
        pa.field("text_en", pa.string(), nullable=False),
        pa.field("text_zh", pa.string()),
        pa.field("text_fr", pa.string()),
        pa.field("voice", pa.binary()),
        pa.field("category", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)


class Stamp(TypedDict):
    """One row: a picture as WebP on white, its description, a French voice as Ogg/Opus, its category."""

    id: str
    image: bytes
    text_en: str
    text_zh: str | None
    text_fr: str | None
    voice: bytes | None
    category: str
    split: str


def read_texts(path: Path) -> dict[str, str]:
    """Read a description: English on the first line, then `language.utf8=text`."""
    first, *others = path.read_text(encoding="utf-8", errors="replace").splitlines()
    texts = {"en": first.strip()}
    for line in others:
        language, separator, text = line.partition(".utf8=")
        if separator and text.strip():
            texts[language] = text.strip()
    return texts


def find_stamps(root: Path) -> list[str]:
    """List the names (paths without suffix) of the described pictures in categories of a useful size."""
    pictures = {path.with_suffix("") for kind in ("*.png", "*.svg") for path in root.rglob(kind)}
    names = [str(path.relative_to(root)) for path in pictures if path.with_suffix(".txt").exists()]
    sizes = Counter(category_of(name) for name in names)
    usable = [name for name in names if sizes[category_of(name)] >= FEWEST_PICTURES]
    # In the order of a hash, the head of every shard is a fair sample of the categories.
    return sorted(usable, key=media.stable_number)


def category_of(name: str) -> str:
    """Name the category of a stamp: its topmost folder."""
    return name.split("/", maxsplit=1)[0]


def split_of(text: str) -> str:
    """Choose the side by the lower-cased English text, so that twins stay together."""
    return "test" if media.stable_number(text.lower()) % 5 == 0 else "train"


def read_picture(root: Path, name: str) -> bytes:
    """Read a stamp, PNG if there is one, lay it on white and shrink it."""
    source = root / f"{name}.png"
    picture = Image.open(source) if source.exists() else draw_svg(root / f"{name}.svg")
    # White first: shrinking a transparent picture would mix in the colour of its invisible pixels.
    flat = media.on_white(picture)
    flat.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return media.webp(flat)


def draw_svg(path: Path) -> Image.Image:
    """Rasterise an SVG picture."""
    program = media.require_program("rsvg-convert", "librsvg2-bin")
    side = str(LONGEST_SIDE)
    return Image.open(io.BytesIO(media.run([program, "-a", "-w", side, "-h", side, str(path)])))


def read_voice(root: Path, name: str) -> bytes | None:
    """Read the spoken French description, where there is one."""
    path = root / f"{name}_desc_fr.ogg"
    return media.opus(media.read_sound(path)) if path.exists() else None


def read_stamp(root: Path, name: str) -> Stamp:
    """Read one row."""
    texts = read_texts(root / f"{name}.txt")
    return {
        "id": name,
        "image": read_picture(root, name),
        "text_en": texts["en"],
        "text_zh": texts.get("zh_CN"),
        "text_fr": texts.get("fr"),
        "voice": read_voice(root, name),
        "category": category_of(name),
        "split": split_of(texts["en"]),
    }


def shards(rows: list[Stamp]) -> Iterator[tuple[str, list[Stamp]]]:
    """Cut the rows of each split into shards, each with its file name."""
    for split in ("train", "test"):
        chosen = [row for row in rows if row["split"] == split]
        for number, start in enumerate(range(0, len(chosen), ROWS_PER_SHARD)):
            yield f"{split}-{number:05d}.parquet", chosen[start : start + ROWS_PER_SHARD]


def write(rows: list[Stamp], folder: Path) -> None:
    """Write the shards afresh."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file_name, part in shards(rows):
        table = pa.Table.from_pylist([dict(row) for row in part], schema=SCHEMA)
        pq.write_table(table, folder / file_name, compression="zstd", row_group_size=50)


def main() -> None:
    """Build the table and say what is in it."""
    parser = argparse.ArgumentParser(description="Build the stamps table.")
    parser.add_argument("--source", type=Path, default=STAMPS, help="folder of Tux Paint's stamps")
    parser.add_argument("--output", type=Path, default=HERE / "data", help="folder of the Parquet shards")
    arguments = parser.parse_args()
    root = media.require_folder(arguments.source, PACKAGE)
    rows = [read_stamp(root, name) for name in find_stamps(root)]
    write(rows, arguments.output)
    shutil.copyfile(LICENCE, HERE / "LICENSE")
    print(f"{len(rows)} rows: {dict(Counter(row['split'] for row in rows))}")
    print(f"categories: {dict(Counter(row['category'] for row in rows).most_common())}")


if __name__ == "__main__":
    main()
