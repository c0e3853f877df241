"""A made table of pictures, texts, sounds and ten classes, the same whenever it is made.

Each cell tells of its row's class with chance `TELLING`, else of another class, drawn anew for every column.
So no column alone can reach more than 0.70, two together 0.70 and all three 0.84, on rows never seen.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image

Pixels = npt.NDArray[np.float64]

TELLING = 0.7
SIDE = 224
RATE, SECONDS = 16_000, 2
PARTS = {"train": 0.7, "validation": 0.15, "test": 0.15}
TOPICS = {
    "bakery": "bread flour oven dough yeast crust pastry butter loaf baker",
    "chess": "king queen bishop rook pawn opening check castle gambit board",
    "clinic": "doctor nurse patient fever dose ward pulse surgeon clinic tablet",
    "court": "judge jury lawyer trial witness verdict law appeal oath sentence",
    "farm": "cow barn tractor harvest wheat plough hay pig fence orchard",
    "harbour": "ship anchor sailor crane tide pier cargo mast lighthouse dock",
    "music": "violin melody rhythm chord piano concert singer drum tune choir",
    "school": "teacher pupil lesson chalk exam grade essay desk class homework",
    "space": "planet rocket orbit star comet moon crater telescope galaxy probe",
    "tennis": "racket serve net match umpire volley court set ace rally",
}
COMMON = (
    "the a of and to in it was that on for with as at by from they we this had not but what all were when "
    "there can an which their said if do will each about how up out them then she many some so these would "
    "other into has more her two like him see time could no make than first been its who now people my made "
    "over did down only way find use may water long little very after words called just where most know old "
    "day year small large good new great same right think also around three came come work part take get "
    "place live back house every near under last left night"
)


def write_table(folder: Path, rows: int) -> Path:
    """Writes `table.csv` and, beside it, its pictures and sounds.

    Columns: `picture`, a JPEG of 224 × 224 pixels; `text`, 20 to 60 words; `sound`, a WAV of 2 s at 16 kHz;
    `label`, one of 10; `part`, "train", "validation" or "test"; `split`, the same as 0, 1 or 2.

    Args:
        folder: to make and fill.
        rows: at least 20.

    Returns:
        The path of the table.
    """
    for name in ("pictures", "sounds"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["picture", "text", "sound", "label", "part", "split"])
        table.writeheader()
        table.writerows(_row(folder, number, rows) for number in range(rows))
    return path


def _row(folder: Path, number: int, rows: int) -> dict[str, str]:
    random = np.random.default_rng([7, number])
    label = number % len(TOPICS)
    row = {"picture": f"pictures/{number:05d}.jpg", "sound": f"sounds/{number:05d}.wav"}
    pixels = picture(_told(label, random), random)
    Image.fromarray(np.uint8(pixels)).save(folder / row["picture"], quality=85)
    samples = sound(_told(label, random), random)
    soundfile.write(folder / row["sound"], samples, RATE, subtype="PCM_16")
    split = int(np.searchsorted(np.cumsum(list(PARTS.values())), (number + 0.5) / rows))
    return {
        **row,
        "text": text(_told(label, random), random),
        "label": list(TOPICS)[label],
        "part": list(PARTS)[split],
        "split": str(split),
    }


def _told(label: int, random: np.random.Generator) -> int:
    """The class that a cell of a row of this class tells of."""
    if random.random() < TELLING:
        return label
    return (label + int(random.integers(1, len(TOPICS)))) % len(TOPICS)


def picture(kind: int, random: np.random.Generator) -> Pixels:
    """Stripes over a blurred ground with noise, `(224, 224, 3)` from 0 to 255: five ways, two widths."""
    coarse = np.uint8(random.integers(60, 196, (7, 7, 3)))
    ground = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=float)
    angle, wavelength = kind % 5 * np.pi / 5 + random.normal(scale=0.08), (9, 18)[kind // 5]
    across, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    phase = 2 * np.pi * ((across * np.cos(angle) + down * np.sin(angle)) / wavelength + random.random())
    stripes = np.sin(phase)[..., None] * random.uniform(30, 60, 3) * random.choice([-1, 1])
    noise = random.normal(scale=20, size=(SIDE, SIDE, 1))
    pixels: Pixels = np.clip(ground + stripes + noise, 0, 255)
    return pixels


def text(kind: int, random: np.random.Generator) -> str:
    """20 to 60 words: one in eight of the class's topic, one in sixteen of any, the others common."""
    words = []
    for chance in random.random(int(random.integers(20, 61))):
        topic = list(TOPICS.values())[kind if chance < 1 / 8 else int(random.integers(len(TOPICS)))]
        words.append(str(random.choice(topic.split() if chance < 3 / 16 else COMMON.split())))
    return " ".join(words)


def sound(kind: int, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """A tone of the class's pitch, half a second or more, in noise 4 dB below to 8 dB above: `(32000,)`."""
    time = np.arange(RATE * SECONDS) / RATE
    pitch = 220 * 2 ** (kind / 6 + random.normal(scale=0.02))
    tone = sum(np.sin(2 * np.pi * pitch * part * time) / part for part in (1, 2, 3))
    start, length = random.uniform(0, 1), random.uniform(0.5, 1)
    heard = tone * ((time >= start) & (time < start + length))
    noise = random.normal(size=len(time)) * 0.82 * 10 ** (random.uniform(-4, 8) / 20)
    samples: npt.NDArray[np.float32] = (0.15 * (heard + noise)).astype(np.float32)
    return samples
