"""Fusion by convolution over the inputs, laid side by side.

Symbols: c_m is the column of input m, `(B, H)`, the mean of its tokens projected to the fused space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator
from torch import Tensor, nn

from sensorium.batch import Fused, Tokens
from sensorium.fusion.project import FusionConfig, Projection, gather, mean_weights, weighted_sum


class ConvolutionConfig(FusionConfig):
    """Convolutions along the sequence of columns, in the recipe's order of inputs."""

    kind: Literal["convolution"] = "convolution"
    kernel: int = Field(3, description="Neighbouring inputs that one filter sees; odd.", ge=1, le=31)
    layers: int = Field(2, description="Convolutions, one after the other.", ge=1, le=8)

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"must be odd, so that a filter has a middle; use {kernel - 1} or {kernel + 1}")
        return kernel


class Convolution(nn.Module):
    """Convolution fusion: the columns stacked to a sequence of length M with H channels, then convolved.

    X⁰ = (c_1, …, c_M), Xⁱ = GELU(conv(Xⁱ⁻¹)) with H filters, vector = mean of the last X over the inputs
    that a row has, `(B, H)`. An absent input stands in the sequence as its absent token, so that places do
    not shift, but is left out of the mean; in a row without any, all count. Inputs meet when they lie at most
    `layers · (kernel - 1) / 2` apart in the recipe's order: raise either for more inputs.

    Tokens `(B, ΣL_m, H)` and columns `(B, H)` are projected and no more.

    Source: the convolution fusion of Feichtenhofer, Pinz, Zisserman (2016), arXiv 1604.06573, which stacks
    feature maps as channels; here whole inputs are stacked as places.
    """

    Config = ConvolutionConfig

    def __init__(self, config: ConvolutionConfig, dims: dict[str, int], outputs: Sequence[str]) -> None:
        super().__init__()
        self.dim = self.width = width = config.width
        self.projection = Projection(dims, width)
        steps: list[nn.Module] = []
        for _ in range(config.layers):
            steps += [
                nn.Conv1d(width, width, config.kernel, padding="same"),
                nn.GELU(),
                nn.Dropout(config.dropout),
            ]
        self.convolutions = nn.Sequential(*steps)

    def forward(self, tokens: dict[str, Tokens], present: Tensor) -> Fused:
        projected = self.projection(tokens)
        mixed = self.convolutions(projected.columns.transpose(1, 2)).transpose(1, 2)
        return gather(tokens, weighted_sum(mean_weights(present), mixed), *projected)
