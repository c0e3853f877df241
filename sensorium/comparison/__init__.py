"""Variants of one recipe, trained on the same rows with several seeds, and told apart by a paired test."""

from sensorium.comparison.compare import compare, compare_in
from sensorium.comparison.page import question_folder, write_comparison
from sensorium.comparison.results import Comparison
from sensorium.comparison.terminal import print_comparison

__all__ = ["Comparison", "compare", "compare_in", "print_comparison", "question_folder", "write_comparison"]
