"""What the machine does fast, and what the recipe asks for instead."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sensorium.errors import SensoriumError
from sensorium.training import machine
from sensorium.training.machine import choose_device, choose_micro_batch, choose_precision, keep_freed_memory

CPU, GPU = torch.device("cpu"), torch.device("cuda")
CONVOLUTION = nn.Sequential(nn.Conv2d(1, 1, 3), nn.GroupNorm(1, 1))
ACROSS_ROWS = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1))
RECURRENT = nn.LSTM(2, 2)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    assert choose_device("cpu") == CPU
    with pytest.raises(SensoriumError, match=r"training\.device: cuda is asked for"):
        choose_device("cuda")


def test_a_gpu_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == GPU
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"amx_bf16", "avx512_bf16"}, "bf16"), ({"avx512_bf16"}, "bf16"), ({"avx2"}, "fp32"), (set(), "fp32")],
)
def test_precision_of_a_cpu(monkeypatch: pytest.MonkeyPatch, flags: set[str], expected: str) -> None:
    monkeypatch.setattr(machine, "_cpu_flags", lambda: flags)
    assert choose_precision("auto", CPU)[0] == expected
    assert choose_precision("fp32", CPU) == ("fp32", "as the recipe asks")
    assert choose_precision("bf16", CPU) == ("bf16", "as the recipe asks")


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp32")])
def test_precision_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", GPU)[0] == expected


@pytest.mark.parametrize(
    ("asked", "batch_size", "model", "device", "expected"),
    [
        ("auto", 256, CONVOLUTION, CPU, 32),
        ("auto", 4, CONVOLUTION, CPU, 4),
        ("auto", 32, ACROSS_ROWS, CPU, 32),
        ("auto", 32, RECURRENT, CPU, 32),
        ("auto", 32, CONVOLUTION, GPU, 32),
        (5, 32, ACROSS_ROWS, CPU, 5),
        (64, 32, CONVOLUTION, CPU, 32),
    ],
)
def test_rows_of_a_pass(
    monkeypatch: pytest.MonkeyPatch,
    asked: int | str,
    batch_size: int,
    model: nn.Module,
    device: torch.device,
    expected: int,
) -> None:
    monkeypatch.setattr(machine.platform, "libc_ver", lambda: ("glibc", "2.36"))
    assert choose_micro_batch(asked, batch_size, model, device) == expected


def test_few_rows_where_the_allocator_cannot_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.platform, "libc_ver", lambda: ("", ""))
    assert choose_micro_batch("auto", 32, CONVOLUTION, CPU) == 8


def test_the_allocator_takes_the_setting_or_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keep_freed_memory() is (machine.platform.libc_ver()[0] == "glibc")
    monkeypatch.setattr(machine.platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
