"""Build a table of telephone prompts and what is said in them.

The sounds are those of the Debian package asterisk-core-sounds-en-wav (Allison Smith, CC BY-SA 3.0), which
`apt-get download` brings. The transcripts are core-sounds-en.txt, which the package leaves out: it lies in
the archives asterisk-core-sounds-en-*.tar.gz of downloads.asterisk.org. Nothing is committed.

Kept is a prompt with a transcript of at least three words, in which nothing stands in brackets (sounds that
are no speech), no digit and no symbol (how they are said is not written), and no number in words (Whisper
writes digits), of at most 30 seconds. `split` puts four prompts on the side of training, so that there
is one.

Run from the root of the repository: python -m examples.speech.prompts core-sounds-en.txt
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from examples import media

HERE = Path(__file__).parent
PACKAGE = "asterisk-core-sounds-en-wav"
SOUNDS = Path("usr/share/asterisk/sounds/en_US_f_Allison")
LEAST_WORDS = 3
TRAINING_PROMPTS = 4
NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand "
    "million billion"
)
LONGEST = 30.0
"""Seconds that Whisper hears at once."""
_NOT_SAID_AS_WRITTEN = re.compile(r"[\d\[\]()<>#*@/&]|www")

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("speech", pa.binary(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)


def fetch_sounds(folder: Path) -> Path:
    """Bring the package into a folder and unpack it; return the folder of its sounds."""
    for program, package in (("apt-get", "apt"), ("dpkg-deb", "dpkg")):
        media.require_program(program, package)
    try:
        subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True, capture_output=True)
    except subprocess.CalledProcessError:
        raise SystemExit(f"apt-get download {PACKAGE} failed: run apt-get update, or give --sounds") from None
    media.run(["dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(folder)])
    return folder / SOUNDS


def read_transcripts(path: Path) -> dict[str, str]:
    """Read name → what is said; lines that begin with a semicolon are remarks."""
    pairs = (line.partition(":") for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != ";")
    return {name.strip().removesuffix(".wav"): text.strip() for name, colon, text in pairs if colon}


def is_kept(text: str) -> bool:
    """Tell whether a transcript says what is heard, word for word."""
    words = re.findall(r"[a-z']+", text.lower())
    return (
        not _NOT_SAID_AS_WRITTEN.search(text)
        and len(words) >= LEAST_WORDS
        and not set(NUMBERS.split()) & set(words)
    )


def is_heard(path: Path) -> bool:
    """Tell whether there is a sound that Whisper hears to its end."""
    return path.is_file() and soundfile.info(path).duration <= LONGEST


def build_rows(sounds: Path, transcripts: dict[str, str]) -> list[dict[str, str | bytes]]:
    """Build the rows that are kept, in an order that only their names decide."""
    names = [
        name for name, text in transcripts.items() if is_kept(text) and (sounds / f"{name}.wav").is_file()
    ]
    names.sort(key=media.stable_number)
    return [
        {
            "id": name,
            "speech": (sounds / f"{name}.wav").read_bytes(),
            "text": transcripts[name],
            "split": "train" if position < TRAINING_PROMPTS else "test",
        }
        for position, name in enumerate(names)
    ]


def main() -> None:
    """Build the table and say what is in it."""
    parser = argparse.ArgumentParser(description="Build a table of telephone prompts.")
    parser.add_argument("transcripts", type=Path, help="core-sounds-en.txt")
    parser.add_argument("--sounds", type=Path, help="folder of the unpacked sounds; default: fetched by apt")
    parser.add_argument("--output", type=Path, default=HERE / "data" / "prompts.parquet")
    arguments = parser.parse_args()
    transcripts = read_transcripts(arguments.transcripts)
    with tempfile.TemporaryDirectory() as folder:
        rows = build_rows(arguments.sounds or fetch_sounds(Path(folder)), transcripts)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), arguments.output, compression="zstd")
    print(f"{arguments.output}: {len(rows)} of {len(transcripts)} prompts kept")


if __name__ == "__main__":
    main()
