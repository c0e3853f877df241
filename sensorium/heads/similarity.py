"""Two or more inputs in one space, where what belongs together lies close."""

from __future__ import annotations

import math
from functools import partial
from itertools import combinations
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Fused, Raw
from sensorium.data.column import Array, Cells
from sensorium.data.identity import IdentityColumn
from sensorium.heads.contrastive import Loss, Pairs, contrast, info_nce, siglip
from sensorium.heads.head import Head, MetricsOfRows, Rows, VectorHeadConfig, layers
from sensorium.heads.retrieval import Ranks, ranks, retrieval_metrics

LARGEST_SCALE = 100.0
"""Of the logits, as in CLIP (Radford et al. 2021, arXiv:2103.00020)."""
FIRST_BIAS = -10.0
"""Of SigLIP (Zhai et al. 2023, arXiv:2303.15343)."""


class SimilarityHeadConfig(VectorHeadConfig):
    """Inputs in one space, to be found by one another."""

    type: Literal["similarity"] = Field("similarity", description="type of output")
    column: None = Field(None, description="none: the target is which cells of the inputs are equal")
    between: list[str] = Field(
        ..., description="two or more inputs; the rows of a batch are each other's wrong answers"
    )
    loss: Literal["info_nce", "siglip"] = Field(
        "info_nce", description="info_nce: one right answer among the batch; siglip: every pair by itself"
    )
    temperature: float = Field(
        0.1, ge=0.01, le=10, description="of the loss at the start, from where it is learned"
    )
    width: PositiveInt | None = Field(
        None, description="numbers of an embedding; default: the fused space's, with no further projection"
    )
    start: Literal["canonical", "random"] = Field(
        "canonical",
        description="canonical: the projections of two inputs with frozen encoders begin at the canonical "
        "correlations of their features; all others at random",
    )
    hard_negatives: float = Field(
        0.0, ge=0, le=10, description="how much more the wrong answers count that look right; 0: all alike"
    )
    chunk: PositiveInt = Field(1024, description="rows whose similarities are held in memory at a time")

    @field_validator("between")
    @classmethod
    def _two_or_more(cls, names: list[str]) -> list[str]:
        if len(names) < 2:
            raise ValueError("name two inputs at least")
        if len(set(names)) < len(names):
            raise ValueError("each input may be named once")
        return names

    @property
    def compared(self) -> list[str]:
        """The inputs whose cells are the target."""
        return self.between


