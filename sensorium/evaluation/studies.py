"""What an evaluation looks into beyond scores; each study has a section of the report of its own."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from sensorium.errors import SensoriumError
from sensorium.evaluation.calibration_words import CALIBRATION
from sensorium.evaluation.contributions import CONTRIBUTIONS
from sensorium.evaluation.curves import CURVES
from sensorium.evaluation.noise_words import NOISE
from sensorium.evaluation.retrieval import RETRIEVAL
from sensorium.evaluation.rows import ROWS
from sensorium.evaluation.simple import SIMPLE
from sensorium.evaluation.slices import SLICES
from sensorium.evaluation.study import Study

STUDIES: dict[str, Study] = {
    "contributions": CONTRIBUTIONS,
    "simple_models": SIMPLE,
    "calibration": CALIBRATION,
    "noise": NOISE,
    "curves": CURVES,
    "slices": SLICES,
    "retrieval": RETRIEVAL,
    "rows": ROWS,
}
"""In the order of the report."""


def choose_studies(skipped: Collection[str]) -> list[str]:
    """All studies but some.

    Raises:
        SensoriumError: naming a study that there is not, and the nearest one.
    """
    for name in skipped:
        if name not in STUDIES:
            near = difflib.get_close_matches(name, STUDIES, n=1)
            raise SensoriumError(
                f"skip: there is no study {name!r}{f' (did you mean {near[0]}?)' if near else ''}; "
                f"one of {', '.join(STUDIES)}"
            )
    return [name for name in STUDIES if name not in skipped]
