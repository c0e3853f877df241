"""Classes that a model was not trained for: named by words, or shown by a few examples.

`classify_by_words` takes labels as words, `classify_by_examples` rows of a table that have a label.
"""

from sensorium.classification.classified import Classified, tabulate
from sensorium.classification.few_shot import classify_by_examples, draw_examples, read_examples
from sensorium.classification.zero_shot import classify_by_words

__all__ = [
    "Classified",
    "classify_by_examples",
    "classify_by_words",
    "draw_examples",
    "read_examples",
    "tabulate",
]