class SimilarityHead(Head):
    """A vector for each input, trained so that the inputs of a row find one another in the batch.

    It reads each input by itself, `Fused.columns`, which the fusion has projected to one width: with frozen
    encoders these projections alone are trained, as in locked-image tuning with both towers locked (Zhai et
    al. 2021, arXiv:2111.07991), from where `sensorium.training.alignment` puts them. A projection of the
    head's own follows where the recipe gives it a width or hidden layers; on few rows one linear layer finds
    more than two. For more than two inputs the loss of a row is the mean over its pairs of inputs. Equal
    cells are right answers for each other, never wrong ones.

    Args:
        config: see `SimilarityHeadConfig`.
        column: tells equal cells.
        dim: V, not used.
        width: H.
    """

    Config = SimilarityHeadConfig
    metric: str = "recall_at_10"
    metric_goal: Literal["max", "min"] = "max"
    couples_rows: ClassVar[bool] = True

    @classmethod
    def target(cls, config: SimilarityHeadConfig) -> IdentityColumn:
        """The column that tells equal cells of the inputs."""
        return IdentityColumn(len(config.between))

    def __init__(self, config: SimilarityHeadConfig, column: IdentityColumn, dim: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.column = column
        self.pairs = list(combinations(range(len(config.between)), 2))
        self.projections = nn.ModuleList(_projection(config, width) for _ in config.between)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))
        self.bias = nn.Parameter(torch.tensor(FIRST_BIAS)) if config.loss == "siglip" else None

    def embed(self, fused: Fused) -> dict[str, Tensor]:
        """Input name → `(B, E)` float32 unit vectors, zero in the rows that lack the input."""
        found = {}
        for name, projection in zip(self.config.between, self.projections, strict=True):
            vectors = functional.normalize(projection(fused.columns[name]).float(), dim=-1)
            present = fused.present.get(name)
            found[name] = vectors if present is None else torch.where(present.unsqueeze(1), vectors, 0.0)
        return found

    @property
    def learned_temperature(self) -> float:
        """What cosines are divided by to become logits."""
        return 1 / self._scale().item()

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` float32; target: `(B, M)` int64, equal where cells are equal."""
        vectors = list(self.embed(fused).values())
        real = self._real(fused, target)
        both = torch.stack([real[:, one] & real[:, other] for one, other in self.pairs])
        losses = torch.zeros_like(both, dtype=torch.float32)
        with torch.autocast(vectors[0].device.type, enabled=False):
            for place, (one, other) in enumerate(self.pairs):
                identities = target.values[:, [one, other]]
                pairs = Pairs(vectors[one], vectors[other], identities, both[place])
                losses[place] = contrast(self._loss(), pairs, self.config.chunk)
        return losses.sum(dim=0) / both.sum(dim=0).clamp(min=1)

    def predict(self, fused: Fused) -> dict[str, Tensor]:
        """`embeddings (B, M, E)` float32, in the order of `between`."""
        return {"embeddings": torch.stack(list(self.embed(fused).values()), dim=1)}

    def answers(self, predicted: dict[str, Array]) -> dict[str, list[Any] | Array]:
        """`prediction (N,)` float32: the cosine between the row's own inputs, from -1 to 1.

        NaN in a row with fewer than two of them. For more than two inputs it is the mean over the pairs that
        the row has, and `<input>_<input>` is each pair's own.
        """
        embeddings = predicted["embeddings"]
        present = np.asarray(embeddings.any(axis=2))
        own = {}
        for one, other in self.pairs:
            cosine = (embeddings[:, one] * embeddings[:, other]).sum(axis=1)
            both = present[:, one] & present[:, other]
            own[f"{self.config.between[one]}_{self.config.between[other]}"] = np.where(both, cosine, np.nan)
        if len(self.pairs) == 1:
            return {"prediction": next(iter(own.values()))}
        every = np.stack(list(own.values()))
        known = np.isfinite(every).sum(axis=0)
        mean = np.nansum(every, axis=0) / np.where(known, known, np.nan)
        return {"prediction": mean.astype(np.float32), **own}

    def metrics(self, predicted: dict[str, Array], target: Cells) -> dict[str, float]:
        """See `retrieval_metrics`: among the scored rows, both directions of every pair of inputs."""
        return self.metrics_of_rows(predicted, target)(np.flatnonzero(self.scored(target)))

    def metrics_of_rows(self, predicted: dict[str, Array], target: Cells) -> MetricsOfRows:
        """The rows asked for seek; those to be found are always all scored rows."""
        found = self.directions(predicted, target)

        def metrics_of(rows: Rows) -> dict[str, float]:
            return retrieval_metrics(found, rows)

        return metrics_of

    def directions(self, predicted: dict[str, Array], target: Cells) -> dict[str, Ranks]:
        """`<input>_to_<input>` → what each row finds, both ways for every pair of inputs."""
        embeddings, names = predicted["embeddings"], self.config.between
        found = {}
        for one, other in self.pairs:
            real = target.mask[:, one] & target.mask[:, other]
            for query, item in ((one, other), (other, one)):
                found[f"{names[query]}_to_{names[item]}"] = ranks(
                    embeddings[:, query], embeddings[:, item], target.values[:, [query, item]], real
                )
        return found

    def _real(self, fused: Fused, target: Raw) -> Tensor:
        """`(B, M)` bool: the inputs that a row has and may compare."""
        every = torch.ones_like(target.mask[:, 0])
        present = [fused.present.get(name, every) for name in self.config.between]
        return target.mask & torch.stack(present, dim=1)

    def _loss(self) -> Loss:
        """The loss with its learned scale."""
        scale = self._scale()
        if self.bias is None:
            return partial(info_nce, scale=scale, hardness=self.config.hard_negatives)
        return partial(siglip, scale=scale, bias=self.bias, hardness=self.config.hard_negatives)

    def _scale(self) -> Tensor:
        """What similarities are multiplied by; at most `LARGEST_SCALE`, as in CLIP."""
        return self.log_scale.clamp(max=math.log(LARGEST_SCALE)).exp()


def _projection(config: SimilarityHeadConfig, width: int) -> nn.Module:
    """`(B, H)` → `(B, E)`; nothing but dropout where the recipe asks for no projection."""
    if config.width is None and not config.hidden:
        return nn.Dropout(config.dropout)
    return layers(config, width, config.width or width)
