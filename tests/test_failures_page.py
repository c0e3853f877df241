"""docs/failures.md and its translation show lines that the tests have seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import test_full_disk
from tests.bad_inputs.cells import BAD
from tests.bad_inputs.classes import CLASSES
from tests.bad_inputs.indexes import INDEXES
from tests.bad_inputs.recipes import RECIPES
from tests.bad_inputs.runs import RUNS
from tests.bad_inputs.tables import TABLES
from tests.bad_inputs.weights import CHECKSUM, UNREACHABLE, WEIGHTS

DOCS = Path(__file__).resolve().parent.parent / "docs"
SEEN = {
    *(
        case.says
        for case in (*BAD, *RECIPES, *TABLES, *RUNS, *WEIGHTS, CHECKSUM, UNREACHABLE, *INDEXES, *CLASSES)
    ),
    test_full_disk.CHECKPOINT,
    test_full_disk.READ_ONLY,
}


def lines(page: str) -> list[str]:
    """The second cells of a page's tables."""
    rows = (DOCS / page).read_text(encoding="utf-8").splitlines()
    return [match.group(1) for row in rows if (match := re.match(r"\| [^|]+ \| `([^`]+)` \| [^|]+ \|$", row))]


@pytest.mark.parametrize("page", ["failures.md", "failures.zh.md"])
def test_every_line_was_seen(page: str) -> None:
    assert len(lines(page)) > 40
    for line in lines(page):
        assert line in SEEN


def test_both_languages_show_the_same_lines() -> None:
    assert lines("failures.md") == lines("failures.zh.md")
