"""Kernels whose time is known: by torch's own benchmark, and by the cycles that they take."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import pytest
import torch
from torch.utils.benchmark import Timer

from pytest_gpupool import Gpu, Measure, RecordMetric

ROUNDS = 3
CYCLES = 2_000_000


def both(measure: Measure, call: Callable[[], object]) -> tuple[float, float]:
    """The seconds of a call by ``measure``, and by torch's benchmark; in turn, as clocks change while a GPU works."""
    ours, theirs = [], []
    timer = Timer("call()", globals={"call": call})
    for number in range(ROUNDS):
        ours.append(measure(call, name=f"round{number}"))
        theirs.append(float(timer.blocked_autorange(min_run_time=0.5).median))
    return median(ours), median(theirs)


# Of zeros a product takes little power: else a large GPU is at its limit within milliseconds, and its clocks fall, the
# more the longer it works without a pause, which is what the two do differently.
@pytest.mark.parametrize(("dtype", "n"), [("float16", 8192), ("float32", 4096)])
def test_matmul(dtype: str, n: int, gpu: Gpu, measure: Measure, record_metric: RecordMetric) -> None:
    a, b, c = (torch.zeros(n, n, device=gpu.device, dtype=getattr(torch, dtype)) for _ in range(3))
    ours, theirs = both(measure, lambda: torch.matmul(a, b, out=c))
    for name, seconds in (("ours", ours), ("theirs", theirs)):
        record_metric(name, 2 * n**3 / seconds / 1e12, unit="TFLOP/s", higher_is_better=True)


def test_copy(gpu: Gpu, measure: Measure, record_metric: RecordMetric) -> None:
    source, target = (torch.zeros(2**29, device=gpu.device, dtype=torch.uint8) for _ in range(2))
    ours, theirs = both(measure, lambda: target.copy_(source))
    for name, seconds in (("ours", ours), ("theirs", theirs)):
        record_metric(name, 2 * source.numel() / seconds / 1e9, unit="GB/s", higher_is_better=True)


def test_cycles(gpu: Gpu, measure: Measure, record_metric: RecordMetric) -> None:
    torch.cuda.init()
    sleep: Any = torch.cuda._sleep
    seconds = measure(sleep, CYCLES)
    record_metric("clock", CYCLES / seconds / 1e6, unit="MHz", higher_is_better=None)
