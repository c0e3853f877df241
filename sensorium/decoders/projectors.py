"""Projectors: fused tokens → vectors that a language model reads as if they were words."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Fused, Place, Tokens, where_real


class Projector(nn.Module):
    """Every input's fused tokens as vectors of a language model, of about the length of its own.

    Args:
        kind: one of `PROJECTORS`.
        width: H of the fused tokens.
        dim: D of the language model.
        spread: standard deviation of the numbers in the vectors of its words.
    """

    def __init__(self, kind: str, width: int, dim: int, spread: float) -> None:
        super().__init__()
        self.inner = PROJECTORS[kind](width, dim)
        self.norm = nn.LayerNorm(dim)
        nn.init.constant_(self.norm.weight, spread)

    def forward(self, fused: Fused) -> dict[str, Tokens]:
        """Input name → `(B, L', D)`; all tokens under "" where a fusion does not say whose they are."""
        whole = {"": Place(0, fused.tokens.shape[1])}
        found = {}
        for name, place in (fused.places or whole).items():
            part = slice(place.start, place.start + place.length)
            values, mask = self.inner(Tokens(fused.tokens[:, part], fused.mask[:, part]), place)
            found[name] = Tokens(self.norm(values), mask)
        return found


class MlpProjector(nn.Module):
    """Two linear layers, token by token: Liu et al. 2023 (LLaVA-1.5), arXiv:2310.03744.

    Args:
        width: H of the fused tokens.
        dim: D of the language model.
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, dim), nn.GELU(), nn.Linear(dim, dim))

    def forward(self, tokens: Tokens, place: Place) -> Tokens:
        """`(B, L, H)` → `(B, L, D)`."""
        return Tokens(self.layers(where_real(*tokens)), tokens.mask)


class QueryProjector(nn.Module):
    """Learned queries look at the tokens: as many vectors for a picture as for a word.

    Alayrac et al. 2022 (Flamingo's resampler), arXiv:2204.14198, with one layer.

    Args:
        width, dim: as for `MlpProjector`.
    """

    QUERIES, HEADS = 16, 4

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        inner = -(-width // self.HEADS) * self.HEADS
        self.queries = nn.Parameter(torch.randn(self.QUERIES, inner) * inner**-0.5)
        self.asked, self.keys_and_values = nn.Linear(inner, inner), nn.Linear(width, 2 * inner)
        self.layers = nn.Sequential(
            nn.LayerNorm(inner), nn.Linear(inner, dim), nn.GELU(), nn.Linear(dim, dim)
        )

    def forward(self, tokens: Tokens, place: Place) -> Tokens:
        """`(B, L, H)` → `(B, 16, D)`."""
        rows = len(tokens.values)
        keys, values = self.keys_and_values(where_real(*tokens)).chunk(2, dim=-1)
        seen = functional.scaled_dot_product_attention(
            self._split(self.asked(self.queries).expand(rows, -1, -1)),
            self._split(keys),
            self._split(values),
            attn_mask=tokens.mask[:, None, None],
        )
        found = self.layers(self.queries + seen.transpose(1, 2).flatten(2))
        return Tokens(found, torch.ones(found.shape[:2], dtype=torch.bool, device=found.device))

    def _split(self, values: Tensor) -> Tensor:
        return values.view(*values.shape[:2], self.HEADS, -1).transpose(1, 2)


class PixelShuffleProjector(nn.Module):
    """Of a picture's tokens, squares of 2 · 2 become one; other tokens pass as in `MlpProjector`.

    Shi et al. 2016 (arXiv:1609.05158) turned round, as in Laurençon et al. 2024 (Idefics3), arXiv:2408.12637.

    Args:
        width, dim: as for `MlpProjector`.
    """

    SIDE = 2

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.squares = nn.Sequential(nn.Linear(width * self.SIDE**2, dim), nn.GELU(), nn.Linear(dim, dim))
        self.others = MlpProjector(width, dim)

    def forward(self, tokens: Tokens, place: Place) -> Tokens:
        """`(B, L, H)` → `(B, L', D)`; at the edges of an odd grid squares are filled with zeros."""
        if not place.grid:
            mixed: Tokens = self.others(tokens, place)
            return mixed
        height, width = place.grid
        before = place.length - height * width
        values = _squares(where_real(*tokens)[:, before:], height, width, self.SIDE)
        real = _squares(tokens.mask[:, before:].unsqueeze(2), height, width, self.SIDE).any(dim=2)
        first: Tokens = self.others(Tokens(tokens.values[:, :before], tokens.mask[:, :before]), place)
        return Tokens(
            torch.cat([first.values, self.squares(values)], dim=1), torch.cat([first.mask, real], dim=1)
        )


def _squares(values: Tensor, height: int, width: int, side: int) -> Tensor:
    """`(B, height · width, C)` → `(B, squares, side² · C)`; what is missing at the edges is zero."""
    rows, channels = len(values), values.shape[2]
    grid = values.view(rows, height, width, channels)
    down, right = -height % side, -width % side
    grid = functional.pad(grid, (0, 0, 0, right, 0, down))
    split = grid.view(rows, (height + down) // side, side, (width + right) // side, side, channels)
    return split.transpose(2, 3).reshape(rows, -1, side * side * channels)


PROJECTORS: dict[str, type[MlpProjector | QueryProjector | PixelShuffleProjector]] = {
    "mlp": MlpProjector,
    "queries": QueryProjector,
    "pixel_shuffle": PixelShuffleProjector,
}
"""Every way to bring fused tokens to a language model."""
