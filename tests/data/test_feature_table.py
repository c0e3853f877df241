import errno

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.bfloat16 import to_float32
from sensorium.data.feature_table import FeatureWriter

ONE, TWO, MINUS_HALF = 0x3F80, 0x4000, 0xBF00  # 1, 2 and -0.5 as bfloat16


def bits(*rows: list[int]) -> np.ndarray:
    return np.array(rows, dtype=np.uint16).reshape(-1, 2)


def test_bits_are_the_upper_half_of_a_float32() -> None:
    assert to_float32(np.array([[ONE, TWO, MINUS_HALF, 0]], np.uint16)).tolist() == [[1.0, 2.0, -0.5, 0.0]]


def filled() -> FeatureWriter:
    writer = FeatureWriter(cells=3, width=2)
    writer.put(2, bits([TWO, ONE]))
    writer.put(0, bits([ONE, ONE], [TWO, MINUS_HALF]))
    return writer


def check(writer: FeatureWriter) -> None:
    table = writer.table(np.array([0, -1, 2, 0, 1]))
    values, mask = table.take(np.array([2, 0, 1, 4]))
    assert values.dtype == np.float32
    assert values.tolist() == [[[2, 1], [0, 0]], [[1, 1], [2, -0.5]], [[0, 0]] * 2, [[0, 0]] * 2]
    assert mask.tolist() == [[True, False], [True, True], [False, False], [False, False]]
    values, mask = table.take(np.array([1]))
    assert (values.shape, mask.tolist()) == ((1, 1, 2), [[False]])
    assert table.take(np.zeros(0, np.int64)).values.shape == (0, 1, 2)


def test_rows_share_the_features_of_their_cell_and_lack_what_was_not_put() -> None:
    check(filled())


def test_a_table_without_a_cell() -> None:
    table = FeatureWriter(cells=0, width=4).table(np.array([-1, -1]))
    assert table.take(np.array([0, 1])).values.shape == (2, 1, 4)
    assert not table.take(np.array([0, 1])).mask.any()


def test_a_full_disk_keeps_features_in_memory_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = FeatureWriter(cells=3, width=2)
    writer.put(2, bits([TWO, ONE]))

    def full(content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "_append", full)
    writer.put(0, bits([ONE, ONE], [TWO, MINUS_HALF]))
    assert len(writer.notes) == 1
    assert "No space left on device" in writer.notes[0]
    check(writer)


@given(st.lists(st.integers(0, 5), max_size=12))
def test_what_is_put_is_given_back(lengths: list[int]) -> None:
    generator = np.random.default_rng(len(lengths))
    cells = [generator.integers(0, 0x7F00, (length, 3)).astype(np.uint16) for length in lengths]
    writer = FeatureWriter(len(cells), 3)
    for place in generator.permutation(len(cells)):
        writer.put(int(place), cells[place])
    table = writer.table(np.arange(len(cells)))
    for row, own in enumerate(cells):
        values, mask = table.take(np.array([row]))
        assert (values[0][mask[0]] == to_float32(own)).all()
        assert mask.sum() == len(own)
