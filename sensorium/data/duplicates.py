"""What stands on two sides of a split, so that the later side measures memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sensorium.data.contents import Flags, Keys, Rows, WholeRows, codes_of, contents_of, flags_of, is_content
from sensorium.data.infer import profile
from sensorium.data.media import Media
from sensorium.data.table import Table
from sensorium.data.units import PARTS


@dataclass(frozen=True)
class DuplicateReport:
    """Content that stands on two sides of a split, so that the later side measures memory.

    Attributes:
        column: the table column; "" when whole rows agree, in every input.
        first: the earlier part, such as "train".
        second: the later part, such as "test".
        count: rows of `second` whose content is also in `first`.
        examples: up to five pairs of row positions, (in `first`, in `second`).
    """

    column: str
    first: str
    second: str
    count: int
    examples: list[tuple[int, int]]

    def line(self) -> str:
        """One line for the user."""
        what = f"the same {self.column}" if self.column else "the same inputs"
        pairs = ", ".join(f"{one} and {other}" for one, other in self.examples)
        return f"{self.count} rows of {self.second} have {what} as a row of {self.first} (rows {pairs})"


def duplicates(
    table: Table, parts: Mapping[str, Rows], columns: Iterable[str], media: Media
) -> list[DuplicateReport]:
    """Finds content on two sides of a split: whole rows, and single texts and media.

    Texts are compared in NFKC, small letters and single spaces; media by the BLAKE2b digest of their
    content, of which a file is read only if another has its size. Cells that cannot be read are not
    compared.

    Args:
        table: the rows.
        parts: part → positions, as `split` gives them.
        columns: the table columns of the inputs.
        media: finds the files that cells name.

    Returns:
        One report for each pair of parts and each column (or whole row) that has any.
    """
    wanted = flags_of(table, np.concatenate([np.asarray(parts.get(part, ()), np.int64) for part in PARTS]))
    names = list(dict.fromkeys(columns))
    whole = WholeRows(len(table))
    compared: dict[str, tuple[Keys, Flags]] = {}
    for name in names:
        seen = profile(table, name)
        content = contents_of(table, seen, wanted, media)
        whole.add(content)
        if len(names) > 1 and is_content(seen):
            compared[name] = content.keys, content.present
    compared[""] = whole.keys(), whole.present & ~whole.unreadable
    reports: list[DuplicateReport] = []
    for name, (keys, comparable) in sorted(compared.items()):
        reports += _on_two_sides(name, codes_of(keys), comparable, parts)
    return reports


def _on_two_sides(
    column: str, codes: Rows, comparable: Flags, parts: Mapping[str, Rows]
) -> list[DuplicateReport]:
    """Rows of an earlier and a later part with the same code: the first in the one, each in the other."""
    rows = {part: np.asarray(parts.get(part, ()), dtype=np.int64) for part in PARTS}
    rows = {part: own[comparable[own]] for part, own in rows.items()}
    reports = []
    for first, second in (("train", "test"), ("train", "validation"), ("validation", "test")):
        earliest = np.full(len(codes), -1, dtype=np.int64)  # by code
        earliest[codes[rows[first][::-1]]] = rows[first][::-1]  # of those alike the last written stays
        also = rows[second][earliest[codes[rows[second]]] >= 0]
        examples = [(int(earliest[codes[row]]), int(row)) for row in also[:5]]
        if len(also):
            reports.append(DuplicateReport(column, first, second, len(also), examples))
    return reports
