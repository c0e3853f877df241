"""Records in arrays: the same as a dict."""

from __future__ import annotations

import numpy as np
import pytest

from sensorium.data.compact import CompactMap, key_of


@pytest.mark.parametrize("width", [0, 3])
def test_it_holds_what_a_dict_holds(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensorium.data.compact._NEW", 5)
    generator = np.random.default_rng(0)
    records, expected = CompactMap(width), {}
    for key in (generator.integers(0, 60, 500).astype(np.uint64) * np.uint64(2**58)).tolist():
        expected[key] = generator.bytes(width)
        records.put(key, expected[key])
    assert {key: records.get(key) for key in expected} == expected
    assert len(records) == len(expected)
    assert records.get(1) is None


def test_keys_tell_where_a_value_ends() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("ab", "c") == key_of("ab", "c") < 2**64
