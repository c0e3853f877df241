"""Threads decode together where that brings more, and in turn where it does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sensorium.data.turns import Turns


def work_off(turns: Turns, work: Callable[[], int], batches: int) -> list[int]:
    with ThreadPoolExecutor(turns.threads) as pool:
        return [future.result() for future in [pool.submit(turns.take, work) for _ in range(batches)]]


def test_work_that_waits_for_nobody_is_done_together() -> None:
    turns = Turns(4)

    def sleep() -> int:
        time.sleep(0.01)
        return 1

    assert work_off(turns, sleep, 40) == [1] * 40
    assert turns.allowed == 4


def test_work_that_waits_for_its_like_is_done_in_turn() -> None:
    turns, lock = Turns(4), threading.Lock()

    def sleep_alone() -> int:
        with lock:
            time.sleep(0.01)
        return 1

    assert work_off(turns, sleep_alone, 40) == [1] * 40
    assert turns.allowed == 1


def test_no_more_work_at_once_than_is_allowed() -> None:
    turns, most, working = Turns(2), [0], [0]
    lock = threading.Lock()

    def count() -> int:
        with lock:
            working[0] += 1
            most[0] = max(most[0], working[0])
        time.sleep(0.002)
        with lock:
            working[0] -= 1
        return 1

    work_off(turns, count, 30)
    assert most[0] == 2
    most[0], turns.allowed = 0, 1
    work_off(turns, count, 5)
    assert most[0] == 1


def test_a_failure_gives_the_turn_back() -> None:
    turns = Turns(2)
    with pytest.raises(ZeroDivisionError):
        turns.take(lambda: 1 // 0)
    assert turns.take(lambda: 5) == 5
