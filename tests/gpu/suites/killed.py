"""A worker that is killed while it has memory of its GPU; a test that finds out how much is free."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from pytest_gpupool import Gpu, RecordMetric

GIB = 2**30


def hold(gpu: Gpu) -> torch.Tensor:
    """Some memory, in use."""
    held = torch.ones(2 * GIB, dtype=torch.uint8, device=gpu.device)
    torch.cuda.synchronize()
    return held


def test_kills_itself(gpu: Gpu) -> None:
    hold(gpu)
    os.kill(os.getpid(), signal.SIGKILL)


def test_after(gpu: Gpu, record_metric: RecordMetric) -> None:
    free, total = torch.cuda.mem_get_info()
    record_metric("used", total - free)


@pytest.mark.gpupool(stage=1)
def test_holds_until_it_is_killed(gpu: Gpu) -> None:
    held = hold(gpu)
    again = Path("holding")
    if again.exists():
        return
    again.write_text(f"{held.numel()}\n", encoding="utf-8")
    time.sleep(600)
