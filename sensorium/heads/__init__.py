"""Heads: fused rows → one output each."""

from sensorium.heads.categories import CategoriesHead
from sensorium.heads.category import CategoryHead
from sensorium.heads.head import Head
from sensorium.heads.number import NumberHead
from sensorium.heads.similarity import SimilarityHead
from sensorium.heads.text import TextHead

HEADS: dict[str, type[Head]] = {
    "category": CategoryHead,
    "categories": CategoriesHead,
    "number": NumberHead,
    "similarity": SimilarityHead,
    "text": TextHead,
}
"""Every type of output that a recipe can name."""
