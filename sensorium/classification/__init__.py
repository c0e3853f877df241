"""Classes that a model was not trained for: named by words, or shown by a few examples.

`zero_shot` takes labels as words, `few_shot` rows of a table that have a label.
"""

from sensorium.classification.classified import Classified, tabulate
from sensorium.classification.few_shot import few_shot, read_examples
from sensorium.classification.zero_shot import zero_shot

__all__ = ["Classified", "few_shot", "read_examples", "tabulate", "zero_shot"]
