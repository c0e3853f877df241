"""Text, boxes and speech through the contract of every head, learned from data with a known answer."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sensorium.batch import Fused, Place, Raw, masked_mean
from sensorium.data.column import Array, Cells, Column
from sensorium.heads.head import Head
from sensorium.heads.text import TextHead
from tests.heads.prototypes.boxes import BoxesHead
from tests.heads.prototypes.speech import SpeechHead

WIDTH = 32


@pytest.fixture(autouse=True)
def _same_every_time():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


class Symbols(nn.Module):
    """Stands for an encoder and a fusion: symbols `(B, L)`, -1 for padding → tokens that know their place."""

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.symbol = nn.Embedding(symbols, WIDTH)
        self.place = nn.Embedding(8, WIDTH)

    def forward(self, symbols: Tensor) -> Fused:
        mask = symbols >= 0
        from_the_end = mask.sum(dim=1, keepdim=True) - 1 - torch.arange(symbols.shape[1])
        values = self.symbol(symbols.clamp(min=0)) + self.place(from_the_end.clamp(min=0))
        return Fused(masked_mean(values, mask), values, mask, {})


class Picture(nn.Module):
    """Stands for an encoder and a fusion: pictures `(B, 1, 16, 16)` → another token, then 8 by 8 cells."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.layers = nn.Sequential(
            nn.Conv2d(1, WIDTH, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=2, dilation=2),
        )

    def forward(self, pictures: Tensor) -> Fused:
        grid = self.layers(pictures).flatten(2).transpose(1, 2)
        values = torch.cat([self.other.expand(len(pictures), -1, -1), grid], dim=1)
        mask = torch.ones(values.shape[:2], dtype=torch.bool)
        return Fused(masked_mean(values, mask), values, mask, {}, {"picture": Place(1, 64, (8, 8))})


def collate(column: Column, cells: list) -> Cells:
    return column.collate([None if cell is None else column.decode(cell) for cell in cells])


def learn(encode: nn.Module, head: Head, inputs: Tensor, target: Cells, steps: int, rate: float) -> None:
    """One loop for every head: it knows of no text, no box and no sound."""
    parameters = [*encode.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    truth = Raw(torch.from_numpy(target.values), torch.from_numpy(target.mask))
    for _ in range(steps):
        rows = torch.randint(len(inputs), (64,))
        loss = head.loss(encode(inputs[rows]), truth.rows(rows)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def predict(encode: nn.Module, head: Head, inputs: Tensor) -> dict[str, Array]:
    head.eval()
    parts = [head.predict(encode(part)) for part in inputs.split(50)]
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}


def padded(rows: list[list[int]]) -> Tensor:
    length = max(map(len, rows))
    return torch.tensor([[*row, *[-1] * (length - len(row))] for row in rows])


def made_digits(generator: np.random.Generator, rows: int) -> tuple[Tensor, list[str]]:
    """Digits in, the same digits backwards out."""
    digits = [generator.integers(10, size=generator.integers(2, 7)).tolist() for _ in range(rows)]
    return padded(digits), ["".join(map(str, reversed(row))) for row in digits]


def made_pictures(generator: np.random.Generator, rows: int) -> tuple[Tensor, list[list[list[float]]]]:
    """A bright rectangle on black, and its sides; no rectangle at all in one picture of eight."""
    pictures, boxes = torch.zeros(rows, 1, 16, 16), []
    for row in range(rows):
        top, left = generator.integers(0, 10, size=2)
        bottom, right = min(16, top + generator.integers(4, 11)), min(16, left + generator.integers(4, 11))
        empty = row % 8 == 0
        if not empty:
            pictures[row, :, top:bottom, left:right] = 1
        boxes.append([] if empty else [[side / 16 for side in (left, top, right, bottom)]])
    return pictures, boxes


def made_speech(
    generator: np.random.Generator, rows: int, patterns: list[Array]
) -> tuple[Tensor, list[Array]]:
    """Symbols in; out, one after the other, the frames of each symbol, always the same."""
    symbols = [generator.integers(len(patterns), size=generator.integers(2, 6)).tolist() for _ in range(rows)]
    return padded(symbols), [np.concatenate([patterns[symbol] for symbol in row]) for row in symbols]


def test_text_learns_to_write_digits_backwards():
    generator = np.random.default_rng(0)
    inputs, texts = made_digits(generator, 4000)
    config = TextHead.Config(
        decoder={"tokenizer": "character", "width": 64, "depth": 1, "dropout": 0.0}, writing={"length": 8}
    )
    column = TextHead.target(config)
    column.fit(texts)
    encode, head = Symbols(10), TextHead(config, column, WIDTH, WIDTH)
    learn(encode, head, inputs, collate(column, texts), steps=700, rate=5e-3)

    unseen, truth = made_digits(generator, 200)
    predicted = predict(encode, head, unseen)
    answers = head.answers(predicted)["prediction"]
    matches = np.mean([answer == text for answer, text in zip(answers, truth, strict=True)])
    assert matches >= 0.9
    assert head.metrics(predicted, collate(column, truth))["exact_match"] == pytest.approx(matches)


def test_boxes_learn_to_find_the_rectangle():
    generator = np.random.default_rng(0)
    inputs, boxes = made_pictures(generator, 3000)
    config = BoxesHead.Config(input="picture")
    column = BoxesHead.target(config)
    encode, head = Picture(), BoxesHead(config, column, WIDTH, WIDTH)
    learn(encode, head, inputs, collate(column, boxes), steps=400, rate=3e-3)

    unseen, truth = made_pictures(generator, 200)
    predicted = predict(encode, head, unseen)
    assert head.metrics(predicted, collate(column, truth))["mean_iou"] >= 0.5
    answers = head.answers(predicted)["prediction"]
    counts = [len(answer) == len(boxes) for answer, boxes in zip(answers, truth, strict=True)]
    assert np.mean(counts) >= 0.9


def test_speech_learns_every_symbols_frames():
    generator = np.random.default_rng(0)
    patterns = [generator.normal(size=(frames, 6)).astype(np.float32) for frames in (1, 2, 3, 4, 6)]
    inputs, spoken = made_speech(generator, 3000, patterns)
    config = SpeechHead.Config(frames=32)
    column = SpeechHead.target(config)
    column.fit(spoken)
    encode, head = Symbols(len(patterns)), SpeechHead(config, column, WIDTH, WIDTH)
    learn(encode, head, inputs, collate(column, spoken), steps=900, rate=1e-2)

    unseen, truth = made_speech(generator, 200, patterns)
    predicted = predict(encode, head, unseen)
    scores = head.metrics(predicted, collate(column, truth))
    # silence would be wrong by 0.8, the mean absolute value of a normal variable
    assert scores["mel_error"] <= 0.2
    assert scores["length_error"] <= 0.2
    lengths = [
        len(answer) == len(mel)
        for answer, mel in zip(head.answers(predicted)["prediction"], truth, strict=True)
    ]
    assert np.mean(lengths) >= 0.9
