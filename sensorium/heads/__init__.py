"""Heads: fused rows → one output each."""

from sensorium.heads.categories import CategoriesHead
from sensorium.heads.category import CategoryHead
from sensorium.heads.head import Head
from sensorium.heads.number import NumberHead
from sensorium.heads.similarity import SimilarityHead

HEADS: dict[str, type[Head]] = {
    "category": CategoryHead,
    "categories": CategoriesHead,
    "number": NumberHead,
    "similarity": SimilarityHead,
}
"""Every type of output that a recipe can name."""
