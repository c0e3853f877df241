"""What carried a prediction: which input, which words, which patch of a picture, which seconds of a sound."""

from sensorium.explanation.deletion import Deletion, deletion
from sensorium.explanation.explain import InputExplanation, RowExplanation, explain_row
from sensorium.explanation.methods import DEFAULT, METHODS
from sensorium.explanation.parts import PARTS, Part, Partition, partition
from sensorium.explanation.scores import RowScores
from sensorium.explanation.target import Target, choose_target

__all__ = [
    "DEFAULT",
    "METHODS",
    "PARTS",
    "Deletion",
    "InputExplanation",
    "Part",
    "Partition",
    "RowExplanation",
    "RowScores",
    "Target",
    "choose_target",
    "deletion",
    "explain_row",
    "partition",
]
