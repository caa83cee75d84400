"""Two workers on one device at once, each with half of its memory."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from patience import lines, say, until

from pytest_gpupool import Gpu


def take(gpu: Gpu, part: float) -> torch.Tensor:
    """So much of the device's memory."""
    assert gpu.memory_total is not None
    return torch.empty(int(part * gpu.memory_total), dtype=torch.uint8, device=gpu.device)


@pytest.mark.parametrize("case", range(2))
def test_together(case: int, gpu: Gpu, record_property: Callable[[str, object], None]) -> None:
    held = take(gpu, 0.3)
    say("here", str(case))
    until(lambda: len(lines("here")) >= 2, "the other one does not run at the same time")
    record_property("id", gpu.ids[0])
    record_property("pid", os.getpid())
    del held
    torch.cuda.empty_cache()


@pytest.mark.gpupool(stage=1)
def test_more_than_its_part(gpu: Gpu) -> None:
    take(gpu, 0.7)
