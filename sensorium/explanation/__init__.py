"""What carried a prediction: which input, which words, which patch of a picture, which seconds of a sound."""

from sensorium.explanation.deletion import Deletion, deletion
from sensorium.explanation.explain import InputExplanation, RowExplanation, delete_row, explain_row
from sensorium.explanation.methods import DEFAULT, METHODS
from sensorium.explanation.parts import PARTS, Part, Partition, partition
from sensorium.explanation.scores import RowScores
from sensorium.explanation.target import SCORES, Target, choose_target

__all__ = [
    "DEFAULT",
    "METHODS",
    "PARTS",
    "SCORES",
    "Deletion",
    "InputExplanation",
    "Part",
    "Partition",
    "RowExplanation",
    "RowScores",
    "Target",
    "choose_target",
    "delete_row",
    "deletion",
    "explain_row",
    "partition",
]
