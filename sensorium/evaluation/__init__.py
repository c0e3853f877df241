"""How good a model is, how far to trust that, and what happens when inputs are missing."""

from sensorium.evaluation.evaluate import Evaluation, evaluate
from sensorium.evaluation.explained import Explanation, explain
from sensorium.evaluation.inputs import InputSubset
from sensorium.evaluation.metrics import Interval
from sensorium.evaluation.output import OutputEvaluation
from sensorium.evaluation.report import check_folder, write_report
from sensorium.evaluation.run import evaluate_run
from sensorium.evaluation.studies import STUDIES, choose_studies
from sensorium.evaluation.terminal import print_evaluation

__all__ = [
    "STUDIES",
    "Evaluation",
    "Explanation",
    "InputSubset",
    "Interval",
    "OutputEvaluation",
    "check_folder",
    "choose_studies",
    "evaluate",
    "evaluate_run",
    "explain",
    "print_evaluation",
    "write_report",
]
