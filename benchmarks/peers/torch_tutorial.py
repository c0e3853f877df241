"""The tutorial models in PyTorch as tutorials write them: fp32, Pillow, DataLoader with two workers.

Run by benchmarks/tutorial_models.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import cost
from benchmarks.peers.table import DEVIATION, MEAN, Part, read
from benchmarks.workers import serve

Row = tuple[dict[str, Tensor], int]


def main() -> None:
    """A worker; its argument is JSON: recipe, folder, threads."""
    variant = json.loads(sys.argv[1])
    torch.manual_seed(0)
    torch.set_num_threads(variant["threads"])
    table, recipe = read(Path(variant["folder"])), variant["recipe"]
    model = Tutorial(recipe["inputs"], recipe["fusion"]["kind"], table.vocabulary, table.classes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    loss_of = nn.CrossEntropyLoss()
    train, test = Rows(table.train), Rows(table.test)
    train_loader = DataLoader(train, recipe["training"]["batch_size"], shuffle=True, num_workers=2)

    def epoch() -> None:
        model.train()
        for inputs, labels in train_loader:
            optimizer.zero_grad()
            loss = loss_of(model(inputs), labels)
            loss.backward()
            optimizer.step()

    def describe() -> dict[str, float]:
        model.eval()
        with torch.no_grad():
            answers = [(model(inputs), labels) for inputs, labels in DataLoader(test, 32)]
            one = {name: values.unsqueeze(0) for name, values in train[0][0].items()}
            with FlopCounterMode(display=False) as counter:
                model(one)
        logits, labels = (torch.cat([pair[side] for pair in answers]) for side in (0, 1))
        return {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "loss": round(float(loss_of(logits, labels)), 3),
            "accuracy": round(float((logits.argmax(1) == labels).float().mean()), 3),
            "forward_gflop": counter.get_total_flops() / 1e9,
        }

    serve({"first epoch": lambda: cost(epoch), "later epoch": lambda: cost(epoch), "about": describe})


class Rows(Dataset[Row]):
    """Opens a picture whenever it is asked for."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.mean, self.deviation = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, DEVIATION))

    def __len__(self) -> int:
        return len(self.part.labels)

    def __getitem__(self, row: int) -> Row:
        with Image.open(self.part.pictures[row]) as picture:
            pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).float() / 255
        image = (pixels - self.mean) / self.deviation
        return {"image": image, "text": torch.from_numpy(self.part.words[row])}, int(self.part.labels[row])


class Tutorial(nn.Module):
    """A picture, a text or both, each brought to 128 numbers; then a hidden layer or a product."""

    def __init__(self, inputs: dict[str, Any], fusion: str, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.names = list(inputs)
        self.encoders = nn.ModuleList(
            TextEncoder(config, vocabulary) if config["type"] == "text" else picture_encoder(config)
            for config in inputs.values()
        )
        widths = [width(config) for config in inputs.values()]
        self.common = nn.ModuleList(nn.Linear(each, 128) for each in widths)
        joined = 128 * len(widths)
        decoupled = fusion == "decoupled"
        self.related = nn.ModuleList(nn.Linear(each, 128) for each in widths) if decoupled else None
        self.hidden = nn.Identity() if decoupled else nn.Sequential(nn.Linear(joined, 128), nn.GELU())
        self.head = nn.Linear(joined if decoupled else 128, classes)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        encoded = [encoder(inputs[name]) for name, encoder in zip(self.names, self.encoders, strict=True)]
        vector = joined(self.common, encoded)
        if self.related is not None:
            vector = vector * joined(self.related, encoded)
        logits: Tensor = self.head(self.hidden(vector))
        return logits


def joined(layers: nn.ModuleList, vectors: list[Tensor]) -> Tensor:
    """Every vector through its layer, end to end."""
    return torch.cat([layer(vector) for layer, vector in zip(layers, vectors, strict=True)], dim=1)


def width(config: dict[str, Any]) -> int:
    """How many numbers an encoder gives."""
    encoder = config["encoder"]
    if config["type"] == "text":
        return int(encoder["hidden"] * (2 if encoder.get("bidirectional", True) else 1))
    if encoder["kind"] == "resnet18":
        return 512
    places = (config["size"] >> len(encoder["channels"])) ** 2
    return int(encoder.get("dense") or encoder["channels"][-1] * places)


class TextEncoder(nn.Module):
    """Word vectors and the last state of an LSTM."""

    def __init__(self, config: dict[str, Any], vocabulary: int) -> None:
        super().__init__()
        encoder = config["encoder"]
        size, both = encoder.get("embedding", 128), encoder.get("bidirectional", True)
        self.words = nn.Embedding(vocabulary, size, padding_idx=0)
        self.lstm = nn.LSTM(size, encoder["hidden"], batch_first=True, bidirectional=both)

    def forward(self, words: Tensor) -> Tensor:
        _, (last, _) = self.lstm(self.words(words))
        return torch.cat(list(last), dim=1)


def picture_encoder(config: dict[str, Any]) -> nn.Module:
    """Convolutions, ReLU and max-pooling, flattened; or a residual network of 18 layers."""
    encoder = config["encoder"]
    if encoder["kind"] == "resnet18":
        return resnet18()
    layers: list[nn.Module] = []
    for before, after in zip([3, *encoder["channels"]], encoder["channels"], strict=False):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers.append(nn.Flatten())
    if encoder.get("dense"):
        flat = encoder["channels"][-1] * (config["size"] >> len(encoder["channels"])) ** 2
        layers += [nn.Linear(flat, encoder["dense"]), nn.ReLU(), nn.Dropout(encoder["dropout"])]
    return nn.Sequential(*layers)


def resnet18() -> nn.Module:
    """He et al. 2015, arXiv 1512.03385, up to the mean over places."""
    stages: list[nn.Module] = []
    for before, after, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        stages += [Block(before, after, stride), Block(after, after, 1)]
    entry = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*entry, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Block(nn.Module):
    """Two convolutions, added to their input."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        changed = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.shortcut = nn.Identity() if before == after else changed

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = (self.branch(values) + self.shortcut(values)).relu()
        return result


if __name__ == "__main__":
    main()
