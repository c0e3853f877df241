"""A head that finds boxes: every cell of the picture's grid says whether it is in a box, and which.

A proof that the contract of a head carries boxes, kept small; not part of the package. Where the picture's
tokens lie, and the height and width of their grid, stand in `Fused.places`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Fused, Raw
from sensorium.data.column import Array, Cells, Column, ColumnConfig, Profile, Recognised
from sensorium.heads.head import Head, HeadConfig


class BoxesColumn(Column):
    """Lists of boxes [left, top, right, bottom], as shares of the picture's width and height.

    `(B, 1 + N, 4)` float32. Slot 0 holds no box; it is real wherever the row has a target, because a picture
    without any box is known and not missing.
    """

    Config = ColumnConfig

    @classmethod
    def recognise(cls, profile: Profile) -> Recognised | None:
        return None

    def decode(self, cell: Any) -> Array:
        return np.concatenate([np.zeros((1, 4)), np.reshape(cell, (-1, 4))]).astype(np.float32)

    def collate(self, cells: Sequence[Array | None]) -> Cells:
        longest = max((len(cell) for cell in cells if cell is not None), default=1)
        values = np.zeros((len(cells), longest, 4), dtype=np.float32)
        mask = np.zeros((len(cells), longest), dtype=np.bool_)
        for row, cell in enumerate(cells):
            if cell is not None:
                values[row, : len(cell)], mask[row, : len(cell)] = cell, True
        return Cells(values, mask)


class BoxesHeadConfig(HeadConfig):
    """Boxes out."""

    type: Literal["boxes"] = Field("boxes", description="type of output")
    input: str = Field("picture", description="the input in which boxes are found")
    boxes: int = Field(4, ge=1, description="boxes given at most")
    threshold: float = Field(0.5, gt=0, lt=1, description="score from which a box is given")


class BoxesHead(Head):
    """A score and four distances to the sides for each cell (FCOS, Tian et al. 2019, arXiv:1904.01355)."""

    Config = BoxesHeadConfig
    metric: ClassVar[str] = "mean_iou"
    metric_goal: ClassVar[Literal["max", "min"]] = "max"

    @classmethod
    def target(cls, config: BoxesHeadConfig) -> BoxesColumn:
        return BoxesColumn()

    def __init__(self, config: BoxesHeadConfig, column: BoxesColumn, dim: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 5))

    def forward(self, fused: Fused) -> Tensor:
        """`(B, cells, 5)`: logit of the score, then the box's left, top, right and bottom."""
        centres = self.centres(fused)
        end = fused.places[self.config.input].start + fused.places[self.config.input].length
        outputs = self.layers(fused.tokens[:, end - len(centres) : end]).float()
        distances = outputs[..., 1:].sigmoid()
        boxes = torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1)
        return torch.cat([outputs[..., :1], boxes], dim=-1)

    def centres(self, fused: Fused) -> Tensor:
        """`(cells, 2)`: the middle of every cell from the left and from the top, as shares."""
        down, right = ((torch.arange(size) + 0.5) / size for size in fused.places[self.config.input].grid)
        return torch.cartesian_prod(down, right).flip(1)

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)`: cross-entropy of the score over all cells, and 1 - IoU over the cells inside a box."""
        outputs, truth = self.forward(fused), torch.where(target.mask.unsqueeze(2), target.values, 0.0)[:, 1:]
        low, high = truth[:, None, :, :2], truth[:, None, :, 2:]
        centres = self.centres(fused)[:, None]
        inside = ((centres > low) & (centres < high)).all(dim=-1)  # (B, cells, N)
        area = (high - low).prod(dim=-1).expand(inside.shape).masked_fill(~inside, torch.inf)
        hit = inside.any(dim=-1)
        score = functional.binary_cross_entropy_with_logits(outputs[..., 0], hit.float(), reduction="none")
        loss = score.mean(dim=1)
        if truth.shape[1]:
            nearest = truth.gather(1, area.argmin(dim=-1, keepdim=True).expand(-1, -1, 4))
            off = torch.where(hit, 1 - _overlap(outputs[..., 1:], nearest), 0.0)
            loss = loss + off.sum(dim=1) / hit.sum(dim=1).clamp(min=1)
        return torch.where(target.present, loss, torch.zeros_like(loss))

    @torch.no_grad()
    def predict(self, fused: Fused) -> dict[str, Tensor]:
        """`boxes (B, boxes, 5)` float32: score, left, top, right, bottom; overlaps of over a half dropped."""
        outputs = self.forward(fused)
        left = torch.cat([outputs[..., :1].sigmoid(), outputs[..., 1:]], dim=-1)
        rows, kept = torch.arange(len(left), device=left.device), []
        for _ in range(self.config.boxes):
            best = left[rows, left[..., 0].argmax(dim=1)]
            kept.append(best)
            near = _overlap(left[..., 1:], best[:, None, 1:]) > 0.5
            left = torch.cat([left[..., :1].masked_fill(near.unsqueeze(2), 0.0), left[..., 1:]], dim=-1)
        return {"boxes": torch.stack(kept, dim=1)}

    def answers(self, predicted: dict[str, Array]) -> dict[str, list[Any] | Array]:
        """`prediction`: N lists of [left, top, right, bottom], shares of width and height."""
        given = [row[row[:, 0] >= self.config.threshold] for row in predicted["boxes"]]
        return {"prediction": [row[:, 1:].tolist() for row in given], "scores": [row[:, 0] for row in given]}

    def metrics(self, predicted: dict[str, Array], target: Cells) -> dict[str, float]:
        """mean_iou: of every true box, the overlap with the best box given."""
        boxes = torch.from_numpy(predicted["boxes"])
        overlap = _overlap(torch.from_numpy(target.values)[:, :, None], boxes[:, None, :, 1:])
        best = torch.where(boxes[:, None, :, 0] >= self.config.threshold, overlap, 0.0).amax(dim=2)
        return {"mean_iou": float(best[:, 1:][torch.from_numpy(target.mask)[:, 1:]].mean())}


def _overlap(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of boxes `(..., 4)`, broadcast."""
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    both = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(dim=-1) for boxes in (one, other)]
    return both / (areas[0] + areas[1] - both).clamp(min=1e-9)
