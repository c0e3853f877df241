"""Build the diabetes table: numbers and categories, for classification and for regression.

The data comes with scikit-learn, as `sklearn.datasets.load_diabetes`.

Run from the root of the repository: python -m examples.tabular.build
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from sklearn.datasets import load_diabetes

from examples import media

HERE = Path(__file__).parent

Row = dict[str, str | float]

# The World Health Organization's limits of the body mass index, in kilograms per square metre. The two
# patients who are underweight are counted as normal: nothing can be learned from two.
WEIGHTS = [(25.0, "normal"), (30.0, "overweight"), (float("inf"), "obese")]
# Three classes of about the same size.
SEVERITIES = [(95.0, "low"), (170.0, "middle"), (float("inf"), "high")]
BLOOD = {"s1": "cholesterol", "s2": "ldl", "s3": "hdl", "s4": "ratio", "s5": "triglycerides", "s6": "sugar"}


def name_of_range(value: float, ranges: list[tuple[float, str]]) -> str:
    """Name the range a value is in; each range ends below its limit."""
    return next(name for limit, name in ranges if value < limit)


def build_row(number: int, values: dict[str, float], progression: float) -> Row:
    """Build one patient's row."""
    name = f"patient-{number:03d}"
    return {
        "id": name,
        "age": values["age"],
        # The source does not say which sex is 1 and which is 2, so the table does not either.
        "sex": f"sex {values['sex']:.0f}",
        "bmi": values["bmi"],
        "weight": name_of_range(values["bmi"], WEIGHTS),
        "blood_pressure": values["bp"],
        **{ours: values[theirs] for theirs, ours in BLOOD.items()},
        "progression": progression,
        "severity": name_of_range(progression, SEVERITIES),
        "split": "test" if media.stable_number(name) % 5 == 0 else "train",
    }


def build_rows() -> list[Row]:
    """Build all rows, in the order of the source."""
    source = load_diabetes(scaled=False)
    return [
        build_row(
            number,
            {name: float(value) for name, value in zip(source.feature_names, values, strict=True)},
            float(target),
        )
        for number, (values, target) in enumerate(zip(source.data, source.target, strict=True))
    ]


def main() -> None:
    """Write the table and say how long it is."""
    parser = argparse.ArgumentParser(description="Build the diabetes table.")
    parser.add_argument("--output", type=Path, default=HERE / "data.csv", help="the CSV file to write")
    arguments = parser.parse_args()
    rows = build_rows()
    with arguments.output.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    main()
